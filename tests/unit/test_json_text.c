/* Text of others, made into JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/base/json_text.h"
#include "tests/unit/json_check.h"

static void text_that_is_not_utf8_becomes_json(void **state)
{
    assert_json(json_text("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
    assert_json(json_text("caf\xc3"), "\"caf?\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_not_utf8_becomes_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
