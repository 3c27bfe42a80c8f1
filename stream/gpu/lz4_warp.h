/* A block in LZ4's format, by several warps.
 *
 * The block is cut into parts, and each warp codes one. It first enters all that is before its part
 * into its hash table, so that matches go back to the beginning of the block. Then it looks at 32
 * positions at once: each lane hashes the four bytes at its own, finds where they were seen before
 * (in a lower lane, or by the table), and says how long they are equal. The matches are taken from
 * left to right, as LZ4 does, but for one thing: a match that begins a byte later and is longer
 * wins. No position is looked at twice.
 *
 * The literals at the end of a part belong to the first sequence of the next one. So a part leaves
 * out the token and the literals of its first sequence, and lz4_join() puts them in. */
#ifndef NINJA_GPU_LZ4_WARP_H
#define NINJA_GPU_LZ4_WARP_H

#include "stream/gpu/job.h"
#include "stream/gpu/warp.h"

typedef uint16_t lz4_entry; /* of the table: a position */

enum {
    LZ4_LEAST = 4,       /* bytes of the shortest match */
    LZ4_LAST_START = 12, /* no match starts nearer to the end */
    LZ4_LAST_END = 5,    /* no match ends nearer to it */
    LZ4_NIBBLE = 15,     /* a length from here on goes on in more bytes */
    LZ4_LOOK = 12,       /* so many bytes are compared by a lane alone */
    LZ4_PATIENCE = 512,  /* after so many bytes without a match, some are left out */
    LZ4_NOWHERE = 0xffff /* an entry that is no position of a match */
};

struct lz4_state {
    const uint8_t *in;
    uint8_t *out;
    uint32_t n;      /* bytes in `in` */
    uint32_t end;    /* of the part */
    uint32_t limit;  /* no match goes further */
    uint32_t anchor; /* from here on, the input has not been written */
    struct lz4_part part;
};

/* What a lane found: where, how many bytes are equal (0: nothing was found), and how many more in
 * front. */
ON_DEVICE uint32_t lz4_found(uint32_t from, uint32_t length, uint32_t before)
{
    return from | length << 16 | before << 24;
}

struct lz4_match {
    uint32_t at;
    uint32_t back; /* where the same bytes are */
    uint32_t length;
};

ON_DEVICE uint32_t lz4_hash(uint32_t four, uint32_t bits)
{
    return four * 2654435761u >> (32 - bits);
}

/* Enters the positions before `end`, a multiple of 128, into the table. */
ON_DEVICE void lz4_seed(const uint8_t *in, uint32_t end, lz4_entry *table, uint32_t bits)
{
    for (uint32_t p = 0; p < end; p += 4 * GPU_WARP) {
        EACH_LANE
        {
            uint32_t at = p + 4 * (uint32_t)lane;
            UNROLL
            for (uint32_t i = 0; i < 4; i++) {
                table[lz4_hash(load32(in, at + i), bits)] = (lz4_entry)(at + i);
            }
        }
    }
    warp_sync();
}

/* How many bytes from `a` and `b` on are equal, up to the limit. */
ON_DEVICE uint32_t lz4_equal(const struct lz4_state *s, uint32_t a, uint32_t b)
{
    PER_LANE(uint32_t, equal);
    PER_LANE(bool, stop);
    for (uint32_t total = 0;; total += 4 * GPU_WARP) {
        EACH_LANE
        {
            uint32_t at = a + total + 4 * (uint32_t)lane, room = at < s->limit ? s->limit - at : 0;
            uint32_t differ =
                room ? load32(s->in, at) ^ load32(s->in, b + total + 4 * (uint32_t)lane) : 0;
            equal[L] = differ ? low_bit(differ) / 8 : 4;
            equal[L] = equal[L] < room ? equal[L] : room;
            stop[L] = equal[L] < 4;
        }
        uint32_t stops = warp_ballot(stop);
        if (stops) {
            return total + 4 * low_bit(stops) + warp_read(equal, low_bit(stops));
        }
    }
}

/* What the lane at position `at` finds at `from`, where its first four bytes may be. */
ON_DEVICE uint32_t lz4_compare(const struct lz4_state *s, uint32_t at, uint32_t from)
{
    if (load32(s->in, from) != load32(s->in, at)) {
        return 0;
    }
    uint32_t second = load32(s->in, from + 4) ^ load32(s->in, at + 4);
    uint32_t third = load32(s->in, from + 8) ^ load32(s->in, at + 8);
    uint32_t length = second  ? 4 + low_bit(second) / 8
                      : third ? 8 + low_bit(third) / 8
                              : 12,
             before = 0;
    if (from >= 4) {
        uint32_t differ = load32(s->in, from - 4) ^ load32(s->in, at - 4);
        before = differ ? (31 - high_bit(differ)) / 8 : 4;
    }
    length = length < s->limit - at ? length : s->limit - at;
    return lz4_found(from, length, before);
}

