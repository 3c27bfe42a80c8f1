/*
 * Whole migrations: two VMs, each with a scripted QEMU at two sites and a scripted agent with two
 * ranks, from "ib" (a device) to "eth" (none) and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "host-hook/coordinator.h"
#include "host-hook/timer.h"
#include "tests/unit/fake_agent.h"
#include "tests/unit/fake_qemu.h"

enum {
    IB,
    ETH,
};

struct vm {
    const char *name;
    char agent_path[2][100];
    int at;
    struct fake_qemu qemus[2];
    struct fake_agent agent;
};

struct world {
    struct event_base *base;
    struct cluster *cluster;
    struct vm vms[2];
    struct fake_job job;
    struct survey *survey;
    struct journal *journal;
    struct migration *migration;
    struct ninja_error refused;
    json_t *report;
    const char *abort_at; /* state at which it is aborted; NULL: not */
    int crash_after;      /* so many changes the coordinator ends; 0: not */
    const char
        *crash_in; /* it ends when the first VM is copied, after it entered that state; NULL: not */
    struct event *crash;
    bool ended;
};

static const char *const site_names[] = {"ib", "eth"};
static char names[2][2][16]; /* "vm1@ib" */

static const char *prepare_at_eth; /* the command "prepare" there; NULL: none */

static void write_cluster_file(const char *path)
{
    FILE *out = fopen(path, "w");
    fprintf(out, "driver = \"qmp\";\nvms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
                 "sites = (\n");
    for (int s = 0; s < 2; s++) {
        fprintf(out, "  { name = \"%s\"; ", site_names[s]);
        if (s == ETH && prepare_at_eth != NULL) {
            fprintf(out, "prepare = \"%s\"; ", prepare_at_eth);
        }
        fprintf(out, "vms = (\n");
        for (int v = 0; v < 2; v++) {
            fprintf(out,
                    "    { name = \"vm%d\"; qmp = \"%s/%s-vm%d.qmp\"; agent = \"%s/%s-vm%d.agent\";"
                    " receive = \"tcp:10.9.0.%d:480%d\"; %s }%s\n",
                    v + 1, fake_dir(), site_names[s], v + 1, fake_dir(), site_names[s], v + 1,
                    s + 1, v + 1, s == IB ? "device = \"e1000e,id=hca0,bus=rp1\";" : "",
                    v == 0 ? "," : "");
        }
        fprintf(out, "  ); }%s\n", s == 0 ? "," : "");
    }
    fprintf(out, ");\nquiesce-pause = 10;\n"
                 "timeouts = { unplug = 400; start = 400; link = 4500; quiesce = 300; "
                 "connect = 1500; command = 1500; jobs = 500; quit = 500; copy = 3000; };\n");
    fclose(out);
}

static void on_runs(void *arg)
{
    struct vm *vm = arg;
    vm->at = !vm->at;
    fake_agent_move(&vm->agent, vm->agent_path[vm->at]);
}

static void make_vm(struct world *world, int v, int at)
{
    struct vm *vm = &world->vms[v];
    vm->name = v == 0 ? "vm1" : "vm2";
    vm->at = at;
    for (int s = 0; s < 2; s++) {
        char path[100];
        snprintf(path, sizeof(path), "%s/%s-%s.qmp", fake_dir(), site_names[s], vm->name);
        snprintf(vm->agent_path[s], sizeof(vm->agent_path[s]), "%s/%s-%s.agent", fake_dir(),
                 site_names[s], vm->name);
        snprintf(names[v][s], sizeof(names[v][s]), "%s@%s", vm->name, site_names[s]);
        fake_qemu_init(&vm->qemus[s], world->base, names[v][s], path,
                       s == at ? "running" : "inmigrate");
        vm->qemus[s].on_runs = on_runs;
        vm->qemus[s].arg = vm;
    }
    vm->qemus[at].destination = &vm->qemus[!at];
    if (at == IB) {
        strcpy(vm->qemus[IB].device, "hca0");
    }
    fake_agent_init(&vm->agent, world->base, vm->name);
    vm->agent.rdma_after_attach = true;
    fake_agent_add_ranks(&vm->agent, &world->job, 2 * v, 2);
    fake_agent_listen(&vm->agent, vm->agent_path[at]);
}

