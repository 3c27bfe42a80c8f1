#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/jsonline.h"

#define MAX_LINE (4u * 1024 * 1024)

/* What came out: "{...}" for each object in compact form, "!" for each line that is none. */
struct seen {
    char text[4096];
    int objects, errors;
    char wrong[256];
};

static void see(void *ctx, json_t *object, const char *wrong)
{
    struct seen *seen = ctx;
    if (object == NULL) {
        seen->errors++;
        strcat(seen->text, "!");
        snprintf(seen->wrong, sizeof(seen->wrong), "%s", wrong);
        return;
    }
    seen->objects++;
    char *text = json_dumps(object, JSON_COMPACT);
    if (strlen(text) < 100) {
        strcat(seen->text, text);
    }
    free(text);
}

static struct seen fed(const char *bytes, size_t len, size_t piece)
{
    struct seen seen = {0};
    struct jsonline *j = jsonline_new(MAX_LINE, see, &seen);
    for (size_t at = 0; at < len; at += piece) {
        jsonline_feed(j, bytes + at, len - at < piece ? len - at : piece);
    }
    jsonline_free(j);
    return seen;
}

/* However the bytes are cut, the same comes out. */
static void gives(const char *bytes, size_t len, const char *want)
{
    const size_t pieces[] = {1, 2, 7, 4096};
    for (size_t i = 0; i < 4; i++) {
        struct seen seen = fed(bytes, len, pieces[i]);
        assert_string_equal(seen.text, want);
    }
}

#define GIVES(literal, want) gives(literal, sizeof(literal) - 1, want)

static void objects_come_out_one_a_line(void **state)
{
    GIVES("{\"a\":1}\n{\"b\":[2, {}]}\r\n", "{\"a\":1}{\"b\":[2,{}]}");
    GIVES("\n  \t\n\n", "");
    GIVES(" \t{ } \n", "{}");
}

static void an_object_needs_no_newline(void **state)
{
    GIVES("{\"a\":1}{\"b\":2}", "{\"a\":1}{\"b\":2}");
    GIVES("{\"a\":{\"b\":2}", "");
}

static void braces_in_strings_do_not_count(void **state)
{
    GIVES("{\"a\":\"}{][\\\"}\\\\\"}\n", "{\"a\":\"}{][\\\"}\\\\\"}");
}