/* What each lane finds for its position p + lane; returns which lanes find something. */
ON_DEVICE uint32_t lz4_look(const struct lz4_state *s, uint32_t p, lz4_entry *table, uint32_t bits,
                            uint32_t *found)
{
    PER_LANE(uint32_t, four);
    PER_LANE(uint32_t, entry);
    PER_LANE(uint32_t, hash);
    PER_LANE(uint32_t, same);
    PER_LANE(bool, inside);
    PER_LANE(bool, hit);
    EACH_LANE
    {
        uint32_t at = p + (uint32_t)lane;
        inside[L] = at + LZ4_LAST_START <= s->n && at + LZ4_LEAST <= s->end;
        four[L] = inside[L] ? load32(s->in, at) : 0;
        hash[L] = lz4_hash(four[L], bits);
        entry[L] = table[hash[L]];
    }
    warp_match(four, same);
    warp_sync();
    EACH_LANE
    {
        uint32_t at = p + (uint32_t)lane, lower = same[L] & ((1u << lane) - 1);
        uint32_t from = lower ? p + high_bit(lower) : entry[L];
        found[L] = inside[L] && from < at ? lz4_compare(s, at, from) : 0;
        hit[L] = found[L] != 0;
        if (inside[L]) {
            table[hash[L]] = (lz4_entry)at;
        }
    }
    warp_sync();
    return warp_ballot(hit);
}

/* The match to take, of those that begin in the window at p. */
ON_DEVICE struct lz4_match lz4_take(const struct lz4_state *s, uint32_t p, uint32_t hits,
                                    const uint32_t *found)
{
    uint32_t lane = low_bit(hits), one = warp_read(found, lane), length = one >> 16 & 0xff;
    if (hits & 2u << lane) {
        uint32_t later = warp_read(found, lane + 1), longer = later >> 16 & 0xff;
        if (longer > length) {
            one = later;
            length = longer;
            lane++;
        }
    }
    struct lz4_match m = {p + lane, one & 0xffff, length};
    if (length == LZ4_LOOK) {
        m.length += lz4_equal(s, m.at + LZ4_LOOK, m.back + LZ4_LOOK);
    }
    uint32_t before = one >> 24, room = m.at - s->anchor;
    before = before < room ? before : room;
    m.at -= before;
    m.back -= before;
    m.length += before;
    return m;
}

ON_DEVICE uint32_t lz4_nibble(uint32_t length)
{
    return length < LZ4_NIBBLE ? length : (uint32_t)LZ4_NIBBLE;
}

ON_DEVICE uint32_t lz4_length_bytes(uint32_t length)
{
    return length < LZ4_NIBBLE ? 0 : (length - LZ4_NIBBLE) / 255 + 1;
}

/* The bytes that say a length of LZ4_NIBBLE + more. */
ON_DEVICE uint32_t lz4_length(uint8_t *out, uint32_t more)
{
    uint32_t full = more / 255;
    EACH_LANE
    {
        for (uint32_t i = (uint32_t)lane; i <= full; i += GPU_WARP) {
            out[i] = i < full ? 255 : (uint8_t)(more % 255);
        }
    }
    return full + 1;
}

/* Several reads are on their way at once. */
ON_DEVICE void lz4_copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
    enum { AT_ONCE = 4 };
    EACH_LANE
    {
        uint32_t i = (uint32_t)lane;
        for (; i + (AT_ONCE - 1) * GPU_WARP < n; i += AT_ONCE * GPU_WARP) {
            uint8_t byte[AT_ONCE];
            UNROLL
            for (int k = 0; k < AT_ONCE; k++) {
                byte[k] = from[i + k * GPU_WARP];
            }
            UNROLL
            for (int k = 0; k < AT_ONCE; k++) {
                to[i + k * GPU_WARP] = byte[k];
            }
        }
        for (; i < n; i += GPU_WARP) {
            to[i] = from[i];
        }
    }
}

/* A token and its literals; returns their bytes. */
ON_DEVICE uint32_t lz4_literals(uint8_t *out, const uint8_t *in, uint32_t n, uint32_t match_nibble)
{
    uint32_t used = 1;
    EACH_LANE
    {
        if (lane == 0) {
            out[0] = (uint8_t)(lz4_nibble(n) << 4 | match_nibble);
        }
    }
    if (n >= LZ4_NIBBLE) {
        used += lz4_length(out + 1, n - LZ4_NIBBLE);
    }
    lz4_copy(out + used, in, n);
    return used + n;
}

/* Token, literals and offset in one store: most sequences are this short. */
ON_DEVICE uint32_t lz4_short(uint8_t *out, const uint8_t *in, uint32_t n, uint32_t offset,
                             uint32_t more)
{
    EACH_LANE
    {
        uint32_t i = (uint32_t)lane, byte = n << 4 | more;
        if (i > 0 && i <= n) {
            byte = in[i - 1];
        } else if (i > n) {
            byte = i == n + 1 ? offset : offset >> 8;
        }
        if (i < n + 3) {
            out[i] = (uint8_t)byte;
        }
    }
    return n + 3;
}

