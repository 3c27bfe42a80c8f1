/*
 * What the driver "qmp" makes of a move that was interrupted, and of one that is taken back. Never
 * may both QEMUs run, nor the one that ran last end.
 */
#include "tests/unit/driver_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/config/transfer.h"
#include "host/journal/journal.h"
#include "host/journal/record.h"

static void assert_untouched(const char *why)
{
    if (fake_log_find("ib cont", 0) >= 0 || fake_log_find("eth quit", 0) >= 0 ||
        fake_log_find("ib quit", 0) >= 0 || fake_log_find("ib migrate_cancel", 0) >= 0) {
        fake_log_print();
        fail_msg("%s", why);
    }
}

/* ---- adopt ---- */

enum taken_for {
    AT_SOURCE,
    ON_ITS_WAY,
    MOVED,
    OPERATOR,
};

static enum taken_for taken_for(struct world *world, bool ran_there)
{
    const char *class = adopt(world, ran_there);
    if (class[0] != '\0') {
        assert_string_equal(class, "Operator");
        assert_non_null(strstr(world->err.message, "nothing was touched"));
        return OPERATOR;
    }
    return vmm_is_there(world->vmm)             ? MOVED
           : world->vmm->move == VMM_ON_ITS_WAY ? ON_ITS_WAY
                                                : AT_SOURCE;
}

static void what_was_interrupted_is_taken_for_what_it_is(void **state)
{
    static const struct {
        const char *source, *migration, *destination;
        bool ran_there;
        enum taken_for expected;
    } cases[] = {
        {"running", "", "inmigrate", false, AT_SOURCE},
        {"running", "", NULL, false, AT_SOURCE},
        {"running", "failed", NULL, false, AT_SOURCE},
        {"running", "cancelled", "inmigrate", false, AT_SOURCE},
        {"running", "", "running", false, AT_SOURCE}, /* it is another one */
        {"running", "failed", "running", false, AT_SOURCE},
        {"running", "completed", "inmigrate", false, AT_SOURCE}, /* of an earlier time */
        {"running", "completed", NULL, false, AT_SOURCE},
        {"running", "active", "inmigrate", false, ON_ITS_WAY},
        {"postmigrate", "completed", "inmigrate", false, ON_ITS_WAY},
        {"postmigrate", "completed", "running", false, MOVED},
        {"postmigrate", "completed", "running", true, MOVED},
        {NULL, "", "running", true, MOVED},
        {"running", "active", NULL, false, OPERATOR},
        {"running", "active", "paused", false, OPERATOR},
        {"running", "active", "running", false, OPERATOR},
        {"running", "completed", "running", false, OPERATOR},
        {"running", "completed", "paused", false, OPERATOR},
        {"paused", "", "running", false, OPERATOR},
        {"postmigrate", "completed", NULL, false, OPERATOR},
        {"postmigrate", "completed", "paused", false, ON_ITS_WAY}, /* it has everything */
        {"postmigrate", "completed", "paused", true, OPERATOR},
        {"finish-migrate", "active", "paused", false, ON_ITS_WAY},
        {"postmigrate", "completed", "io-error", false, OPERATOR},
        {"postmigrate", "completed", "guest-panicked", true, OPERATOR},
        {"postmigrate", "completed", "inmigrate", true, OPERATOR},
        {"running", "completed", NULL, true, OPERATOR},
        {"running", "", "running", true, OPERATOR},
        {NULL, "", "inmigrate", false, OPERATOR},
        {NULL, "", NULL, false, OPERATOR},
    };
    teardown(state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup(state);
        struct world *world = *state;
        found(world, cases[i].source, cases[i].migration, cases[i].destination);
        enum taken_for it = taken_for(world, cases[i].ran_there);
        if (it != cases[i].expected) {
            fail_msg("case %zu was taken for %d: %s", i, it, world->err.message);
        }
        assert_untouched("adopt touched something");
        teardown(state);
    }
    setup(state);
}

static void a_destination_that_does_not_answer_is_for_the_operator(void **state)
{
    struct world *world = *state;
    found(world, "running", "active", "inmigrate");
    world->qemus[ETH].deaf = true;
    assert_int_equal(taken_for(world, false), OPERATOR);
    assert_non_null(strstr(world->err.message, "on its way"));
    assert_untouched("the destination did not answer");
}

/* ---- cancel ---- */

