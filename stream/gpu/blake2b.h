/* BLAKE2b's compression (RFC 7693, 3.2), for kernels and the host: a page takes 32 of them after
 * the key's. */
#ifndef NINJA_GPU_BLAKE2B_H
#define NINJA_GPU_BLAKE2B_H

#include <stdint.h>

#ifdef __CUDACC__
#define BLAKE2B static __device__ __forceinline__
#else
#define BLAKE2B static inline
#endif

#define BLAKE2B_IV                                                                                 \
    {                                                                                              \
        0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,            \
            0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179         \
    }

BLAKE2B uint64_t blake2b_turn(uint64_t x, int right)
{
    return x >> right | x << (64 - right);
}

#define BLAKE2B_MIX(a, b, c, d, x, y)                                                              \
    do {                                                                                           \
        v[a] += v[b] + (x);                                                                        \
        v[d] = blake2b_turn(v[d] ^ v[a], 32);                                                      \
        v[c] += v[d];                                                                              \
        v[b] = blake2b_turn(v[b] ^ v[c], 24);                                                      \
        v[a] += v[b] + (y);                                                                        \
        v[d] = blake2b_turn(v[d] ^ v[a], 16);                                                      \
        v[c] += v[d];                                                                              \
        v[b] = blake2b_turn(v[b] ^ v[c], 63);                                                      \
    } while (0)

/* A round with the words of the message in the order s0 ... s15. */
#define BLAKE2B_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)        \
    do {                                                                                           \
        BLAKE2B_MIX(0, 4, 8, 12, m[s0], m[s1]);                                                    \
        BLAKE2B_MIX(1, 5, 9, 13, m[s2], m[s3]);                                                    \
        BLAKE2B_MIX(2, 6, 10, 14, m[s4], m[s5]);                                                   \
        BLAKE2B_MIX(3, 7, 11, 15, m[s6], m[s7]);                                                   \
        BLAKE2B_MIX(0, 5, 10, 15, m[s8], m[s9]);                                                   \
        BLAKE2B_MIX(1, 6, 11, 12, m[s10], m[s11]);                                                 \
        BLAKE2B_MIX(2, 7, 8, 13, m[s12], m[s13]);                                                  \
        BLAKE2B_MIX(3, 4, 9, 14, m[s14], m[s15]);                                                  \
    } while (0)

/* h: the state; m: the next 128 bytes; bytes: how many with these; last: nothing follows. */
BLAKE2B void blake2b_compress(uint64_t h[8], const uint64_t m[16], uint64_t bytes, int last)
{
    const uint64_t iv[8] = BLAKE2B_IV;
    uint64_t v[16];
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = iv[i];
    }
    v[12] ^= bytes;
    v[14] ^= last ? ~(uint64_t)0 : 0;
    BLAKE2B_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BLAKE2B_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    BLAKE2B_ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    BLAKE2B_ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    BLAKE2B_ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    BLAKE2B_ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    BLAKE2B_ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    BLAKE2B_ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    BLAKE2B_ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    BLAKE2B_ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    BLAKE2B_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BLAKE2B_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int i = 0; i < 8; i++) {
        h[i] ^= v[i] ^ v[i + 8];
    }
}

#endif
