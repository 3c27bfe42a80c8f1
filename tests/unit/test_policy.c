/* Which way memory is best sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "host/migration/policy.h"

#define MIB      ((int64_t)1 << 20)
#define ANY_TIME VMM_POST_COPY_ANY_TIME
#define AT_ONCE  VMM_POST_COPY_AT_ONCE
#define NEVER    VMM_POST_COPY_NEVER

/* Refused, or ... */
#define REFUSED (-1)

static const struct {
    const char *what;
    int to_send, rate, written, written_thrice; /* MiB, MiB/s; written -1: not known */
    enum vmm_post_copy post_copy;
    struct policy_limits limits;
    int method;
} rows[] = {
    {"an idle VM", 400, 100, 0, 0, ANY_TIME, {0}, METHOD_PRE_COPY},
    {"an idle VM, and what is sent counts",
     400,
     100,
     0,
     0,
     ANY_TIME,
     {.priority = PRIORITY_NETWORK},
     METHOD_PRE_COPY},
    {"it writes a little", 400, 100, 10, 30, ANY_TIME, {0}, METHOD_PRE_COPY},
    {"it writes faster than it is sent", 1000, 100, 200, 600, ANY_TIME, {0}, METHOD_POST_COPY_LATE},
    {"the same, and only from the beginning", 1000, 100, 200, 600, AT_ONCE, {0}, METHOD_POST_COPY},
    {"the same, and never", 1000, 100, 200, 600, NEVER, {0}, REFUSED},
    {"it writes fast, to few pages", 1000, 100, 20, 20, ANY_TIME, {0}, METHOD_PRE_COPY},
    {"the same, for as long as too long",
     1000,
     100,
     20,
     20,
     ANY_TIME,
     {.max_downtime_ms = 100},
     METHOD_POST_COPY_LATE},
    {"the same, and nothing else can be had",
     1000,
     100,
     20,
     20,
     NEVER,
     {.max_downtime_ms = 100},
     REFUSED},
    {"many passes",
     1000,
     100,
     80,
     240,
     ANY_TIME,
     {.priority = PRIORITY_THROUGHPUT},
     METHOD_POST_COPY},
    {"many passes, in time",
     1000,
     100,
     80,
     240,
     ANY_TIME,
     {.priority = PRIORITY_LATENCY, .max_total_ms = 15000},
     METHOD_POST_COPY},
    {"many passes, and what is sent counts",
     1000,
     100,
     80,
     240,
     ANY_TIME,
     {.priority = PRIORITY_NETWORK},
     METHOD_POST_COPY},
    {"as much as all of it",
     1000,
     100,
     80,
     240,
     ANY_TIME,
     {.max_bytes = 1100 * MIB},
     METHOD_POST_COPY},
    {"less than all of it", 1000, 100, 80, 240, ANY_TIME, {.max_bytes = 900 * MIB}, REFUSED},
    {"in less time than it takes", 1000, 100, 0, 0, ANY_TIME, {.max_total_ms = 9000}, REFUSED},
    {"no rate", 1000, 0, 200, 600, ANY_TIME, {.priority = PRIORITY_THROUGHPUT}, METHOD_PRE_COPY},
    {"not measured",
     1000,
     100,
     -1,
     0,
     ANY_TIME,
     {.priority = PRIORITY_THROUGHPUT},
     METHOD_PRE_COPY},
};

static struct policy_facts facts_of(size_t i)
{
    const struct policy_limits *limits = &rows[i].limits;
    return (struct policy_facts){
        .name = "vm1",
        .to_send = rows[i].to_send * MIB,
        .bytes_per_s = rows[i].rate * MIB,
        .downtime_limit_ms = limits->max_downtime_ms > 0 ? (int)limits->max_downtime_ms : 300,
        .writes = {rows[i].written >= 0, rows[i].written * MIB, rows[i].written_thrice * MIB},
        .post_copy = rows[i].post_copy,
    };
}

