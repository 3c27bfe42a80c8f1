/* How memory is sent: over how many connections, and compressed or not. */
#include "tests/unit/driver_fixture.h"

static const char *prepare(struct world *world)
{
    driver_qmp.locate(world->vmm, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    driver_qmp.prepare(world->vmm, ETH, on_done, world);
    return wait_for_it(world);
}

static void both_sides_are_told_the_same(void **state)
{
    struct world *world = *state;
    world->vmm->transfer.parallel = 4;
    world->vmm->transfer.compress = COMPRESS_ZSTD;
    assert_string_equal(prepare(world), "");
    assert_int_equal(fake_log_count("ib capability multifd on"), 1);
    assert_int_equal(fake_log_count("eth capability multifd on"), 1);
    assert_int_equal(fake_log_count("ib multifd 4 zstd"), 1);
    assert_int_equal(fake_log_count("eth multifd 4 zstd"), 1);
    assert_true(fake_log_find("eth multifd 4 zstd", 0) < fake_log_find("eth migrate-incoming", 0));
    driver_qmp.migrate(world->vmm, on_done, world);
    assert_string_equal(wait_for_it(world), "");
    assert_true(vmm_is_there(world->vmm));
}

/* One that received several connections before has kept what it was told then. */
static void what_was_set_before_is_taken_back(void **state)
{
    struct world *world = *state;
    assert_string_equal(prepare(world), "");
    assert_int_equal(fake_log_count("ib capability multifd off"), 1);
    assert_int_equal(fake_log_count("eth capability multifd off"), 1);
    assert_int_equal(fake_log_count("ib multifd 2 none"), 1);
    assert_int_equal(fake_log_count("eth multifd 2 none"), 1);
}

static void a_qemu_that_cannot_is_refused(void **state)
{
    struct world *world = *state;
    world->vmm->transfer.parallel = 2;
    world->qemus[IB].no_multifd = true;
    assert_string_equal(prepare(world), "Refused");
    assert_non_null(strstr(world->err.message, "multifd"));
    assert_int_equal(fake_log_count("eth migrate-incoming"), 0);
}

static void what_goes_together(void **state)
{
    static const struct {
        int parallel, post_copy_after, expected; /* -1: refused */
        const char *compress;
    } cases[] = {
        {0, -1, 0, "none"}, {0, -1, 2, "zlib"}, {4, -1, 4, "zstd"}, {4, -1, 4, "none"},
        {0, 1, 0, "none"},  {4, 0, -1, "none"}, {0, 1, -1, "zstd"}, {0, -1, -1, "gzip"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct transfer transfer = {.parallel = cases[i].parallel,
                                    .post_copy_after = cases[i].post_copy_after};
        bool ok = transfer_set_compress(&transfer, cases[i].compress, &err) &&
                  transfer_check(&transfer, &err);
        assert_int_equal(ok, cases[i].expected >= 0);
        assert_int_equal(ninja_error_is_set(&err), !ok);
        if (ok) {
            assert_int_equal(transfer.parallel, cases[i].expected);
            assert_string_equal(compress_name(transfer.compress), cases[i].compress);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_sides_are_told_the_same),
        TEST(what_was_set_before_is_taken_back),
        TEST(a_qemu_that_cannot_is_refused),
        cmocka_unit_test(what_goes_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
