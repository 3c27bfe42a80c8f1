/*
 * The host as a hostile agent speaks to it. The first byte says what the host does with that
 * agent, and whether the agent begins as it should; the rest is its script (scripted_peer.h).
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/agent_proto.h"
#include "host/agent/agent_client.h"
#include "host/agent/guest_command.h"
#include "host/agent/jobs.h"
#include "host/agent/link_wait.h"
#include "host/base/unix_socket.h"
#include "host/config/cluster.h"
#include "host/switch/switch.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scripted_peer.h"

enum work { QUERY, LINK, DETACH, SWITCH, LISTEN, WORKS };

struct host {
    struct event_base *base;
    struct agent *agent;
    enum work work;
    bool began;
    struct jobs_query *query;
    struct link_wait *link;
    struct guest_command *command;
    struct transport_switch *sw;
    json_t *before;
};

static struct scripted_peer peer;
static struct cluster cluster;
static bool scripted_greeting;

/* The synchronization is answered by itself: its id is random. */
static bool answer(int fd, const char *line)
{
    char text[256] = "\xff";
    json_int_t id = 0;
    json_t *json = json_loads(line[0] == '\xff' ? line + 1 : line, 0, NULL);
    const char *command = json_string_value(json_object_get(json, "execute"));
    bool is_sync = command != NULL && strcmp(command, "guest-sync-delimited") == 0;
    bool is_hello = command != NULL && strcmp(command, "ninja-hello") == 0;
    json_unpack(json, "{s:{s:I}}", "arguments", "id", &id);
    if (is_sync) {
        snprintf(text + 1, sizeof(text) - 1, "{\"return\":%lld}\n", (long long)id);
    } else {
        id = json_integer_value(json_object_get(json, "id"));
        snprintf(text, sizeof(text),
                 "{\"return\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT
                 ",\"version\":\"0.1.0\",\"hostname\":\"g\","
                 "\"instance\":\"i\",\"seq\":0},\"id\":%lld}\n",
                 (long long)id);
    }
    json_decref(json);
    if (is_sync || (is_hello && !scripted_greeting)) {
        send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
        return true;
    }
    return false;
}

static void check_jobs(const struct host *host, struct jobs *jobs)
{
    json_t *json = jobs_to_json(jobs, &host->agent);
    FUZZ_CHECK(json != NULL && json_array_size(json) == (size_t)jobs->n);
    char *text = json_dumps(json, JSON_INDENT(2));
    FUZZ_CHECK(text != NULL);
    free(text);
    json_decref(json);
}

static void on_jobs(void *arg, struct jobs *jobs, const struct ninja_error *err)
{
    FUZZ_CHECK((jobs == NULL) == (err != NULL));
    if (jobs != NULL) {
        check_jobs(arg, jobs);
    }
    jobs_free(jobs);
}

static void on_link(void *arg, enum link_kind kind, const char *name, const struct ninja_error *err)
{
    FUZZ_CHECK((kind == LINK_NONE) == (err != NULL));
}

static void on_detached(void *arg, json_t *data, const struct ninja_error *err)
{
    struct ninja_error held = NINJA_ERROR_INIT;
    if (err == NULL) {
        guest_holds_nothing(data, &held);
    }
}

static void on_switched(void *arg, const struct ninja_error *err)
{
    struct host *host = arg;
    json_t *report = switch_report(host->sw);
    FUZZ_CHECK(json_is_object(report));
    json_decref(report);
}

static const struct switch_handler switch_handler = {.done = on_switched};

static void on_interconnects(void *arg, json_t *result, const struct ninja_error *err)
{
    struct host *host = arg;
    if (err == NULL) {
        json_decref(host->before);
        host->before = json_incref(result);
        host->link = link_wait_start(host->base, host->agent, host->before, 60000, on_link, host);
    }
}

static void on_event(void *arg, struct agent *agent, const char *name, json_t *data)
{
    FUZZ_CHECK(name != NULL);
    if (data == NULL) { /* the client's own events */
        FUZZ_CHECK(strcmp(name, AGENT_RESTARTED) == 0 || strcmp(name, AGENT_EVENTS_LOST) == 0);
    } else {
        FUZZ_CHECK(json_is_object(data));
    }
}

static void on_connected(void *arg, const struct ninja_error *err)
{
    static const struct switch_options switch_options = {
        .cluster = &cluster, .release = "@bypass", .reselect = "@best"};
    struct jobs_query_options query_options = {.command_ms = 1000};
    struct host *host = arg;
    if (err != NULL || host->began) {
        return;
    }
    host->began = true;
    switch (host->work) {
    case QUERY:
        host->query = jobs_query_start(host->base, &host->agent, 1, &query_options, on_jobs, host);
        break;
    case LINK:
        agent_execute(host->agent, "ninja-interconnects", NULL, 1000, on_interconnects, host);
        break;
    case DETACH:
        host->command = guest_command_start(host->base, host->agent, "ninja-detach",
                                            "NINJA_DETACHED", "x,id=y", 1000, on_detached, host);
        break;
    case SWITCH:
        host->sw =
            switch_start(host->base, &host->agent, 1, &switch_options, &switch_handler, host);
        break;
    default:
        break;
    }
}

static void converse(struct host *host)
{
    for (int quiet = 0, n = 0; quiet < 3 && n < 200; n++) {
        fuzz_run(host->base);
        quiet = scripted_peer_serve(&peer) || scripted_peer_say(&peer) ? 0 : quiet + 1;
    }
}

static void set_up(void)
{
    scripted_peer_open(&peer, "agent");
    peer.answer = answer;
    cluster.quiesce_attempts = 2;
    cluster.quiesce_pause_ms = 1;
    for (int i = 0; i < TIMEOUTS; i++) {
        cluster.timeouts[i] = 60000;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t what = fuzz_byte(&data, &size);
    struct script script = {data, size};
    struct host host = {.base = fuzz_event_base(), .work = (what & 0x0F) % WORKS};
    if (peer.path == NULL) {
        set_up();
    }
    scripted_greeting = (what & 0x80) != 0;
    peer.script = &script;
    host.agent = agent_new(host.base, "vm1", 60000);
    agent_listen(host.agent, on_event, &host);
    struct channel_way way = unix_socket_way(host.base, peer.path);
    agent_connect(host.agent, &way, on_connected, &host);
    converse(&host);
    switch_free(host.sw);
    guest_command_free(host.command);
    link_wait_free(host.link);
    jobs_query_free(host.query);
    agent_unlisten(host.agent, on_event, &host);
    agent_free(host.agent);
    json_decref(host.before);
    event_base_free(host.base);
    scripted_peer_hang_up(&peer);
    return 0;
}