static struct world *make_world(int at)
{
    struct world *world = calloc(1, sizeof(*world));
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[100];
    fake_log_clear();
    world->base = event_base_new();
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    write_cluster_file(path);
    world->cluster = cluster_read(path, &err);
    if (world->cluster == NULL) {
        fail_msg("%s", err.message);
    }
    fake_job_init(&world->job, "job-a", 4);
    for (int v = 0; v < 2; v++) {
        make_vm(world, v, at);
    }
    return world;
}

static int setup_at_ib(void **state)
{
    *state = make_world(IB);
    return 0;
}

static int setup_at_eth(void **state)
{
    *state = make_world(ETH);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    migration_free(world->migration);
    survey_free(world->survey);
    journal_free(world->journal);
    json_decref(world->report);
    for (int v = 0; v < 2; v++) {
        fake_agent_clear(&world->vms[v].agent);
        fake_qemu_clear(&world->vms[v].qemus[0]);
        fake_qemu_clear(&world->vms[v].qemus[1]);
    }
    cluster_free(world->cluster);
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

static void on_surveyed(void *arg)
{
    struct world *world = arg;
    event_base_loopbreak(world->base);
}

static void on_done(void *arg)
{
    struct world *world = arg;
    world->ended = true;
    event_base_loopbreak(world->base);
}

static void on_crash(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;
    timer_free(&world->crash);
    if (strcmp(world->vms[0].qemus[IB].migration, "active") != 0) {
        world->crash = timer_start(world->base, 20, on_crash, world);
        return;
    }
    event_base_loopbreak(world->base);
}

static void on_changed(void *arg)
{
    struct world *world = arg;
    if (world->crash_after > 0 && --world->crash_after == 0) {
        event_base_loopbreak(world->base);
    }
    if (world->migration == NULL) {
        return;
    }
    const char *name = migration_state_name(world->migration);
    if (world->crash_in != NULL && strcmp(world->crash_in, name) == 0) {
        world->crash_in = NULL;
        world->crash = timer_start(world->base, 20, on_crash, world);
    }
    if (world->abort_at != NULL && strcmp(world->abort_at, name) == 0) {
        world->abort_at = NULL;
        migration_abort(world->migration);
    }
}

static const struct migration_handler handler = {.changed = on_changed, .done = on_done};

static enum outcome migrate(struct world *world, int to, enum migration_mode mode)
{
    struct migration_options options = {.to = to, .mode = mode};
    struct ninja_error err = NINJA_ERROR_INIT;
    world->survey = survey_start(world->base, world->cluster, NULL, on_surveyed, world);
    event_base_dispatch(world->base);
    if (!migration_check(world->survey, world->cluster, &options, &world->refused)) {
        return OUTCOME_REFUSED;
    }
    char dir[120];
    snprintf(dir, sizeof(dir), "%s/state", fake_dir());
    world->journal = journal_new(dir, &err);
    assert_non_null(world->journal);
    world->migration = migration_start(world->base, world->cluster, world->survey, world->journal,
                                       &options, &handler, world);
    world->survey = NULL;
    event_base_dispatch(world->base);
    world->report = migration_report(world->migration);
    assert_true(journal_write_report(world->journal, world->report, &err));
    return migration_outcome(world->migration);
}

static void assert_job_runs_on(const struct world *world, const char *transport)
{
    for (int r = 0; r < 4; r++) {
        assert_string_equal(world->job.state[r], "RUNNING");
        assert_string_equal(world->job.transports[r], transport);
    }
}

static void assert_at(const struct world *world, int site, bool device)
{
    for (int v = 0; v < 2; v++) {
        const struct fake_qemu *here = &world->vms[v].qemus[site];
        const struct fake_qemu *there = &world->vms[v].qemus[!site];
        assert_non_null(here->peer);
        assert_string_equal(here->status, "running");
        assert_string_equal(here->device, device ? "hca0" : "");
        assert_null(there->peer); /* its QEMU ended */
    }
}

static void assert_order(const char *before, const char *after)
{
    int first = fake_log_find(before, 0), second = fake_log_find(after, 0);
    if (first < 0 || second < 0 || first >= second) {
        fake_log_print();
        fail_msg("expected \"%s\" (%d) before \"%s\" (%d)", before, first, after, second);
    }
}

static json_int_t stage(const struct world *world, int vm, const char *name)
{
    json_t *stages = json_object_get(
        json_array_get(json_object_get(world->report, "vms"), (size_t)vm), "stages");
    json_t *value = json_object_get(stages, name);
    return value ? json_integer_value(value) : -1;
}

/* ---- what goes well ---- */

static void live_to_a_site_without_device(void **state)
{
    struct world *world = *state;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_job_runs_on(world, "tcp");
    for (int v = 0; v < 2; v++) {
        const char *other = v == 0 ? "vm2" : "vm1";
        char a[100], b[100];
        snprintf(a, sizeof(a), "%s resume", other);
        snprintf(b, sizeof(b), "%s detach", world->vms[v].name);
        assert_order(a, b); /* the job runs before anything is unplugged */
        snprintf(a, sizeof(a), "%s detach", other);
        snprintf(b, sizeof(b), "%s device_del", names[v][IB]);
        assert_order(a, b);
        snprintf(a, sizeof(a), "%s device_del", names[!v][IB]);
        snprintf(b, sizeof(b), "%s migrate", names[v][IB]);
        assert_order(a, b);
        snprintf(a, sizeof(a), "%s runs", names[v][ETH]);
        snprintf(b, sizeof(b), "%s quit", names[v][IB]);
        assert_order(a, b);
        assert_true(stage(world, v, "unplug") >= 0);
        assert_true(stage(world, v, "copy") > 0);
        assert_int_equal(stage(world, v, "plug"), -1);
    }
    assert_int_equal(fake_log_count("vm1 release @bypass"), 1);
    assert_int_equal(fake_log_count("vm1 open @standby"), 1);
    assert_int_equal(fake_log_count("vm1 open @best"), 0);
}

static void every_capability_is_set_on_both_sides(void **state)
{
    struct world *world = *state;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_DONE);
    for (int s = 0; s < 2; s++) {
        char on[100], off[100];
        snprintf(on, sizeof(on), "%s capability events on", names[0][s]);
        snprintf(off, sizeof(off), "%s capability postcopy-ram off", names[0][s]);
        assert_int_equal(fake_log_count(on), 1);
        assert_int_equal(fake_log_count(off), 1);
    }
    assert_order("vm1@eth capability events on", "vm1@eth migrate-incoming");
}

