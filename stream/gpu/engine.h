/*
 * Scans memory pages and codes blocks of them, on a GPU where there is one and on the calling
 * thread's CPU otherwise.
 *
 * A batch has room for pages; the caller fills it (in place: that memory is pinned for the GPU),
 * has it scanned, says which pages are to be coded, and gets them in blocks of up to
 * BLOCK_MAX_PAGES pages each. Each batch is used by one thread at a time; several threads with a
 * batch each keep a GPU busy (three suffice, as one copies in, one computes, one copies out), and
 * use as many CPUs where there is none. No call fails: a GPU that does is left for good, and the
 * batch is done again by the CPU. A thread that used BLOCK_ZSTD calls codec_leave_thread() in the
 * end.
 */
#ifndef NINJA_GPU_ENGINE_H
#define NINJA_GPU_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "stream/gpu/pages.h"

#define GPU_BATCH_MAX 65536 /* pages of a batch */

struct gpu_engine;

struct gpu_engine_options {
    bool gpu;             /* use one if there is one */
    uint32_t batch_pages; /* 1 ... GPU_BATCH_MAX; 16384 suit a GPU */
    uint32_t block_pages; /* 1 ... BLOCK_MAX_PAGES; 16 make the output shortest */
    uint32_t codecs;      /* 1 << codec of each that may be used; BLOCK_RAW always may */
    /* Of the hash, BLAKE2b as libsodium's crypto_generichash() has it. */
    size_t hash_bytes;  /* 16 ... GPU_HASH_MAX */
    const uint8_t *key; /* copied */
    size_t key_bytes;   /* up to 64; 0: without a key */
    /* For tests and benchmarks; NULL or 0 otherwise. */
    const char *gpu_library;
    const void *gpu_image;
    uint32_t gpu_table_bits;
};

struct gpu_batch {
    uint8_t *pages; /* in: room for batch_pages of them */
    uint32_t n_pages;
    uint8_t *kind;           /* out, by gpu_batch_scan(): of each page, an enum gpu_kind */
    struct page_facts *page; /* out, by gpu_batch_scan(): its value and its hash */
    uint32_t *list;          /* in: the numbers of the pages to code, in their order */
    uint32_t n_listed;
    struct block_facts *block; /* out, by gpu_batch_code(): block i has list[i * block_pages] ... */
    uint32_t n_blocks;
    uint8_t *out; /* out: the coded bytes, where the blocks say */
};

/**
 * @return NULL with err: class ERR_BAD_ARGUMENT, or there is no memory. That there is no GPU is no
 * error.
 */
struct gpu_engine *gpu_engine_new(const struct gpu_engine_options *options,
                                  struct ninja_error *err);

/** The name of the GPU that is in use, or "CPU". */
const char *gpu_engine_name(struct gpu_engine *engine);

/** Why no GPU is in use; "" if one is. The text stays as long as the engine. */
const char *gpu_engine_why(struct gpu_engine *engine);

/** After its batches. NULL is allowed. */
void gpu_engine_free(struct gpu_engine *engine);

struct gpu_batch *gpu_batch_new(struct gpu_engine *engine, struct ninja_error *err);
void gpu_batch_free(struct gpu_batch *batch);

/** What each of the n_pages pages is. Sets n_listed to those that are GPU_LITERAL, and lists them.
 */
void gpu_batch_scan(struct gpu_batch *batch);

/** Codes the n_listed pages of `list`, which may have been changed since the scan; sets n_blocks.
 */
void gpu_batch_code(struct gpu_batch *batch);

/**
 * The block's n bytes again, on the CPU. Any input is safe.
 *
 * @param n  bytes of the block: a number of pages, 1 ... BLOCK_MAX_PAGES
 * @return false if `length` bytes at `in` are not a block of n bytes; then `out` is undefined
 */
bool gpu_block_decode(enum block_codec codec, const uint8_t *in, size_t length, uint8_t *out,
                      size_t n);

#endif
