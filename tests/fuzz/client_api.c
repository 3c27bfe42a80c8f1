/*
 * ninjad as a hostile client speaks to it: bytes on a connection, after a byte that says whether it
 * is one that may only look, what the workers answer, and whether it leaves before they do. No
 * process is started: what would be started is checked, and ended here.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/timer.h"
#include "ninjad/api.h"
#include "ninjad/clusters.h"
#include "ninjad/metrics.h"
#include "ninjad/past.h"
#include "ninjad/server.h"
#include "tests/fuzz/fuzz.h"

#define ENDED       "20260101-000000-1"
#define INTERRUPTED "20260101-000000-2"

enum how {
    ONLY_LOOKS = 1,
    WORKERS_FAIL = 2,
    WORKERS_BABBLE = 4,
    LEAVES_EARLY = 8,
    HALF_CLOSES = 16,
};

static struct options options = {.max_workers = 3, .max_clients = 4, .group = "nobody"};
static struct ninjad ninjad = {.options = &options};

/* ---- in the place of worker.c ---- */

struct worker {
    worker_done done;
    void *arg;
    struct worker *next;
};

static struct worker *workers;

static bool is_command_that_works(const char *name)
{
    for (size_t i = 0; i < api_n_commands; i++) {
        if (strcmp(api_commands[i].name, name) == 0) {
            return (api_commands[i].flags & WORKS) != 0;
        }
    }
    return false;
}

/* Options are of known names, and what a client chose can be nothing else. */
static void check_command_line(char *const argv[])
{
    int i = 2;
    FUZZ_CHECK(strcmp(argv[0], options.ninjactl) == 0 && is_command_that_works(argv[1]));
    while (strcmp(argv[i], "--") != 0) {
        FUZZ_CHECK(strncmp(argv[i], "--", 2) == 0);
        FUZZ_CHECK(strncmp(argv[i], "--cluster=", 10) != 0 ||
                   strcmp(argv[i] + 10, options.clusters[0]) == 0);
        i++;
    }
    FUZZ_CHECK(argv[i + 1] == NULL ||
               (argv[i + 2] == NULL && argv[i + 1][0] != '-' && strchr(argv[i + 1], '/') == NULL));
}

struct worker *worker_start(struct event_base *base, char *const argv[], int timeout_ms,
                            enum worker_kind kind, worker_done done, void *arg,
                            struct ninja_error *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    FUZZ_CHECK(worker != NULL && timeout_ms > 0);
    check_command_line(argv);
    *worker = (struct worker){.done = done, .arg = arg, .next = workers};
    workers = worker;
    return worker;
}

void worker_free(struct worker *worker)
{
    for (struct worker **at = &workers; worker != NULL; at = &(*at)->next) {
        if (*at == worker) {
            *at = worker->next;
            free(worker);
            return;
        }
    }
}

static void end_workers(uint8_t how)
{
    static const char json[] = "{\"version\":1,\"id\":\"" INTERRUPTED "\"}", babble[] = "{\"a\":[[";
    while (workers != NULL) {
        bool babbles = (how & WORKERS_BABBLE) != 0;
        struct worker_result result = {
            .code = how & WORKERS_FAIL ? 2 : 0,
            .output = babbles ? babble : json,
            .length = babbles ? sizeof(babble) : sizeof(json),
            .error = babbles ? babble
                             : "{\"error\": {\"class\": \"Refused\", \"desc\": \"no; never\"}}\n",
        };
        workers->done(workers->arg, &result);
    }
}

/* ---- the service ---- */

static void write_file(const char *name, const char *text)
{
    char *path = fuzz_path(name);
    FILE *out = fopen(path, "w");
    FUZZ_CHECK(out != NULL && fputs(text, out) >= 0);
    fclose(out);
    free(path);
}

static void make_directory(const char *name)
{
    char *path = fuzz_path(name);
    FUZZ_CHECK(mkdir(path, 0700) == 0);
    free(path);
}

