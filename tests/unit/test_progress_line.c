#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host/ctl/progress_line.h"

#define MIB ((int64_t)1 << 20)

static const struct progress_row half = {.name = "vm1",
                                         .stage = "copy",
                                         .copying = true,
                                         .transferred = 133 * MIB,
                                         .total = 256 * MIB,
                                         .remaining = 123 * MIB,
                                         .bytes_per_s = 95 * MIB,
                                         .dirty_bytes_per_s = 12 * MIB,
                                         .eta_s = 2,
                                         .elapsed_s = 3};

static const struct progress_row largest = {.name = "a-very-long-name-of-a-vm",
                                            .stage = "COPYING",
                                            .copying = true,
                                            .transferred = INT64_MAX,
                                            .total = INT64_MAX,
                                            .remaining = INT64_MAX,
                                            .bytes_per_s = INT64_MAX,
                                            .dirty_bytes_per_s = INT64_MAX,
                                            .eta_s = INT64_MAX,
                                            .elapsed_s = INT64_MAX};

static void check(const char *expected, int width, int name_width, bool bar,
                  const struct progress_row *row)
{
    char text[PROGRESS_MAX_LINE];
    progress_line(text, width, name_width, bar, row);
    assert_string_equal(text, expected);
}

static void all_fits_into_80_columns(void **state)
{
    check("vm1 copy      [#########.........]  51% 133M/256M  95M/s dirty  12M/s ETA  0:02", 79, 3,
          true, &half);
    check("vm1      copy      [######.......]  51% 133M/256M  95M/s dirty  12M/s ETA  0:02", 79, 8,
          true, &half);
    check("vm1 copy       51% 133M/256M  95M/s dirty  12M/s ETA  0:02", 79, 3, false, &half);
}

static void what_is_not_measured_is_not_shown(void **state)
{
    struct progress_row row = half;
    row.dirty_bytes_per_s = PROGRESS_UNKNOWN;
    row.eta_s = -1;
    check("vm1 copy       51% 133M/256M  95M/s ETA     -", 79, 3, false, &row);
    row.bytes_per_s = PROGRESS_UNKNOWN;
    check("vm1 copy       51% 133M/256M ETA     -", 79, 3, false, &row);
}

static void what_has_no_room_is_left_out(void **state)
{
    check("vm1 copy      [######.......]  51% 133M/256M  95M/s ETA  0:02", 61, 3, true, &half);
    check("vm1 copy      [#######........]  51%  95M/s ETA  0:02", 53, 3, true, &half);
    check("vm1 copy       51%  95M/s ETA  0:02", 37, 3, true, &half);
    check("vm1 copy       51% ETA  0:02", 30, 3, true, &half);
    check("vm1 copy       51%", 20, 3, true, &half);
    check("vm1 copy", 15, 3, true, &half);
    check("vm1 c", 5, 3, true, &half);
    check("", 0, 3, true, &half);
    check("", -1, 3, true, &half);
}

static void no_line_is_too_wide(void **state)
{
    static const struct progress_row *const rows[] = {&half, &largest};
    for (int width = 0; width < 400; width++) {
        for (size_t i = 0; i < 2; i++) {
            char text[PROGRESS_MAX_LINE];
            progress_line(text, width, 16, true, rows[i]);
            assert_true((int)strlen(text) <= width);
        }
    }
}

static void names_stay_different(void **state)
{
    struct progress_row row = half;
    row.copying = false;
    row.elapsed_s = -1;
    row.stage = "unplug";
    row.name = "hpc-compute-node-001";
    check("hpc-comp~ode-001 unplug", 79, 16, true, &row);
    row.name = "n001.hpc.example.org";
    check("n001.hpc~ple.org unplug", 79, 16, true, &row);
    row.name = "hpc-compute-0001";
    check("hpc-compute-0001 unplug", 79, 16, true, &row);
}

static void other_stages_have_a_time(void **state)
{
    struct progress_row row = half;
    row.copying = false;
    row.stage = "unplug";
    check("vm1 unplug     0:03", 79, 3, true, &row);
    row.elapsed_s = -1;
    check("vm1 unplug", 79, 3, true, &row);
}

static void amounts_are_short(void **state)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {{0, "   0/s"},
                 {999, " 999/s"},
                 {1000, "1.0K/s"},
                 {10 * 1024 - 60, "9.9K/s"},
                 {10 * 1024, " 10K/s"},
                 {1023 * MIB, "1.0G/s"},
                 {128 * 1024 * MIB, "128G/s"},
                 {-5, "   0/s"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[PROGRESS_MAX_LINE];
        struct progress_row row = half;
        row.bytes_per_s = cases[i].bytes;
        progress_line(text, 79, 3, true, &row);
        if (strstr(text, cases[i].text) == NULL) {
            fail_msg("expected \"%s\" in \"%s\"", cases[i].text, text);
        }
    }
}

static void what_cannot_be_foretold_is_not(void **state)
{
    assert_int_equal(progress_eta(100, 10, 0), 10);
    assert_int_equal(progress_eta(101, 20, 10), 11);
    assert_int_equal(progress_eta(100, 10, 10), -1);
    assert_int_equal(progress_eta(100, 0, 0), -1);
    assert_int_equal(progress_eta(0, 0, 0), 0);
    struct progress_row row = half;
    row.eta_s = -1;
    check("vm1 copy       51% ETA     -", 30, 3, true, &row);
    row.eta_s = 3600 * 3 + 60 * 5;
    check("vm1 copy       51% ETA 3h05m", 30, 3, true, &row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fits_into_80_columns),
        cmocka_unit_test(what_is_not_measured_is_not_shown),
        cmocka_unit_test(what_has_no_room_is_left_out),
        cmocka_unit_test(no_line_is_too_wide),
        cmocka_unit_test(names_stay_different),
        cmocka_unit_test(other_stages_have_a_time),
        cmocka_unit_test(amounts_are_short),
        cmocka_unit_test(what_cannot_be_foretold_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
