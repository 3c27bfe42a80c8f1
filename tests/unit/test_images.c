/* Checkpoints and restarts of whole clusters, and what fails in them. */
#include "tests/unit/migration_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/timer.h"

static enum outcome save(struct world *world, enum migration_mode mode)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    look(world);
    if (!survey_is_complete(world->survey, &err)) {
        fail_msg("%s", err.message);
    }
    return save_what_was_seen(world, "one", mode);
}

static bool is_there(const char *file)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/one%s%s", checkpoints(), file[0] ? "/" : "", file);
    return access(path, F_OK) == 0;
}

/* All VMs are at "ib" as they were before, and a receiver waits at "eth". */
static void assert_undisturbed(struct world *world)
{
    for (int v = 0; v < 2; v++) {
        const struct fake_qemu *qemu = &world->vms[v].qemus[IB];
        assert_non_null(qemu->peer);
        assert_string_equal(qemu->status, "running");
        assert_string_equal(qemu->device, "hca0");
        assert_int_equal(qemu->image, -1);
    }
    assert_job_runs_on(world, world->job.transports[0]);
}

static void assert_not_saved(struct world *world)
{
    assert_undisturbed(world);
    assert_false(is_there(""));
}

/* ---- checkpoints ---- */

static void all_stand_before_one_is_saved(void **state)
{
    struct world *world = *state;
    assert_int_equal(save(world, MODE_PAUSED), OUTCOME_DONE);
    assert_undisturbed(world);
    for (int v = 0; v < 2; v++) {
        assert_order(v == 0 ? "vm1@ib stop" : "vm2@ib stop", "vm1@ib migrate");
        assert_order(v == 0 ? "vm1@ib stop" : "vm2@ib stop", "vm2@ib migrate");
        assert_order(v == 0 ? "vm1@ib saved" : "vm2@ib saved", "vm1@ib cont");
        assert_order(v == 0 ? "vm1@ib saved" : "vm2@ib saved", "vm2@ib cont");
    }
    assert_order("vm1@ib device_del", "vm1@ib stop");
    assert_order("vm1@ib cont", "vm1@ib device_add");
    assert_true(is_there("manifest.json") && is_there("vm1.image") && is_there("vm2.image"));
    assert_int_equal(world->checkpoint->vms[0].image.bytes, strlen("the memory of vm1@ib"));
}

static void a_live_one_lets_the_vms_run_on_by_themselves(void **state)
{
    struct world *world = *state;
    assert_int_equal(save(world, MODE_LIVE), OUTCOME_DONE);
    assert_undisturbed(world);
    assert_order("vm2@ib stop", "vm1@ib migrate");
    assert_int_equal(fake_log_find("vm1@ib cont", 0), -1);
    assert_order("vm1@ib saved", "vm1@ib device_add");
}

static void one_that_cannot_run_meanwhile_stands_until_it_is_saved(void **state)
{
    struct world *world = *state;
    world->vms[1].qemus[IB].no_snapshot = true;
    assert_int_equal(save(world, MODE_LIVE), OUTCOME_DONE);
    assert_undisturbed(world);
    assert_order("vm2@ib saved", "vm2@ib cont");
}

static void a_checkpoint_that_fails_is_taken_back(void **state)
{
    for (int i = 0; i < 4; i++) {
        enum migration_mode mode = i % 2 ? MODE_PAUSED : MODE_LIVE;
        teardown(state);
        struct world *world = make_world(IB);
        *state = world;
        world->vms[1].qemus[IB].stop_fails = i / 2 == 0;
        world->vms[1].qemus[IB].copy_fails = i / 2 == 1;
        assert_int_equal(save(world, mode), OUTCOME_ROLLED_BACK);
        assert_not_saved(world);
    }
}

static void a_disk_that_cannot_be_written_is_the_reason(void **state)
{
    struct world *world = *state;
    assert_int_equal(setenv("NINJA_IMAGE", "/bin/false", 1), 0);
    assert_int_equal(save(world, MODE_PAUSED), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "ninja-image ended with status 1"));
    assert_not_saved(world);
}

