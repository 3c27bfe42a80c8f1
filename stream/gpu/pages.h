/* What is said of memory pages on their way: what a page is, and how a block of pages is coded.
 * Plain C, which the kernels include too. */
#ifndef NINJA_GPU_PAGES_H
#define NINJA_GPU_PAGES_H

#include <stdint.h>

enum {
    GPU_PAGE = 4096,
    GPU_HASH_MAX = 32, /* bytes of the longest hash of a page */
    BLOCK_MAX_PAGES = 16,
    BLOCK_MAX_BYTES = BLOCK_MAX_PAGES * GPU_PAGE
};

enum gpu_kind {
    GPU_LITERAL,
    GPU_ZERO,
    GPU_SAME /* the same eight bytes again and again, and not all of them 0 */
};

enum block_codec {
    BLOCK_RAW,
    BLOCK_LZ4,        /* one block in LZ4's format */
    BLOCK_PLANES,     /* as planes_pack() has it */
    BLOCK_PLANES_LZ4, /* one block in LZ4's format, of what planes_pack() has */
    BLOCK_ZSTD,       /* one frame of zstd; not made by a GPU */
    BLOCK_CODECS
};

struct page_facts {
    uint64_t value;             /* of GPU_SAME: the eight bytes, as the page has them */
    uint8_t hash[GPU_HASH_MAX]; /* as many bytes as were asked for, and others behind them */
};

struct block_facts {
    uint32_t codec;
    uint32_t offset; /* where the coded bytes begin; nothing is there for BLOCK_RAW */
    uint32_t length; /* of them; for BLOCK_RAW, of the pages */
    uint32_t reserved;
};

#endif
