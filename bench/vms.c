/*
 * The agents of many VMs in one process, for what runs on the host to be measured with:
 *
 *     bench-vms DIR VMS RANKS NEIGHBOURS JOBS SILENT COMMAND...
 *
 * Each VM has an agent of its own, which is that of ninja-agent but for what looks at the machine,
 * and listens on DIR/vm-N.sock; the file DIR/cluster.conf names them. A rank is a stub: it has no
 * process and no connection, and answers each step at once with what a rank would say that is
 * reached by tcp on one interface. There are RANKS of them, in JOBS jobs (each of as many), one
 * after the other in the VMs. Each has sent messages to NEIGHBOURS others (at most 26), which are
 * those around it in three dimensions. Each VM's first rank looks whether the addresses of its
 * neighbours are those that they have now. The agent of the VM SILENT answers nothing more from the
 * first step on (-1: there is none such).
 *
 * COMMAND is run, with what it writes left alone, and measured: one JSON object on standard error
 * says what it took. The program ends as COMMAND does, or with 70 if an address was wrong.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rank_proto.h"
#include "guest-agent/agent.h"
#include "guest-agent/commands.h"

#define MAX_NEIGHBOURS 26
#define LOOK_MS        20
#define DESCRIPTORS    20000

/* A rank. It answers from the event loop, as the agent walks over its ranks while it sends. */
struct rank_conn {
    STAILQ_ENTRY(rank_conn) entry; /* of those that owe an answer */
    struct rank *rank;
    struct ninja_rank_msg given;
    bool owes;
    uint32_t opened; /* how often */
};

struct vm {
    struct agent agent;
    struct agent_config config;
    char listen[256];
};

static struct {
    const char *dir;
    char empty[256]; /* a folder with nothing in it: no interface, no process */
    int vms, ranks, neighbours, jobs, silent;
    struct event_base *base;
    struct vm *vm;
    struct rank_conn *rank; /* of all jobs */
    STAILQ_HEAD(, rank_conn) owing;
    struct event *answers;
    int wrong; /* addresses that were */
    pid_t command;
    int64_t began_us;
    int status, descriptors;
} sim;

static int size_of_job(void)
{
    return sim.ranks / sim.jobs;
}

static int vm_of(int rank_of_all)
{
    return (int)((int64_t)rank_of_all * sim.vms / sim.ranks);
}

static int number_of_all(const struct rank_conn *conn)
{
    return (int)(conn - sim.rank);
}

/* ---- what a rank says ---- */

/* The ranks around one in a torus of three dimensions, each once. */
static uint32_t neighbours_of(uint32_t rank, uint32_t peers[MAX_NEIGHBOURS])
{
    int size = size_of_job(), side = (int)cbrt(size), n = 0;
    for (int i = 0; i < 27 && n < sim.neighbours; i++) {
        int to = (int)rank + (i % 3 - 1) + side * (i / 3 % 3 - 1) + side * side * (i / 9 - 1);
        uint32_t peer = (uint32_t)(((to % size) + size) % size);
        bool known = peer == rank;
        for (int k = 0; k < n; k++) {
            known |= peers[k] == peer;
        }
        if (!known) {
            peers[n++] = peer;
        }
    }
    return (uint32_t)n;
}

/* What btl/tcp publishes of one interface, in the form of opal/mca/btl-hooks/modex.c. */
static uint32_t addresses_of(const struct rank_conn *conn, uint8_t piece[256])
{
    static const char key[] = "btl.tcp.4.1";
    const int of_all = number_of_all(conn), vm = vm_of(of_all);
    const uint32_t head[] = {1, sizeof(key), 24, 19}; /* what follows are zeros */
    const uint8_t inet[4] = {10, (uint8_t)(vm >> 16), (uint8_t)(vm >> 8), (uint8_t)vm};
    const uint16_t port = htons((uint16_t)(1024 + conn->opened + conn->rank->number % 64));
    uint8_t *bytes = piece + sizeof(head) + sizeof(key);
    memset(piece, 0, 256);
    memcpy(piece, head, sizeof(head));
    memcpy(piece + sizeof(head), key, sizeof(key));
    memcpy(bytes, inet, sizeof(inet));
    memcpy(bytes + 16, &port, sizeof(port));
    bytes[18] = 2; /* the interface's number in the kernel */
    return (uint32_t)(sizeof(head) + sizeof(key) + head[3]);
}

