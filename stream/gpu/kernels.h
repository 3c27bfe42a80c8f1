/* What each kernel does, by warp: included by the device's wrappers (kernels.cu) and by the host's
 * (emulate.cc). In the order of their launches:
 *
 *   scan         a lane a page: whether it is zero or repeats a value, and its hash
 *   gather       a warp a page: the pages to code come together, block after block
 *   turn         a warp for 256 words: xor with the word before; 64 words become 64 planes
 *   pack         a warp a block: a bit for each word that says whether it is zero, and the others
 *   code         a warp a part: LZ4 of the block
 *   code_planes  a warp a part: LZ4 of the packed planes
 *   join         a warp a part: the parts of both come together
 *   choose       one warp: the shortest of all for each block, and its place in the output
 *   collect      some warps a block: what was chosen comes together
 *
 * stream/planes.c says how planes are laid out. */
#ifndef NINJA_GPU_KERNELS_H
#define NINJA_GPU_KERNELS_H

#include "stream/gpu/blake2b.h"
#include "stream/gpu/job.h"
#include "stream/gpu/lz4_warp.h"
#include "stream/gpu/warp.h"

enum { PAGE_WORDS = GPU_PAGE / 8 };

ON_DEVICE void scan_page(const struct gpu_job *job, uint32_t page)
{
    const struct sixteen *in = (const struct sixteen *)(job->pages + (uint64_t)page * GPU_PAGE);
    uint64_t h[8], m[16], first = 0, differ = 0;
    for (int i = 0; i < 8; i++) {
        h[i] = job->state[i];
    }
    for (uint32_t block = 0; block < GPU_PAGE / 128; block++) {
        for (int i = 0; i < 8; i++) {
            struct sixteen s = in[block * 8 + i];
            m[2 * i] = s.w[0] | (uint64_t)s.w[1] << 32;
            m[2 * i + 1] = s.w[2] | (uint64_t)s.w[3] << 32;
        }
        first = block ? first : m[0];
        for (int i = 0; i < 16; i++) {
            differ |= m[i] ^ first;
        }
        blake2b_compress(h, m, job->hashed + (block + 1) * 128, block + 1 == GPU_PAGE / 128);
    }
    struct page_facts *out = job->page + page;
    job->kind[page] = differ ? GPU_LITERAL : first ? GPU_SAME : GPU_ZERO;
    out->value = first;
    for (int i = 0; i < 4; i++) {
        memcpy(out->hash + 8 * i, &h[i], 8);
    }
}

ON_DEVICE void gather_page(const struct gpu_job *job, uint32_t at)
{
    const struct sixteen *from =
        (const struct sixteen *)(job->pages + (uint64_t)job->list[at] * GPU_PAGE);
    struct sixteen *to = (struct sixteen *)(job->raw + (uint64_t)at * GPU_PAGE);
    EACH_LANE
    {
        for (int i = lane; i < GPU_PAGE / 16; i += GPU_WARP) {
            to[i] = from[i];
        }
    }
}

/* All blocks but the last have the same number of pages. */
ON_DEVICE uint32_t block_bytes(const struct gpu_job *job, uint32_t block)
{
    uint32_t before = block * job->block_pages, left = job->n_listed - before;
    return (left < job->block_pages ? left : job->block_pages) * GPU_PAGE;
}

/* Of the 64 words at w, of which `before` is the one in front: planes[L] becomes the two halves of
 * plane `lane`, then those of plane 32 + lane. */
ON_DEVICE void turn_64(const uint64_t *w, uint64_t before, uint32_t (*planes)[4])
{
    PER_LANE(uint64_t, word);
    PER_LANE(bool, set);
    for (int half = 0; half < 2; half++) {
        const uint64_t *from = w + 32 * half;
        EACH_LANE
        {
            word[L] = from[lane] ^ (half || lane ? from[lane - 1] : before);
        }
        UNROLL
        for (int bit = 0; bit < 64; bit++) {
            EACH_LANE
            {
                set[L] = word[L] >> bit & 1;
            }
            uint32_t plane = warp_ballot(set);
            EACH_LANE
            {
                if (lane == bit % 32) {
                    planes[L][bit / 32 * 2 + half] = plane;
                }
            }
        }
    }
}

