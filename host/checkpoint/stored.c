#include "host/checkpoint/stored.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/descriptor.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"

#define HEADER crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define SEALED (STORED_CHUNK + crypto_secretstream_xchacha20poly1305_ABYTES)
#define FINAL  crypto_secretstream_xchacha20poly1305_TAG_FINAL

bool stored_is_changed(const char *path, struct ninja_error *err)
{
    return ninja_error_set(err, ERR_CHANGED,
                           "%s is not the file that was written; the checkpoint cannot be used",
                           path);
}

static bool begin(struct stored *stored, const char *path, int flags, const struct image_key *key,
                  struct ninja_error *err)
{
    *stored = (struct stored){.path = path};
    checksum_begin(&stored->checksum);
    if (key != NULL) {
        stored->plain = xmalloc(STORED_CHUNK);
        stored->sealed = xmalloc(SEALED);
    }
    stored->fd = plain_file_open(path, flags, 0600, ERR_IO, err);
    return stored->fd >= 0;
}

static void count(struct stored *stored, const void *data, size_t size)
{
    checksum_add(&stored->checksum, data, size);
    stored->bytes += (int64_t)size;
}

void stored_close(struct stored *stored, char sum[CHECKSUM_SIZE])
{
    if (stored->fd >= 0) {
        close(stored->fd);
    }
    sodium_memzero(&stored->state, sizeof(stored->state));
    free(stored->plain);
    free(stored->sealed);
    checksum_end(&stored->checksum, sum);
}

/* ---- to write ---- */

static bool put(struct stored *stored, const void *data, size_t size, struct ninja_error *err)
{
    if (!write_all(stored->fd, data, size)) {
        return ninja_error_set(err, ERR_IO, "%s: %m", stored->path);
    }
    count(stored, data, size);
    return true;
}

static bool put_chunk(struct stored *stored, unsigned char tag, struct ninja_error *err)
{
    unsigned long long size;
    crypto_secretstream_xchacha20poly1305_push(&stored->state, stored->sealed, &size, stored->plain,
                                               stored->filled, NULL, 0, tag);
    stored->filled = 0;
    return put(stored, stored->sealed, (size_t)size, err);
}

bool stored_make(struct stored *stored, const char *path, const struct image_key *key,
                 struct ninja_error *err)
{
    unsigned char header[HEADER];
    if (!begin(stored, path, O_WRONLY | O_CREAT | O_EXCL, key, err) || key == NULL) {
        return stored->fd >= 0;
    }
    crypto_secretstream_xchacha20poly1305_init_push(&stored->state, header, key->images);
    return put(stored, header, sizeof(header), err);
}

/* A full chunk waits for what follows, as the last one is another one. */
bool stored_write(struct stored *stored, const void *data, size_t size, struct ninja_error *err)
{
    if (stored->plain == NULL) {
        return put(stored, data, size, err);
    }
    for (const char *at = data; size > 0;) {
        if (stored->filled == STORED_CHUNK && !put_chunk(stored, 0, err)) {
            return false;
        }
        size_t room = STORED_CHUNK - stored->filled, n = size < room ? size : room;
        memcpy(stored->plain + stored->filled, at, n);
        stored->filled += n;
        at += n;
        size -= n;
    }
    return true;
}

bool stored_end(struct stored *stored, struct ninja_error *err)
{
    if (stored->plain != NULL && !put_chunk(stored, FINAL, err)) {
        return false;
    }
    return fsync(stored->fd) == 0 || ninja_error_set(err, ERR_IO, "%s: %m", stored->path);
}

/* ---- to read ---- */

/* As many as there are, up to `size`; -1 with err. */
static ssize_t get(struct stored *stored, void *data, size_t size, struct ninja_error *err)
{
    size_t have = 0;
    ssize_t n = 1;
    while (have < size && (n = read_some(stored->fd, (char *)data + have, size - have)) > 0) {
        have += (size_t)n;
    }
    if (n < 0) {
        ninja_error_set(err, ERR_IO, "%s: %m", stored->path);
        return -1;
    }
    count(stored, data, have);
    return (ssize_t)have;
}

bool stored_open(struct stored *stored, const char *path, const struct image_key *key,
                 struct ninja_error *err)
{
    unsigned char header[HEADER];
    if (!begin(stored, path, O_RDONLY, key, err) || key == NULL) {
        return stored->fd >= 0;
    }
    ssize_t n = get(stored, header, sizeof(header), err);
    if (n < 0) {
        return false;
    }
    return (n == sizeof(header) && crypto_secretstream_xchacha20poly1305_init_pull(
                                       &stored->state, header, key->images) == 0) ||
           stored_is_changed(path, err);
}

/* The end is a chunk that says so, and nothing behind it. */
ssize_t stored_read(struct stored *stored, void *data, struct ninja_error *err)
{
    unsigned char tag;
    unsigned long long size;
    if (stored->plain == NULL) {
        return get(stored, data, STORED_CHUNK, err);
    }
    ssize_t n = get(stored, stored->sealed, SEALED, err);
    if (n < 0 || (n == 0 && stored->ended)) {
        return n;
    }
    if (stored->ended ||
        crypto_secretstream_xchacha20poly1305_pull(&stored->state, data, &size, &tag,
                                                   stored->sealed, (size_t)n, NULL, 0) != 0) {
        stored_is_changed(stored->path, err);
        return -1;
    }
    stored->ended = tag == FINAL;
    return size > 0 ? (ssize_t)size : stored_read(stored, data, err);
}