/* Whether the addresses that came with `connect` are those that the neighbours have now. */
static void look_at(const struct rank_conn *conn, int file)
{
    uint32_t peers[MAX_NEIGHBOURS], n = neighbours_of(conn->rank->number, peers);
    const struct rank_conn *first = conn - conn->rank->number;
    struct ninja_addresses addresses;
    const char *wrong = ninja_addresses_map(file, (uint32_t)size_of_job(), &addresses);
    for (uint32_t i = 0; wrong == NULL && i < n; i++) {
        uint8_t piece[256];
        size_t size;
        const void *got = ninja_addresses_of(&addresses, peers[i], &size);
        if (size != addresses_of(&first[peers[i]], piece) || memcmp(got, piece, size) != 0) {
            wrong = "not those that the neighbour has";
        }
    }
    if (wrong != NULL) {
        ninja_log_error("rank %u: its addresses are %s", conn->rank->number, wrong);
        sim.wrong++;
    }
    ninja_addresses_unmap(&addresses);
}

static void take_counts(const struct rank_conn *conn, struct ninja_rank_pair *pairs,
                        struct ninja_rank_msg *report)
{
    uint32_t peers[MAX_NEIGHBOURS];
    report->n_a = neighbours_of(conn->rank->number, peers);
    report->a = pairs;
    for (uint32_t i = 0; i < report->n_a; i++) {
        pairs[i] = (struct ninja_rank_pair){peers[i], 1 + (conn->rank->number * 7919 + i) % 65535};
    }
}

static void answer(struct rank_conn *conn)
{
    struct ninja_rank_pair pairs[MAX_NEIGHBOURS] = {{0}};
    uint8_t piece[256];
    struct ninja_rank_msg report = {.type = NINJA_RANK_REPORT,
                                    .arg = conn->given.type,
                                    .epoch = conn->given.epoch,
                                    .round = conn->given.round,
                                    .micros = 100,
                                    .text = (char *)""};
    unsigned reports = ninja_rank_step_row(conn->given.type)->reports;
    if ((reports & NINJA_REPORTS_SENT) != 0) {
        take_counts(conn, pairs, &report);
    }
    if ((reports & NINJA_REPORTS_ADDRESSES) != 0) {
        conn->opened++;
        report.addresses = piece;
        report.n_addresses = addresses_of(conn, piece);
    }
    if ((reports & NINJA_REPORTS_TRANSPORTS) != 0) {
        pairs[0] = (struct ninja_rank_pair){0, (uint32_t)sim.neighbours};
        pairs[1] = (struct ninja_rank_pair){1, 1};
        report.a = pairs;
        report.n_a = 2;
        report.text = (char *)"tcp,self";
    }
    const char *wrong = jobs_message(conn->rank, &report);
    if (wrong != NULL) {
        ninja_log_error("rank %u: %s", conn->rank->number, wrong);
        sim.wrong++;
    }
}

static void on_answers(evutil_socket_t fd, short what, void *arg)
{
    struct rank_conn *conn;
    while ((conn = STAILQ_FIRST(&sim.owing)) != NULL) {
        STAILQ_REMOVE_HEAD(&sim.owing, entry);
        conn->owes = false;
        answer(conn);
    }
}

/* ---- in the place of guest-agent/ranks.c ---- */

