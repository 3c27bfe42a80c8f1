#include "stream/codec.h"

#include <lz4.h>
#include <string.h>
#include <zstd.h>

#include "host/base/memory.h"
#include "stream/planes.h"

#define ZSTD_LEVEL 1

static size_t copy(const uint8_t *from, size_t len, uint8_t *to, size_t room)
{
    if (len > room) {
        return 0;
    }
    memcpy(to, from, len);
    return len;
}

static bool copy_back(const uint8_t *from, size_t coded, uint8_t *to, size_t len)
{
    if (coded != len) {
        return false;
    }
    memcpy(to, from, len);
    return true;
}

static size_t lz4_encode(const uint8_t *from, size_t len, uint8_t *to, size_t room)
{
    int n = LZ4_compress_default((const char *)from, (char *)to, (int)len, (int)room);
    return n > 0 ? (size_t)n : 0;
}

static bool lz4_decode(const uint8_t *from, size_t coded, uint8_t *to, size_t len)
{
    int n = LZ4_decompress_safe((const char *)from, (char *)to, (int)coded, (int)len);
    return n >= 0 && (size_t)n == len;
}

/* One of each for a thread: making them costs more than using them. */
static _Thread_local ZSTD_CCtx *compressor;
static _Thread_local ZSTD_DCtx *decompressor;

static size_t zstd_encode(const uint8_t *from, size_t len, uint8_t *to, size_t room)
{
    if (compressor == NULL) {
        compressor = xchecked(ZSTD_createCCtx());
    }
    size_t n = ZSTD_compressCCtx(compressor, to, room, from, len, ZSTD_LEVEL);
    return ZSTD_isError(n) ? 0 : n;
}

static bool zstd_decode(const uint8_t *from, size_t coded, uint8_t *to, size_t len)
{
    if (decompressor == NULL) {
        decompressor = xchecked(ZSTD_createDCtx());
    }
    size_t n = ZSTD_decompressDCtx(decompressor, to, len, from, coded);
    return !ZSTD_isError(n) && n == len;
}

/* For arrays of numbers, in whose planes zeros are left out, and what is alike is side by side. */
static size_t planes_encode(const uint8_t *from, size_t len, uint8_t *to, size_t room)
{
    uint8_t planes[PLANES_ROOM(PLANES_MAX)];
    if (len == 0 || len > PLANES_MAX || len % PLANES_UNIT != 0) {
        return 0;
    }
    return lz4_encode(planes, planes_pack(from, len, planes), to, room);
}

static bool planes_decode(const uint8_t *from, size_t coded, uint8_t *to, size_t len)
{
    uint8_t planes[PLANES_ROOM(PLANES_MAX)];
    if (len == 0 || len > PLANES_MAX || len % PLANES_UNIT != 0) {
        return false;
    }
    int n =
        LZ4_decompress_safe((const char *)from, (char *)planes, (int)coded, (int)PLANES_ROOM(len));
    return n > 0 && planes_unpack(planes, (size_t)n, to, len);
}

void codec_leave_thread(void)
{
    ZSTD_freeCCtx(compressor);
    ZSTD_freeDCtx(decompressor);
    compressor = NULL;
    decompressor = NULL;
}

const struct codec codecs[CODECS] = {
    [CODEC_NONE] = {"none", EFFORT_NONE, copy, copy_back},
    [CODEC_LZ4] = {"lz4", EFFORT_LITTLE, lz4_encode, lz4_decode},
    [CODEC_ZSTD] = {"zstd", EFFORT_MUCH, zstd_encode, zstd_decode},
    [CODEC_PLANES] = {"planes", EFFORT_LITTLE, planes_encode, planes_decode},
};

enum codec_id codec_choose(const uint8_t *sample, size_t len, enum effort effort, uint8_t *room)
{
    enum codec_id best = CODEC_NONE;
    size_t least = len - len / 16; /* less is not worth it */
    for (enum codec_id id = CODEC_NONE + 1; id < CODECS; id++) {
        if (codecs[id].effort > effort) {
            continue;
        }
        size_t n = codecs[id].encode(sample, len, room, least);
        if (n > 0 && n < least) {
            least = n;
            best = id;
        }
    }
    return best;
}
