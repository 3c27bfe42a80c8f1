/*
 * The host that a VM goes to, where the hosts say themselves what they have. Two VMs of the fixture
 * are at hosts of two sites. One of the hosts has what it has by the cluster file; what the others
 * say is the test's.
 */
#include "tests/unit/migration_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/migration/choice.h"

enum { BY_FILE = 1, E1, E2, PLACES };

static const char *const hosts[PLACES] = {"ib", "f1", "eth", "e2"};
static const char *const before[PLACES] = {"{ name = \"a\"; hosts = ( ", ", ",
                                           " ); }, { name = \"b\"; hosts = ( ", ", "};
static const char *const keys[PLACES] = {[BY_FILE] = "memory = 512; cpus = 4;"};
static struct vmm_room rooms[PLACES];

static struct vmm_room room_said(const struct vmm *vmm, int site)
{
    return rooms[site];
}

static void write_hosts(FILE *out)
{
    for (int h = 0; h < PLACES; h++) {
        fprintf(out,
                "%s{ name = \"%s\"; qmp = \"%s/{host}-{vm}.qmp\"; agent = "
                "\"%s/{host}-{vm}.agent\"; receive = \"tcp:10.9.0.%d:48{n}\"; %s }",
                before[h], hosts[h], fake_dir(), fake_dir(), h + 1, keys[h] != NULL ? keys[h] : "");
    }
}

/* In the place of the fixture's, with its sites as hosts. */
static void read_cluster(struct world *world)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[100];
    snprintf(path, sizeof(path), "%s/hosts.conf", fake_dir());
    FILE *out = fopen(path, "w");
    fprintf(out, "driver = \"qmp\"; vms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
                 "timeouts = { connect = 1500; command = 1500; };\n"
                 "sites = ( ");
    write_hosts(out);
    fprintf(out, " ); } );\n");
    fclose(out);
    cluster_free(world->cluster);
    world->cluster = cluster_read(path, driver_in_file, &err);
    assert_string_equal(err.message, "");
}

static struct world *make(const int at[2])
{
    static struct vmm_driver driver;
    struct world *world = make_world_at(at);
    driver = driver_qmp;
    driver.room = room_said;
    read_cluster(world);
    look(world);
    assert_true(survey_is_complete(world->survey, &world->refused));
    for (int v = 0; v < 2; v++) {
        struct vmm *vmm = survey_vms(world->survey)[v].vmm;
        vmm->driver = &driver;
        vmm->memory_mib = 256;
        vmm->cpus = 2;
    }
    memset(rooms, 0, sizeof(rooms));
    return world;
}

static int setup(void **state)
{
    *state = make((const int[]){IB, IB});
    return 0;
}

/* Where VMs go that leave "ib" for some hosts. */
static bool leave(struct world *world, const char *to, struct placement *placement,
                  struct ninja_error *err)
{
    *err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_true(placement_read_evacuation(placement, world->cluster, "ib", to, err));
    return choice_make(placement, world->cluster, world->survey, err);
}

static void both_go(struct world *world, const char *list, int first, int second, const char *why)
{
    struct placement placement;
    struct ninja_error err;
    if (!leave(world, list, &placement, &err)) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(placement.to[0], first);
    assert_int_equal(placement.to[1], second);
    if (strcmp(placement.why[0], why) != 0) {
        fail_msg("why: %s", placement.why[0]);
    }
    placement_clear(&placement);
}

static void is_refused(struct world *world, const char *list, const char *says)
{
    struct placement placement;
    struct ninja_error err;
    assert_false(leave(world, list, &placement, &err));
    assert_int_equal(err.class, ERR_NO_ROOM);
    if (strstr(err.message, says) == NULL) {
        fail_msg("it says: %s", err.message);
    }
    placement_clear(&placement);
}

static void a_host_that_says_nothing_has_room(void **state)
{
    both_go(*state, "eth,e2", E1, E2, "free at eth; 0 other VMs");
}