void rank_conn_send(struct rank_conn *conn, const struct ninja_rank_msg *msg, int passed)
{
    int vm = vm_of(number_of_all(conn));
    if (!ninja_rank_type_is_step(msg->type)) {
        return;
    }
    if (passed >= 0 && (number_of_all(conn) == 0 || vm_of(number_of_all(conn) - 1) != vm)) {
        look_at(conn, passed);
    }
    conn->given = (struct ninja_rank_msg){
        .type = msg->type, .epoch = msg->epoch, .round = msg->round, .arg = msg->arg};
    if (!conn->owes) {
        conn->owes = true;
        STAILQ_INSERT_TAIL(&sim.owing, conn, entry);
        event_active(sim.answers, EV_TIMEOUT, 0);
    }
}

void rank_conn_forget(struct rank_conn *conn)
{
    conn->rank = NULL;
}

bool ranks_may_return(const struct ranks *server)
{
    return false;
}

struct ranks *ranks_new(struct event_base *base, struct jobs *jobs, const char *path,
                        struct ninja_error *err)
{
    return NULL;
}

void ranks_free(struct ranks *server)
{
}

/* ---- the VMs ---- */

static void fail(const char *what)
{
    fprintf(stderr, "bench-vms: %s: %m\n", what);
    exit(EX_OSERR);
}

static void to_hosts(void *ctx, json_t *event)
{
    struct agent *agent = ctx;
    hostlink_broadcast(agent->link, event);
}

/* The agent of a VM that is dead from the first step on. */
static void on_request(void *ctx, struct channel *ch, json_t *request, const char *wrong)
{
    static bool dead;
    const char *name = json_string_value(json_object_get(request, "execute"));
    dead |= name != NULL && strcmp(name, "ninja-step") == 0;
    if (!dead) {
        commands_run(ctx, ch, request, wrong);
    }
}

/* As agent_new(), but all agents have one event loop, and none looks for new interfaces. */
static void begin_vm(struct vm *vm, int number)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct agent *agent = &vm->agent;
    snprintf(vm->listen, sizeof(vm->listen), "%s/vm-%d.sock", sim.dir, number);
    vm->config = (struct agent_config){.listen = vm->listen,
                                       .scripts = sim.dir,
                                       .script_ms = 1000,
                                       .sys = sim.empty,
                                       .proc = sim.empty};
    agent->config = &vm->config;
    agent->base = sim.base;
    snprintf(agent->instance, sizeof(agent->instance), "simulated-%d", number);
    agent->events = events_new();
    agent->jobs = jobs_new(sim.base, agent->events);
    agent->link = hostlink_listen(sim.base, vm->listen,
                                  number == sim.silent ? on_request : commands_run, agent, &err);
    if (agent->link == NULL) {
        fprintf(stderr, "bench-vms: %s\n", err.message);
        exit(EX_OSERR);
    }
    events_set_sink(agent->events, to_hosts, agent);
}

static void begin_rank(int of_all)
{
    char text[64], why[256];
    struct rank_conn *conn = &sim.rank[of_all];
    struct ninja_rank_pair who = {(uint32_t)(of_all % size_of_job()), (uint32_t)size_of_job()};
    struct ninja_rank_msg hello = {
        .type = NINJA_RANK_HELLO, .status = NINJA_RANK_RUNNING, .n_a = 1, .a = &who, .text = text};
    snprintf(text, sizeof(text), "%d.1\n0.1.0", 1000 + of_all / size_of_job());
    conn->rank = jobs_hello(sim.vm[vm_of(of_all)].agent.jobs, conn, 100000 + of_all, 1000, &hello,
                            why, sizeof(why));
    if (conn->rank == NULL) {
        fprintf(stderr, "bench-vms: %s\n", why);
        exit(EX_SOFTWARE);
    }
}

static void write_cluster(void)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/cluster.conf", sim.dir);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fail(path);
    }
    fprintf(file, "driver = \"local\";\nvms = (");
    for (int i = 0; i < sim.vms; i++) {
        fprintf(file, "%s\n  { name = \"vm-%d\"; }", i > 0 ? "," : "", i);
    }
    fprintf(file, " );\nsites = ( { name = \"local\"; vms = (");
    for (int i = 0; i < sim.vms; i++) {
        fprintf(file, "%s\n  { name = \"vm-%d\"; agent = \"%s\"; }", i > 0 ? "," : "", i,
                sim.vm[i].listen);
    }
    fprintf(file, " ); } );\n");
    if (fclose(file) != 0) {
        fail(path);
    }
}

