/*
 * What a QEMU writes, as ninja-stream reads it at the source: whatever it is, the same bytes come
 * out at the other side. The first byte says how it is cut, and how much CPU is spent.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "stream/sorter.h"
#include "tests/fuzz/fuzz.h"

struct bench {
    struct sorter sorter;
    struct hashes *hashes;
    struct pages *pages;
    enum effort effort;
    const uint8_t *expected;
    size_t left;
};

static void send_batch(struct bench *bench)
{
    struct batch *batch = &bench->sorter.batch;
    struct batch_counters counters = {0};
    struct ninja_error err = NINJA_ERROR_INIT;
    if (batch_raw_bytes(batch) == 0) {
        return;
    }
    batch->is_stored = bench->effort != EFFORT_NONE;
    engine_cpu.scan(batch, batch->is_stored ? bench->hashes : NULL);
    for (unsigned i = 0; batch->is_stored && i < batch->n; i++) {
        if (batch->kind[i] == PAGE_LITERAL &&
            hashes_find(bench->hashes, &batch->hash[i], &batch->back[i])) {
            batch->kind[i] = PAGE_COPY;
        }
    }
    struct frame *frame = batch_encode(batch, 1, &engine_cpu, bench->effort, &counters);
    struct frame *bytes = batch_decode(frame, bench->pages, &err);
    FUZZ_CHECK(bytes != NULL && bytes->length <= bench->left);
    FUZZ_CHECK(memcmp(bytes->body, bench->expected, bytes->length) == 0);
    bench->expected += bytes->length;
    bench->left -= bytes->length;
    frame_free(frame);
    frame_free(bytes);
    batch_begin_anew(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || sodium_init() < 0) {
        return 0;
    }
    static struct bench the_bench; /* it takes long to clear */
    struct bench *bench = &the_bench;
    size_t piece = 13 + (size_t)(data[0] >> 2) * 301;
    bench->hashes = hashes_new(STORE_MIN_PAGES);
    bench->pages = pages_new(STORE_MIN_PAGES);
    bench->effort = data[0] % 3;
    bench->expected = data + 1;
    bench->left = size - 1;
    bench->sorter.page_len = 0;
    sorter_init(&bench->sorter);
    batch_begin_anew(&bench->sorter.batch);
    for (size_t at = 1; at < size;) {
        size_t end = size - at < piece ? size : at + piece;
        while (at < end) {
            at += sorter_take(&bench->sorter, data + at, end - at);
            if (sorter_is_full(&bench->sorter)) {
                send_batch(bench);
            }
        }
        send_batch(bench);
    }
    FUZZ_CHECK(bench->left < PAGE_BYTES); /* a page that has not ended */
    hashes_free(bench->hashes);
    pages_free(bench->pages);
    return 0;
}