static void a_receiver_that_waits_ends_and_the_source_goes_on(void **state)
{
    struct world *world = *state;
    found(world, "postmigrate", "completed", "inmigrate");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    assert_string_equal(cancel(world), "");
    assert_null(world->qemus[ETH].peer);
    assert_string_equal(world->qemus[IB].status, "running");
    assert_true(fake_log_find("eth ends", 0) < fake_log_find("ib cont", 0));
}

/* The time that the receiver had to quit in is not over before the source's is. */
static void a_source_that_does_not_go_on_is_for_the_operator(void **state)
{
    struct world *world = *state;
    world->cluster->timeouts[TIMEOUT_QUIT] = 300;
    found(world, "postmigrate", "completed", "inmigrate");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    world->qemus[IB].never_goes_on = true;
    assert_string_equal(cancel(world), "Operator");
    assert_non_null(strstr(world->err.message, "the source VM does not run again"));
    assert_int_equal(fake_log_count("eth ends"), 1);
}

/* It is gone after all was sent: it may have run, so what the source has is of the past. */
static void a_receiver_that_is_lost_leaves_the_source_stopped(void **state)
{
    struct world *world = *state;
    found(world, "postmigrate", "completed", "inmigrate");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    fake_qemu_clear(&world->qemus[ETH]);
    assert_string_equal(cancel(world), "Operator");
    assert_int_equal(fake_log_count("ib cont"), 0);
    assert_string_equal(world->qemus[IB].status, "postmigrate");
    /* again, with nothing connected at all */
    assert_string_equal(cancel(world), "Operator");
    assert_int_equal(fake_log_count("ib cont"), 0);
}

static void a_receiver_that_falls_silent_is_not_told_to_quit(void **state)
{
    struct world *world = *state;
    found(world, "postmigrate", "completed", "inmigrate");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    world->qemus[ETH].deaf = true;
    assert_string_equal(cancel(world), "Operator");
    assert_int_equal(fake_log_count("ib cont"), 0);
}

static void a_vm_that_ran_there_and_stands_still_is_not_ended(void **state)
{
    static const char *const still[] = {"internal-error", "io-error", "guest-panicked"};
    teardown(state);
    for (size_t i = 0; i < sizeof(still) / sizeof(still[0]); i++) {
        setup(state);
        struct world *world = *state;
        found(world, "postmigrate", "completed", "inmigrate");
        assert_int_equal(taken_for(world, false), ON_ITS_WAY);
        snprintf(world->qemus[ETH].status, sizeof(world->qemus[ETH].status), "%s", still[i]);
        assert_string_equal(cancel(world), "Operator");
        assert_non_null(strstr(world->err.message, "has run at the destination"));
        assert_int_equal(fake_log_count("eth quit"), 0);
        assert_int_equal(fake_log_count("ib cont"), 0);
        teardown(state);
    }
    setup(state);
}

/* It has everything, and the source says so: there is no way back. */
static void a_vm_that_waits_there_for_our_word_gets_it(void **state)
{
    struct world *world = *state;
    found(world, "postmigrate", "completed", "paused");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    assert_string_equal(cancel(world), "");
    assert_true(world->vmm->committed);
    assert_string_equal(world->qemus[ETH].status, "running");
    assert_int_equal(fake_log_count("eth quit"), 0);
    assert_int_equal(fake_log_count("ib cont"), 0);
}