/* ---- the command ---- */

static void begin_command(char **words)
{
    sim.began_us = now_us();
    sim.command = fork();
    if (sim.command == 0) {
        execvp(words[0], words);
        fail(words[0]);
    }
    if (sim.command < 0) {
        fail("fork");
    }
}

static int count_descriptors(void)
{
    char path[64];
    int n = -2; /* "." and ".." */
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)sim.command);
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL) {
        n++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

/* Sees what the command has open from time to time, and whether it has ended. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct rusage usage;
    int n = count_descriptors();
    sim.descriptors = n > sim.descriptors ? n : sim.descriptors;
    if (wait4(sim.command, &sim.status, WNOHANG, &usage) == sim.command) {
        fprintf(stderr,
                "{\"user_s\": %.3f, \"system_s\": %.3f, \"max_rss_kib\": %ld, \"descriptors\": %d, "
                "\"wall_s\": %.3f, \"wrong\": %d, \"status\": %d}\n",
                seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss, sim.descriptors,
                (double)(now_us() - sim.began_us) / 1e6, sim.wrong, WEXITSTATUS(sim.status));
        event_base_loopbreak(sim.base);
    }
}

static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < -1 || value > 1000000) {
        fprintf(stderr, "bench-vms: %s: not a number that is possible\n", text);
        exit(EX_USAGE);
    }
    return (int)value;
}

static void begin(char **argv)
{
    sim.dir = argv[1];
    snprintf(sim.empty, sizeof(sim.empty), "%s/empty", sim.dir);
    if (mkdir(sim.empty, 0700) != 0) {
        fail(sim.empty);
    }
    sim.vms = number(argv[2]);
    sim.ranks = number(argv[3]);
    sim.neighbours = number(argv[4]);
    sim.jobs = number(argv[5]);
    sim.silent = number(argv[6]);
    if (sim.vms < 1 || sim.jobs < 1 || sim.ranks < sim.vms || sim.ranks % sim.jobs != 0 ||
        sim.neighbours < 0 || sim.neighbours > MAX_NEIGHBOURS) {
        fprintf(stderr, "bench-vms: these numbers do not go together\n");
        exit(EX_USAGE);
    }
    sim.base = event_base_new();
    sim.vm = calloc((size_t)sim.vms, sizeof(*sim.vm));
    sim.rank = calloc((size_t)sim.ranks, sizeof(*sim.rank));
    if (sim.base == NULL || sim.vm == NULL || sim.rank == NULL) {
        fail("memory");
    }
    sim.answers = event_new(sim.base, -1, 0, on_answers, NULL);
    STAILQ_INIT(&sim.owing);
    for (int i = 0; i < sim.vms; i++) {
        begin_vm(&sim.vm[i], i);
    }
    for (int i = 0; i < sim.ranks; i++) {
        begin_rank(i);
    }
    write_cluster();
}

static void end(void)
{
    for (int i = 0; i < sim.vms; i++) {
        events_set_sink(sim.vm[i].agent.events, NULL, NULL);
        hostlink_free(sim.vm[i].agent.link); /* removes its socket */
    }
}

int main(int argc, char **argv)
{
    const struct rlimit many = {DESCRIPTORS, DESCRIPTORS};
    const struct timeval often = {0, LOOK_MS * 1000};
    if (argc < 8) {
        fprintf(stderr, "usage: bench-vms DIR VMS RANKS NEIGHBOURS JOBS SILENT COMMAND...\n");
        return EX_USAGE;
    }
    ninja_log_init("bench-vms", NINJA_LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &many);
    begin(argv);
    begin_command(argv + 7);
    struct event *look = event_new(sim.base, -1, EV_PERSIST, on_look, NULL);
    event_add(look, &often);
    event_base_dispatch(sim.base);
    end();
    return sim.wrong > 0 ? EX_SOFTWARE : WEXITSTATUS(sim.status);
}