static void live_to_a_site_with_device(void **state)
{
    struct world *world = *state;
    for (int r = 0; r < 4; r++) {
        strcpy(world->job.transports[r], "tcp");
    }
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_DONE);
    assert_at(world, IB, true);
    assert_job_runs_on(world, "openib");
    assert_int_equal(fake_log_count("vm1 open @standby"), 0);
    assert_order("vm1@ib runs", "vm1@ib device_add");
    assert_order("vm1@eth quit", "vm1@ib device_add");
    assert_order("vm2@ib device_add", "vm1 attach");
    assert_order("vm2 attach", "vm1 stop");
    assert_order("vm1 release @network", "vm1 open @best");
    json_t *vm = json_array_get(json_object_get(world->report, "vms"), 0);
    assert_string_equal(json_string_value(json_object_get(vm, "link")), "rdma");
    assert_string_equal(json_string_value(json_object_get(vm, "link_name")), "rxe0");
    assert_int_equal(json_integer_value(json_object_get(vm, "downtime_ms")), 42);
    assert_int_equal(json_integer_value(json_object_get(vm, "ram_bytes")), 268435456);
    json_t *standby = json_object_get(json_object_get(vm, "interconnects"), "standby");
    assert_int_equal(json_array_size(json_object_get(standby, "rdma")), 0);
}