/* A source that does not hear that all has arrived runs on by itself. */
static void a_destination_does_not_run_before_the_source_has_ended(void **state)
{
    struct world *world = *state;
    found(world, "running", "", "inmigrate");
    assert_int_equal(taken_for(world, false), AT_SOURCE);
    driver_qmp.prepare(world->vmm, ETH, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    for (int s = 0; s < 2; s++) {
        assert_int_equal(
            fake_log_count(s == IB ? "ib capability return-path on" : "eth capability return-path on"),
            1);
    }
    assert_int_equal(fake_log_count("eth stop"), 1);
    driver_qmp.migrate(world->vmm, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    assert_true(fake_log_find("eth cont", 0) < fake_log_find("eth runs", 0));
}

/* It runs here still, but will run there when all is sent. */
static void a_copy_that_goes_on_unseen_is_not_taken_for_cancelled(void **state)
{
    struct world *world = *state;
    found(world, "running", "active", "inmigrate");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    world->qemus[IB].ignores_cancel = true;
    fake_qemu_clear(&world->qemus[ETH]);
    assert_string_equal(cancel(world), "Operator");
    assert_int_equal(fake_log_count("ib cont"), 0);
}

static void a_source_that_is_lost_leaves_the_receiver_alone(void **state)
{
    struct world *world = *state;
    found(world, "running", "active", "inmigrate");
    assert_int_equal(taken_for(world, false), ON_ITS_WAY);
    fake_qemu_clear(&world->qemus[IB]);
    assert_string_equal(cancel(world), "Operator");
    assert_int_equal(fake_log_count("eth quit"), 0);
}

/* Its memory at the source is then all that there is. */
static void a_destination_that_ends_at_once_leaves_the_source_alone(void **state)
{
    struct world *world = *state;
    found(world, "postmigrate", "completed", "running");
    assert_int_equal(taken_for(world, true), MOVED);
    fake_qemu_clear(&world->qemus[ETH]);
    driver_qmp.finish(world->vmm, on_done, world);
    assert_string_equal(wait_for_it(world), "Operator");
    assert_non_null(strstr(world->err.message, "\"cont\" is for the QEMU at ib"));
    assert_int_equal(fake_log_count("ib quit"), 0);
}

static void without_a_connection_a_command_fails(void **state)
{
    struct world *world = *state;
    found(world, "running", "", NULL);
    assert_int_equal(taken_for(world, false), AT_SOURCE);
    world->vmm->site = ETH; /* nobody is there */
    driver_qmp.migrate(world->vmm, on_done, world);
    assert_false(world->over);
    assert_string_equal(wait_for_it(world), "Closed");
    assert_non_null(strstr(world->err.message, "no connection"));
}

/* ---- the journal ---- */

static void the_journal_says_which_vm_arrived(void **state)
{
    struct world *world = *state;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct record record;
    struct journal *journal = journal_new(fake_dir(), &err);
    assert_non_null(journal);
    journal_write(journal,
                  json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:b, s:b}]}", "state", "PLANNED",
                            "cluster", world->cluster->name, "mode", "live", "to", "eth", "vms",
                            "name", "vm1", "at", "ib", "moves", 1, "device", 0));
    assert_true(record_find(fake_dir(), world->cluster, NULL, &record, &err));
    assert_false(record.vms[0].ran_there);
    record_clear(&record);
    journal_write(journal, json_pack("{s:s, s:s}", "vm", "vm7", "runs_at", "eth"));
    journal_write(journal, json_pack("{s:s, s:s}", "vm", "vm1", "runs_at", "eth"));
    assert_true(record_find(fake_dir(), world->cluster, NULL, &record, &err));
    assert_true(record.vms[0].ran_there);
    record_clear(&record);
    journal_free(journal);
}

/* Who takes on a post-copy migration must not take it for another one. */
static void the_journal_says_how_memory_is_sent(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct transfer begun = TRANSFER_DEFAULT, taken_on = TRANSFER_DEFAULT;
    begun.post_copy_after = 3;
    begun.bandwidth_mib = 17;
    json_t *json = transfer_to_json(&begun);
    transfer_from_json(&taken_on, json);
    assert_int_equal(taken_on.post_copy_after, 3);
    assert_int_equal(taken_on.bandwidth_mib, 17);
    json_object_set_new(json, "post-copy", json_integer(-7));
    json_object_set_new(json, "bandwidth", json_string("much"));
    json_object_set_new(json, "compress", json_string("lzw"));
    transfer_from_json(&taken_on, json);
    transfer_from_json(&taken_on, NULL);
    assert_int_equal(taken_on.post_copy_after, 3);
    assert_int_equal(taken_on.bandwidth_mib, 17);
    json_decref(json);
    assert_true(transfer_set_compress(&taken_on, "none", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_interrupted_is_taken_for_what_it_is),
        TEST(a_destination_that_does_not_answer_is_for_the_operator),
        TEST(a_receiver_that_waits_ends_and_the_source_goes_on),
        TEST(a_source_that_does_not_go_on_is_for_the_operator),
        TEST(a_receiver_that_is_lost_leaves_the_source_stopped),
        TEST(a_receiver_that_falls_silent_is_not_told_to_quit),
        TEST(a_vm_that_ran_there_and_stands_still_is_not_ended),
        TEST(a_vm_that_waits_there_for_our_word_gets_it),
        TEST(a_destination_does_not_run_before_the_source_has_ended),
        TEST(a_copy_that_goes_on_unseen_is_not_taken_for_cancelled),
        TEST(a_source_that_is_lost_leaves_the_receiver_alone),
        TEST(a_destination_that_ends_at_once_leaves_the_source_alone),
        TEST(without_a_connection_a_command_fails),
        TEST(the_journal_says_which_vm_arrived),
        TEST(the_journal_says_how_memory_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
