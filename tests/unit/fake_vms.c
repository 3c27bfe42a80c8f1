/*
 * A cluster for tests of ninjactl as a whole: scripted QEMUs and agents in one process, at the
 * sites "ib" (a device) and "eth" (none), and the cluster file that names them. With hosts=N the
 * site "ib" has so many hosts ib1, ib2..., each with a pool of two devices and at first with two
 * VMs, and "eth" has the hosts eth1 and eth2.
 *
 *     fake_vms DIR VMS [KEY=VALUE]...     writes DIR/cluster.conf, says "ready", runs until SIGTERM
 *
 * Each VM has two ranks of one job. VMs can go there and back.
 */
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/agent_proto.h"
#include "tests/unit/fake_agent.h"
#include "tests/unit/fake_qemu.h"

#define MAX_VMS    (FAKE_MAX_RANKS / 2)
#define MAX_PLACES 6

struct vm {
    char name[16];
    int at; /* place */
    struct fake_qemu qemus[MAX_PLACES];
    struct fake_agent agent;
    struct at_place {
        struct vm *vm;
        char label[24], agent_path[104];
        struct evconnlistener *waiting; /* what a receiver has in place of the agent */
    } places[MAX_PLACES];
};

static const char *places[MAX_PLACES] = {"ib", "eth"};
static int n_places = 2;

/* What a test may choose. */
static struct {
    int copy_ms;         /* how long a copy lasts */
    int copy_looks;      /* and how often it is looked at, at least */
    int no_job;          /* there is none */
    int no_receiver;     /* no QEMU waits at eth */
    int no_device;       /* VMs have not got their device */
    int hosts;           /* of "ib"; 0: sites have none */
    const char *room[2]; /* keys of each host of "ib", and of "eth" */
    const char *blocked, *disk, *unknown_device, *machine; /* of all QEMUs; machine: at eth */
    const char *more;                                      /* lines of the cluster file */
    const char *eth;     /* what every VM has at eth besides, in the cluster file */
    const char *receive; /* of the first VM at eth */
    int breaks;          /* of post-copy: how often the connection breaks */
    int protocol;        /* of the agents */
    int writes;          /* MiB/s of each VM; -1: it cannot be measured */
} knobs = {.more = "", .eth = "", .room = {"", ""}, .protocol = NINJA_AGENT_PROTOCOL};

static void write_hosts(FILE *out, const char *dir)
{
    fprintf(out, "  { name = \"ib\"; hosts = (\n");
    for (int p = 0; p < n_places; p++) {
        bool is_eth = p >= knobs.hosts;
        fprintf(out,
                "%s    { name = \"%s\"; qmp = \"%s/{host}-{vm}.qmp\"; agent = "
                "\"%s/{host}-{vm}.agent\"; receive = \"tcp:127.0.0.%d:48{n}\"; %s %s }",
                p == 0             ? ""
                : p == knobs.hosts ? " ); },\n  { name = \"eth\"; hosts = (\n"
                                   : ",\n",
                places[p], dir, dir, p + 1,
                is_eth ? ""
                       : "devices = ( \"e1000e,id=hca0,bus=rp1\", \"e1000e,id=hca1,bus=rp1\" );",
                knobs.room[is_eth]);
    }
    fprintf(out, " ); }\n);\n%s\n", knobs.more);
}

static void write_sites(FILE *out, const char *dir, int n)
{
    for (int s = 0; s < 2; s++) {
        fprintf(out, "  { name = \"%s\"; vms = (\n", places[s]);
        for (int v = 0; v < n; v++) {
            char receive[128];
            snprintf(receive, sizeof(receive), "tcp:127.0.0.%d:480%d", s + 1, v + 1);
            fprintf(out,
                    "    { name = \"vm%d\"; qmp = \"%s/%s-vm%d.qmp\"; agent = \"%s/%s-vm%d.agent\";"
                    " receive = \"%s\"; %s }%s\n",
                    v + 1, dir, places[s], v + 1, dir, places[s], v + 1,
                    s == 1 && v == 0 && knobs.receive ? knobs.receive : receive,
                    s == 0 ? "device = \"e1000e,id=hca0,bus=rp1\";" : knobs.eth,
                    v + 1 < n ? "," : "");
        }
        fprintf(out, "  ); }%s\n", s == 0 ? "," : "");
    }
    fprintf(out, ");\n%s\n", knobs.more);
}

