/*
 * The file of an image, and what is known of the bytes that went to it or came from it. With a key
 * it is encrypted, as libsodium's secretstream has it (XChaCha20-Poly1305): a random header, from
 * which and the key one of this file alone is derived, and chunks that are authenticated with their
 * place in the file. The last one is marked. So a chunk that was changed, left out, moved, added or
 * taken from another file is found before any of it is given to anybody.
 */
#ifndef NINJA_STORED_H
#define NINJA_STORED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "host/checkpoint/checksum.h"
#include "host/checkpoint/key.h"

#define STORED_CHUNK (1 << 20) /* of what is encrypted, and of what is read at a time */

struct stored {
    const char *path;
    int fd;
    int64_t bytes; /* as they are stored */
    struct checksum checksum;
    crypto_secretstream_xchacha20poly1305_state state;
    unsigned char *plain, *sealed; /* a chunk; NULL: it is not encrypted */
    size_t filled;                 /* of plain, when it is written */
    bool ended;                    /* the last chunk was read */
};

/**
 * Makes a new file, or opens one to be read.
 *
 * @param path  borrowed
 * @param key   NULL: not encrypted. For this call
 * @return false with err, class ERR_IO or ERR_CHANGED; stored_close() follows in any case
 */
bool stored_make(struct stored *stored, const char *path, const struct image_key *key,
                 struct ninja_error *err);
bool stored_open(struct stored *stored, const char *path, const struct image_key *key,
                 struct ninja_error *err);

bool stored_write(struct stored *stored, const void *data, size_t size, struct ninja_error *err);

/** Writes the end, and syncs it all. */
bool stored_end(struct stored *stored, struct ninja_error *err);

/**
 * Reads some.
 *
 * @param data  room for STORED_CHUNK
 * @return bytes; 0: the end; -1 with err
 */
ssize_t stored_read(struct stored *stored, void *data, struct ninja_error *err);

/** Gives the checksum of all that was written or read, as it is stored. */
void stored_close(struct stored *stored, char sum[CHECKSUM_SIZE]);

/** Sets err, class ERR_CHANGED: it is not what was written. Returns false. */
bool stored_is_changed(const char *path, struct ninja_error *err);

#endif
