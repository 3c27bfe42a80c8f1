/* Post-copy: while a VM's memory is on both sides nothing may be ended, and what breaks is mended.
 */
#include "tests/unit/driver_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/vmm/driver_qmp.h"

static int moves;

static void on_there(void *arg)
{
    moves++;
}

static int begin(void **state)
{
    setup(state);
    struct world *world = *state;
    world->vmm->transfer.post_copy_after = 0;
    world->cluster->timeouts[TIMEOUT_RECONNECT] = 1500;
    world->qemus[IB].copy_ms = 10000; /* without post-copy it would not end */
    moves = 0;
    world->vmm->on_there = on_there;
    return 0;
}

static void locate_and_prepare(struct world *world)
{
    driver_qmp.locate(world->vmm, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    driver_qmp.prepare(world->vmm, ETH, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    assert_int_equal(fake_log_count("ib capability postcopy-ram on"), 1);
    assert_int_equal(fake_log_count("eth capability postcopy-ram on"), 1);
}

static const char *go_on(struct world *world)
{
    driver_qmp.migrate(world->vmm, on_done, world);
    return wait_for_it(world);
}

/* Another coordinator, which knows only what the QEMUs and the journal say. */
static void change_coordinator(struct world *world)
{
    struct transfer transfer = world->vmm->transfer;
    driver_qmp.close(world->vmm);
    world->vmm = driver_qmp.open(world->base, world->cluster, 0);
    world->vmm->transfer = transfer;
}

static void assert_there(const struct world *world)
{
    assert_true(vmm_is_there(world->vmm));
    assert_int_not_equal(world->vmm->move, VMM_SPLIT);
    assert_int_equal(world->vmm->site, ETH);
    assert_string_equal(world->qemus[ETH].status, "running");
    assert_string_equal(world->qemus[IB].migration, "completed");
}

/* A limit of an earlier migration is taken back, too. */
static void what_follows_may_be_limited(void **state)
{
    static const int mib[] = {7, 0};
    teardown(state);
    for (size_t i = 0; i < 2; i++) {
        char line[60];
        begin(state);
        struct world *world = *state;
        world->vmm->transfer.post_copy_bandwidth_mib = mib[i];
        locate_and_prepare(world);
        snprintf(line, sizeof(line), "ib max-postcopy-bandwidth %d", mib[i] * 1024 * 1024);
        assert_int_equal(fake_log_count(line), 1);
        assert_string_equal(go_on(world), "");
        assert_there(world);
        teardown(state);
    }
    begin(state);
}

static void nothing_was_ended(void)
{
    assert_int_equal(fake_log_count("ib migrate_cancel"), 0);
    assert_int_equal(fake_log_count("ib quit"), 0);
    assert_int_equal(fake_log_count("ib cont"), 0);
    assert_int_equal(fake_log_count("eth quit"), 0);
}

static void it_runs_there_before_all_is_copied(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].rest_ms = 1500; /* long enough to be seen */
    assert_string_equal(go_on(world), "");
    assert_there(world);
    assert_int_equal(moves, 1);
    assert_int_equal(fake_log_count("ib migrate-start-postcopy"), 1);
}

static void it_waits_for_as_many_passes_as_asked_for(void **state)
{
    struct world *world = *state;
    world->vmm->transfer.post_copy_after = 1;
    world->qemus[IB].copy_ms = 300;
    locate_and_prepare(world);
    assert_string_equal(go_on(world), ""); /* the first pass was enough */
    assert_true(vmm_is_there(world->vmm));
    assert_int_equal(fake_log_count("ib migrate-start-postcopy"), 0);
}

static void a_copy_that_makes_no_headway_changes_sides(void **state)
{
    struct world *world = *state;
    world->vmm->transfer.post_copy_after = -1;
    world->vmm->transfer.post_copy_if_stuck = 2;
    world->qemus[IB].pass_ms = 500;
    locate_and_prepare(world);
    assert_string_equal(go_on(world), "");
    assert_there(world);
    assert_int_equal(fake_log_count("ib migrate-start-postcopy"), 1);
    assert_true(((struct qmp_vm *)world->vmm)->headway.pass >= 4); /* 2 has none to compare with */
}

static void one_that_makes_headway_does_not(void **state)
{
    struct world *world = *state;
    world->vmm->transfer.post_copy_after = -1;
    world->vmm->transfer.post_copy_if_stuck = 2;
    world->qemus[IB].pass_ms = 300;
    world->qemus[IB].writes_less = true;
    world->qemus[IB].copy_ms = 2500;
    locate_and_prepare(world);
    assert_string_equal(go_on(world), "");
    assert_there(world);
    assert_int_equal(fake_log_count("ib migrate-start-postcopy"), 0);
}

static void headway_is_told_by_passes(void **state)
{
    static const struct {
        int64_t to_send[8]; /* of each pass; looked at twice */
        int stuck;
    } cases[] = {
        {{1000, 100, 50, 25}, 0},    {{1000, 100, 100}, 1},
        {{1000, 100, 95, 120}, 2},   {{1000, 100, 100, 50}, 0},
        {{1000, 1000}, 0},           {{1000, 100, 100, 50, 60}, 1},
        {{1000, 10, 10, 10, 10}, 3}, {{1000, 0 /* not seen */}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct headway headway;
        headway_begin(&headway);
        for (int pass = 0; cases[i].to_send[pass] > 0; pass++) {
            headway_look(&headway, pass + 1, cases[i].to_send[pass]);
            headway_look(&headway, pass + 1, cases[i].to_send[pass] / 3);
        }
        assert_int_equal(headway.stuck, cases[i].stuck);
    }
}

static void a_connection_that_breaks_is_made_anew(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].breaks = 2;
    assert_string_equal(go_on(world), "");
    assert_there(world);
    assert_int_equal(fake_log_count("eth migrate-recover"), 2);
    nothing_was_ended();
}

/* Something stands between both, and what breaks there is mended there. */
static void each_side_is_told_its_own_end_of_the_path(void **state)
{
    struct world *world = *state;
    struct fake_qemu *receiver = &world->qemus[ETH];
    receiver->reached_at = "tcp:relay.ib:4801";
    world->qemus[IB].breaks = 1;
    driver_qmp.locate(world->vmm, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    driver_qmp.prepare(world->vmm, ETH, on_done, world);
    path_set(&((struct qmp_vm *)world->vmm)->path, "unix:/run/relay/vm1", receiver->reached_at);
    assert_string_equal(wait_for_it(world), "");
    assert_string_equal(receiver->incoming, "unix:/run/relay/vm1");
    assert_string_equal(go_on(world), "");
    assert_there(world);
    assert_int_equal(fake_log_count("eth migrate-recover"), 1);
    assert_string_equal(receiver->incoming, "unix:/run/relay/vm1");
}

static void a_receiver_that_has_not_seen_it_is_told(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].breaks = 1;
    world->qemus[IB].breaks_unseen = true;
    assert_string_equal(go_on(world), "");
    assert_there(world);
    assert_int_equal(fake_log_count("eth migrate-pause"), 1);
}

/* Its main loop waits for memory. */
static void a_receiver_that_hangs_is_told_out_of_band(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].breaks = 1;
    world->qemus[ETH].hangs_when_paused = true;
    assert_string_equal(go_on(world), "");
    assert_there(world);
}