static void paused_to_a_site_without_device(void **state)
{
    struct world *world = *state;
    assert_int_equal(migrate(world, ETH, MODE_PAUSED), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_job_runs_on(world, "openib"); /* what the fake calls @best */
    assert_int_equal(fake_log_count("vm1 stop"), 1);
    assert_order("vm2 release @network", "vm1 detach");
    assert_order("vm1@eth runs", "vm1 open @best");
    assert_order("vm2 open @best", "vm1 resume");
    json_t *switches = json_object_get(world->report, "switches");
    assert_int_equal(json_array_size(switches), 1);
    assert_true(json_integer_value(json_object_get(json_array_get(switches, 0), "stall_ms")) >=
                stage(world, 0, "copy"));
}

static void paused_to_a_site_with_device(void **state)
{
    struct world *world = *state;
    assert_int_equal(migrate(world, IB, MODE_PAUSED), OUTCOME_DONE);
    assert_at(world, IB, true);
    assert_order("vm2 attach", "vm1 open @best");
    assert_job_runs_on(world, "openib");
}

static void without_a_job_the_vms_still_move(void **state)
{
    struct world *world = *state;
    world->vms[0].agent.n_ranks = world->vms[1].agent.n_ranks = 0;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_int_equal(fake_log_count("vm1 stop"), 0);
    assert_int_equal(fake_log_count("vm1 detach"), 1);
}

static void states_are_recorded_and_journalled(void **state)
{
    static const char *const expected[] = {"PLANNED",   "QUIESCING", "RELEASING", "RESUMING",
                                           "DETACHING", "COPYING",   "ATTACHING", "DONE"};
    struct world *world = *state;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_DONE);
    json_t *states = json_object_get(world->report, "states");
    assert_int_equal(json_array_size(states), 8);
    for (size_t i = 0; i < 8; i++) {
        json_t *name = json_object_get(json_array_get(states, i), "state");
        assert_string_equal(json_string_value(name), expected[i]);
    }
    char path[200];
    snprintf(path, sizeof(path), "%s/state/%s/journal", fake_dir(), journal_id(world->journal));
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    int lines = 0, seen = 0;
    while (getline(&line, &size, in) > 0) {
        json_t *entry = json_loads(line, 0, NULL);
        assert_non_null(entry);
        assert_non_null(json_object_get(entry, "time"));
        seen += json_object_get(entry, "state") != NULL;
        lines++;
        json_decref(entry);
    }
    free(line);
    fclose(in);
    assert_int_equal(seen, 8);
    assert_true(lines > 10);
}

/* ---- what is refused ---- */

static void to_where_they_are_is_nothing_to_do(void **state)
{
    struct world *world = *state;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_REFUSED);
    assert_string_equal(world->refused.class, "NothingToDo");
}

static void a_vm_that_does_not_answer_is_named(void **state)
{
    struct world *world = *state;
    fake_qemu_clear(&world->vms[1].qemus[IB]);
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(world->refused.message, "vm2 runs at no site"));
}

static void an_agent_that_does_not_answer_is_named(void **state)
{
    struct world *world = *state;
    world->vms[1].agent.deaf = true;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(world->refused.message, "vm2: no agent answers"));
}

static void an_agent_of_another_protocol_is_named(void **state)
{
    struct world *world = *state;
    world->vms[0].agent.protocol = 7;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_REFUSED);
    assert_string_equal(world->refused.class, "ProtocolMismatch");
    assert_non_null(strstr(world->refused.message, "vm1"));
}

/* The VMs and the job are as before, and nothing was detached. */
static void assert_untouched(const struct world *world)
{
    for (int v = 0; v < 2; v++) {
        assert_string_equal(world->vms[v].qemus[IB].status, "running");
        assert_string_equal(world->vms[v].qemus[IB].device, "hca0");
    }
    assert_job_runs_on(world, "openib");
    assert_int_equal(fake_log_count("vm1 detach"), 0);
    assert_int_equal(fake_log_count("vm1 release @bypass"), 0);
}

static void a_rank_that_refuses_refuses_the_migration(void **state)
{
    struct world *world = *state;
    world->job.refusing_rank = 1;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(migration_reason(world->migration), "window on osc/rdma"));
    assert_untouched(world);
    assert_null(world->vms[0].qemus[ETH].peer); /* the receivers were told to quit */
    assert_null(world->vms[1].qemus[ETH].peer);
}

