/*
 * The layout of a block of n / 8 words w, of 64 bits in little-endian order:
 *
 *   1. Each word is taken xor the one before it (the first one xor 0).
 *   2. Every 64 of them, a group, become 64 words again: bit i of word p is bit p of the i-th.
 *   3. These are put in the order of p, and then of the group. So all that there is of one bit of
 *      the numbers is together.
 *   4. n / 64 bytes say which of these words are not zero, a bit each, the lowest bit of a byte
 *      first. Then these words follow, and no others.
 *
 * Numbers of 32 bits gain from the same, as two neighbours make a word.
 */
#include "stream/planes.h"

#include <endian.h>
#include <string.h>

enum { GROUP = 64, MAX_WORDS = PLANES_MAX / 8 };

/* Bit i of word p and bit p of word i change places. */
static void turn(uint64_t w[GROUP])
{
    uint64_t mask = 0xffffffff;
    for (unsigned step = 32; step > 0; step /= 2, mask ^= mask << step) {
        for (unsigned i = 0; i < GROUP; i += 2 * step) {
            for (unsigned k = i; k < i + step; k++) {
                uint64_t swap = (w[k] >> step ^ w[k + step]) & mask;
                w[k] ^= swap << step;
                w[k + step] ^= swap;
            }
        }
    }
}

static bool is_block(size_t n)
{
    return n > 0 && n <= PLANES_MAX && n % PLANES_UNIT == 0;
}

size_t planes_pack(const uint8_t *in, size_t n, uint8_t *out)
{
    if (!is_block(n)) {
        return 0;
    }
    uint64_t planes[MAX_WORDS], before = 0;
    size_t words = n / 8, groups = words / GROUP;
    for (size_t g = 0; g < groups; g++) {
        uint64_t w[GROUP];
        memcpy(w, in + g * sizeof(w), sizeof(w));
        for (size_t i = 0; i < GROUP; i++) {
            uint64_t word = le64toh(w[i]);
            w[i] = word ^ before;
            before = word;
        }
        turn(w);
        for (size_t p = 0; p < GROUP; p++) {
            planes[p * groups + g] = w[p];
        }
    }
    uint8_t *to = out + words / 8;
    memset(out, 0, words / 8);
    for (size_t i = 0; i < words; i++) {
        uint64_t word = htole64(planes[i]);
        /* No branch: what is zero is overwritten by the next one. The room has place for all. */
        memcpy(to, &word, 8);
        to += word ? 8 : 0;
        out[i / 8] |= (uint8_t)((word != 0) << i % 8);
    }
    return (size_t)(to - out);
}

/* The words of the planes; false: there are not as many as the bits say. */
static bool spread(const uint8_t *in, size_t length, uint64_t *planes, size_t words)
{
    size_t at = words / 8;
    if (length < at) {
        return false;
    }
    for (size_t i = 0; i < words; i++) {
        planes[i] = 0;
        if (in[i / 8] >> i % 8 & 1) {
            if (length - at < 8) {
                return false;
            }
            memcpy(&planes[i], in + at, 8);
            at += 8;
        }
    }
    return at == length;
}

bool planes_unpack(const uint8_t *in, size_t length, uint8_t *out, size_t n)
{
    uint64_t planes[MAX_WORDS], before = 0;
    if (!is_block(n) || !spread(in, length, planes, n / 8)) {
        return false;
    }
    size_t groups = n / 8 / GROUP;
    for (size_t g = 0; g < groups; g++) {
        uint64_t w[GROUP];
        for (size_t p = 0; p < GROUP; p++) {
            w[p] = le64toh(planes[p * groups + g]);
        }
        turn(w);
        for (size_t i = 0; i < GROUP; i++) {
            before ^= w[i];
            w[i] = htole64(before);
        }
        memcpy(out + g * sizeof(w), w, sizeof(w));
    }
    return true;
}
