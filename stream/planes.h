/* Bit planes of arrays of numbers: neighbours differ in few bits, so that most planes of the
 * differences are zero. */
#ifndef NINJA_STREAM_PLANES_H
#define NINJA_STREAM_PLANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A block has up to so many bytes, a multiple of PLANES_UNIT. */
#define PLANES_MAX  65536
#define PLANES_UNIT 4096

/** The most bytes that planes_pack() writes for n bytes. */
#define PLANES_ROOM(n) ((n) + (n) / 64)

/**
 * @param in   a block: PLANES_UNIT bytes to PLANES_MAX
 * @param n    its bytes
 * @param out  PLANES_ROOM(n) bytes
 * @return the bytes written
 */
size_t planes_pack(const uint8_t *in, size_t n, uint8_t *out);

/**
 * The block again. Any input is safe.
 *
 * @param n  bytes of the block, which the caller knows
 * @return false if `length` bytes at `in` are not a block of n bytes; then `out` is undefined
 */
bool planes_unpack(const uint8_t *in, size_t length, uint8_t *out, size_t n);

#endif
