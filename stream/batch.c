#include "stream/batch.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "stream/bytes.h"

#define HEAD_BYTES  20
#define GROUP_HEAD  5
#define VALUE_BYTES 8
#define BACK_BYTES  4
#define GROUP_BYTES (GROUP_PAGES * PAGE_BYTES)

/* ---- the check ---- */

/* Of all that was decoded, so that no mistake of ours becomes memory. */
static uint64_t check_of(uint64_t before, const uint8_t *bytes, size_t len)
{
    uint8_t key[crypto_shorthash_KEYBYTES] = {0}, hash[crypto_shorthash_BYTES];
    put64(key, before);
    crypto_shorthash(hash, bytes, len, key);
    return get64(hash);
}

/* ---- the CPU ---- */

static bool repeats_a_value(const uint8_t *page)
{
    return memcmp(page, page + VALUE_BYTES, PAGE_BYTES - VALUE_BYTES) == 0;
}

static void scan(struct batch *batch, const struct hashes *hashes)
{
    for (unsigned i = 0; i < batch->n; i++) {
        const uint8_t *page = batch->pages + i * (size_t)PAGE_BYTES;
        batch->kind[i] = hashes != NULL && repeats_a_value(page) ? PAGE_SAME : PAGE_LITERAL;
        if (hashes != NULL && batch->kind[i] == PAGE_LITERAL) {
            hashes_of(hashes, page, &batch->hash[i]);
        }
    }
}

static size_t code_group(const uint8_t *group, size_t len, enum effort effort, uint8_t *to,
                         struct batch_counters *counters)
{
    uint8_t scratch[PAGE_BYTES];
    enum codec_id id = codec_choose(group, PAGE_BYTES, effort, scratch);
    size_t n = id != CODEC_NONE ? codecs[id].encode(group, len, to + GROUP_HEAD, len - 1) : 0;
    if (n == 0) {
        id = CODEC_NONE;
        n = codecs[id].encode(group, len, to + GROUP_HEAD, len);
    }
    to[0] = (uint8_t)id;
    put32(to + 1, (uint32_t)n);
    counters->by_codec[id] += len / PAGE_BYTES;
    return GROUP_HEAD + n;
}

static size_t code(const struct batch *batch, enum effort effort, uint8_t *to,
                   struct batch_counters *counters)
{
    uint8_t group[GROUP_BYTES];
    size_t len = 0, written = 0;
    for (unsigned i = 0; i < batch->n; i++) {
        if (batch->kind[i] != PAGE_LITERAL) {
            continue;
        }
        memcpy(group + len, batch->pages + i * (size_t)PAGE_BYTES, PAGE_BYTES);
        len += PAGE_BYTES;
        if (len == sizeof(group)) {
            written += code_group(group, len, effort, to + written, counters);
            len = 0;
        }
    }
    return len > 0 ? written + code_group(group, len, effort, to + written, counters) : written;
}

const struct engine engine_cpu = {"cpu", scan, code};

/* ---- to the wire ---- */

void batch_begin_anew(struct batch *batch)
{
    memcpy(batch->pages, batch->pages + batch->n * (size_t)PAGE_BYTES, PAGE_BYTES);
    batch->n = 0;
    batch->rest_len = 0;
}

/* Of where the pages are, what is around them, and the pages. */
static uint64_t check_of_batch(const struct batch *batch, const uint8_t *gaps)
{
    uint64_t check = check_of(0, gaps, 2 * (size_t)batch->n);
    check = check_of(check, batch->rest, batch->rest_len);
    for (unsigned i = 0; i < batch->n; i++) {
        check = check_of(check, batch->pages + i * (size_t)PAGE_BYTES, PAGE_BYTES);
    }
    return check;
}

