#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/error.h"

static void the_first_error_wins(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_false(ninja_error_is_set(&err));
    assert_false(ninja_error_set(&err, "First", "number %d", 1));
    assert_false(ninja_error_set(&err, "Second", "number %d", 2));
    assert_string_equal(err.class, "First");
    assert_string_equal(err.message, "number 1");
}

static void errno_is_spelled_out(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    errno = ENOENT;
    ninja_error_set(&err, "Io", "open: %m");
    assert_string_equal(err.message, "open: No such file or directory");
}

static void callers_add_where(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_where(&err, "nothing to add to");
    assert_false(ninja_error_is_set(&err));
    ninja_error_set(&err, "Io", "short read");
    ninja_error_where(&err, "VM %s", "vm1");
    assert_string_equal(err.message, "VM vm1: short read");
}

static void long_messages_are_cut_not_overrun(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[2 * sizeof(err.message)];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ninja_error_set(&err, "ClassNameThatIsFarTooLongForTheField", "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    assert_int_equal(strlen(err.class), sizeof(err.class) - 1);
    for (int i = 0; i < 60; i++) {
        ninja_error_where(&err, "a caller that adds %d", i);
    }
    assert_true(strlen(err.message) < sizeof(err.message));
}

static void a_null_error_is_ignored(void **state)
{
    assert_false(ninja_error_set(NULL, "Any", "thing"));
    assert_false(ninja_error_where(NULL, "anywhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(errno_is_spelled_out),
        cmocka_unit_test(callers_add_where),
        cmocka_unit_test(long_messages_are_cut_not_overrun),
        cmocka_unit_test(a_null_error_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