static void write_cluster_file(const char *dir, int n)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/cluster.conf", dir);
    FILE *out = fopen(path, "w");
    fprintf(out, "driver = \"qmp\";\nvms = (");
    for (int v = 0; v < n; v++) {
        fprintf(out, "%s { name = \"vm%d\"; }", v ? "," : "", v + 1);
    }
    fprintf(out, " );\nsites = (\n");
    if (knobs.hosts > 0) {
        write_hosts(out, dir);
    } else {
        write_sites(out, dir, n);
    }
    fclose(out);
}

static void hang_up(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                    int len, void *arg)
{
    close(fd);
}

/* QEMU has the agent's socket from its start on. */
static void wait_at(struct at_place *place)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, place->agent_path, sizeof(place->agent_path));
    unlink(addr.sun_path);
    place->waiting =
        evconnlistener_new_bind(place->vm->agent.base, hang_up, NULL, LEV_OPT_CLOSE_ON_FREE, 8,
                                (struct sockaddr *)&addr, sizeof(addr));
    if (place->waiting == NULL) {
        perror(addr.sun_path);
        abort();
    }
}

static void wait_no_more(struct at_place *place)
{
    if (place->waiting != NULL) {
        evconnlistener_free(place->waiting);
        place->waiting = NULL;
    }
}

static void on_runs(void *arg)
{
    struct at_place *to = arg;
    struct vm *vm = to->vm;
    struct at_place *from = &vm->places[vm->at];
    vm->at = (int)(to - vm->places);
    wait_no_more(to);
    fake_agent_move(&vm->agent, to->agent_path);
    wait_at(from);
}

/* Where a VM is at first. */
static int begins_at(int v)
{
    return knobs.hosts > 0 ? (v / 2) % knobs.hosts : 0;
}

static void make_vm(struct event_base *base, struct vm *vm, const char *dir, int v,
                    struct fake_job *job)
{
    snprintf(vm->name, sizeof(vm->name), "vm%d", v + 1);
    vm->at = begins_at(v);
    for (int s = 0; s < n_places; s++) {
        struct fake_qemu *qemu = &vm->qemus[s];
        struct at_place *place = &vm->places[s];
        char path[104];
        place->vm = vm;
        snprintf(path, sizeof(path), "%.60s/%s-vm%d.qmp", dir, places[s], v + 1);
        snprintf(place->agent_path, sizeof(place->agent_path), "%.60s/%s-vm%d.agent", dir,
                 places[s], v + 1);
        snprintf(place->label, sizeof(place->label), "vm%d@%s", v + 1, places[s]);
        if (s == 1 && knobs.no_receiver) {
            continue;
        }
        fake_qemu_init(qemu, base, place->label, path, s == vm->at ? "running" : "inmigrate");
        qemu->on_runs = on_runs;
        qemu->arg = place;
        qemu->all = vm->qemus;
        qemu->n_all = n_places;
        qemu->begins_again = true;
        qemu->copy_ms = knobs.copy_ms;
        qemu->copy_looks = knobs.copy_looks;
        qemu->writes_mib = knobs.writes;
        qemu->blocked_by = knobs.blocked;
        qemu->disk = knobs.disk;
        qemu->unknown_device = knobs.unknown_device;
        qemu->breaks = qemu->fail_resumes = knobs.breaks;
        qemu->machine = s == 1 ? knobs.machine : NULL;
    }
    if (!knobs.no_device) {
        snprintf(vm->qemus[vm->at].device, sizeof(vm->qemus[vm->at].device), "hca%d",
                 knobs.hosts > 0 ? v % 2 : 0);
    }
    fake_agent_init(&vm->agent, base, vm->name);
    vm->agent.rdma_after_attach = true;
    vm->agent.protocol = knobs.protocol;
    json_decref(vm->agent.interconnects);
    vm->agent.interconnects = json_pack("{s:[], s:[{s:s, s:s, s:[s]}]}", "rdma", "net", "name",
                                        "eth0", "state", "up", "addresses", "10.0.0.1/24");
    if (!knobs.no_job) {
        fake_agent_add_ranks(&vm->agent, job, 2 * v, 2);
    }
    fake_agent_listen(&vm->agent, vm->places[vm->at].agent_path);
    for (int s = 0; !knobs.no_receiver && s < n_places; s++) {
        if (s != vm->at) {
            wait_at(&vm->places[s]);
        }
    }
}

