#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base64.h"

static void the_vectors_of_the_rfc(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char bytes[8];
        char *text = ninja_base64_encode(vectors[i][0], strlen(vectors[i][0]));
        assert_string_equal(text, vectors[i][1]);
        assert_int_equal(ninja_base64_decode(text, bytes, sizeof(bytes)), strlen(vectors[i][0]));
        assert_memory_equal(bytes, vectors[i][0], strlen(vectors[i][0]));
        free(text);
    }
}

static void every_byte_and_length_comes_back(void **state)
{
    uint8_t bytes[256 + 7], got[sizeof(bytes)];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        char *text = ninja_base64_encode(bytes, size);
        assert_int_equal(ninja_base64_decode(text, NULL, size), size);
        assert_int_equal(ninja_base64_decode(text, got, size), size);
        assert_memory_equal(got, bytes, size);
        if (size > 0) {
            assert_int_equal(ninja_base64_decode(text, got, size - 1), -1);
        }
        free(text);
    }
}

static void malformed_text_is_refused(void **state)
{
    static const char *const texts[] = {
        "Z",    "Zg",       "Zg=",   "Zm9vY", "Zh==",  "Zm9=", "====", "=m9v",    "Z=9v",    "Zm=v",
        "Z===", "Zg==Zg==", "Zm 8=", " Zm8",  "Zm8\n", "Zm9-", "Zm9_", "Zm9\xff", "Zm\x80v",
    };
    char bytes[8];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(ninja_base64_decode(texts[i], bytes, sizeof(bytes)), -1);
        assert_int_equal(ninja_base64_decode(texts[i], NULL, sizeof(bytes)), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc),
        cmocka_unit_test(every_byte_and_length_comes_back),
        cmocka_unit_test(malformed_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
