/* Which VM goes to which host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "host/migration/packing.h"

#define MAX 5
#define ANY (-1)

#define N PACKING_MAY_NOT
#define Y PACKING_MAY
#define D PACKING_MAY_WITH_DEVICE

/* So many devices, ANY: it has no pool; memory; CPUs; VMs. */
#define HOST(devices_, memory, cpus_, vms_)                                                        \
    {                                                                                              \
        .has_devices = (devices_) != ANY, .devices = (devices_) != ANY ? (devices_) : 0,           \
        .memory_mib = (memory), .cpus = (cpus_), .vms = (vms_)                                     \
    }

/* CPUs that no VM has, on a host without a limit; VMs. */
#define SHARED(idle_, vms_)                                                                        \
    {                                                                                              \
        .memory_mib = ANY, .cpus = ANY, .idle_cpus = (idle_), .vms = (vms_)                        \
    }

static const struct {
    const char *what;
    struct packing_host hosts[MAX];
    int n_hosts;
    struct {
        int memory, cpus;
        enum packing_may may[MAX];
    } vms[MAX];
    int n_vms;
    enum packing result;
    int to[MAX];
} rows[] = {
    {"nobody", {HOST(0, 0, 0, 0)}, 1, {{0}}, 0, PACKING_FITS, {0}},
    {"the only one", {HOST(ANY, ANY, ANY, 0)}, 1, {{1, 1, {Y}}}, 1, PACKING_FITS, {0}},
    {"may not", {HOST(ANY, ANY, ANY, 0)}, 1, {{1, 1, {N}}}, 1, PACKING_LACKS, {0}},
    {"a device", {HOST(1, ANY, ANY, 0)}, 1, {{1, 1, {Y}}}, 1, PACKING_FITS, {0}},
    {"no device", {HOST(0, ANY, ANY, 0)}, 1, {{1, 1, {Y}}}, 1, PACKING_LACKS, {0}},
    {"just enough memory", {HOST(ANY, 5, ANY, 0)}, 1, {{5, 1, {Y}}}, 1, PACKING_FITS, {0}},
    {"too little memory", {HOST(ANY, 4, ANY, 0)}, 1, {{5, 1, {Y}}}, 1, PACKING_LACKS, {0}},
    {"just enough CPUs", {HOST(ANY, ANY, 2, 0)}, 1, {{1, 2, {Y}}}, 1, PACKING_FITS, {0}},
    {"too few CPUs", {HOST(ANY, ANY, 1, 0)}, 1, {{1, 2, {Y}}}, 1, PACKING_LACKS, {0}},
    {"a device is better than none, though more are there",
     {HOST(ANY, ANY, ANY, 0), HOST(1, ANY, ANY, 3)},
     2,
     {{1, 1, {Y, Y}}},
     1,
     PACKING_FITS,
     {1}},
    {"so is one of its own",
     {HOST(ANY, ANY, ANY, 0), HOST(ANY, ANY, ANY, 3)},
     2,
     {{1, 1, {Y, D}}},
     1,
     PACKING_FITS,
     {1}},
    {"fewer VMs",
     {HOST(1, ANY, ANY, 2), HOST(1, ANY, ANY, 1)},
     2,
     {{1, 1, {Y, Y}}},
     1,
     PACKING_FITS,
     {1}},
    {"the first of equals",
     {HOST(1, ANY, ANY, 1), HOST(1, ANY, ANY, 1)},
     2,
     {{1, 1, {Y, Y}}},
     1,
     PACKING_FITS,
     {0}},
    {"they are spread",
     {HOST(ANY, ANY, ANY, 0), HOST(ANY, ANY, ANY, 0)},
     2,
     {{1, 1, {Y, Y}}, {1, 1, {Y, Y}}, {1, 1, {Y, Y}}, {1, 1, {Y, Y}}},
     4,
     PACKING_FITS,
     {0, 1, 0, 1}},
    {"one goes elsewhere for the sake of another",
     {HOST(1, ANY, ANY, 0), HOST(1, ANY, ANY, 1)},
     2,
     {{1, 1, {Y, Y}}, {1, 1, {Y, N}}},
     2,
     PACKING_FITS,
     {1, 0}},
    {"the great one first",
     {HOST(ANY, 8, ANY, 0), HOST(ANY, 4, ANY, 0)},
     2,
     {{4, 1, {Y, Y}}, {8, 1, {Y, Y}}},
     2,
     PACKING_FITS,
     {1, 0}},
    {"each fits, and not both",
     {HOST(ANY, 8, ANY, 0)},
     1,
     {{5, 1, {Y}}, {5, 1, {Y}}},
     2,
     PACKING_LACKS,
     {0}},
    {"enough together, but nowhere at once",
     {HOST(ANY, 4, ANY, 0), HOST(ANY, 4, ANY, 0)},
     2,
     {{3, 1, {Y, Y}}, {3, 1, {Y, Y}}, {2, 1, {Y, Y}}},
     3,
     PACKING_LACKS,
     {0}},
    {"hosts that differ in CPUs alone",
     {HOST(ANY, ANY, 2, 0), HOST(ANY, ANY, 1, 0)},
     2,
     {{2, 1, {Y, Y}}, {1, 2, {Y, Y}}},
     2,
     PACKING_FITS,
     {1, 0}},
    {"CPUs of its own, though more VMs are there",
     {SHARED(1, 0), SHARED(2, 3)},
     2,
     {{1, 2, {Y, Y}}},
     1,
     PACKING_FITS,
     {1}},
    {"a device is better than CPUs of its own",
     {SHARED(1, 0), SHARED(2, 0)},
     2,
     {{1, 2, {D, Y}}},
     1,
     PACKING_FITS,
     {0}},
    {"CPUs are shared where there is no other way",
     {SHARED(1, 3), SHARED(-4, 2)},
     2,
     {{1, 2, {Y, Y}}},
     1,
     PACKING_FITS,
     {1}},
    {"who comes has the CPUs that were idle",
     {SHARED(2, 0), SHARED(4, 3)},
     2,
     {{1, 2, {Y, Y}}, {1, 2, {Y, Y}}, {1, 2, {Y, Y}}, {1, 2, {Y, Y}}},
     4,
     PACKING_FITS,
     {0, 1, 1, 0}},
    {"all CPUs that are wanted",
     {SHARED(9, 0), SHARED(PACKING_UNKNOWN, 0)},
     2,
     {{1, 10, {Y, Y}}, {1, 10, {Y, Y}}},
     2,
     PACKING_FITS,
     {1, 1}},
    {"as many devices as there are, the rest without",
     {HOST(1, ANY, ANY, 0), HOST(ANY, ANY, ANY, 0)},
     2,
     {{1, 1, {Y, Y}}, {1, 1, {Y, Y}}, {1, 1, {Y, Y}}},
     3,
     PACKING_FITS,
     {0, 1, 1}},
};