static bool is_key(const char *argument, const char *key, const char **value)
{
    size_t len = strlen(key);
    *value = argument + len + 1;
    return strncmp(argument, key, len) == 0 && argument[len] == '=';
}

static bool take_knob(const char *argument)
{
    static const struct {
        const char *name;
        int *number;
        const char **text;
    } keys[] = {
        {"copy_ms", &knobs.copy_ms, NULL},
        {"copy_looks", &knobs.copy_looks, NULL},
        {"no_job", &knobs.no_job, NULL},
        {"breaks", &knobs.breaks, NULL},
        {"no_receiver", &knobs.no_receiver, NULL},
        {"no_device", &knobs.no_device, NULL},
        {"protocol", &knobs.protocol, NULL},
        {"hosts", &knobs.hosts, NULL},
        {"writes", &knobs.writes, NULL},
        {"room", NULL, &knobs.room[0]},
        {"room_at_eth", NULL, &knobs.room[1]},
        {"blocked", NULL, &knobs.blocked},
        {"disk", NULL, &knobs.disk},
        {"unknown_device", NULL, &knobs.unknown_device},
        {"machine", NULL, &knobs.machine},
        {"more", NULL, &knobs.more},
        {"eth", NULL, &knobs.eth},
        {"receive", NULL, &knobs.receive},
    };
    const char *value;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (is_key(argument, keys[i].name, &value)) {
            if (keys[i].number != NULL) {
                *keys[i].number = atoi(value);
            } else {
                *keys[i].text = value;
            }
            return true;
        }
    }
    return false;
}

static void name_hosts(void)
{
    static char names[MAX_PLACES][16];
    n_places = knobs.hosts + 2;
    for (int p = 0; p < n_places; p++) {
        bool is_eth = p >= knobs.hosts;
        snprintf(names[p], sizeof(names[p]), "%s%d", is_eth ? "eth" : "ib",
                 is_eth ? p - knobs.hosts + 1 : p + 1);
        places[p] = names[p];
    }
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    event_base_loopbreak(arg);
}

static int run(const char *dir, int n)
{
    static struct vm vms[MAX_VMS];
    struct event_base *base = event_base_new();
    struct event *stop = evsignal_new(base, SIGTERM, on_signal, base);
    struct fake_job job;
    fake_job_init(&job, "job-a", 2 * n);
    event_add(stop, NULL);
    for (int v = 0; v < n; v++) {
        make_vm(base, &vms[v], dir, v, &job);
    }
    write_cluster_file(dir, n);
    printf("ready\n");
    fflush(stdout);
    event_base_dispatch(base);
    for (int v = 0; v < n; v++) {
        fake_agent_clear(&vms[v].agent);
        for (int p = 0; p < n_places; p++) {
            wait_no_more(&vms[v].places[p]);
            fake_qemu_clear(&vms[v].qemus[p]);
        }
    }
    event_free(stop);
    event_base_free(base);
    return 0;
}

int main(int argc, char **argv)
{
    int n = argc > 2 ? atoi(argv[2]) : 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 3; i < argc; i++) {
        if (!take_knob(argv[i])) {
            n = 0;
        }
    }
    if (knobs.hosts > 0) {
        name_hosts();
    }
    if (n < 1 || n > MAX_VMS || n_places > MAX_PLACES) {
        fprintf(stderr, "usage: fake_vms DIR VMS [KEY=VALUE]...\n");
        return 64;
    }
    return run(argv[1], n);
}