static void a_process_on_the_device_refuses_the_migration(void **state)
{
    struct world *world = *state;
    world->vms[0].agent.unmanaged = json_pack("[{s:i, s:s, s:[s]}]", "pid", 99, "command", "xhpl",
                                              "open", "/dev/infiniband/uverbs0");
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(migration_reason(world->migration), "process 99 (xhpl)"));
    assert_untouched(world);
}

static void an_unknown_device_at_the_destination_is_refused(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[IB].unknown_device = true;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(migration_reason(world->migration), "vm2 at ib"));
    assert_non_null(strstr(migration_reason(world->migration), "nonsense"));
    assert_string_equal(world->vms[0].qemus[ETH].status, "running");
    assert_string_equal(world->vms[1].qemus[ETH].status, "running");
}

static void a_receiver_that_runs_something_else_is_left_alone(void **state)
{
    struct world *world = *state;
    strcpy(world->vms[1].qemus[ETH].status, "paused");
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(migration_reason(world->migration), "-incoming defer"));
    assert_int_equal(fake_log_count("vm2@eth quit"), 0);
    assert_untouched(world);
}

/* ---- what is rolled back ---- */

static void assert_rolled_back(const struct world *world)
{
    for (int v = 0; v < 2; v++) {
        assert_string_equal(world->vms[v].qemus[IB].status, "running");
        assert_string_equal(world->vms[v].qemus[IB].device, "hca0");
        assert_null(world->vms[v].qemus[ETH].peer);
    }
    assert_job_runs_on(world, "openib");
    assert_string_equal(migration_state_name(world->migration), "FAILED");
}

static void an_unplug_that_the_guest_refuses(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[IB].unplug_is_refused = true;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "vm2 at ib"));
    assert_rolled_back(world);
    assert_int_equal(fake_log_count("vm1@ib device_add"), 1);
    assert_int_equal(fake_log_count("vm2@ib device_add"), 0);
    assert_int_equal(fake_log_count("vm1 attach"), 1);
    assert_int_equal(fake_log_count("vm2 attach"), 1);
    assert_int_equal(fake_log_count("vm1 open @best"), 1);
}

static void an_unplug_that_never_ends(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[IB].unplug_hangs = true;
    assert_int_equal(migrate(world, ETH, MODE_PAUSED), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "DEVICE_DELETED"));
    assert_rolled_back(world);
}

static void a_process_that_still_holds_the_device_stops_the_unplug(void **state)
{
    struct world *world = *state;
    world->vms[0].agent.users = json_pack("[{s:i, s:s, s:[s]}]", "pid", 77, "command", "app",
                                          "open", "/dev/infiniband/uverbs0");
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "process 77 (app)"));
    assert_int_equal(fake_log_count("vm1@ib device_del"), 0);
    assert_int_equal(fake_log_count("vm2@ib device_del"), 0);
    assert_rolled_back(world);
}

static void a_detach_script_that_fails(void **state)
{
    struct world *world = *state;
    world->vms[1].agent.detach_error = "90-rxe: cannot delete rxe0";
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "90-rxe: cannot delete"));
    assert_int_equal(fake_log_count("vm1@ib device_del"), 0);
    assert_rolled_back(world);
}

static void a_copy_that_fails(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[IB].copy_fails = true;
    world->vms[1].qemus[IB].copy_hangs = true;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "Connection reset by peer"));
    assert_int_equal(fake_log_count("vm2@ib migrate_cancel"), 1);
    assert_rolled_back(world);
}

static void a_copy_that_fails_in_paused_mode(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[IB].copy_fails = true;
    world->vms[1].qemus[IB].copy_hangs = true;
    assert_int_equal(migrate(world, ETH, MODE_PAUSED), OUTCOME_ROLLED_BACK);
    assert_order("vm1@ib device_add", "vm1 open @best");
    assert_rolled_back(world);
}

static void a_destination_that_never_runs(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[ETH].never_runs = true;
    world->vms[1].qemus[ETH].never_runs = true;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_order("vm1@eth quit", "vm1@ib cont");
    assert_order("vm1@eth ends", "vm1@ib cont");
    assert_rolled_back(world);
}

