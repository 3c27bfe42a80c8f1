#include "tests/fuzz/agent_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest-agent/commands.h"
#include "tests/fuzz/fuzz.h"

static struct agent_config config; /* its paths are made once */

static void on_request(void *ctx, struct channel *ch, json_t *request, const char *wrong)
{
    struct bench *bench = ctx;
    commands_run(&bench->agent, ch, request, wrong);
}

static void on_gone(void *ctx, struct channel *ch, int error)
{
    struct bench *bench = ctx;
    channel_free(ch);
    bench->channel = NULL;
}

static const struct channel_ops channel_ops = {.request = on_request, .gone = on_gone};

static void to_host(void *ctx, json_t *event)
{
    struct bench *bench = ctx;
    if (bench->channel != NULL) {
        channel_send_event(bench->channel, event);
    }
}

void bench_begin(struct bench *bench)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    int pair[2];
    if (config.socket == NULL) {
        config = (struct agent_config){
            .listen = fuzz_path("host"), /* which sets no clock */
            .socket = fuzz_path("ranks"),
            .scripts = fuzz_path("scripts"),
            .script_ms = 1000,
            .sys = fuzz_path("sys"),
            .proc = fuzz_path("proc"),
        };
    }
    *bench = (struct bench){.agent = {.config = &config, .instance = "fuzz"}};
    struct agent *agent = &bench->agent;
    agent->base = fuzz_event_base();
    agent->events = events_new();
    agent->jobs = jobs_new(agent->base, agent->events);
    agent->scripts = scripts_new(agent->base, config.scripts, config.script_ms);
    agent->ops = deviceops_new(agent->base, agent->events, agent->scripts, config.proc);
    agent->ranks = ranks_new(agent->base, agent->jobs, config.socket, &err);
    FUZZ_CHECK(agent->ranks != NULL);
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    bench->host = pair[0];
    bench->channel = channel_new(agent->base, pair[1], CHANNEL_STREAM, &channel_ops, bench);
    events_set_sink(agent->events, to_host, bench);
}

void bench_end(struct bench *bench)
{
    struct agent *agent = &bench->agent;
    events_set_sink(agent->events, NULL, NULL);
    scripts_free(agent->scripts);
    deviceops_free(agent->ops);
    ranks_free(agent->ranks);
    unlink(config.socket); /* it is left when ranks are connected */
    jobs_free(agent->jobs);
    channel_free(bench->channel);
    events_free(agent->events);
    event_base_free(agent->base);
    close(bench->host);
}

/* Every line must be JSON that a host reads, within the protocol's limit. */
static void check_lines(struct bench *bench)
{
    static char text[CHANNEL_MAX_LINE + 2];
    static size_t len;
    ssize_t n;
    len = 0;
    while (len < sizeof(text) && (n = read(bench->host, text + len, sizeof(text) - len)) > 0) {
        len += (size_t)n;
    }
    for (char *line = text, *end; (end = memchr(line, '\n', len)) != NULL; line = end + 1) {
        size_t size = (size_t)(end - line);
        len -= size + 1;
        if ((unsigned char)line[0] == 0xFF) {
            line++;
            size--;
        }
        json_t *json = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
        FUZZ_CHECK(json_is_object(json));
        json_decref(json);
    }
}

void bench_run(struct bench *bench)
{
    for (int i = 0; i < 4; i++) {
        event_base_loop(bench->agent.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        check_lines(bench);
    }
}

int bench_connect_rank(struct bench *bench)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", config.socket);
    FUZZ_CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    return fd;
}

int bench_join_rank(struct bench *bench, uint32_t rank)
{
    struct ninja_rank_pair pair = {rank, 2};
    struct ninja_rank_msg hello = {
        .type = NINJA_RANK_HELLO, .n_a = 1, .a = &pair, .text = "J\n0.1.0"};
    int fd = bench_connect_rank(bench);
    FUZZ_CHECK(ninja_rank_send(fd, &hello) == 0);
    bench_run(bench);
    return fd;
}

void bench_drain_rank(int fd)
{
    char byte; /* of a packet the rest is dropped; without room for it, so is a descriptor */
    while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0) {
    }
}