static void each_row_holds(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packing_vm vms[MAX];
        int to[MAX];
        for (int v = 0; v < rows[i].n_vms; v++) {
            vms[v] =
                (struct packing_vm){rows[i].vms[v].memory, rows[i].vms[v].cpus, rows[i].vms[v].may};
        }
        enum packing result = packing_find(rows[i].hosts, rows[i].n_hosts, vms, rows[i].n_vms, to);
        if (result != rows[i].result) {
            fail_msg("%s: %d", rows[i].what, result);
        }
        for (int v = 0; result == PACKING_FITS && v < rows[i].n_vms; v++) {
            if (to[v] != rows[i].to[v]) {
                fail_msg("%s: VM %d goes to %d", rows[i].what, v, to[v]);
            }
        }
    }
}

static void what_lacks_is_named(void **state)
{
    const enum packing_may may[] = {Y};
    const struct packing_vm vm = {4, 2, may};
    const struct packing_host room = HOST(1, 4, 2, 0), no_device = HOST(0, 4, 2, 0),
                              memory = HOST(1, 3, 2, 0), cpus = HOST(1, 4, 1, 0);
    assert_int_equal(packing_lacks(&room, &vm), PACKING_NOTHING);
    assert_int_equal(packing_lacks(&no_device, &vm), PACKING_DEVICES);
    assert_int_equal(packing_lacks(&memory, &vm), PACKING_MEMORY);
    assert_int_equal(packing_lacks(&cpus, &vm), PACKING_CPUS);
}

/* ---- against all ways that there are ---- */

struct problem {
    struct packing_host hosts[MAX];
    enum packing_may may[MAX][MAX];
    struct packing_vm vms[MAX];
    int n_hosts, n_vms;
};

static int below(unsigned int *seed, int limit)
{
    return (int)((unsigned int)rand_r(seed) % (unsigned int)limit);
}