static void chooses(void **unused)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct policy_facts facts = facts_of(i);
        struct policy_choice choice;
        bool ok = policy_choose(&facts, 1, &rows[i].limits, &choice, &err);
        int method = ok ? (int)choice.method : REFUSED;
        if (method != rows[i].method) {
            fail_msg("%s: %d, not %d", rows[i].what, method, rows[i].method);
        }
        assert_int_equal(ok, !ninja_error_is_set(&err));
        assert_true(ok || err.class == ERR_REFUSED);
    }
}

/* 10 s for all of it; then 800 MiB, 640 MiB... */
static void foresees_passes(void **unused)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct policy_limits limits = {.priority = PRIORITY_LATENCY};
    struct policy_facts facts = {
        "vm1", 1000 * MIB, 100 * MIB, 0, 300, {true, 80 * MIB, 240 * MIB}, ANY_TIME};
    struct policy_choice choice;
    assert_true(policy_choose(&facts, 1, &limits, &choice, &err));
    const struct policy_forecast *late = &choice.forecasts[METHOD_POST_COPY_LATE];
    assert_int_equal(late->total_ms, 18000);
    assert_int_equal(late->behind_ms, 8000);
    const struct policy_forecast *first = &choice.forecasts[METHOD_PRE_COPY];
    assert_true(first->ends);
    assert_in_range(first->passes, 15, 17);
    assert_in_range(first->downtime_ms, 200, 300);
    assert_in_range(first->total_ms, 48000, 50000);
    assert_in_range(first->bytes, 4800 * MIB, 5000 * MIB);

    facts.rest_bytes_per_s = 50 * MIB;
    assert_true(policy_choose(&facts, 1, &limits, &choice, &err));
    assert_int_equal(late->total_ms, 26000);
    assert_int_equal(late->behind_ms, 16000);
    facts.rest_bytes_per_s = 0;

    facts.writes = (struct vmm_writes){true, 50 * MIB, 60 * MIB}; /* and never much more */
    assert_true(policy_choose(&facts, 1, &limits, &choice, &err));
    assert_int_equal(choice.method, METHOD_PRE_COPY);
    late = &choice.forecasts[METHOD_POST_COPY_LATE];
    assert_in_range(late->bytes, 1060 * MIB, 1062 * MIB);
}

static void limits_bytes_of_all(void **unused)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct policy_limits limits = {.max_bytes = 2050 * MIB};
    struct policy_facts facts[] = {
        {"vm1", 1000 * MIB, 100 * MIB, 0, 300, {true, 50 * MIB, 150 * MIB}, ANY_TIME},
        {"vm2", 1000 * MIB, 100 * MIB, 0, 300, {true, 0, 0}, ANY_TIME},
    };
    struct policy_choice choices[2];
    assert_true(policy_choose(facts, 2, &limits, choices, &err));
    assert_int_equal(choices[0].method, METHOD_POST_COPY);
    assert_int_equal(choices[1].method, METHOD_PRE_COPY);
    limits.max_bytes = 1900 * MIB;
    assert_false(policy_choose(facts, 2, &limits, choices, &err));
    assert_non_null(strstr(err.message, "--max-bytes"));
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static double cost_of(const struct policy_forecast *it, enum policy_priority priority)
{
    return priority == PRIORITY_NETWORK ? (double)it->bytes
           : priority == PRIORITY_THROUGHPUT
               ? (double)it->total_ms
               : (double)it->downtime_ms + 0.5 * (double)it->behind_ms;
}

static bool keeps(const struct policy_forecast *it, const struct policy_limits *limits)
{
    return it->possible && it->ends &&
           (limits->max_downtime_ms == 0 || it->downtime_ms <= limits->max_downtime_ms) &&
           (limits->max_total_ms == 0 || it->total_ms <= limits->max_total_ms) &&
           (limits->max_bytes == 0 || it->bytes <= limits->max_bytes);
}

