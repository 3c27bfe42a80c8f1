/*
 * A batch: up to 256 pages that came from a QEMU, and what was around them, and how it looks on the
 * wire. Each page is one that repeats a value, a copy of one that was sent before, or a literal;
 * literals are coded in groups of 64 KiB.
 *
 *     be16 pages, u8 flags, u8 codec of the rest, be32 length of the rest, be32 its coded length,
 *     be64 check
 *     of each page: u8 kind;  of each page: be16 length of the rest before it
 *     of each page, by its kind: 8 bytes that it repeats; be32 how many pages ago it was put in
 *     the rest, coded
 *     of each group: u8 codec, be32 coded length, bytes
 */
#ifndef NINJA_STREAM_BATCH_H
#define NINJA_STREAM_BATCH_H

#include "common/error.h"
#include "stream/codec.h"
#include "stream/frame.h"
#include "stream/parser.h"
#include "stream/store.h"

#define BATCH_PAGES     256
#define BATCH_REST      65535
#define BATCH_RAW_MAX   (BATCH_PAGES * PAGE_BYTES + BATCH_REST)
#define GROUP_PAGES     16
#define BATCH_IS_STORED 1 /* flag: the literals are put into the store */

enum page_kind {
    PAGE_LITERAL,
    PAGE_SAME,
    PAGE_COPY,
    PAGE_KINDS,
};

struct batch {
    unsigned n;
    size_t rest_len;
    bool is_stored;
    uint16_t gap[BATCH_PAGES];  /* of the rest, before each page */
    uint8_t kind[BATCH_PAGES];  /* enum page_kind */
    uint32_t back[BATCH_PAGES]; /* of a copy */
    struct page_hash hash[BATCH_PAGES];
    uint8_t rest[BATCH_REST];
    uint8_t pages[(BATCH_PAGES + 1) * PAGE_BYTES]; /* and one that has not ended */
};

struct batch_counters {
    uint64_t pages, same, copies;
    uint64_t raw_bytes, coded_bytes;
    uint64_t by_codec[CODECS]; /* pages */
};

/*
 * What works on whole batches. The CPU does so in the thread that calls; another one may do it
 * elsewhere.
 */
struct engine {
    const char *name;

    /** Sets the kind of each page, PAGE_SAME or PAGE_LITERAL, and the hash of a literal; without
     * hashes, all are literals. */
    void (*scan)(struct batch *batch, const struct hashes *hashes);

    /**
     * Codes the literals, in groups as they are on the wire.
     *
     * @param to  has room for all of them as they are, and 5 bytes for each group
     * @return how many bytes it wrote
     */
    size_t (*code)(const struct batch *batch, enum effort effort, uint8_t *to,
                   struct batch_counters *counters);
};

extern const struct engine engine_cpu;

static inline size_t batch_raw_bytes(const struct batch *batch)
{
    return batch->n * (size_t)PAGE_BYTES + batch->rest_len;
}

/** Forgets what was sent; a page that has not ended stays. */
void batch_begin_anew(struct batch *batch);

/** A frame of it, whose kinds are known. Adds to the counters. */
struct frame *batch_encode(const struct batch *batch, uint16_t channel, const struct engine *engine,
                           enum effort effort, struct batch_counters *counters);

/**
 * The bytes that QEMU wrote.
 *
 * @param frame  borrowed
 * @param store  the literals go there, and copies come from there
 * @return a frame of type FRAME_BYTES, or NULL with err: what came makes no sense
 */
struct frame *batch_decode(const struct frame *frame, struct pages *store, struct ninja_error *err);

#endif