static void it_is_aborted_while_images_are_written(void **state)
{
    struct world *world = *state;
    world->abort_at = "COPYING";
    world->vms[0].qemus[IB].copy_hangs = true;
    assert_int_equal(save(world, MODE_PAUSED), OUTCOME_ROLLED_BACK);
    assert_not_saved(world);
}

/* ---- whose coordinator ends ---- */

static void a_checkpoint_is_taken_back_from_anywhere(void **state)
{
    int kept = 0, removed = 0;
    teardown(state);
    for (int i = 2;; i++) {
        struct world *world = make_world(IB);
        *state = world;
        world->crash_after = i / 2;
        save(world, i % 4 < 2 ? MODE_PAUSED : MODE_LIVE);
        if (world->ended) {
            break;
        }
        forget_migration(world);
        assert_int_equal(take_on_what_was_begun(world, i % 2 == 0), OUTCOME_ROLLED_BACK);
        assert_undisturbed(world);
        assert_int_equal(is_there("manifest.json"), is_there(""));
        kept += is_there("");
        removed += !is_there("");
        teardown(state);
    }
    assert_true(removed >= 10 && kept >= 3);
}

/* ---- restarts ---- */

static struct world *saved_world(void **state)
{
    struct world *world = *state;
    assert_int_equal(save(world, MODE_PAUSED), OUTCOME_DONE);
    forget_migration(world);
    all_end(world);
    fake_log_clear();
    return world;
}

static void assert_nothing_runs(struct world *world)
{
    for (int v = 0; v < 2; v++) {
        assert_null(world->vms[v].qemus[IB].peer);
        assert_null(world->vms[v].qemus[ETH].peer);
    }
    assert_int_equal(fake_log_count("vm1@eth runs") + fake_log_count("vm2@eth runs"), 0);
}

static void none_runs_before_all_are_loaded(void **state)
{
    struct world *world = saved_world(state);
    assert_int_equal(restart(world, "one", ETH), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_job_runs_on(world, world->job.transports[0]);
    for (int v = 0; v < 2; v++) {
        const char *loaded =
            v == 0 ? "vm1@eth loaded the memory of vm1@ib" : "vm2@eth loaded the memory of vm2@ib";
        assert_order(loaded, "vm1@eth cont");
        assert_order(loaded, "vm2@eth cont");
    }
    assert_order("vm1@eth cont", "vm1@eth announce-self");
}

static void draw_key(struct image_key *key, const char *path)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    unsigned char data[32];
    randombytes_buf(data, sizeof(data));
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
    close(fd);
    assert_true(image_key_read(key, path, &err));
}

static void an_encrypted_one_is_restarted_with_its_key_alone(void **state)
{
    struct world *world = *state;
    struct image_key key, other;
    char path[300], other_path[300];
    snprintf(path, sizeof(path), "%s/key", fake_dir());
    snprintf(other_path, sizeof(other_path), "%s/other", fake_dir());
    draw_key(&key, path);
    draw_key(&other, other_path);
    world->key = &key;
    saved_world(state);
    const struct image_key *const wrong[] = {NULL, &other};
    for (int i = 0; i < 2; i++) {
        world->key = wrong[i];
        assert_int_equal(restart(world, "one", ETH), OUTCOME_REFUSED);
        assert_non_null(strstr(world->refused.message, key.id));
        world->refused = (struct ninja_error)NINJA_ERROR_INIT;
        forget_migration(world);
    }
    world->key = &key;
    assert_int_equal(restart(world, "one", ETH), OUTCOME_DONE);
    assert_at(world, ETH, false);
    assert_order("vm2@eth loaded the memory of vm2@ib", "vm1@eth cont");
}

/* The manifest tells of the first one. */
static void a_key_file_that_changed_meanwhile_takes_it_back(void **state)
{
    struct world *world = *state;
    struct image_key key, other;
    char path[300];
    snprintf(path, sizeof(path), "%s/key", fake_dir());
    draw_key(&key, path);
    draw_key(&other, path);
    world->key = &key;
    assert_int_equal(save(world, MODE_PAUSED), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "has another key than before"));
    assert_not_saved(world);
}