/* Turns one of the parts, of GPU_TURN_WORDS words each, of all blocks. */
ON_DEVICE void turn_part(const struct gpu_job *job, uint32_t part)
{
    uint32_t parts = GPU_TURN_PARTS(job->block_pages), block = part / parts, first = part % parts;
    uint32_t words = block_bytes(job, block) / 8, groups = words / 64;
    if (first * GPU_TURN_WORDS >= words) {
        return;
    }
    uint64_t base = (uint64_t)block * job->block_pages * PAGE_WORDS;
    const uint64_t *in = (const uint64_t *)job->raw + base + first * GPU_TURN_WORDS;
    uint64_t *out = job->turned + base + first * (GPU_TURN_WORDS / 64);
    for (int two = 0; two < 2; two++, in += 128) {
        uint32_t planes[2][LANES][4];
        turn_64(in, first || two ? in[-1] : 0, planes[0]);
        turn_64(in + 64, in[63], planes[1]);
        EACH_LANE
        {
            for (int upper = 0; upper < 2; upper++) {
                struct sixteen s = {{planes[0][L][2 * upper], planes[0][L][2 * upper + 1],
                                     planes[1][L][2 * upper], planes[1][L][2 * upper + 1]}};
                *(struct sixteen *)(out + (uint64_t)(lane + 32 * upper) * groups + 2 * two) = s;
            }
        }
    }
}

enum { PACK_AT_ONCE = 8 };

ON_DEVICE void pack_block(const struct gpu_job *job, uint32_t block)
{
    uint32_t words = block_bytes(job, block) / 8, kept = words / 64;
    const uint64_t *in = job->turned + (uint64_t)block * job->block_pages * PAGE_WORDS;
    uint64_t *out = (uint64_t *)(job->packed + (uint64_t)block * GPU_PACKED);
    for (uint32_t at = 0; at < words; at += PACK_AT_ONCE * GPU_WARP) {
        uint64_t word[PACK_AT_ONCE][LANES];
        PER_LANE(bool, set);
        UNROLL
        for (int i = 0; i < PACK_AT_ONCE; i++) {
            EACH_LANE
            {
                word[i][L] = in[at + (uint32_t)(i * GPU_WARP + lane)];
            }
        }
        UNROLL
        for (int i = 0; i < PACK_AT_ONCE; i++) {
            EACH_LANE
            {
                set[L] = word[i][L] != 0;
            }
            uint32_t mask = warp_ballot(set);
            EACH_LANE
            {
                if (lane == 0) {
                    ((uint32_t *)out)[at / GPU_WARP + (uint32_t)i] = mask;
                }
                if (set[L]) {
                    out[kept + count_bits(mask & ((1u << lane) - 1))] = word[i][L];
                }
            }
            kept += count_bits(mask);
        }
    }
    EACH_LANE
    {
        if (lane == 0) {
            job->lengths[3 * block] = kept * 8;
        }
    }
}

/* Whether LZ4 may make the packed planes of a block the shortest: it seldom halves them. */
ON_DEVICE bool planes_may_win(const struct gpu_job *job, uint32_t block, uint32_t length)
{
    uint32_t best = block_bytes(job, block);
    if (job->codecs >> BLOCK_LZ4 & 1) {
        uint32_t lz4 = lz4_joined(best, job->part + (uint64_t)2 * block * LZ4_PARTS);
        best = 2 * lz4 < best ? 2 * lz4 : best;
    }
    return length < best;
}

/* What LZ4 codes: source 2 * i is block i, source 2 * i + 1 its packed planes. Returns its bytes,
 * or 0 if it is not to be coded. */
ON_DEVICE uint32_t source(const struct gpu_job *job, uint32_t number, const uint8_t **in)
{
    uint32_t block = number / 2;
    if (number % 2 == 0) {
        *in = job->raw + (uint64_t)block * job->block_pages * GPU_PAGE;
        return job->codecs >> BLOCK_LZ4 & 1 ? block_bytes(job, block) : 0;
    }
    *in = job->packed + (uint64_t)block * GPU_PACKED;
    uint32_t length = job->codecs >> BLOCK_PLANES_LZ4 & 1 ? job->lengths[3 * block] : 0;
    return length && planes_may_win(job, block, length) ? length : 0;
}

ON_DEVICE uint32_t parts_of_source(const struct gpu_job *job)
{
    return lz4_parts(job->block_pages * GPU_PAGE);
}

/* Codes one part of a block, or of its packed planes, which are looked at when all blocks are done.
 */