static void an_abort_while_memory_is_copied(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[IB].copy_hangs = true;
    world->vms[1].qemus[IB].copy_hangs = true;
    world->abort_at = "COPYING";
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "aborted on request"));
    assert_rolled_back(world);
}

static void an_abort_in_any_state_leaves_the_job_running(void **state)
{
    static const char *const states[] = {"QUIESCING", "RELEASING", "RESUMING", "DETACHING"};
    teardown(state);
    for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
            struct world *world = make_world(IB);
            *state = world;
            if (mode == MODE_PAUSED && strcmp(states[i], "RESUMING") == 0) {
                teardown(state);
                continue;
            }
            world->abort_at = states[i];
            assert_int_equal(migrate(world, ETH, (enum migration_mode)mode), OUTCOME_ROLLED_BACK);
            assert_rolled_back(world);
            teardown(state);
        }
    }
    *state = make_world(IB);
}

/* ---- a coordinator that ends before the migration does ---- */

/* Begins a migration whose coordinator ends after so many changes; false: it came to its end. */
static bool begin_and_crash(struct world *world, enum migration_mode mode, int changes)
{
    world->crash_after = changes;
    migrate(world, ETH, mode);
    migration_free(world->migration);
    journal_free(world->journal);
    json_decref(world->report);
    world->migration = NULL;
    world->journal = NULL;
    world->report = NULL;
    return !world->ended;
}

static enum outcome take_on(struct world *world, bool back)
{
    char dir[120];
    struct record record;
    struct ninja_error err = NINJA_ERROR_INIT;
    snprintf(dir, sizeof(dir), "%s/state", fake_dir());
    if (!record_find(dir, world->cluster, NULL, &record, &err)) {
        fail_msg("%s", err.message);
    }
    world->survey = survey_start(world->base, world->cluster, &record, on_surveyed, world);
    event_base_dispatch(world->base);
    for (int v = 0; v < 2; v++) {
        struct survey_vm *vm = &survey_vms(world->survey)[v];
        if (ninja_error_is_set(&vm->vmm_err)) {
            fail_msg("%s", vm->vmm_err.message);
        }
    }
    world->journal = journal_open(dir, record.id, &err);
    assert_non_null(world->journal);
    world->migration = migration_take_on(world->base, world->cluster, world->survey, world->journal,
                                         &record, back, &handler, world);
    world->survey = NULL;
    event_base_dispatch(world->base);
    record_clear(&record);
    assert_false(record_find(dir, world->cluster, NULL, &record, &err));
    assert_string_equal(err.class, "None");
    return migration_outcome(world->migration);
}

static void crash_everywhere(void **state, enum migration_mode mode, bool back)
{
    int forward = 0, backward = 0;
    teardown(state);
    for (int changes = 1;; changes++) {
        struct world *world = make_world(IB);
        *state = world;
        if (!begin_and_crash(world, mode, changes)) {
            break;
        }
        enum outcome outcome = take_on(world, back);
        print_message("%d changes: %s\n", changes, outcome_name(outcome));
        if (outcome == OUTCOME_DONE) {
            assert_at(world, ETH, false);
            assert_job_runs_on(world, world->job.transports[0]);
            forward++;
        } else {
            assert_int_equal(outcome, OUTCOME_ROLLED_BACK);
            assert_rolled_back(world);
            backward++;
        }
        teardown(state);
    }
    assert_true(forward >= 3 && backward >= 5);
}

static void a_live_migration_is_resumed_from_anywhere(void **state)
{
    crash_everywhere(state, MODE_LIVE, false);
}

static void a_live_migration_is_aborted_from_anywhere(void **state)
{
    crash_everywhere(state, MODE_LIVE, true);
}

static void a_paused_migration_is_resumed_from_anywhere(void **state)
{
    crash_everywhere(state, MODE_PAUSED, false);
}

static void a_paused_migration_is_aborted_from_anywhere(void **state)
{
    crash_everywhere(state, MODE_PAUSED, true);
}