static void make_state(void)
{
    static const char begin[] =
        "{\"state\":\"PLANNED\",\"cluster\":\"c\",\"mode\":\"live\",\"to\":\"b\",\"key\":\"k\","
        "\"vms\":[{\"name\":\"vm1\",\"at\":\"a\",\"moves\":true}],\"time\":\"2026-01-01T00:00:00."
        "000+0000\"}\n";
    make_directory("state/" ENDED);
    make_directory("state/" INTERRUPTED);
    write_file("state/" ENDED "/journal", begin);
    write_file("state/" INTERRUPTED "/journal", begin);
    write_file("state/" ENDED "/report.json",
               "{\"version\":1,\"id\":\"" ENDED "\",\"cluster\":\"c\",\"outcome\":\"done\","
               "\"key\":\"k\",\"to\":\"b\",\"vms\":[]}\n");
    write_file("cluster",
               "name = \"c\"; driver = \"local\"; vms = ( { name = \"vm1\"; } );\n"
               "sites = ( { name = \"a\"; vms = ( { name = \"vm1\"; agent = \"/a1\"; } ); },\n"
               "  { name = \"b\"; vms = ( { name = \"vm1\"; agent = \"/b1\"; } ); } );\n");
}

static void set_up(void)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    signal(SIGPIPE, SIG_IGN); /* as main() does */
    make_state();
    options.clusters[options.n_clusters++] = fuzz_path("cluster");
    options.state_dir = fuzz_path("state");
    options.listen_ro = fuzz_path("socket");
    options.metrics = fuzz_path("metrics");
    options.ninjactl = "/nowhere/ninjactl";
    ninjad.base = fuzz_event_base();
    ninjad.clusters = clusters_new(&options);
    ninjad.past = past_new(options.state_dir);
    ninjad.calls = calls_new(&ninjad);
    ninjad.metrics = metrics_new(&ninjad);
    ninjad.server = server_new(&ninjad, &err);
    FUZZ_CHECK(ninjad.server != NULL);
}

void ninjad_changed(struct ninjad *changed)
{
    metrics_write(changed->metrics);
}

/* ---- the client ---- */

static void check_line(const char *text, size_t len)
{
    json_t *line = json_loadb(text, len, 0, NULL);
    json_t *error = json_object_get(line, "error");
    int kinds = (json_object_get(line, "return") != NULL) + (error != NULL) +
                (json_object_get(line, "event") != NULL);
    FUZZ_CHECK(kinds == 1);
    FUZZ_CHECK(error == NULL || (json_string_length(json_object_get(error, "class")) > 0 &&
                                 json_string_length(json_object_get(error, "desc")) > 0));
    json_decref(line);
}

/* Reads all that there is, and checks each whole line. */
static void read_answers(int fd)
{
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, text + len, sizeof(text) - len, MSG_DONTWAIT)) > 0) {
        char *end;
        len += (size_t)n;
        while ((end = memchr(text, '\n', len)) != NULL) {
            size_t line = (size_t)(end - text);
            check_line(text, line);
            len -= line + 1;
            memmove(text, end + 1, len);
        }
        fuzz_run(ninjad.base);
    }
}

static void feed(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
        fuzz_run(ninjad.base);
        read_answers(fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how = fuzz_byte(&data, &size);
    struct client_peer peer = {.uid = 1000, .pid = 1, .may_act = (how & ONLY_LOOKS) == 0};
    int pair[2];
    if (ninjad.base == NULL) {
        set_up();
    }
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    FUZZ_CHECK(server_add(ninjad.server, pair[1], &peer));
    feed(pair[0], data, size);
    if (how & HALF_CLOSES) {
        shutdown(pair[0], SHUT_WR);
        fuzz_run(ninjad.base);
    }
    if (how & LEAVES_EARLY) {
        close(pair[0]);
        fuzz_run(ninjad.base);
    }
    end_workers(how);
    fuzz_run(ninjad.base);
    if (!(how & LEAVES_EARLY)) {
        read_answers(pair[0]);
        close(pair[0]);
    }
    for (int i = 0; i < 100 && server_clients(ninjad.server) > 0; i++) {
        fuzz_run(ninjad.base);
        end_workers(how);
    }
    FUZZ_CHECK(server_clients(ninjad.server) == 0);
    FUZZ_CHECK(workers == NULL && TAILQ_EMPTY(calls_list(ninjad.calls)));
    return 0;
}
