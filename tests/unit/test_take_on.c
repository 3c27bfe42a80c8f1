/* Migrations whose coordinator ends before they do, and which another one takes on. */
#include "tests/unit/migration_fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* Begins a migration whose coordinator ends after so many changes; false: it came to its end. */
static bool begin_each_and_crash(struct world *world, const int to[2], enum migration_mode mode,
                                 int changes)
{
    world->crash_after = changes;
    migrate_each(world, to, mode);
    migration_free(world->migration);
    journal_free(world->journal);
    json_decref(world->report);
    world->migration = NULL;
    world->journal = NULL;
    world->report = NULL;
    return !world->ended;
}

static bool begin_and_crash(struct world *world, int to, enum migration_mode mode, int changes)
{
    return begin_each_and_crash(world, (const int[]){to, to}, mode, changes);
}

static enum outcome take_on(struct world *world, bool back)
{
    char dir[120];
    struct record record;
    struct ninja_error err = NINJA_ERROR_INIT;
    enum outcome outcome = take_on_what_was_begun(world, back);
    snprintf(dir, sizeof(dir), "%s/state", fake_dir());
    assert_false(record_find(dir, world->cluster, NULL, &record, &err));
    assert_string_equal(ninja_error_class_name(err.class), "NothingInterrupted");
    return outcome;
}

static void crash_everywhere(void **state, enum migration_mode mode, bool back)
{
    int forward = 0, backward = 0;
    teardown(state);
    for (int changes = 1;; changes++) {
        struct world *world = make_world(IB);
        *state = world;
        if (!begin_and_crash(world, ETH, mode, changes)) {
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

static void assert_vm_at(const struct world *world, int v, int site)
{
    const struct fake_qemu *here = &world->vms[v].qemus[site];
    assert_non_null(here->peer);
    assert_string_equal(here->status, "running");
    assert_string_equal(here->device, site == IB ? "hca0" : "");
}

/* The one who takes on knows of each VM where it came from, and where it goes. */
static void each_vm_is_led_to_its_own_place(void **state)
{
    static const int rows[][2][2] = {/* at, to */
                                     {{IB, IB}, {ETH, PLACEMENT_STAYS}},
                                     {{IB, ETH}, {ETH, IB}},
                                     {{ETH, IB}, {IB, PLACEMENT_STAYS}}};
    int ends[2] = {0, 0}; /* led back, led on */
    teardown(state);
    for (int i = 0; i < 6; i++) {
        const int *at = rows[i / 2][0], *to = rows[i / 2][1];
        for (int changes = 1;; changes++) {
            struct world *world = *state = make_world_at(at);
            if (!begin_each_and_crash(world, to, MODE_LIVE, changes)) {
                teardown(state);
                break;
            }
            fake_log_clear();
            enum outcome outcome = take_on(world, i % 2 == 1);
            bool done = outcome == OUTCOME_DONE;
            /* what ranks are on is not known, so all choose again */
            assert_int_equal(fake_log_count("vm2 leaving all"), fake_log_count("vm2 stop"));
            assert_true(done || outcome == OUTCOME_ROLLED_BACK);
            for (int v = 0; v < 2; v++) {
                assert_vm_at(world, v, done && to[v] != PLACEMENT_STAYS ? to[v] : at[v]);
            }
            ends[done]++;
            teardown(state);
        }
    }
    assert_true(ends[0] >= 20 && ends[1] >= 10);
    *state = make_world(IB);
}

/* A device that the coordinator before plugged is in use from then on: its link is not new any more
 * to the one who takes on. */
static void a_device_that_was_plugged_is_found_from_anywhere(void **state)
{
    int forward = 0;
    teardown(state);
    for (int changes = 1;; changes++) {
        struct world *world = make_world(ETH);
        *state = world;
        if (!begin_and_crash(world, IB, MODE_PAUSED, changes)) {
            break;
        }
        enum outcome outcome = take_on(world, false);
        print_message("%d changes: %s\n", changes, outcome_name(outcome));
        if (outcome == OUTCOME_DONE) {
            assert_at(world, IB, true);
            assert_job_runs_on(world, "openib");
            forward++;
        } else {
            assert_int_equal(outcome, OUTCOME_ROLLED_BACK);
            assert_at(world, ETH, false);
        }
        teardown(state);
    }
    assert_true(forward >= 5);
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
        assert_true(begin_and_crash(world, ETH, MODE_LIVE, 0));
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

/* The coordinator ends while a guest is asked to let go of its device. Another one asks it again,
 * and uses the device only if it is certain that it stays. */
static void a_device_that_may_leave_is_not_used(void **state)
{
    teardown(state);
    for (int answers = 0; answers < 2; answers++) {
        int changes = 1;
        struct world *world = make_world(IB);
        while (fake_log_count("vm1@ib device_del") == 0) {
            teardown((void **)&world);
            *state = world = make_world(IB);
            world->vms[0].qemus[IB].unplug_hangs = true;
            world->vms[0].qemus[IB].unplug_wants_more = answers;
            assert_true(begin_and_crash(world, ETH, MODE_LIVE, changes++));
        }
        assert_string_equal(world->vms[0].qemus[IB].device, "hca0");
        assert_int_equal(take_on(world, true), OUTCOME_ROLLED_BACK);
        assert_int_equal(fake_log_count("vm1@ib device_del"), 2);
        assert_int_equal(fake_log_count("vm1@ib device_add"), answers);
        assert_rolled_back_to(world, answers ? "openib" : "tcp");
        teardown(state);
    }
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
    assert_true(begin_and_crash(world, ETH, MODE_LIVE, 0));
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
        assert_true(begin_and_crash(world, ETH, MODE_PAUSED, changes));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_IB(a_live_migration_is_resumed_from_anywhere),
        AT_IB(a_live_migration_is_aborted_from_anywhere),
        AT_IB(a_paused_migration_is_resumed_from_anywhere),
        AT_IB(a_paused_migration_is_aborted_from_anywhere),
        AT_IB(each_vm_is_led_to_its_own_place),
        AT_IB(a_device_that_was_plugged_is_found_from_anywhere),
        AT_IB(ranks_that_have_released_are_taken_along),
        AT_IB(a_copy_that_had_not_begun_is_begun_late),
        AT_IB(a_device_that_may_leave_is_not_used),
        AT_IB(a_vm_that_arrives_during_an_abort_takes_the_other_along),
        AT_IB(ranks_that_cannot_be_taken_over_are_for_the_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
