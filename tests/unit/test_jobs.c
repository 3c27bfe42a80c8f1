/* The jobs of a cluster, from what each guest says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/agent/jobs.h"
#include "tests/unit/json_check.h"

static bool add(struct jobs *jobs, int vm, const char *text, struct ninja_error *err)
{
    json_t *answer = parse(text);
    bool ok = jobs_add(jobs, vm, answer, err);
    json_decref(answer);
    return ok;
}

static void jobs_of_all_vms_are_one(void **state)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_true(add(jobs, 0,
                    "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 1, \"pid\": "
                    "7, \"epoch\": 4, \"state\": \"RUNNING\"}]}], \"unmanaged\": []}",
                    &err));
    assert_false(jobs_are_complete(jobs, &err));
    assert_string_equal(ninja_error_class_name(err.class), "NotReady");
    assert_non_null(strstr(err.message, "rank 0 of 2"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_true(
        add(jobs, 1,
            "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 0, \"epoch\": "
            "3}]}]}",
            &err));
    assert_true(jobs_are_complete(jobs, &err));
    assert_int_equal(jobs->n, 1);
    assert_int_equal(jobs->jobs[0].epoch, 4);
    assert_int_equal(jobs->jobs[0].ranks[1].vm, 0);
    assert_true(add(jobs, 0,
                    "{\"jobs\": [{\"job\": \"k\", \"size\": 1, \"finalizing\": true, \"ranks\": "
                    "[{\"rank\": 0}]}]}",
                    &err));
    assert_false(jobs_are_complete(jobs, &err));
    assert_non_null(strstr(err.message, "MPI_Finalize"));
    jobs_free(jobs);
}

static void what_a_guest_may_not_say_of_jobs(void **state)
{
    static const char *const wrong[] = {
        "{}",
        "{\"jobs\": [{}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 0, \"ranks\": []}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 1000000, \"ranks\": []}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 2, \"ranks\": [{\"rank\": 2}]}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 2, \"ranks\": [{\"rank\": -1}]}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 2, \"ranks\": [{\"rank\": \"0\"}]}]}",
        "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 0}]}]}",
        "{\"jobs\": [{\"job\": \"j\", \"size\": 3, \"ranks\": []}]}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct jobs *jobs = calloc(1, sizeof(*jobs));
        struct ninja_error err = NINJA_ERROR_INIT;
        assert_true(add(jobs, 0,
                        "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 0}]}]}",
                        &err));
        if (add(jobs, 1, wrong[i], &err)) {
            fail_msg("%s was accepted", wrong[i]);
        }
        jobs_free(jobs);
    }
}

static json_t *one_job(int number, int size)
{
    char name[16];
    snprintf(name, sizeof(name), "j%d", number);
    return json_pack("{s:[{s:s, s:i, s:[]}]}", "jobs", "job", name, "size", size, "ranks");
}

/* Adds that many jobs; returns how many were taken. */
static int add_many(int n, int size, struct ninja_error *err)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    int taken = 0;
    for (bool ok = true; ok && taken < n; taken += ok) {
        json_t *answer = one_job(taken, size);
        ok = jobs_add(jobs, 0, answer, err);
        json_decref(answer);
    }
    assert_int_equal(jobs->n, taken);
    jobs_free(jobs);
    return taken;
}

/* A guest must not have the host make room for whatever sizes it says. */
static void jobs_and_their_ranks_are_bounded_together(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_int_equal(add_many(JOBS_MAX, 2, &err), JOBS_MAX);
    assert_int_equal(add_many(JOBS_MAX + 1, 2, &err), JOBS_MAX);
    assert_non_null(strstr(err.message, "more than 1024 jobs"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_int_equal(add_many(JOBS_MAX, JOBS_MAX_RANKS, &err), JOBS_MAX_ALL_RANKS / JOBS_MAX_RANKS);
    assert_non_null(strstr(err.message, "ranks together"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_of_all_vms_are_one),
        cmocka_unit_test(what_a_guest_may_not_say_of_jobs),
        cmocka_unit_test(jobs_and_their_ranks_are_bounded_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