static uint8_t *put_pages(const struct batch *batch, uint8_t *to, struct batch_counters *counters)
{
    memcpy(to, batch->kind, batch->n);
    to += batch->n;
    for (unsigned i = 0; i < batch->n; i++, to += 2) {
        put16(to, batch->gap[i]);
    }
    for (unsigned i = 0; i < batch->n; i++) {
        if (batch->kind[i] == PAGE_SAME) {
            memcpy(to, batch->pages + i * (size_t)PAGE_BYTES, VALUE_BYTES);
            to += VALUE_BYTES;
            counters->same++;
        } else if (batch->kind[i] == PAGE_COPY) {
            put32(to, batch->back[i]);
            to += BACK_BYTES;
            counters->copies++;
        }
    }
    return to;
}

static uint8_t *put_rest(const struct batch *batch, enum effort effort, uint8_t *head, uint8_t *to)
{
    enum codec_id id = effort == EFFORT_NONE ? CODEC_NONE : CODEC_LZ4;
    size_t n = codecs[id].encode(batch->rest, batch->rest_len, to, batch->rest_len);
    if (n == 0) {
        id = CODEC_NONE;
        n = codecs[id].encode(batch->rest, batch->rest_len, to, batch->rest_len);
    }
    head[3] = (uint8_t)id;
    put32(head + 8, (uint32_t)n);
    return to + n;
}

struct frame *batch_encode(const struct batch *batch, uint16_t channel, const struct engine *engine,
                           enum effort effort, struct batch_counters *counters)
{
    size_t groups = batch->n / GROUP_PAGES + 1;
    size_t room = HEAD_BYTES + batch->n * (3 + VALUE_BYTES) + batch->rest_len +
                  groups * GROUP_HEAD + batch->n * (size_t)PAGE_BYTES;
    struct frame *frame = frame_new(FRAME_BATCH, channel, (uint32_t)room);
    uint8_t *head = frame->body, *to = head + HEAD_BYTES;
    put16(head, (uint16_t)batch->n);
    head[2] = batch->is_stored ? BATCH_IS_STORED : 0;
    put32(head + 4, (uint32_t)batch->rest_len);
    to = put_pages(batch, to, counters);
    put64(head + 12, check_of_batch(batch, head + HEAD_BYTES + batch->n));
    to = put_rest(batch, effort, head, to);
    to += engine->code(batch, effort, to, counters);
    frame->length = (uint32_t)(to - frame->body);
    counters->pages += batch->n;
    counters->raw_bytes += batch_raw_bytes(batch);
    counters->coded_bytes += frame->length;
    return frame;
}

/* ---- from the wire ---- */

struct reading {
    const uint8_t *at, *end;
    unsigned n, literals;
    bool is_stored;
    const uint8_t *kinds, *gaps, *values;
    uint8_t *rest;
    size_t rest_len;
    uint8_t *pages; /* the literals, decoded */
    uint64_t check;
    struct pages *store;
};

static const uint8_t *take(struct reading *in, size_t len)
{
    const uint8_t *at = in->at;
    if (len > (size_t)(in->end - in->at)) {
        return NULL;
    }
    in->at += len;
    return at;
}

static bool decode(struct reading *in, unsigned id, size_t coded, uint8_t *to, size_t len)
{
    const uint8_t *from = take(in, coded);
    return from != NULL && id < CODECS && codecs[id].decode(from, coded, to, len);
}

static bool take_head(struct reading *in)
{
    const uint8_t *head = take(in, HEAD_BYTES);
    if (head == NULL || get16(head) > BATCH_PAGES || get32(head + 4) > BATCH_REST ||
        (head[2] & ~BATCH_IS_STORED) != 0) {
        return false;
    }
    in->n = get16(head);
    in->is_stored = (head[2] & BATCH_IS_STORED) != 0;
    in->rest_len = get32(head + 4);
    in->check = get64(head + 12);
    in->kinds = take(in, in->n);
    in->gaps = take(in, 2 * (size_t)in->n);
    return in->kinds != NULL && in->gaps != NULL;
}

