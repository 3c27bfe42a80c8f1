/*
 * What comes from the other side of a stream: the head of a frame, and a batch. What is taken for
 * right has the size that it says, and more memory than that is not used.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "stream/batch.h"
#include "tests/fuzz/fuzz.h"

static void check_batch(const struct frame *frame, struct pages *pages)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct frame *bytes = batch_decode(frame, pages, &err);
    FUZZ_CHECK((bytes == NULL) == (err.class == ERR_PROTOCOL));
    FUZZ_CHECK(bytes == NULL || (bytes->length > 0 && bytes->length <= BATCH_RAW_MAX));
    frame_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    uint8_t page[PAGE_BYTES], head[FRAME_HEAD_BYTES];
    if (size < FRAME_HEAD_BYTES || sodium_init() < 0) {
        return 0;
    }
    if (frame_head_get(&frame, data)) {
        FUZZ_CHECK(frame.length <= FRAME_MAX_BODY);
        frame_head_put(&frame, head);
        FUZZ_CHECK(memcmp(head, data, sizeof(head)) == 0);
    }
    struct pages *pages = pages_new(STORE_MIN_PAGES);
    for (int i = 0; i < 3; i++) { /* for what refers to pages */
        memset(page, i, sizeof(page));
        pages_add(pages, page);
    }
    frame = (struct frame){.type = FRAME_BATCH,
                           .length = (uint32_t)(size - FRAME_HEAD_BYTES),
                           .body = (uint8_t *)data + FRAME_HEAD_BYTES};
    check_batch(&frame, pages);
    pages_free(pages);
    return 0;
}
