/* Where each VM is to be: as it is said, and migrations in which that is not the same for all. */
#include "tests/unit/migration_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define STAYS PLACEMENT_STAYS

/* ---- as it is said ---- */

/* The class of the error; empty: it was read. */
static const char *read_words(const struct world *world, char *const *words, int n,
                              struct placement *placement, struct ninja_error *err)
{
    *err = (struct ninja_error)NINJA_ERROR_INIT;
    placement_read(placement, world->cluster, words, n, err);
    return ninja_error_class_name(err->class);
}

static void words_say_where_vms_go(void **state)
{
    static const struct {
        char *words[3];
        int n, to[2];
        bool by_name;
        const char *name;
    } rows[] = {
        {{"eth"}, 1, {ETH, ETH}, false, "eth"},
        {{"vm1=eth"}, 1, {ETH, STAYS}, true, "eth"},
        {{"vm2=ib"}, 1, {STAYS, IB}, true, "ib"},
        {{"vm2=ib", "vm1=eth"}, 2, {ETH, IB}, true, "several"},
        {{"vm2=eth", "vm1=eth"}, 2, {ETH, ETH}, true, "eth"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct placement placement;
        struct ninja_error err;
        assert_string_equal(read_words(world, rows[i].words, rows[i].n, &placement, &err), "");
        for (int v = 0; v < 2; v++) {
            assert_int_equal(placement.may[v] != NULL, rows[i].to[v] != STAYS);
            for (int s = 0; placement.may[v] != NULL && s < 2; s++) {
                assert_int_equal(placement.may[v][s], s == rows[i].to[v]);
            }
        }
        assert_int_equal(placement.by_name, rows[i].by_name);
        assert_string_equal(placement_name(world->cluster, rows[i].to), rows[i].name);
        placement_clear(&placement);
    }
}

static void words_that_cannot_be_meant_are_named(void **state)
{
    static const struct {
        char *words[3];
        int n;
        const char *class, *says;
    } rows[] = {
        {{"ethernet"}, 1, "NoSuchSite", "no site \"ethernet\"; there are: ib, eth"},
        {{""}, 1, "NoSuchSite", "no site \"\""},
        {{"vm1=ethernet"}, 1, "NoSuchSite", "no site \"ethernet\"; there are: ib, eth"},
        {{"vm1="}, 1, "NoSuchSite", "no site \"\""},
        {{"vm1=eth=ib"}, 1, "NoSuchSite", "no site \"eth=ib\""},
        {{"vm3=eth"}, 1, "NoSuchVM", "no VM \"vm3\"; there are: vm1, vm2"},
        {{"=eth"}, 1, "NoSuchVM", "no VM \"\""},
        {{"vm1=eth", "vm3=eth"}, 2, "NoSuchVM", "no VM \"vm3\""},
        {{"vm1=eth", "vm1=ib"}, 2, "BadArgument", "vm1 is named twice (vm1=eth and vm1=ib)"},
        {{"vm1=eth", "vm1=eth"}, 2, "BadArgument", "vm1 is named twice"},
        {{"vm1=eth", "eth"}, 2, "BadArgument", "found \"eth\" among others"},
        {{"eth", "ib"}, 2, "BadArgument", "one SITE for all VMs, or VM=SITE"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct placement placement;
        struct ninja_error err;
        assert_string_equal(read_words(world, rows[i].words, rows[i].n, &placement, &err),
                            rows[i].class);
        assert_non_null(strstr(err.message, rows[i].says));
        placement_clear(&placement);
    }
}

static void a_place_is_left_for_others(void **state)
{
    static const struct {
        const char *host, *to;
        const char *class, *says;
    } rows[] = {
        {"ib", NULL, "", ""},
        {"ib", "eth", "", ""},
        {"ib", "eth,ib", "", ""},
        {"ibx", NULL, "NoSuchSite", "no site \"ibx\""},
        {"ib", "", "NoSuchSite", "no site \"\""},
        {"ib", "eth,", "NoSuchSite", "no site \"\""},
        {"ib", "ib", "BadArgument", "nothing else that VMs could go to when they leave \"ib\""},
    };
    struct world *world = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct placement placement;
        struct ninja_error err = NINJA_ERROR_INIT;
        bool ok =
            placement_read_evacuation(&placement, world->cluster, rows[i].host, rows[i].to, &err);
        assert_int_equal(ok, rows[i].class[0] == '\0');
        assert_string_equal(ninja_error_class_name(err.class), rows[i].class);
        assert_non_null(strstr(err.message, rows[i].says));
        if (ok) {
            assert_true(placement.emptied[IB] && !placement.emptied[ETH]);
            assert_true(!placement.may[0][IB] && placement.may[0][ETH]);
        }
        placement_clear(&placement);
    }
}

/* ---- migrations ---- */

static void assert_vm_at(const struct world *world, int v, int site, bool device)
{
    const struct fake_qemu *here = &world->vms[v].qemus[site];
    assert_non_null(here->peer);
    assert_string_equal(here->status, "running");
    assert_string_equal(here->device, device ? "hca0" : "");
}

static void assert_reported(const struct world *world, int v, const char *from, const char *to,
                            const char *at)
{
    json_t *vm = json_array_get(json_object_get(world->report, "vms"), (size_t)v);
    json_t *said = json_object_get(vm, "to");
    assert_string_equal(json_string_value(json_object_get(vm, "from")), from);
    assert_string_equal(json_is_null(said) ? "" : json_string_value(said), to);
    assert_string_equal(json_string_value(json_object_get(vm, "at")), at);
}

static void one_moves_and_the_other_is_left_alone(void **state)
{
    teardown(state);
    for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
        struct world *world = *state = make_world(IB);
        assert_int_equal(migrate_each(world, (int[]){ETH, STAYS}, (enum migration_mode)mode),
                         OUTCOME_DONE);
        assert_vm_at(world, 0, ETH, false);
        assert_vm_at(world, 1, IB, true);
        assert_null(world->vms[0].qemus[IB].peer);
        assert_int_equal(fake_log_count("vm2 detach"), 0);
        assert_int_equal(fake_log_count("vm2@ib device_del"), 0);
        assert_int_equal(fake_log_count("vm2@eth migrate-incoming"), 0);
        assert_int_equal(fake_log_count("vm2 stop"), 1); /* its ranks take part in the switch */
        assert_int_equal(fake_log_count("vm2 leaving [[0,2]]"), mode == MODE_LIVE);
        assert_reported(world, 0, "ib", "eth", "eth");
        assert_reported(world, 1, "ib", "", "ib");
        assert_string_equal(json_string_value(json_object_get(world->report, "to")), "eth");
        teardown(state);
    }
    *state = make_world(IB);
}