/* Of whatever facts: no limit is broken that some way keeps, and no way is clearly better. */
static void is_never_far_from_the_best(void **unused)
{
    const char *given = getenv("NINJA_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    int refused = 0, of_method[METHODS] = {0};
    printf("NINJA_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < 20000; round++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct policy_limits limits = {.priority = next_random(&seed) % PRIORITIES};
        struct policy_facts facts = {.name = "vm1", .downtime_limit_ms = 300};
        struct policy_choice choice;
        facts.to_send = (int64_t)(1 + next_random(&seed) % 4000) * MIB;
        facts.bytes_per_s = (int64_t)(1 + next_random(&seed) % 1000) * MIB;
        facts.writes.known = true;
        facts.writes.bytes = (int64_t)(next_random(&seed) % 1000) * MIB;
        facts.writes.bytes_thrice = facts.writes.bytes * (int64_t)(next_random(&seed) % 40) / 10;
        facts.post_copy = next_random(&seed) % 3;
        limits.max_downtime_ms = next_random(&seed) % 3 ? 0 : 1 + (int)(next_random(&seed) % 500);
        limits.max_total_ms = next_random(&seed) % 3 ? 0 : 1 + (int)(next_random(&seed) % 60000);
        limits.max_bytes = next_random(&seed) % 3 ? 0 : (int64_t)(next_random(&seed) % 8000) * MIB;
        bool ok = policy_choose(&facts, 1, &limits, &choice, &err);
        double best = -1, cost = cost_of(&choice.forecasts[choice.method], limits.priority);
        for (int i = 0; i < METHODS; i++) {
            double of_this = cost_of(&choice.forecasts[i], limits.priority);
            if (keeps(&choice.forecasts[i], &limits) && (best < 0 || of_this < best)) {
                best = of_this;
            }
        }
        assert_int_equal(ok, best >= 0);
        refused += !ok;
        if (!ok) {
            continue;
        }
        of_method[choice.method]++;
        assert_true(keeps(&choice.forecasts[choice.method], &limits));
        double little = limits.priority == PRIORITY_NETWORK      ? (double)MIB
                        : limits.priority == PRIORITY_THROUGHPUT ? 10
                                                                 : facts.downtime_limit_ms;
        bool by_bytes = limits.max_bytes > 0; /* it may have been chosen to send little */
        assert_true(by_bytes || cost <= best * 1.1 + little);
    }
    printf("%d refused, %d %d %d\n", refused, of_method[0], of_method[1], of_method[2]);
    assert_true(refused > 0 && of_method[0] > 0 && of_method[1] > 0 && of_method[2] > 0);
}

static void tells_the_driver(void **unused)
{
    struct policy_limits limits = {.max_downtime_ms = 100};
    struct policy_facts facts = {.post_copy = ANY_TIME};
    struct transfer transfer = TRANSFER_DEFAULT;
    policy_apply(METHOD_POST_COPY, &facts, &limits, &transfer);
    assert_int_equal(transfer.post_copy_after, 0);
    assert_int_equal(transfer.post_copy_if_stuck, -1);
    assert_int_equal(transfer.downtime_limit_ms, 100);
    policy_apply(METHOD_POST_COPY_LATE, &facts, &limits, &transfer);
    assert_int_equal(transfer.post_copy_after, 1);
    policy_apply(METHOD_PRE_COPY, &facts, &limits, &transfer);
    assert_int_equal(transfer.post_copy_after, -1);
    assert_int_equal(transfer.post_copy_if_stuck, TRANSFER_IF_STUCK);
    facts.post_copy = AT_ONCE;
    policy_apply(METHOD_PRE_COPY, &facts, &limits, &transfer);
    assert_int_equal(transfer.post_copy_if_stuck, -1);
}

static void reads_names(void **unused)
{
    for (int i = 0; i < PRIORITIES; i++) {
        assert_int_equal(policy_priority_read(policy_priority_name((enum policy_priority)i)), i);
    }
    assert_int_equal(policy_priority_read("speed"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses),
        cmocka_unit_test(foresees_passes),
        cmocka_unit_test(limits_bytes_of_all),
        cmocka_unit_test(is_never_far_from_the_best),
        cmocka_unit_test(tells_the_driver),
        cmocka_unit_test(reads_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
