/* Whole migrations, of which the coordinator sees the end. */
#include "tests/unit/migration_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/base/timer.h"

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

/* As the cluster file says, unless somebody says otherwise of one. */
static void each_vm_is_sent_in_its_own_way(void **state)
{
    struct world *world = *state;
    static const char *const ways[] = {"3 none", "5 zstd"};
    world->cluster->transfer.parallel = 3;
    look(world);
    struct transfer *transfer = &survey_vms(world->survey)[1].vmm->transfer;
    assert_int_equal(transfer->parallel, 3);
    transfer->parallel = 5;
    transfer->compress = COMPRESS_ZSTD;
    assert_int_equal(migrate_what_was_seen(world, ETH, MODE_LIVE), OUTCOME_DONE);
    for (int v = 0; v < 2; v++) {
        for (int s = 0; s < 2; s++) {
            char line[100];
            snprintf(line, sizeof(line), "%s multifd %s", names[v][s], ways[v]);
            assert_int_equal(fake_log_count(line), 1);
        }
    }
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

static void the_downtime_comes_late(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[ETH].late_figures = 1;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_DONE);
    assert_at(world, IB, true);
    for (size_t i = 0; i < 2; i++) {
        json_t *vm = json_array_get(json_object_get(world->report, "vms"), i);
        assert_int_equal(json_integer_value(json_object_get(vm, "downtime_ms")), 42);
    }
}

static void paused_to_a_site_without_device(void **state)
{
    struct world *world = *state;
    int64_t before = wall_clock_us();
    assert_int_equal(migrate(world, ETH, MODE_PAUSED), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_job_runs_on(world, "openib"); /* what the fake calls @best */
    assert_int_equal(fake_log_count("vm1 stop"), 1);
    assert_order("vm2 release @network", "vm1 detach");
    assert_order("vm1@eth runs", "vm1 open @best");
    assert_order("vm2 open @best", "vm1 resume");
    json_t *switches = json_object_get(world->report, "switches");
    assert_int_equal(json_array_size(switches), 1);
    json_t *sw = json_array_get(switches, 0);
    int64_t stall_ms = json_integer_value(json_object_get(sw, "stall_ms"));
    int64_t stopped_at_us = json_integer_value(json_object_get(sw, "stopped_at_us"));
    assert_true(stall_ms >= stage(world, 0, "copy"));
    assert_true(stopped_at_us >= before &&
                stopped_at_us + stall_ms * 1000 <= wall_clock_us() + 1000);
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

/* ---- where no VM is to move ---- */

/* What an operator does who has mended what kept it from being plugged. */
static void a_device_that_is_missing_is_plugged_later(void **state)
{
    teardown(state);
    for (int paused = 0; paused < 2; paused++) {
        enum migration_mode mode = paused ? MODE_PAUSED : MODE_LIVE;
        setup_at_eth(state);
        struct world *world = *state;
        world->vms[1].qemus[IB].add_fails = true;
        assert_int_equal(migrate(world, IB, mode), OUTCOME_DEGRADED);
        assert_string_equal(world->vms[1].qemus[IB].device, "");
        forget_migration(world);
        fake_log_clear();
        world->vms[1].qemus[IB].add_fails = false;
        assert_int_equal(migrate(world, IB, mode), OUTCOME_DONE);
        assert_at(world, IB, true);
        assert_job_runs_on(world, "openib");
        assert_int_equal(fake_log_count("vm1@ib device_add") + fake_log_count("vm1 attach"), 0);
        assert_int_equal(fake_log_count("vm2@ib device_add"), 1);
        assert_order("vm2 attach", "vm1 open @best");
        assert_string_equal(json_string_value(json_object_get(world->report, "from")), "ib");
        teardown(state);
    }
    setup_at_eth(state);
}

static void once_devices_are_plugged_it_is_too_late_to_abort(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[IB].device[0] = '\0';
    world->abort_at = "ATTACHING";
    assert_int_equal(migrate(world, IB, MODE_PAUSED), OUTCOME_DONE);
    assert_string_equal(world->vms[1].qemus[IB].device, "hca0");
    assert_job_runs_on(world, "openib");
}

static void an_abort_before_that_plugs_nothing(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[IB].device[0] = '\0';
    world->abort_at = "QUIESCING";
    assert_int_equal(migrate(world, IB, MODE_PAUSED), OUTCOME_ROLLED_BACK);
    assert_int_equal(fake_log_count("vm2@ib device_add"), 0);
    assert_job_runs_on(world, "openib"); /* what the fake calls @best */
}

/* ---- what is refused ---- */

static void to_where_they_are_is_nothing_to_do(void **state)
{
    struct world *world = *state;
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_REFUSED);
    assert_string_equal(ninja_error_class_name(world->refused.class), "NothingToDo");
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
    assert_string_equal(ninja_error_class_name(world->refused.class), "ProtocolMismatch");
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
    world->vms[1].qemus[IB].unknown_device = "e1000e";
    assert_int_equal(migrate(world, IB, MODE_LIVE), OUTCOME_REFUSED);
    assert_non_null(strstr(migration_reason(world->migration), "vm2 at ib"));
    assert_non_null(strstr(migration_reason(world->migration), "'e1000e' not found"));
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

/* The guest may still let go of the device, so the job is kept off it. */
static void an_unplug_that_never_ends(void **state)
{
    teardown(state);
    for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
        struct world *world = make_world(IB);
        *state = world;
        world->vms[0].qemus[IB].unplug_hangs = true;
        assert_int_equal(migrate(world, ETH, (enum migration_mode)mode), OUTCOME_ROLLED_BACK);
        assert_non_null(strstr(migration_reason(world->migration), "DEVICE_DELETED"));
        assert_non_null(strstr(migration_reason(world->migration),
                               "the guest of vm1 was asked to let go of device \"hca0\", and may"));
        assert_null(strstr(migration_reason(world->migration), "the guest of vm2"));
        assert_rolled_back_to(world, "tcp");
        teardown(state);
    }
    *state = make_world(IB);
}

/* It does when the migration has been given up: the device is plugged again, and used. */
static void an_unplug_that_ends_late(void **state)
{
    teardown(state);
    for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
        struct world *world = make_world(IB);
        *state = world;
        world->vms[0].qemus[IB].unplug_hangs = true;
        world->lets_go_at = "ROLLING_BACK";
        assert_int_equal(migrate(world, ETH, (enum migration_mode)mode), OUTCOME_ROLLED_BACK);
        assert_int_equal(fake_log_count("vm1@ib device_add"), 1);
        assert_null(strstr(migration_reason(world->migration), "may still do so"));
        assert_rolled_back(world);
        teardown(state);
    }
    *state = make_world(IB);
}

