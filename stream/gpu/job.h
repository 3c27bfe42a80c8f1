/* What the kernels and the host side say to each other: plain C, included by both. */
#ifndef NINJA_GPU_JOB_H
#define NINJA_GPU_JOB_H

#include <stdint.h>

#include "stream/gpu/pages.h"

enum {
    GPU_PACKED =
        BLOCK_MAX_BYTES + BLOCK_MAX_BYTES / 64, /* the most bytes of a block's packed planes */
    GPU_TABLE_BITS = 12,                        /* the hash table of LZ4 has 1 << 12 entries */
    GPU_ALIGN = 16, /* every coded block begins at a multiple of this many bytes */
    GPU_WARP = 32,
    GPU_TURN_WORDS = 256, /* a part of the work of turning, for a warp */
    GPU_COLLECT_PARTS = 8 /* of a block */
};

/* What a warp made of a part of a block (lz4_warp.h). */
enum {
    LZ4_PART = 8192,
    LZ4_PART_ROOM = LZ4_PART + LZ4_PART / 128 + 64,
    LZ4_PARTS = (BLOCK_MAX_BYTES + LZ4_PART - 1) / LZ4_PART,
    LZ4_NO_MATCH = 16 /* a nibble that there is not */
};

struct lz4_part {
    uint32_t first;        /* where its first match begins */
    uint32_t first_nibble; /* of that match's length, or LZ4_NO_MATCH */
    uint32_t length;       /* bytes written */
    uint32_t anchor;       /* from here on, nothing is written */
};

#define GPU_TURN_PARTS(block_pages) ((block_pages) * (GPU_PAGE / 8) / GPU_TURN_WORDS)

/* The only argument of every kernel. Pointers are the device's; `page`, `kind`, `block` and `list`
 * are pinned memory of the host, which the kernels read and write across the bus. */
struct gpu_job {
    const uint8_t *pages;
    struct page_facts *page;
    uint8_t *kind;        /* of each page */
    const uint32_t *list; /* the indices of the pages to code, block after block */
    struct block_facts *block;
    uint8_t *out;          /* what was chosen for the blocks, one after the other */
    uint8_t *raw;          /* the pages of `list`, one after the other */
    uint64_t *turned;      /* the same as planes */
    uint8_t *packed;       /* without their zero words: GPU_PACKED bytes a block */
    struct lz4_part *part; /* twice LZ4_PARTS a block: of `raw` and of `packed` */
    uint8_t *part_coded;   /* LZ4_PART_ROOM bytes for each */
    uint8_t *coded;        /* the parts together: twice BLOCK_MAX_BYTES a block */
    uint32_t *lengths;     /* of each block: `packed`, then the two in `coded`; 0: does not fit */
    struct block_facts *chosen; /* a copy of `block` in the memory of the GPU */
    uint64_t state[8];          /* BLAKE2b's, before the page */
    uint32_t hashed;            /* bytes that are in the state: 0, or 128 with a key */
    uint32_t n_pages;
    uint32_t n_listed;
    uint32_t n_blocks;
    uint32_t block_pages; /* of every block but the last, which may have fewer */
    uint32_t table_bits;
    uint32_t codecs; /* 1 << codec of each that may be used */
};

#endif