/* Before anybody could ask whether it runs there. */
static void a_receiver_that_hangs_at_once_is_told_out_of_band(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].breaks = 1;
    world->qemus[IB].rest_ms = 1;
    world->qemus[ETH].hangs_when_paused = true;
    world->cluster->timeouts[TIMEOUT_RECOVER] = 20000;
    assert_string_equal(go_on(world), "");
    assert_there(world);
}

/* Two attempts at a time would end QEMU. */
static void one_attempt_to_connect_is_made_at_a_time(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].breaks = 1;
    world->qemus[IB].fail_resumes = 1;
    world->cluster->timeouts[TIMEOUT_RECONNECT] = 3500;
    int64_t begin = now_ms();
    assert_string_equal(go_on(world), "");
    assert_true(now_ms() - begin >= 3500);
    assert_there(world);
    assert_int_equal(fake_log_count("ib migrate"), 3); /* and the first one */
}

static void a_connection_that_stays_broken_is_for_the_operator(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->qemus[IB].breaks = 1;
    world->qemus[IB].fail_resumes = 1;
    world->cluster->timeouts[TIMEOUT_RECOVER] = 500;
    assert_string_equal(go_on(world), "Operator");
    assert_non_null(strstr(world->err.message, "ninjactl resume"));
    assert_true(world->vmm->move == VMM_SPLIT && world->vmm->committed);
    /* another coordinator takes it on, and does not come before the attempt is over */
    change_coordinator(world);
    world->cluster->timeouts[TIMEOUT_RECOVER] = 10000;
    assert_string_equal(adopt(world, true), "");
    assert_true(world->vmm->move == VMM_SPLIT && world->vmm->committed);
    int64_t begin = now_ms();
    driver_qmp.prepare(world->vmm, ETH, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    assert_string_equal(go_on(world), "");
    assert_true(now_ms() - begin >= 1500);
    assert_there(world);
    nothing_was_ended();
}

static void a_side_that_ends_is_for_the_operator(void **state)
{
    for (int side = IB; side <= ETH; side++) {
        teardown(state);
        begin(state);
        struct world *world = *state;
        locate_and_prepare(world);
        world->qemus[IB].breaks = 1;
        world->qemus[IB].fail_resumes = 1;
        world->cluster->timeouts[TIMEOUT_RECOVER] = 300;
        assert_string_equal(go_on(world), "Operator");
        fake_qemu_clear(&world->qemus[side]);
        world->cluster->timeouts[TIMEOUT_RECOVER] = 10000;
        world->vmm->driver->prepare(world->vmm, ETH, on_done, world);
        assert_string_equal(wait_for_it(world), "");
        assert_string_equal(go_on(world), "Operator");
        assert_non_null(strstr(world->err.message, side == IB ? "QEMU at ib does not answer"
                                                              : "QEMU at eth does not answer"));
        change_coordinator(world);
        assert_string_equal(adopt(world, true), "Operator");
        nothing_was_ended();
    }
}

static void what_has_changed_sides_is_not_taken_back(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    driver_qmp.migrate(world->vmm, NULL, NULL);
    while (fake_log_count("ib migrate-start-postcopy") == 0) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    world->qemus[IB].rest_ms = 1000;
    assert_string_equal(cancel(world), "");
    assert_true(vmm_is_there(world->vmm));
    nothing_was_ended();
    if (world->vmm->move == VMM_SPLIT) {
        assert_string_equal(go_on(world), "");
    }
    assert_there(world);
}

/* It may have been told to change sides by the one that ended. */
static void what_may_have_changed_sides_is_not_taken_back(void **state)
{
    struct world *world = *state;
    locate_and_prepare(world);
    world->vmm->transfer.post_copy_after = 9;
    driver_qmp.migrate(world->vmm, NULL, NULL);
    while (strcmp(world->qemus[IB].migration, "active") != 0) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    change_coordinator(world);
    assert_string_equal(adopt(world, false), "");
    assert_true(vmm_is_between(world->vmm));
    assert_string_equal(cancel(world), "");
    assert_true(vmm_is_there(world->vmm));
    nothing_was_ended();
}

#define POST_COPY(f) cmocka_unit_test_setup_teardown(f, begin, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POST_COPY(what_follows_may_be_limited),
        POST_COPY(it_runs_there_before_all_is_copied),
        POST_COPY(it_waits_for_as_many_passes_as_asked_for),
        POST_COPY(a_copy_that_makes_no_headway_changes_sides),
        POST_COPY(one_that_makes_headway_does_not),
        cmocka_unit_test(headway_is_told_by_passes),
        POST_COPY(a_connection_that_breaks_is_made_anew),
        POST_COPY(each_side_is_told_its_own_end_of_the_path),
        POST_COPY(a_receiver_that_has_not_seen_it_is_told),
        POST_COPY(a_receiver_that_hangs_is_told_out_of_band),
        POST_COPY(a_receiver_that_hangs_at_once_is_told_out_of_band),
        POST_COPY(one_attempt_to_connect_is_made_at_a_time),
        POST_COPY(a_connection_that_stays_broken_is_for_the_operator),
        POST_COPY(a_side_that_ends_is_for_the_operator),
        POST_COPY(what_has_changed_sides_is_not_taken_back),
        POST_COPY(what_may_have_changed_sides_is_not_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