static void memory_is_a_limit(void **state)
{
    rooms[E1] = (struct vmm_room){.memory_mib = 9000, .free_mib = 255};
    rooms[E2] = (struct vmm_room){.memory_mib = 9000, .free_mib = 512};
    is_refused(*state, "eth",
               "there is no room for vm1: eth has too little memory (255 of 9000 MiB free, needed "
               "are 256)");
    both_go(*state, "eth,e2", E2, E2, "free at e2 512 MiB; 0 other VMs");
    rooms[E2].free_mib = 511;
    is_refused(
        *state, "eth,e2",
        "no room together for the 2 VMs that are to move (free are: eth 255 MiB; e2 511 MiB)");
    rooms[E2].free_mib = 0;
    is_refused(*state, "eth,e2", "e2 has too little memory (0 of 9000 MiB free");
}

static void cpus_are_none_but_decide(void **state)
{
    rooms[E1] = (struct vmm_room){.cpus = 4, .idle_cpus = -8};
    both_go(*state, "eth,e2", E2, E2, "free at e2; 0 other VMs");
    rooms[E2] = (struct vmm_room){.cpus = 4, .idle_cpus = 3};
    both_go(*state, "eth,e2", E2, E1, "free at e2 3 CPUs; 0 other VMs");
    both_go(*state, "e2,f1", BY_FILE, E2, "free at f1 512 MiB 4 CPUs; 0 other VMs");
    rooms[E2].idle_cpus = 1;
    both_go(*state, "eth,e2", E1, E2, "free at eth 0 CPUs; 0 other VMs; CPUs will be shared");
}

static void the_cluster_file_comes_first(void **state)
{
    rooms[BY_FILE] = (struct vmm_room){.memory_mib = 100, .cpus = 1, .idle_cpus = -10};
    rooms[E1] = (struct vmm_room){.memory_mib = 9000, .free_mib = 100};
    both_go(*state, "eth,f1", BY_FILE, BY_FILE, "free at f1 512 MiB 4 CPUs; 0 other VMs");
}

static void nobody_goes_to_a_host_that_does_not_answer(void **state)
{
    rooms[E1] = (struct vmm_room){.silent = "no route to it"};
    both_go(*state, "eth,e2", E2, E2, "free at e2; 0 other VMs");
    is_refused(*state, "eth", "no room for vm1: eth does not answer (no route to it)");
    rooms[E2] = (struct vmm_room){.memory_mib = 9000, .free_mib = 100};
    is_refused(*state, "eth,e2",
               "eth does not answer (no route to it); e2 has too little memory (100 of 9000");
}

static void go(struct world *world, char *const *words, int n, int first, int second)
{
    struct placement placement;
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_true(placement_read(&placement, world->cluster, words, n, &err));
    if (!choice_make(&placement, world->cluster, world->survey, &err)) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(placement.to[0], first);
    assert_int_equal(placement.to[1], second);
    placement_clear(&placement);
}

static void who_is_there_stays_without_room(void **state)
{
    char *words[] = {"a"};
    rooms[IB] = (struct vmm_room){.memory_mib = 512, .cpus = 1, .idle_cpus = -3};
    go(*state, words, 1, IB, IB);
}

static void cpus_of_one_who_leaves_are_idle(void **state)
{
    char *words[] = {"vm1=b", "vm2=a"};
    teardown(state);
    *state = make((const int[]){IB, ETH});
    rooms[IB] = (struct vmm_room){.cpus = 2, .idle_cpus = 0};
    rooms[E1] = (struct vmm_room){.cpus = 2, .idle_cpus = -1};
    go(*state, words, 2, E2, IB);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_that_says_nothing_has_room),
        TEST(memory_is_a_limit),
        TEST(cpus_are_none_but_decide),
        TEST(the_cluster_file_comes_first),
        TEST(nobody_goes_to_a_host_that_does_not_answer),
        TEST(who_is_there_stays_without_room),
        TEST(cpus_of_one_who_leaves_are_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