static void an_unplug_that_is_refused_late(void **state)
{
    struct world *world = *state;
    world->vms[0].qemus[IB].unplug_hangs = true;
    world->vms[0].qemus[IB].unplug_is_refused = true;
    world->lets_go_at = "ROLLING_BACK";
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_int_equal(fake_log_count("vm1@ib device_add"), 0);
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

/* It may have run: its source must not go on, nor be touched. */
static void a_vm_of_which_nobody_knows_where_it_ran_is_left_alone(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[ETH].dies_when_sent = true;
    assert_int_equal(migrate(world, ETH, MODE_LIVE), OUTCOME_OPERATOR);
    assert_non_null(strstr(migration_reason(world->migration), "vm2 at ib: its memory was sent"));
    assert_string_equal(migration_state_name(world->migration), "NEEDS_OPERATOR");
    assert_string_equal(world->vms[1].qemus[IB].status, "postmigrate");
    assert_int_equal(fake_log_count("vm2@ib cont"), 0);
    assert_int_equal(fake_log_count("vm2@ib device_add"), 0);
    assert_int_equal(fake_log_count("vm2 attach"), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_IB(live_to_a_site_without_device),
        AT_IB(every_capability_is_set_on_both_sides),
        AT_IB(each_vm_is_sent_in_its_own_way),
        AT_ETH(live_to_a_site_with_device),
        AT_ETH(the_downtime_comes_late),
        AT_IB(paused_to_a_site_without_device),
        AT_ETH(paused_to_a_site_with_device),
        AT_IB(without_a_job_the_vms_still_move),
        AT_IB(states_are_recorded_and_journalled),
        AT_ETH(a_device_that_is_missing_is_plugged_later),
        AT_IB(once_devices_are_plugged_it_is_too_late_to_abort),
        AT_IB(an_abort_before_that_plugs_nothing),
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
        AT_IB(an_unplug_that_ends_late),
        AT_IB(an_unplug_that_is_refused_late),
        AT_IB(a_process_that_still_holds_the_device_stops_the_unplug),
        AT_IB(a_detach_script_that_fails),
        AT_IB(a_copy_that_fails),
        AT_IB(a_copy_that_fails_in_paused_mode),
        AT_IB(a_destination_that_never_runs),
        AT_IB(an_abort_while_memory_is_copied),
        AT_IB(an_abort_in_any_state_leaves_the_job_running),
        AT_IB(a_vm_that_fails_after_another_arrived_is_tried_again),
        AT_IB(a_vm_of_which_nobody_knows_where_it_ran_is_left_alone),
        AT_ETH(a_device_that_is_not_there_leaves_the_vm_on_standby),
        AT_ETH(a_link_that_never_comes_leaves_the_job_on_standby),
        AT_ETH(a_second_switch_that_fails_leaves_the_job_on_standby),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
