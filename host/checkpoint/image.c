#include "host/checkpoint/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "host/base/descriptor.h"
#include "host/base/memory.h"
#include "host/checkpoint/stored.h"

#define LEVEL  1 /* a VM is to stand still for the disk's time, not for the compressor's */
#define BUFFER STORED_CHUNK

/* ---- save ---- */

struct packer {
    ZSTD_CCtx *zstd;
    char *in, *out;
    struct stored file;
};

static bool pack(struct packer *packer, size_t size, ZSTD_EndDirective end, struct ninja_error *err)
{
    ZSTD_inBuffer in = {packer->in, size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {packer->out, BUFFER, 0};
        left = ZSTD_compressStream2(packer->zstd, &out, &in, end);
        if (ZSTD_isError(left)) {
            return ninja_error_set(err, ERR_IO, "zstd: %s", ZSTD_getErrorName(left));
        }
        if (!stored_write(&packer->file, packer->out, out.pos, err)) {
            return false;
        }
    } while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return true;
}

static bool pack_all(struct packer *packer, int from, int64_t *bytes, struct ninja_error *err)
{
    ssize_t n;
    while ((n = read_some(from, packer->in, BUFFER)) > 0) {
        *bytes += n;
        if (!pack(packer, (size_t)n, ZSTD_e_continue, err)) {
            return false;
        }
    }
    if (n < 0) {
        return ninja_error_set(err, ERR_IO, "reading what the VM's memory comes by: %m");
    }
    if (*bytes == 0) {
        return ninja_error_set(err, ERR_CLOSED, "nothing of the VM's memory came");
    }
    return pack(packer, 0, ZSTD_e_end, err);
}

bool image_save(int from, const char *path, int threads, const struct image_key *key,
                struct image_sum *sum, struct ninja_error *err)
{
    struct packer packer = {.zstd = xchecked(ZSTD_createCCtx())};
    *sum = (struct image_sum){0};
    packer.in = xmalloc(BUFFER);
    packer.out = xmalloc(BUFFER);
    ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_nbWorkers, threads); /* or a library without any */
    bool ok = stored_make(&packer.file, path, key, err) &&
              pack_all(&packer, from, &sum->bytes, err) && stored_end(&packer.file, err);
    sum->stored = packer.file.bytes;
    stored_close(&packer.file, sum->blake2b);
    ZSTD_freeCCtx(packer.zstd);
    free(packer.in);
    free(packer.out);
    return ok;
}

/* ---- load ---- */

/* Closes it, and adds to `ok` whether all that was read is what had been written. */
static bool close_checked(struct stored *file, const struct image_sum *sum, bool ok,
                          struct ninja_error *err)
{
    char blake2b[CHECKSUM_SIZE];
    stored_close(file, blake2b);
    bool same = file->bytes == sum->stored && strcmp(blake2b, sum->blake2b) == 0;
    return ok && (same || stored_is_changed(file->path, err));
}

struct unpacker {
    ZSTD_DCtx *zstd;
    char *in, *out;
    struct stored file;
    int to;
    int64_t bytes;
    size_t left; /* what zstd still expects; 0: the end of the stream */
};

static bool unpack(struct unpacker *unpacker, size_t size, struct ninja_error *err)
{
    ZSTD_inBuffer in = {unpacker->in, size, 0};
    ZSTD_outBuffer out;
    do {
        out = (ZSTD_outBuffer){unpacker->out, BUFFER, 0};
        unpacker->left = ZSTD_decompressStream(unpacker->zstd, &out, &in);
        if (ZSTD_isError(unpacker->left)) {
            return stored_is_changed(unpacker->file.path, err);
        }
        if (!write_all(unpacker->to, unpacker->out, out.pos)) {
            return ninja_error_set(err, ERR_CLOSED, "the VM's memory is not taken: %m");
        }
        unpacker->bytes += (int64_t)out.pos;
    } while (in.pos < in.size || out.pos == out.size);
    return true;
}

static bool unpack_all(struct unpacker *unpacker, const struct image_sum *sum,
                       struct ninja_error *err)
{
    ssize_t n;
    while ((n = stored_read(&unpacker->file, unpacker->in, err)) > 0) {
        if (!unpack(unpacker, (size_t)n, err)) {
            return false;
        }
    }
    if (n < 0) {
        return false;
    }
    bool whole = unpacker->left == 0 && unpacker->bytes == sum->bytes;
    return whole || stored_is_changed(unpacker->file.path, err);
}

bool image_load(const char *path, const struct image_sum *sum, const struct image_key *key, int to,
                struct ninja_error *err)
{
    struct unpacker unpacker = {.zstd = xchecked(ZSTD_createDCtx()), .to = to, .left = 1};
    unpacker.in = xmalloc(BUFFER);
    unpacker.out = xmalloc(BUFFER);
    bool ok = stored_open(&unpacker.file, path, key, err) && unpack_all(&unpacker, sum, err);
    ok = close_checked(&unpacker.file, sum, ok, err);
    ZSTD_freeDCtx(unpacker.zstd);
    free(unpacker.in);
    free(unpacker.out);
    return ok;
}

bool image_check(const char *path, const struct image_sum *sum, struct ninja_error *err)
{
    struct stored file;
    struct stat status;
    bool ok = stored_open(&file, path, NULL, err);
    if (ok && fstat(file.fd, &status) == 0 && status.st_size != sum->stored) {
        ok = stored_is_changed(path, err); /* which needs no reading */
    }
    char *data = xmalloc(BUFFER);
    ssize_t n = 1;
    while (ok && n > 0) {
        n = stored_read(&file, data, err);
        ok = n >= 0;
    }
    free(data);
    return close_checked(&file, sum, ok, err);
}