static void a_vm_that_is_there_refuses_it(void **state)
{
    static const char *const statuses[] = {"running", "paused", "postmigrate", "shutdown"};
    struct world *world = *state;
    assert_int_equal(save(world, MODE_PAUSED), OUTCOME_DONE);
    forget_migration(world);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        strcpy(world->vms[1].qemus[IB].status, statuses[i]);
        world->refused = (struct ninja_error)NINJA_ERROR_INIT;
        assert_int_equal(restart(world, "one", ETH), OUTCOME_REFUSED);
        assert_non_null(strstr(world->refused.message, "is there already"));
        survey_free(world->survey);
        world->survey = NULL;
        forget_migration(world);
    }
    assert_int_equal(fake_log_find("vm1@eth getfd", 0), -1);
}

/* As does one of which nothing can be told. */
static void a_vm_that_does_not_answer_refuses_it(void **state)
{
    struct world *world = saved_world(state);
    world->vms[0].qemus[ETH].deaf = true;
    assert_int_equal(restart(world, "one", ETH), OUTCOME_REFUSED);
    assert_string_equal(ninja_error_class_name(world->refused.class), "Refused");
}

static void an_image_that_changed_is_not_let_run(void **state)
{
    struct world *world = saved_world(state);
    char path[300];
    snprintf(path, sizeof(path), "%s/one/vm2.image", checkpoints());
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    assert_int_equal(restart(world, "one", ETH), OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(migration_reason(world->migration), "is not the file that was written"));
    assert_nothing_runs(world);
}

static void a_receiver_that_dies_takes_it_back(void **state)
{
    struct world *world = saved_world(state);
    world->vms[1].qemus[ETH].copy_fails = true;
    assert_int_equal(restart(world, "one", ETH), OUTCOME_ROLLED_BACK);
    assert_nothing_runs(world);
}

static void one_that_does_not_run_is_for_the_operator(void **state)
{
    struct world *world = saved_world(state);
    world->vms[1].qemus[ETH].never_runs = true;
    assert_int_equal(restart(world, "one", ETH), OUTCOME_OPERATOR);
    assert_string_equal(world->vms[0].qemus[ETH].status, "running");
}

static void a_restart_is_all_or_nothing_from_anywhere(void **state)
{
    int forward = 0, backward = 0;
    for (int i = 2;; i++) {
        struct world *world = saved_world(state);
        world->crash_after = i / 2;
        restart(world, "one", ETH);
        if (world->ended) {
            break;
        }
        forget_migration(world);
        enum outcome outcome = take_on_what_was_begun(world, i % 2 == 0);
        print_message("%d changes: %s\n", i / 2, outcome_name(outcome));
        if (outcome == OUTCOME_DONE) {
            assert_at(world, ETH, false);
            assert_job_runs_on(world, world->job.transports[0]);
            forward++;
        } else {
            assert_int_equal(outcome, OUTCOME_ROLLED_BACK);
            assert_int_equal(fake_log_count("vm1@eth runs") + fake_log_count("vm2@eth runs"), 0);
            backward++;
        }
        teardown(state);
        *state = make_world(IB);
    }
    assert_true(forward >= 3 && backward >= 3);
}

static int setup(void **state)
{
    setenv("NINJA_IMAGE", NINJA_IMAGE_BUILT, 1);
    return setup_at_ib(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_stand_before_one_is_saved),
        TEST(a_live_one_lets_the_vms_run_on_by_themselves),
        TEST(one_that_cannot_run_meanwhile_stands_until_it_is_saved),
        TEST(a_checkpoint_that_fails_is_taken_back),
        TEST(a_disk_that_cannot_be_written_is_the_reason),
        TEST(it_is_aborted_while_images_are_written),
        TEST(a_checkpoint_is_taken_back_from_anywhere),
        TEST(none_runs_before_all_are_loaded),
        TEST(an_encrypted_one_is_restarted_with_its_key_alone),
        TEST(a_key_file_that_changed_meanwhile_takes_it_back),
        TEST(a_vm_that_is_there_refuses_it),
        TEST(a_vm_that_does_not_answer_refuses_it),
        TEST(an_image_that_changed_is_not_let_run),
        TEST(a_receiver_that_dies_takes_it_back),
        TEST(one_that_does_not_run_is_for_the_operator),
        TEST(a_restart_is_all_or_nothing_from_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
