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
    assert_false(ninja_error_set(&err, ERR_LOST, "number %d", 1));
    assert_false(ninja_error_set(&err, ERR_BUSY, "number %d", 2));
    assert_int_equal(err.class, ERR_LOST);
    assert_string_equal(err.message, "number 1");
}

static void errno_is_spelled_out(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    errno = ENOENT;
    ninja_error_set(&err, ERR_IO, "open: %m");
    assert_string_equal(err.message, "open: No such file or directory");
}

static void callers_add_where(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_where(&err, "nothing to add to");
    assert_false(ninja_error_is_set(&err));
    ninja_error_set(&err, ERR_IO, "short read");
    ninja_error_where(&err, "VM %s", "vm1");
    assert_string_equal(err.message, "VM vm1: short read");
}

static void long_messages_are_cut_not_overrun(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[2 * sizeof(err.message)];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ninja_error_set(&err, ERR_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    for (int i = 0; i < 60; i++) {
        ninja_error_where(&err, "a caller that adds %d", i);
    }
    assert_true(strlen(err.message) < sizeof(err.message));
}

static void a_null_error_is_ignored(void **state)
{
    assert_false(ninja_error_set(NULL, ERR_IO, "thing"));
    assert_false(ninja_error_where(NULL, "anywhere"));
}

static void classes_are_known_by_their_names(void **state)
{
#define CHECK(c, text)                                                                             \
    assert_string_equal(ninja_error_class_name(c), text);                                          \
    assert_int_equal(ninja_error_class_of(text), c);
    NINJA_ERROR_CLASSES(CHECK)
    assert_string_equal(ninja_error_class_name(ERR_NONE), "");
    assert_int_equal(ninja_error_class_of("OfAnotherParty"), ERR_GENERIC);
    assert_int_equal(ninja_error_class_of(""), ERR_GENERIC);
    assert_int_equal(ninja_error_class_of(NULL), ERR_GENERIC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(errno_is_spelled_out),
        cmocka_unit_test(callers_add_where),
        cmocka_unit_test(long_messages_are_cut_not_overrun),
        cmocka_unit_test(a_null_error_is_ignored),
        cmocka_unit_test(classes_are_known_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
