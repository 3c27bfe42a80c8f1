/* What ninja-stream makes of what a QEMU writes, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <sodium.h>

#include "stream/batch.h"
#include "stream/sorter.h"
#include "tests/unit/qemu_stream.h"

#define STORE 300 /* pages: fewer than come */

struct world {
    struct qemu_stream stream;
    struct sorter sorter;
    struct hashes *hashes;
    struct pages *pages;
    struct batch_counters counters;
    size_t checked; /* bytes that came out right */
    enum effort effort;
};

static struct world *make_world(unsigned seed, size_t pages, enum effort effort)
{
    struct world *world = calloc(1, sizeof(*world));
    qemu_stream_make(&world->stream, seed, pages);
    sorter_init(&world->sorter);
    world->hashes = hashes_new(STORE);
    world->pages = pages_new(STORE);
    world->effort = effort;
    return world;
}

static void free_world(struct world *world)
{
    qemu_stream_free(&world->stream);
    hashes_free(world->hashes);
    pages_free(world->pages);
    free(world);
}

static struct frame *encode(struct world *world)
{
    struct batch *batch = &world->sorter.batch;
    batch->is_stored = world->effort != EFFORT_NONE;
    engine_cpu.scan(batch, batch->is_stored ? world->hashes : NULL);
    for (unsigned i = 0; batch->is_stored && i < batch->n; i++) {
        if (batch->kind[i] == PAGE_LITERAL &&
            hashes_find(world->hashes, &batch->hash[i], &batch->back[i])) {
            batch->kind[i] = PAGE_COPY;
        }
    }
    return batch_encode(batch, 7, &engine_cpu, world->effort, &world->counters);
}

static void check_batch(struct world *world)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (batch_raw_bytes(&world->sorter.batch) == 0) {
        return;
    }
    struct frame *frame = encode(world);
    struct frame *bytes = batch_decode(frame, world->pages, &err);
    if (bytes == NULL) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(bytes->channel, 7);
    assert_memory_equal(bytes->body, world->stream.bytes + world->checked, bytes->length);
    world->checked += bytes->length;
    batch_begin_anew(&world->sorter.batch);
    frame_free(frame);
    frame_free(bytes);
}

/* In pieces of any size, as a socket gives them. */
static void feed(struct world *world, unsigned seed)
{
    for (size_t at = 0; at < world->stream.len;) {
        size_t n = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 2 ? 9 : 200000);
        n = n < world->stream.len - at ? n : world->stream.len - at;
        for (size_t end = at + n; at < end;) {
            at += sorter_take(&world->sorter, world->stream.bytes + at, end - at);
            if (sorter_is_full(&world->sorter)) {
                check_batch(world);
            }
        }
        if (rand_r(&seed) % 3 == 0) {
            check_batch(world);
        }
    }
    check_batch(world);
}

static void all_comes_out_as_it_went_in(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    for (enum effort effort = EFFORT_NONE; effort <= EFFORT_MUCH; effort++) {
        struct world *world = make_world(seed, 3000, effort);
        feed(world, seed);
        assert_int_equal(world->checked, world->stream.len);
        assert_int_equal(world->counters.pages, world->stream.pages);
        assert_true(effort == EFFORT_NONE || world->counters.copies > 100);
        assert_true(effort == EFFORT_NONE || world->counters.same > 100);
        for (enum codec_id id = CODEC_NONE; effort == EFFORT_MUCH && id < CODECS; id++) {
            assert_true(world->counters.by_codec[id] > 0 || id == CODEC_LZ4);
        }
        assert_true(effort == EFFORT_NONE ||
                    world->counters.coded_bytes < world->counters.raw_bytes * 2 / 3);
        free_world(world);
    }
}

/* What is no pre-copy of QEMU's has no pages, and goes through all the same. */
static void what_is_not_known_goes_through(void **state)
{
    for (size_t at = 0; at < 700; at++) {
        struct world *world = make_world(1, 20, EFFORT_MUCH);
        world->stream.bytes[at] ^= 0x5a;
        feed(world, 1);
        assert_int_equal(world->checked, world->stream.len);
        free_world(world);
    }
}

static void a_wrong_byte_is_never_memory(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    struct world *world = make_world(seed, 120, EFFORT_MUCH);
    size_t len = sorter_take(&world->sorter, world->stream.bytes, world->stream.len);
    struct frame *frame = encode(world);
    for (int i = 0; i < 3000; i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct pages *pages = pages_new(STORE);
        uint8_t *byte = &frame->body[(size_t)rand_r(&seed) % frame->length];
        uint8_t was = *byte;
        *byte ^= (uint8_t)(1 + rand_r(&seed) % 255);
        struct frame *bytes = batch_decode(frame, pages, &err);
        if (bytes != NULL) {
            assert_int_equal(bytes->length, len);
            assert_memory_equal(bytes->body, world->stream.bytes, len);
        } else {
            assert_int_equal(err.class, ERR_PROTOCOL);
        }
        frame_free(bytes);
        pages_free(pages);
        *byte = was;
    }
    frame_free(frame);
    free_world(world);
}

/* Both forget the same pages. */
static void a_reference_leads_to_the_same_page_at_both_sides(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    struct hashes *hashes = hashes_new(STORE_MIN_PAGES);
    struct pages *pages = pages_new(STORE_MIN_PAGES);
    uint8_t page[PAGE_BYTES] = {0};
    int found = 0;
    print_message("seed %u\n", seed);
    for (int i = 0; i < 20000; i++) {
        struct page_hash hash;
        uint32_t back = 0;
        unsigned which = (unsigned)rand_r(&seed) % (i % 2 ? 100 : 2000);
        memcpy(page, &which, sizeof(which));
        hashes_of(hashes, page, &hash);
        if (hashes_find(hashes, &hash, &back)) {
            const uint8_t *same = pages_find(pages, back);
            assert_non_null(same);
            assert_memory_equal(same, page, PAGE_BYTES);
            found++;
        } else {
            pages_add(pages, page);
        }
    }
    assert_true(found > 1000);
    assert_null(pages_find(pages, 0));
    assert_null(pages_find(pages, STORE_MIN_PAGES + 1));
    hashes_free(hashes);
    pages_free(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_out_as_it_went_in),
        cmocka_unit_test(what_is_not_known_goes_through),
        cmocka_unit_test(a_wrong_byte_is_never_memory),
        cmocka_unit_test(a_reference_leads_to_the_same_page_at_both_sides),
    };
    if (sodium_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