static bool take_kinds(struct reading *in)
{
    static const size_t bytes_of[PAGE_KINDS] = {
        [PAGE_LITERAL] = 0, [PAGE_SAME] = VALUE_BYTES, [PAGE_COPY] = BACK_BYTES};
    size_t len = 0, gaps = 0;
    for (unsigned i = 0; i < in->n; i++) {
        if (in->kinds[i] >= PAGE_KINDS) {
            return false;
        }
        len += bytes_of[in->kinds[i]];
        gaps += get16(in->gaps + 2 * (size_t)i);
        in->literals += in->kinds[i] == PAGE_LITERAL;
    }
    in->values = take(in, len);
    return in->values != NULL && gaps <= in->rest_len;
}

static bool take_groups(struct reading *in)
{
    size_t left = in->literals * (size_t)PAGE_BYTES;
    for (uint8_t *to = in->pages; left > 0;) {
        size_t len = left < GROUP_BYTES ? left : GROUP_BYTES;
        const uint8_t *head = take(in, GROUP_HEAD);
        if (head == NULL || !decode(in, head[0], get32(head + 1), to, len)) {
            return false;
        }
        to += len;
        left -= len;
    }
    return in->at == in->end;
}

static void fill(uint8_t *page, const uint8_t *value)
{
    for (size_t i = 0; i < PAGE_BYTES; i += VALUE_BYTES) {
        memcpy(page + i, value, VALUE_BYTES);
    }
}

/* A page as it was; false: it refers to none. */
static bool put_page(struct reading *in, unsigned kind, const uint8_t **literal, uint8_t *to)
{
    if (kind == PAGE_SAME) {
        fill(to, in->values);
        in->values += VALUE_BYTES;
        return true;
    }
    if (kind == PAGE_COPY) {
        const uint8_t *page = pages_find(in->store, get32(in->values));
        in->values += BACK_BYTES;
        if (page != NULL) {
            memcpy(to, page, PAGE_BYTES);
        }
        return page != NULL;
    }
    memcpy(to, *literal, PAGE_BYTES);
    *literal += PAGE_BYTES;
    if (in->is_stored) {
        pages_add(in->store, to);
    }
    return true;
}

/* All as QEMU wrote it; false: it refers to what is not there, or is not what was sent. */
static bool put_together(struct reading *in, uint8_t *to)
{
    const uint8_t *literal = in->pages, *rest = in->rest, *rest_end = rest + in->rest_len;
    uint64_t check = check_of(0, in->gaps, 2 * (size_t)in->n);
    check = check_of(check, in->rest, in->rest_len);
    for (unsigned i = 0; i < in->n; i++) {
        size_t gap = get16(in->gaps + 2 * (size_t)i);
        memcpy(to, rest, gap);
        rest += gap;
        to += gap;
        if (!put_page(in, in->kinds[i], &literal, to)) {
            return false;
        }
        check = check_of(check, to, PAGE_BYTES);
        to += PAGE_BYTES;
    }
    memcpy(to, rest, (size_t)(rest_end - rest));
    return check == in->check;
}

static bool read_batch(struct reading *in, const struct frame *frame)
{
    if (!take_head(in) || !take_kinds(in)) {
        return false;
    }
    in->rest = xmalloc(in->rest_len + 1);
    in->pages = xmalloc(in->literals * (size_t)PAGE_BYTES + 1);
    return decode(in, frame->body[3], get32(frame->body + 8), in->rest, in->rest_len) &&
           take_groups(in);
}

struct frame *batch_decode(const struct frame *frame, struct pages *store, struct ninja_error *err)
{
    struct reading in = {.at = frame->body, .end = frame->body + frame->length, .store = store};
    struct frame *bytes = NULL;
    bool is_right = read_batch(&in, frame);
    size_t len = in.n * (size_t)PAGE_BYTES + in.rest_len;
    if (is_right && len > 0) {
        bytes = frame_new(FRAME_BYTES, frame->channel, (uint32_t)len);
        is_right = put_together(&in, bytes->body);
    }
    free(in.rest);
    free(in.pages);
    if (is_right && bytes != NULL) {
        return bytes;
    }
    frame_free(bytes);
    ninja_error_set(err, ERR_PROTOCOL, "a part of the stream is not what was sent");
    return NULL;
}
