/*
 * BLAKE2b of 256 bits, as `b2sum -l 256` has it.
 */
#ifndef NINJA_CHECKSUM_H
#define NINJA_CHECKSUM_H

#include <sodium.h>

#define CHECKSUM_SIZE (2 * crypto_generichash_BYTES + 1) /* in hexadecimal */

struct checksum {
    crypto_generichash_state state;
};

void checksum_begin(struct checksum *checksum);
void checksum_add(struct checksum *checksum, const void *data, size_t size);
/** The sum of what was added. */
void checksum_end(struct checksum *checksum, char text[CHECKSUM_SIZE]);

#endif
