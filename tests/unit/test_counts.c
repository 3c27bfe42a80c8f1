/* Who sent how many messages to whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/switch/counts.h"
#include "tests/unit/json_check.h"

static bool set_row(struct counts *counts, int rank, const char *text, bool *changed)
{
    json_t *row = parse(text);
    struct ninja_error err = NINJA_ERROR_INIT;
    bool ok = counts_set_row(counts, rank, row, changed, &err);
    assert_int_equal(ok, !ninja_error_is_set(&err));
    json_decref(row);
    return ok;
}

static void rows_become_columns(void **state)
{
    struct counts *counts = counts_new(3);
    bool changed = false;
    assert_true(set_row(counts, 0, "[[2, 5], [1, 65535]]", &changed));
    assert_true(set_row(counts, 2, "[[1, 7]]", &changed));
    assert_json(counts_column(counts, 1), "[[0,65535],[2,7]]");
    assert_json(counts_column(counts, 2), "[[0,5]]");
    assert_json(counts_column(counts, 0), "[]");
    counts_free(counts);
}

static void only_a_difference_is_a_change(void **state)
{
    struct counts *counts = counts_new(3);
    bool changed = false;
    assert_true(set_row(counts, 0, "[[1, 5], [2, 0]]", &changed));
    assert_true(changed);
    changed = false;
    assert_true(set_row(counts, 0, "[[0, 0], [1, 5]]", &changed));
    assert_false(changed);
    assert_true(set_row(counts, 0, "[[1, 6]]", &changed));
    assert_true(changed);
    changed = false;
    assert_true(counts_set_row(counts, 0, NULL, &changed, NULL));
    assert_true(changed);
    counts_free(counts);
}

static void malformed_rows_are_refused_and_change_nothing(void **state)
{
    static const char *const wrong[] = {
        "{}",
        "[1]",
        "[[1]]",
        "[[1,2,3]]",
        "[[3,1]]",
        "[[-1,1]]",
        "[[1,-1]]",
        "[[1,\"2\"]]",
        "[[1,1],[1,2]]",
        "[[0,1],[1,1],[2,1],[0,0]]",
        "[[1,1.5]]",
        "[[1,99999999999]]",
    };
    struct counts *counts = counts_new(3);
    bool changed = false;
    assert_true(set_row(counts, 0, "[[1, 5]]", &changed));
    changed = false;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (set_row(counts, 0, wrong[i], &changed)) {
            fail_msg("%s was accepted", wrong[i]);
        }
    }
    assert_false(changed);
    assert_json(counts_column(counts, 1), "[[0,5]]");
    counts_free(counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_columns),
        cmocka_unit_test(only_a_difference_is_a_change),
        cmocka_unit_test(malformed_rows_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
