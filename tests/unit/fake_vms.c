/*
 * A cluster for tests of ninjactl as a whole: scripted QEMUs and agents in one process, at the
 * sites "ib" (a device) and "eth" (none), and the cluster file that names them.
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

#define MAX_VMS (FAKE_MAX_RANKS / 2)

struct vm {
    char name[16], labels[2][24], agent_path[2][104];
    int at;
    struct evconnlistener *waiting; /* what the receiver has in place of the agent */
    struct fake_qemu qemus[2];
    struct fake_agent agent;
};

static const char *const sites[] = {"ib", "eth"};

/* What a test may choose. */
static struct {
    int copy_ms;                          /* how long a copy lasts */
    int copy_looks;                       /* and how often it is looked at, at least */
    int no_job;                           /* there is none */
    int no_receiver;                      /* no QEMU waits at eth */
    int no_device;                        /* VMs have not got their device */
    const char *blocked, *disk, *machine; /* knobs of all QEMUs; machine: at eth */
    const char *more;                     /* lines of the cluster file */
    const char *eth;     /* what every VM has at eth besides, in the cluster file */
    const char *receive; /* of the first VM at eth */
    int breaks;          /* of post-copy: how often the connection breaks */
    int protocol;        /* of the agents */
} knobs = {.more = "", .eth = "", .protocol = NINJA_AGENT_PROTOCOL};

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
    for (int s = 0; s < 2; s++) {
        fprintf(out, "  { name = \"%s\"; vms = (\n", sites[s]);
        for (int v = 0; v < n; v++) {
            char receive[128];
            snprintf(receive, sizeof(receive), "tcp:127.0.0.%d:480%d", s + 1, v + 1);
            fprintf(out,
                    "    { name = \"vm%d\"; qmp = \"%s/%s-vm%d.qmp\"; agent = \"%s/%s-vm%d.agent\";"
                    " receive = \"%s\"; %s }%s\n",
                    v + 1, dir, sites[s], v + 1, dir, sites[s], v + 1,
                    s == 1 && v == 0 && knobs.receive ? knobs.receive : receive,
                    s == 0 ? "device = \"e1000e,id=hca0,bus=rp1\";" : knobs.eth,
                    v + 1 < n ? "," : "");
        }
        fprintf(out, "  ); }%s\n", s == 0 ? "," : "");
    }
    fprintf(out, ");\n%s\n", knobs.more);
    fclose(out);
}

static void hang_up(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                    int len, void *arg)
{
    close(fd);
}

/* QEMU has the agent's socket from its start on. */
static void wait_at(struct vm *vm, int site)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, vm->agent_path[site], sizeof(vm->agent_path[site]));
    if (vm->waiting != NULL) {
        evconnlistener_free(vm->waiting);
    }
    unlink(addr.sun_path);
    vm->waiting = evconnlistener_new_bind(vm->agent.base, hang_up, NULL, LEV_OPT_CLOSE_ON_FREE, 8,
                                          (struct sockaddr *)&addr, sizeof(addr));
    if (vm->waiting == NULL) {
        perror(addr.sun_path);
        abort();
    }
}

static void on_runs(void *arg)
{
    struct vm *vm = arg;
    vm->at = !vm->at;
    fake_agent_move(&vm->agent, vm->agent_path[vm->at]);
    wait_at(vm, !vm->at);
}

static void make_vm(struct event_base *base, struct vm *vm, const char *dir, int v,
                    struct fake_job *job)
{
    snprintf(vm->name, sizeof(vm->name), "vm%d", v + 1);
    for (int s = 0; s < 2; s++) {
        struct fake_qemu *qemu = &vm->qemus[s];
        char path[104];
        snprintf(path, sizeof(path), "%.60s/%s-vm%d.qmp", dir, sites[s], v + 1);
        snprintf(vm->agent_path[s], sizeof(vm->agent_path[s]), "%.60s/%s-vm%d.agent", dir, sites[s],
                 v + 1);
        snprintf(vm->labels[s], sizeof(vm->labels[s]), "vm%d@%s", v + 1, sites[s]);
        if (s == 1 && knobs.no_receiver) {
            continue;
        }
        fake_qemu_init(qemu, base, vm->labels[s], path, s == 0 ? "running" : "inmigrate");
        qemu->on_runs = on_runs;
        qemu->arg = vm;
        qemu->destination = &vm->qemus[!s];
        qemu->begins_again = true;
        qemu->copy_ms = knobs.copy_ms;
        qemu->copy_looks = knobs.copy_looks;
        qemu->blocked_by = knobs.blocked;
        qemu->disk = knobs.disk;
        qemu->breaks = qemu->fail_resumes = knobs.breaks;
        qemu->machine = s == 1 ? knobs.machine : NULL;
    }
    if (!knobs.no_device) {
        strcpy(vm->qemus[0].device, "hca0");
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
    fake_agent_listen(&vm->agent, vm->agent_path[0]);
    if (!knobs.no_receiver) {
        wait_at(vm, 1);
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
        {"blocked", NULL, &knobs.blocked},
        {"disk", NULL, &knobs.disk},
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
        if (vms[v].waiting != NULL) {
            evconnlistener_free(vms[v].waiting);
        }
        fake_qemu_clear(&vms[v].qemus[0]);
        fake_qemu_clear(&vms[v].qemus[1]);
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
    if (n < 1 || n > MAX_VMS) {
        fprintf(stderr, "usage: fake_vms DIR VMS [KEY=VALUE]...\n");
        return 64;
    }
    return run(argv[1], n);
}