/* A switch that was ended in its middle has left the ranks without transports. */
static void ranks_that_have_released_are_taken_along(void **state)
{
    teardown(state);
    for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
        struct world *world = make_world(IB);
        *state = world;
        for (int r = 0; r < 4; r++) {
            world->job.state[r] = "RELEASED";
        }
        assert_int_equal(migrate(world, ETH, (enum migration_mode)mode), OUTCOME_DONE);
        assert_at(world, ETH, false);
        assert_job_runs_on(world, mode == MODE_LIVE ? "tcp" : "openib");
        assert_int_equal(fake_log_count("vm1 stop"), 0);
        teardown(state);
    }
    *state = make_world(IB);
}

/* The coordinator ends when the first VM's memory is on its way, and the second one only prepared.
 */
static void a_copy_that_had_not_begun_is_begun_late(void **state)
{
    static const char *const prepare[] = {NULL, "true"};
    teardown(state);
    for (int i = 0; i < 2; i++) {
        prepare_at_eth = prepare[i];
        struct world *world = make_world(IB);
        *state = world;
        world->vms[0].qemus[IB].copy_ms = world->vms[1].qemus[IB].copy_ms = 1500;
        world->crash_in = "COPYING";
        assert_true(begin_and_crash(world, MODE_LIVE, 0));
        assert_string_equal(world->vms[0].qemus[IB].migration, "active");
        struct fake_qemu *late = &world->vms[1].qemus[IB];
        late->migration[0] = '\0';
        late->copy_ms = 0;
        event_del(late->timer);
        late->destination->begins_again = prepare[i] != NULL;
        assert_int_equal(take_on(world, false), OUTCOME_DONE);
        assert_at(world, ETH, false);
        assert_job_runs_on(world, "openib");
        assert_int_equal(fake_log_count("vm2@eth quit"), prepare[i] != NULL);
        assert_int_equal(fake_log_count("vm1@ib migrate_cancel"), 0);
        teardown(state);
    }
    prepare_at_eth = NULL;
    *state = make_world(IB);
}

/* One VM arrives while all are taken back: the other one follows it. */
static void a_vm_that_arrives_during_an_abort_takes_the_other_along(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[IB].copy_ms = 900;
    world->vms[0].qemus[IB].ignores_cancel = true;
    world->vms[1].qemus[IB].copy_ms = 5000;
    world->vms[1].qemus[ETH].begins_again = true;
    world->crash_in = "COPYING";
    assert_true(begin_and_crash(world, MODE_LIVE, 0));
    world->vms[1].qemus[IB].copy_ms = 0;
    assert_int_equal(take_on(world, true), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_job_runs_on(world, "openib");
    assert_int_equal(fake_log_count("vm2@ib migrate_cancel"), 1);
    assert_order("vm2@ib migrate_cancel", "vm1@eth runs");
}

static void ranks_that_cannot_be_taken_over_are_for_the_operator(void **state)
{
    struct world *world = NULL;
    teardown(state);
    for (int changes = 1;; changes++) {
        *state = world = make_world(IB);
        assert_true(begin_and_crash(world, MODE_PAUSED, changes));
        if (strcmp(world->job.state[3], "RELEASED") == 0) {
            break;
        }
        teardown(state);
    }
    world->vms[1].agent.deaf = true;
    assert_int_equal(take_on(world, true), OUTCOME_OPERATOR);
    assert_non_null(strstr(migration_reason(world->migration), "ranks may be standing still"));
    assert_null(strstr(migration_reason(world->migration), "stay on their standby"));
}

/* ---- past the point of no return ---- */

static void a_vm_that_fails_after_another_arrived_is_tried_again(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[ETH].never_runs = true;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_OPERATOR);
    assert_non_null(strstr(migration_reason(world->migration), "1 of 2 VMs arrived"));
    assert_string_equal(world->vms[0].qemus[ETH].status, "running");
    assert_string_equal(world->vms[1].qemus[IB].status, "running");
    assert_string_equal(world->vms[1].qemus[IB].device, "hca0");
    assert_order("vm2@eth ends", "vm2@ib cont");
    for (int r = 0; r < 4; r++) {
        assert_string_equal(world->job.state[r], "RUNNING");
    }
}