ON_DEVICE void code_part(const struct gpu_job *job, uint32_t warp, uint32_t planes,
                         lz4_entry *table)
{
    const uint8_t *in;
    uint32_t parts = parts_of_source(job), number = warp / parts * 2 + planes,
             begin = warp % parts * LZ4_PART;
    uint32_t n = source(job, number, &in), end = begin + LZ4_PART < n ? begin + LZ4_PART : n;
    if (begin >= n) {
        return;
    }
    uint64_t at = (uint64_t)number * LZ4_PARTS + warp % parts;
    struct lz4_part part =
        lz4_code(in, n, begin, end, job->part_coded + at * LZ4_PART_ROOM, table, job->table_bits);
    EACH_LANE
    {
        if (lane == 0) {
            job->part[at] = part;
        }
    }
}

ON_DEVICE void join_part(const struct gpu_job *job, uint32_t warp)
{
    const uint8_t *in;
    uint32_t parts = parts_of_source(job), number = warp / parts, mine = warp % parts;
    uint32_t n = source(job, number, &in), length = 0;
    uint64_t at = (uint64_t)number * LZ4_PARTS;
    if (mine * LZ4_PART < n) {
        length = lz4_join(in, n, mine, job->part + at, job->part_coded + at * LZ4_PART_ROOM,
                          job->coded + (uint64_t)number * BLOCK_MAX_BYTES, n - 1);
    }
    EACH_LANE
    {
        if (lane == 0 && mine == 0) {
            job->lengths[3 * (number / 2) + 1 + number % 2] = length;
        }
    }
}

ON_DEVICE struct block_facts choose_codec(const struct gpu_job *job, uint32_t block)
{
    uint32_t bytes = block_bytes(job, block);
    struct block_facts b = {BLOCK_RAW, 0, bytes, 0};
    for (uint32_t codec = BLOCK_LZ4; codec <= BLOCK_PLANES_LZ4; codec++) {
        const uint32_t slot[] = {0, 1, 0, 2};
        uint32_t length = job->codecs >> codec & 1 ? job->lengths[3 * block + slot[codec]] : 0;
        if (length && length < b.length) {
            b.codec = codec;
            b.length = length;
        }
    }
    return b;
}

ON_DEVICE void choose_all(const struct gpu_job *job)
{
    uint32_t used = 0;
    for (uint32_t first = 0; first < job->n_blocks; first += GPU_WARP) {
        PER_LANE(uint32_t, room);
        PER_LANE(uint32_t, below);
        PER_LANE(struct block_facts, b);
        EACH_LANE
        {
            uint32_t block = first + (uint32_t)lane;
            room[L] = 0;
            if (block < job->n_blocks) {
                b[L] = choose_codec(job, block);
                room[L] = b[L].codec == BLOCK_RAW
                              ? 0
                              : (b[L].length + GPU_ALIGN - 1) / GPU_ALIGN * GPU_ALIGN;
            }
        }
        uint32_t all = warp_sum(room, below);
        EACH_LANE
        {
            uint32_t block = first + (uint32_t)lane;
            if (block < job->n_blocks) {
                b[L].offset = used + below[L];
                job->chosen[block] = b[L];
                job->block[block] = b[L];
            }
        }
        used += all;
    }
}

/* Copies one of the GPU_COLLECT_PARTS parts of a block. */
ON_DEVICE void collect_part(const struct gpu_job *job, uint32_t part)
{
    uint32_t block = part / GPU_COLLECT_PARTS,
             first = part % GPU_COLLECT_PARTS * (BLOCK_MAX_BYTES / GPU_COLLECT_PARTS);
    struct block_facts b = job->chosen[block];
    if (b.codec == BLOCK_RAW || first >= b.length) {
        return;
    }
    const uint8_t *from =
        b.codec == BLOCK_PLANES
            ? job->packed + (uint64_t)block * GPU_PACKED
            : job->coded + (uint64_t)(2 * block + (b.codec == BLOCK_PLANES_LZ4)) * BLOCK_MAX_BYTES;
    const struct sixteen *in = (const struct sixteen *)(from + first);
    struct sixteen *out = (struct sixteen *)(job->out + b.offset + first);
    uint32_t left = (b.length - first + 15) / 16, n = BLOCK_MAX_BYTES / GPU_COLLECT_PARTS / 16;
    EACH_LANE
    {
        for (uint32_t i = (uint32_t)lane; i < (left < n ? left : n); i += GPU_WARP) {
            out[i] = in[i];
        }
    }
}

#endif
