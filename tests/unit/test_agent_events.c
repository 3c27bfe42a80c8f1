#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guest-agent/events.h"

static json_int_t seq_of(json_t *event)
{
    return json_integer_value(json_object_get(event, "seq"));
}

static void emit(struct events *ring, int n)
{
    for (int i = 0; i < n; i++) {
        events_emit(ring, "E", json_pack("{s:i}", "i", i));
    }
}

static void expect(struct events *ring, uint64_t after, size_t n, json_int_t first, bool lost)
{
    bool was_lost;
    json_t *list = events_after(ring, after, &was_lost);
    assert_int_equal(json_array_size(list), n);
    assert_int_equal(was_lost, lost);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(seq_of(json_array_get(list, i)), first + (json_int_t)i);
    }
    json_decref(list);
}

static void sequence_numbers_grow_by_one_from_one(void **state)
{
    struct events *ring = events_new();
    assert_int_equal(events_last_seq(ring), 0);
    expect(ring, 0, 0, 0, false);
    emit(ring, 3);
    assert_int_equal(events_last_seq(ring), 3);
    expect(ring, 0, 3, 1, false);
    expect(ring, 2, 1, 3, false);
    expect(ring, 3, 0, 0, false);
    expect(ring, 1000, 0, 0, false);
    expect(ring, UINT64_MAX - 1, 0, 0, false);
    events_free(ring);
}

static void the_last_ones_are_kept(void **state)
{
    struct events *ring = events_new();
    emit(ring, EVENTS_KEPT);
    expect(ring, 0, EVENTS_KEPT, 1, false);
    emit(ring, 1);
    expect(ring, 0, EVENTS_KEPT, 2, true);
    expect(ring, 1, EVENTS_KEPT, 2, false);
    emit(ring, 10000);
    expect(ring, 0, EVENTS_KEPT, 10002, true);
    expect(ring, 10000, EVENTS_KEPT, 10002, true);
    expect(ring, 10001, EVENTS_KEPT, 10002, false);
    expect(ring, 10001 + EVENTS_KEPT - 7, 7, 10001 + EVENTS_KEPT - 6, false);
    events_free(ring);
}

static json_t *big(size_t size)
{
    char *text = malloc(size);
    memset(text, 'x', size);
    json_t *data = json_pack("{s:s#}", "text", text, (int)size);
    free(text);
    return data;
}

static void all_that_is_kept_fits_into_a_line(void **state)
{
    struct events *ring = events_new();
    for (int i = 0; i < 20; i++) {
        events_emit(ring, "E", big(1024 * 1024));
    }
    bool lost;
    json_t *list = events_after(ring, 0, &lost);
    assert_true(lost);
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(seq_of(json_array_get(list, 2)), 20);
    assert_true(json_dumpb(list, NULL, 0, JSON_COMPACT) < CHANNEL_MAX_LINE - 1024);
    json_decref(list);
    events_free(ring);
}

static void data_too_big_for_a_line_is_left_out(void **state)
{
    struct events *ring = events_new();
    events_emit(ring, "E", big(5 * 1024 * 1024));
    bool lost;
    json_t *list = events_after(ring, 0, &lost);
    json_t *data = json_object_get(json_array_get(list, 0), "data");
    assert_true(json_is_true(json_object_get(data, "truncated")));
    json_decref(list);
    events_free(ring);
}

static void count(void *ctx, json_t *event)
{
    int *sum = ctx;
    *sum += (int)seq_of(event);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "E");
    assert_true(json_is_object(json_object_get(event, "data")));
}

static void the_sink_gets_each_as_it_happens(void **state)
{
    int sum = 0;
    struct events *ring = events_new();
    events_set_sink(ring, count, &sum);
    emit(ring, 4);
    assert_int_equal(sum, 10);
    events_set_sink(ring, NULL, NULL);
    emit(ring, 1);
    assert_int_equal(sum, 10);
    events_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequence_numbers_grow_by_one_from_one),
        cmocka_unit_test(the_last_ones_are_kept),
        cmocka_unit_test(all_that_is_kept_fits_into_a_line),
        cmocka_unit_test(data_too_big_for_a_line_is_left_out),
        cmocka_unit_test(the_sink_gets_each_as_it_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