static void every_truncation_is_one_error_or_nothing(void **state)
{
    const char whole[] = "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":[1,\"x\\n\"]}}";
    for (size_t len = 1; len < sizeof(whole) - 1; len++) {
        char line[sizeof(whole) + 16];
        memcpy(line, whole, len);
        strcpy(line + len, "\n{\"next\":1}\n");
        gives(line, strlen(line), "!{\"next\":1}");
    }
}

static void what_is_no_object_is_an_error(void **state)
{
    GIVES("hello\n", "!");
    GIVES("[1]\n", "!");
    GIVES("42\n\"x\"\nnull\n", "!!!");
    GIVES("}\n", "!");
    GIVES("{]\n", "!");
    GIVES("{\"a\":1,\"a\":2}\n", "!");
    GIVES("{\"a\":123456789012345678901234567890}\n", "!");
    GIVES("{\"a\":1} x\n", "{\"a\":1}!");
}

static void bad_utf8_nul_and_controls_are_errors(void **state)
{
    GIVES("{\"a\":\"\xc3\x28\"}\n", "!");
    GIVES("{\"a\":\"\xed\xa0\x80\"}\n", "!");
    GIVES("{\"a\":\"\xfe\"}\n", "!");
    GIVES("{\"a\":\"x\0y\"}\n", "!");
    GIVES("{\"a\":\"\\u0000\"}\n", "!");
    GIVES("\0\n", "!");
    GIVES("{\"a\":\"\x01\"}\n", "!");
    GIVES("{\"a\":\"\xc3\xa4\"}\n", "{\"a\":\"\xc3\xa4\"}");
}

static void ff_throws_away_what_was_begun(void **state)
{
    GIVES("{\"half\":[\xff{\"a\":1}\n", "{\"a\":1}");
    GIVES("{\"half\":\"in a string\xff{\"a\":1}\n", "{\"a\":1}");
    GIVES("\xff\xff\xff{\"a\":1}\n", "{\"a\":1}");
    /* also the rest of a line that was refused already */
    GIVES("[[[[[[[[[[[[[[[[[ \xff{\"a\":1}\n", "!{\"a\":1}");
}

static char *nested(int depth, size_t *len)
{
    static const char begin[] = "{\"a\":";
    size_t step = sizeof(begin) - 1, n = 0;
    char *line = malloc((size_t)depth * (step + 1) + 16);
    assert_non_null(line);
    for (int i = 0; i < depth - 1; i++, n += step) {
        memcpy(line + n, begin, step);
    }
    memcpy(line + n, "{}", 2);
    n += 2;
    memset(line + n, '}', (size_t)depth - 1);
    n += (size_t)depth - 1;
    line[n++] = '\n';
    *len = n;
    return line;
}

static void nesting_ends_at_16(void **state)
{
    size_t len;
    char *line = nested(16, &len);
    struct seen seen = fed(line, len, 4096);
    assert_int_equal(seen.objects, 1);
    assert_int_equal(seen.errors, 0);
    free(line);

    line = nested(17, &len);
    seen = fed(line, len, 4096);
    assert_int_equal(seen.objects, 0);
    assert_int_equal(seen.errors, 1);
    assert_string_equal(seen.wrong, "nesting deeper than 16");
    free(line);

    line = nested(100000, &len);
    seen = fed(line, len, 4096);
    assert_int_equal(seen.objects, 0);
    assert_int_equal(seen.errors, 1);
    free(line);
}

/* {"a":[{},{},...]}, with so many objects in all. */
static struct seen with_objects(int n)
{
    char *line = malloc((size_t)n * 3 + 32), *end = line + sprintf(line, "{\"a\":[{}");
    assert_non_null(line);
    for (int i = 2; i < n; i++, end += 3) {
        memcpy(end, ",{}", 3);
    }
    strcpy(end, "]}\n{\"b\":1}\n");
    struct seen seen = fed(line, strlen(line), 4096);
    free(line);
    return seen;
}

static void objects_of_a_line_are_bounded(void **state)
{
    struct seen seen = with_objects(JSON_MAX_OBJECTS);
    assert_int_equal(seen.objects, 2);
    assert_int_equal(seen.errors, 0);
    seen = with_objects(JSON_MAX_OBJECTS + 1);
    assert_string_equal(seen.text, "!{\"b\":1}");
    assert_string_equal(seen.wrong, "more than 65536 objects in a line");
}

/* A line of len bytes in all, newline not counted. */
static char *line_of(size_t len)
{
    char *line = malloc(len + 32);
    assert_non_null(line);
    size_t n = (size_t)sprintf(line, "{\"a\":\"");
    memset(line + n, 'x', len - n - 2);
    strcpy(line + len - 2, "\"}\n{\"b\":1}\n");
    return line;
}

static void a_line_ends_at_4_mib(void **state)
{
    size_t max = MAX_LINE;
    char *line = line_of(max);
    struct seen seen = fed(line, strlen(line), 4096);
    assert_int_equal(seen.objects, 2);
    assert_int_equal(seen.errors, 0);
    free(line);

    line = line_of(max + 1);
    seen = fed(line, strlen(line), 4096);
    assert_string_equal(seen.text, "!{\"b\":1}");
    assert_string_equal(seen.wrong, "line longer than 4 MiB");
    free(line);

    line = line_of(10 * 1000 * 1000);
    seen = fed(line, strlen(line), 4096);
    assert_string_equal(seen.text, "!{\"b\":1}");
    free(line);
}

static void it_tells_whether_a_line_is_open(void **state)
{
    struct seen seen = {0};
    struct jsonline *j = jsonline_new(2048, see, &seen);
    assert_false(jsonline_is_open(j));
    jsonline_feed(j, " {\"a\"", 5);
    assert_true(jsonline_is_open(j));
    jsonline_feed(j, ":1}", 3);
    assert_false(jsonline_is_open(j));
    jsonline_feed(j, "x", 1);
    assert_true(jsonline_is_open(j));
    jsonline_feed(j, "\n", 1);
    assert_false(jsonline_is_open(j));
    for (int i = 0; i < 4096; i++) {
        jsonline_feed(j, "[", 1);
    }
    assert_true(jsonline_is_open(j)); /* it was answered, and is skipped */
    jsonline_feed(j, "\n", 1);
    assert_false(jsonline_is_open(j));
    char *line = line_of(2049);
    jsonline_feed(j, line, strlen(line));
    assert_string_equal(seen.wrong, "line longer than 2 KiB");
    free(line);
    jsonline_free(j);
}

/* What the agent's lines and the host's are parsed by. They differ in repeated keys alone. */
static void one_parser_takes_both_sides_lines(void **state)
{
    static const char *const none[] = {"",         "[1]",         "1",
                                       "{\"a\":1", "{\"a\":1} x", "{\"a\":\"\xfe\"}"};
    static const char twice[] = "{\"a\":1,\"a\":2}";
    char wrong[JSON_WRONG_BYTES];
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        for (size_t flags = 0; flags <= JSON_REJECT_DUPLICATES; flags += JSON_REJECT_DUPLICATES) {
            wrong[0] = '\0';
            assert_null(json_parse_line(none[i], strlen(none[i]), flags, wrong));
            assert_int_not_equal(wrong[0], '\0');
        }
    }
    assert_null(json_parse_line(twice, strlen(twice), JSON_REJECT_DUPLICATES, wrong));
    assert_non_null(strstr(wrong, "duplicate"));
    json_t *object = json_parse_line(twice, strlen(twice), 0, wrong);
    assert_int_equal(json_integer_value(json_object_get(object, "a")), 2);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_come_out_one_a_line),
        cmocka_unit_test(an_object_needs_no_newline),
        cmocka_unit_test(braces_in_strings_do_not_count),
        cmocka_unit_test(every_truncation_is_one_error_or_nothing),
        cmocka_unit_test(what_is_no_object_is_an_error),
        cmocka_unit_test(bad_utf8_nul_and_controls_are_errors),
        cmocka_unit_test(ff_throws_away_what_was_begun),
        cmocka_unit_test(nesting_ends_at_16),
        cmocka_unit_test(objects_of_a_line_are_bounded),
        cmocka_unit_test(a_line_ends_at_4_mib),
        cmocka_unit_test(it_tells_whether_a_line_is_open),
        cmocka_unit_test(one_parser_takes_both_sides_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