/* The offset and the rest of the length. */
ON_DEVICE uint32_t lz4_offset(uint8_t *out, uint32_t offset, uint32_t more)
{
    EACH_LANE
    {
        if (lane < 2) {
            out[lane] = (uint8_t)(offset >> (8 * lane));
        }
    }
    return 2 + (more >= LZ4_NIBBLE ? lz4_length(out + 2, more - LZ4_NIBBLE) : 0);
}

/* Writes what is not written up to the match, and the match. */
ON_DEVICE void lz4_sequence(struct lz4_state *s, struct lz4_match m)
{
    uint32_t literals = m.at - s->anchor, offset = m.at - m.back, more = m.length - LZ4_LEAST;
    const uint8_t *in = s->in + s->anchor;
    uint8_t *out = s->out + s->part.length;
    s->anchor = m.at + m.length;
    if (s->part.first_nibble == LZ4_NO_MATCH) {
        s->part.first = m.at;
        s->part.first_nibble = lz4_nibble(more);
        s->part.length = lz4_offset(out, offset, more);
    } else if (literals < LZ4_NIBBLE && more < LZ4_NIBBLE) {
        s->part.length += lz4_short(out, in, literals, offset, more);
    } else {
        uint32_t used = lz4_literals(out, in, literals, lz4_nibble(more));
        s->part.length += used + lz4_offset(out + used, offset, more);
    }
}

/* Codes the bytes from `begin` to `end` of the n (up to BLOCK_MAX_BYTES) at `in`, whose beginning
 * is aligned, to `out`, which has LZ4_PART_ROOM bytes. table: 1 << bits entries. */
ON_DEVICE struct lz4_part lz4_code(const uint8_t *in, uint32_t n, uint32_t begin, uint32_t end,
                                   uint8_t *out, lz4_entry *table, uint32_t bits)
{
    struct lz4_state s = {in, out, n, end, end, begin, {0, LZ4_NO_MATCH, 0, 0}};
    if (s.limit + LZ4_LAST_END > n) {
        s.limit = n > LZ4_LAST_END ? n - LZ4_LAST_END : 0;
    }
    EACH_LANE
    {
        for (uint32_t i = (uint32_t)lane; i < 1u << bits; i += GPU_WARP) {
            table[i] = LZ4_NOWHERE;
        }
    }
    warp_sync();
    lz4_seed(in, begin, table, bits);
    for (uint32_t p = begin; p + LZ4_LEAST <= end;) {
        PER_LANE(uint32_t, found);
        uint32_t hits = lz4_look(&s, p, table, bits, found), step = GPU_WARP;
        if (!hits) {
            step += (p - s.anchor) / LZ4_PATIENCE * GPU_WARP;
        }
        while (hits) {
            lz4_sequence(&s, lz4_take(&s, p, hits, found));
            uint32_t done = s.anchor - p;
            hits = done < GPU_WARP ? hits & ~0u << done : 0;
        }
        p = s.anchor > p + step ? s.anchor : p + step;
    }
    s.part.anchor = s.anchor;
    return s.part;
}

ON_DEVICE uint32_t lz4_parts(uint32_t n)
{
    return (n + LZ4_PART - 1) / LZ4_PART;
}

/* The bytes of a block of n bytes whose parts are all there. */
ON_DEVICE uint32_t lz4_joined(uint32_t n, const struct lz4_part *part)
{
    uint32_t at = 0, length = 0;
    for (uint32_t i = 0; i < lz4_parts(n); i++) {
        if (part[i].first_nibble != LZ4_NO_MATCH) {
            uint32_t literals = part[i].first - at;
            length += 1 + lz4_length_bytes(literals) + literals + part[i].length;
            at = part[i].anchor;
        }
    }
    return length + 1 + lz4_length_bytes(n - at) + n - at;
}

/* Puts part `mine` of a block of n bytes in its place, with the literals before it, and after it if
 * it is the last one. Returns the bytes of the whole block, or 0 if `room` does not suffice. */
ON_DEVICE uint32_t lz4_join(const uint8_t *in, uint32_t n, uint32_t mine,
                            const struct lz4_part *part, const uint8_t *coded, uint8_t *out,
                            uint32_t room)
{
    uint32_t at = 0, length = 0, parts = lz4_parts(n);
    for (uint32_t i = 0; i <= parts; i++) {
        struct lz4_part p = {n, 0, 0, n};
        if (i < parts) {
            p = part[i];
        }
        if (p.first_nibble == LZ4_NO_MATCH) {
            continue;
        }
        uint32_t literals = p.first - at, used = 1 + lz4_length_bytes(literals) + literals;
        if ((i == mine || (i == parts && mine + 1 == parts)) && length + used + p.length <= room) {
            lz4_literals(out + length, in + at, literals, p.first_nibble);
            lz4_copy(out + length + used, coded + (uint64_t)i * LZ4_PART_ROOM, p.length);
        }
        length += used + p.length;
        at = p.anchor;
    }
    return length <= room ? length : 0;
}

#endif