static void two_change_places(void **state)
{
    teardown(state);
    struct world *world = *state = make_world_at((int[]){IB, ETH});
    assert_int_equal(migrate_each(world, (int[]){ETH, IB}, MODE_LIVE), OUTCOME_DONE);
    assert_vm_at(world, 0, ETH, false);
    assert_vm_at(world, 1, IB, true);
    assert_reported(world, 0, "ib", "eth", "eth");
    assert_reported(world, 1, "eth", "ib", "ib");
    assert_string_equal(json_string_value(json_object_get(world->report, "to")), "several");
    assert_string_equal(json_string_value(json_object_get(world->report, "from")), "several");
}

static void two_places_become_one(void **state)
{
    teardown(state);
    struct world *world = *state = make_world_at((int[]){IB, ETH});
    assert_int_equal(migrate_each(world, (int[]){STAYS, IB}, MODE_LIVE), OUTCOME_DONE);
    assert_vm_at(world, 0, IB, true);
    assert_vm_at(world, 1, IB, true);
    assert_job_runs_on(world, "openib");
    assert_int_equal(fake_log_count("vm1@ib device_del"), 0);
    assert_int_equal(fake_log_count("vm1 leaving [[2,2]]"), 1);
    assert_int_equal(fake_log_count("vm1 stop"), 1);
}

/* Its device was taken from it by somebody, who may have had a reason. */
static void one_that_is_not_named_gets_no_device(void **state)
{
    struct world *world = *state;
    strcpy(world->vms[1].qemus[IB].device, "");
    assert_int_equal(migrate_each(world, (int[]){ETH, STAYS}, MODE_LIVE), OUTCOME_DONE);
    assert_vm_at(world, 1, IB, false);
    assert_int_equal(fake_log_count("vm2@ib device_add"), 0);
}

static void what_fails_for_one_brings_all_back(void **state)
{
    teardown(state);
    struct world *world = *state = make_world_at((int[]){IB, ETH});
    world->vms[0].qemus[IB].copy_fails = true;
    assert_int_equal(migrate_each(world, (int[]){ETH, STAYS}, MODE_LIVE), OUTCOME_ROLLED_BACK);
    assert_vm_at(world, 0, IB, true);
    assert_vm_at(world, 1, ETH, false);
    assert_int_equal(fake_log_count("vm2 leaving [[0,2]]"), 2); /* there and back */
}

static void one_that_is_there_already_is_named(void **state)
{
    struct world *world = *state;
    int to[2] = {ETH, IB};
    struct migration_options options = {.placement = {.to = to, .by_name = true}};
    struct ninja_error err = NINJA_ERROR_INIT;
    look(world);
    assert_false(migration_check(world->survey, world->cluster, &options, &err));
    assert_string_equal(ninja_error_class_name(err.class), "NothingToDo");
    assert_string_equal(err.message, "vm2 is at \"ib\" already; leave it out");
    /* It is of use to name one whose device is missing. */
    survey_vms(world->survey)[1].vmm->has_device = false;
    err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_true(migration_check(world->survey, world->cluster, &options, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_IB(words_say_where_vms_go),
        AT_IB(words_that_cannot_be_meant_are_named),
        AT_IB(a_place_is_left_for_others),
        AT_IB(one_moves_and_the_other_is_left_alone),
        AT_IB(two_change_places),
        AT_IB(two_places_become_one),
        AT_IB(one_that_is_not_named_gets_no_device),
        AT_IB(what_fails_for_one_brings_all_back),
        AT_IB(one_that_is_there_already_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
