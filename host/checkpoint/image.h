/*
 * The image of a VM: the stream that its VMM sends, in a file, compressed by zstd, and encrypted if
 * there is a key. The checksum is that of the file as it is stored, so that it can be checked
 * without being unpacked, and without the key.
 */
#ifndef NINJA_IMAGE_H
#define NINJA_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "host/checkpoint/checksum.h"
#include "host/checkpoint/key.h"

struct image_sum {
    int64_t bytes;               /* of the stream */
    int64_t stored;              /* of the file */
    char blake2b[CHECKSUM_SIZE]; /* of the file, in hexadecimal */
};

/**
 * Writes a stream to a new file, and syncs it. It ends when the stream does, without a time-out.
 *
 * @param from     a descriptor that blocks
 * @param threads  that compress; 0: this one does
 * @param key      NULL: it is not encrypted
 * @return false with err, class ERR_IO, or ERR_CLOSED if nothing came; what was written is left for
 * the caller to remove
 */
bool image_save(int from, const char *path, int threads, const struct image_key *key,
                struct image_sum *sum, struct ninja_error *err);

/**
 * Gives the stream of a file back, and sees whether the file is the one that was written. As the
 * checksum is known at its end only, nobody may use what was given before this returned true.
 *
 * @param key  that it was encrypted with; NULL: with none
 * @param to   a descriptor that blocks
 * @return false with err: class ERR_IO, ERR_CHANGED if the file is another one, or ERR_CLOSED if
 * the other end is closed
 */
bool image_load(const char *path, const struct image_sum *sum, const struct image_key *key, int to,
                struct ninja_error *err);

/** Sees whether the file is the one that was written; errors as above. */
bool image_check(const char *path, const struct image_sum *sum, struct ninja_error *err);

#endif