static void make_problem(struct problem *it, unsigned int *seed)
{
    it->n_hosts = 1 + below(seed, MAX - 1);
    it->n_vms = 1 + below(seed, MAX);
    for (int h = 0; h < it->n_hosts; h++) {
        int devices = below(seed, 5) - 1, memory = below(seed, 3) ? below(seed, 12) : ANY,
            cpus = below(seed, 3) ? below(seed, 8) : ANY;
        it->hosts[h] = (struct packing_host)HOST(devices, memory, cpus, below(seed, 3));
    }
    for (int v = 0; v < it->n_vms; v++) {
        it->vms[v] = (struct packing_vm){below(seed, 6), below(seed, 4), it->may[v]};
        for (int h = 0; h < it->n_hosts; h++) {
            it->may[v][h] = below(seed, 4) == 0 ? N : below(seed, 6) == 0 ? D : Y;
        }
    }
}

/* How many have a device if they go there; -1: they do not fit. */
static int value_of(const struct problem *it, const int *to)
{
    int with = 0;
    for (int h = 0; h < it->n_hosts; h++) {
        int64_t memory = 0;
        int cpus = 0, n = 0;
        for (int v = 0; v < it->n_vms; v++) {
            if (to[v] != h) {
                continue;
            }
            if (it->may[v][h] == PACKING_MAY_NOT) {
                return -1;
            }
            memory += it->vms[v].memory_mib;
            cpus += it->vms[v].cpus;
            with += it->hosts[h].has_devices || it->may[v][h] == PACKING_MAY_WITH_DEVICE;
            n++;
        }
        if ((it->hosts[h].has_devices && n > it->hosts[h].devices) ||
            (it->hosts[h].memory_mib >= 0 && memory > it->hosts[h].memory_mib) ||
            (it->hosts[h].cpus >= 0 && cpus > it->hosts[h].cpus)) {
            return -1;
        }
    }
    return with;
}

static int best_of_all_ways(const struct problem *it)
{
    int to[MAX] = {0}, best = -1;
    for (;;) {
        int value = value_of(it, to), v = 0;
        best = value > best ? value : best;
        while (v < it->n_vms && ++to[v] == it->n_hosts) {
            to[v++] = 0;
        }
        if (v == it->n_vms) {
            return best;
        }
    }
}

static void it_is_as_good_as_the_best_of_all_ways(void **state)
{
    unsigned int first = (unsigned int)time(NULL), n[2] = {0, 0};
    const char *given = getenv("NINJA_SEED");
    if (given != NULL) {
        first = (unsigned int)strtoul(given, NULL, 10);
    }
    printf("seed %u (NINJA_SEED)\n", first);
    for (unsigned int round = 0; round < 20000; round++) {
        struct problem it = {.n_hosts = 0};
        unsigned int seed = first + round;
        int to[MAX];
        make_problem(&it, &seed);
        int best = best_of_all_ways(&it);
        enum packing result = packing_find(it.hosts, it.n_hosts, it.vms, it.n_vms, to);
        n[result == PACKING_FITS]++;
        enum packing expected = best < 0 ? PACKING_LACKS : PACKING_FITS;
        if (result != expected || (best >= 0 && value_of(&it, to) != best)) {
            fail_msg("seed %u: result %d, value %d, best %d", first + round, result,
                     result == PACKING_FITS ? value_of(&it, to) : -1, best);
        }
    }
    assert_true(n[0] > 1000 && n[1] > 1000);
}

/* Sixteen hosts, and VMs that fill them to the last but one: it ends, and soon. */
static void a_great_puzzle_is_given_up(void **state)
{
    enum { HOSTS = 16, VMS = 48 };
    struct packing_host hosts[HOSTS];
    struct packing_vm vms[VMS];
    enum packing_may may[HOSTS];
    int to[VMS];
    for (int h = 0; h < HOSTS; h++) {
        hosts[h] = (struct packing_host)HOST(ANY, 100 + h, 1000 + h, 0);
        may[h] = Y;
    }
    for (int v = 0; v < VMS; v++) {
        vms[v] = (struct packing_vm){34 + v % 2, v % 7, may};
    }
    assert_int_equal(packing_find(hosts, HOSTS, vms, VMS, to), PACKING_GAVE_UP);
    for (int v = 0; v < VMS; v++) {
        vms[v].memory_mib = 30;
    }
    assert_int_equal(packing_find(hosts, HOSTS, vms, VMS, to), PACKING_FITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_holds),
        cmocka_unit_test(what_lacks_is_named),
        cmocka_unit_test(it_is_as_good_as_the_best_of_all_ways),
        cmocka_unit_test(a_great_puzzle_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
