#include "stream/sorter.h"

#include <string.h>

void sorter_init(struct sorter *sorter)
{
    parser_init(&sorter->parser);
}

bool sorter_is_full(const struct sorter *sorter)
{
    return sorter->batch.n == BATCH_PAGES || sorter->batch.rest_len == BATCH_REST;
}

/* What came since the last page of this batch is before it. */
static void end_page(struct sorter *sorter)
{
    struct batch *batch = &sorter->batch;
    size_t before = batch->n > 0 ? sorter->rest_before : 0;
    batch->gap[batch->n++] = (uint16_t)(batch->rest_len - before);
    sorter->rest_before = batch->rest_len;
    sorter->page_len = 0;
}

static size_t take_once(struct sorter *sorter, const uint8_t *bytes, size_t len)
{
    struct batch *batch = &sorter->batch;
    bool is_page, ends;
    size_t room = BATCH_REST - batch->rest_len;
    bool limited = sorter->parser.state != PARSER_PAGE && len > room;
    size_t n = parser_take(&sorter->parser, bytes, limited ? room : len, &is_page, &ends);
    if (is_page) {
        memcpy(batch->pages + batch->n * (size_t)PAGE_BYTES + sorter->page_len, bytes, n);
        sorter->page_len += n;
    } else {
        memcpy(batch->rest + batch->rest_len, bytes, n);
        batch->rest_len += n;
    }
    if (ends) {
        end_page(sorter);
    }
    return n;
}

size_t sorter_take(struct sorter *sorter, const uint8_t *bytes, size_t len)
{
    size_t done = 0;
    while (done < len && !sorter_is_full(sorter)) {
        done += take_once(sorter, bytes + done, len - done);
    }
    return done;
}