static void a_device_that_is_not_there_leaves_the_vm_on_standby(void **state)
{
    struct world *world = *state;
    for (int r = 0; r < 4; r++) {
        strcpy(world->job.transports[r], "tcp");
    }
    world->vms[0].qemus[IB].add_fails = true;
    world->vms[1].qemus[IB].add_fails = true;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_DEGRADED);
    assert_non_null(strstr(migration_reason(world->migration), "no such host device"));
    assert_at(world, IB, false);
    assert_job_runs_on(world, "tcp");
    assert_string_equal(migration_state_name(world->migration), "DONE");
}

static void a_link_that_never_comes_leaves_the_job_on_standby(void **state)
{
    struct world *world = *state;
    for (int r = 0; r < 4; r++) {
        strcpy(world->job.transports[r], "tcp");
    }
    world->cluster->timeouts[TIMEOUT_LINK] = 300;
    world->vms[0].agent.rdma_after_attach = false;
    world->vms[1].agent.rdma_after_attach = false;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_DEGRADED);
    assert_non_null(strstr(migration_reason(world->migration), "no RDMA port became ACTIVE"));
    assert_job_runs_on(world, "tcp");
}

static void a_second_switch_that_fails_leaves_the_job_on_standby(void **state)
{
    struct world *world = *state;
    for (int r = 0; r < 4; r++) {
        strcpy(world->job.transports[r], "tcp");
    }
    world->job.silent_stops = 100;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_DEGRADED);
    assert_job_runs_on(world, "tcp");
    assert_at(world, IB, true);
}

#define AT_IB(f)  cmocka_unit_test_setup_teardown(f, setup_at_ib, teardown)
#define AT_ETH(f) cmocka_unit_test_setup_teardown(f, setup_at_eth, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_IB(live_to_a_site_without_device),
        AT_IB(every_capability_is_set_on_both_sides),
        AT_ETH(live_to_a_site_with_device),
        AT_IB(paused_to_a_site_without_device),
        AT_ETH(paused_to_a_site_with_device),
        AT_IB(without_a_job_the_vms_still_move),
        AT_IB(states_are_recorded_and_journalled),
        AT_IB(to_where_they_are_is_nothing_to_do),
        AT_IB(a_vm_that_does_not_answer_is_named),
        AT_IB(an_agent_that_does_not_answer_is_named),
        AT_IB(an_agent_of_another_protocol_is_named),
        AT_IB(a_rank_that_refuses_refuses_the_migration),
        AT_IB(a_process_on_the_device_refuses_the_migration),
        AT_ETH(an_unknown_device_at_the_destination_is_refused),
        AT_IB(a_receiver_that_runs_something_else_is_left_alone),
        AT_IB(an_unplug_that_the_guest_refuses),
        AT_IB(an_unplug_that_never_ends),
        AT_IB(a_process_that_still_holds_the_device_stops_the_unplug),
        AT_IB(a_detach_script_that_fails),
        AT_IB(a_copy_that_fails),
        AT_IB(a_copy_that_fails_in_paused_mode),
        AT_IB(a_destination_that_never_runs),
        AT_IB(an_abort_while_memory_is_copied),
        AT_IB(an_abort_in_any_state_leaves_the_job_running),
        AT_IB(a_live_migration_is_resumed_from_anywhere),
        AT_IB(a_live_migration_is_aborted_from_anywhere),
        AT_IB(a_paused_migration_is_resumed_from_anywhere),
        AT_IB(a_paused_migration_is_aborted_from_anywhere),
        AT_IB(ranks_that_have_released_are_taken_along),
        AT_IB(a_copy_that_had_not_begun_is_begun_late),
        AT_IB(a_vm_that_arrives_during_an_abort_takes_the_other_along),
        AT_IB(ranks_that_cannot_be_taken_over_are_for_the_operator),
        AT_IB(a_vm_that_fails_after_another_arrived_is_tried_again),
        AT_ETH(a_device_that_is_not_there_leaves_the_vm_on_standby),
        AT_ETH(a_link_that_never_comes_leaves_the_job_on_standby),
        AT_ETH(a_second_switch_that_fails_leaves_the_job_on_standby),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
