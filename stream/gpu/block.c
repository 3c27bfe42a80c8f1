/*
 * Which codec suits a block is said by one page from its middle: planes are for arrays of numbers,
 * LZ4 and zstd for text and programs. All pages of a block come from one place in a guest's memory,
 * mostly, and are alike.
 */
#include "stream/gpu/block.h"

#include <stdbool.h>
#include <string.h>

#include "stream/codec.h"
#include "stream/gpu/engine.h"
#include "stream/planes.h"

/* In less than n bytes; 0: that is not possible. */
static size_t shorter(enum codec_id codec, const uint8_t *in, size_t n, uint8_t *out)
{
    return codecs[codec].encode(in, n, out, n - 1);
}

static bool allows(uint32_t allowed, enum block_codec codec)
{
    return allowed >> codec & 1;
}

/* Whether the page in the middle is shorter as planes. */
static bool are_numbers(const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t packed[PLANES_ROOM(GPU_PAGE)];
    const uint8_t *page = in + n / GPU_PAGE / 2 * GPU_PAGE;
    size_t plain = shorter(CODEC_LZ4, page, GPU_PAGE, out);
    return planes_pack(page, GPU_PAGE, packed) < (plain ? plain : GPU_PAGE);
}

static bool take(struct block_facts *best, enum block_codec codec, size_t length)
{
    if (length == 0 || length >= best->length) {
        return false;
    }
    best->codec = codec;
    best->length = (uint32_t)length;
    return true;
}

static void code_planes(uint32_t allowed, const uint8_t *in, size_t n, uint8_t *out,
                        struct block_facts *best)
{
    uint8_t packed[PLANES_ROOM(BLOCK_MAX_BYTES)];
    size_t length = planes_pack(in, n, packed);
    if (length >= n) {
        return;
    }
    if (allows(allowed, BLOCK_PLANES_LZ4) &&
        take(best, BLOCK_PLANES_LZ4, shorter(CODEC_LZ4, packed, length, out))) {
        return;
    }
    if (allows(allowed, BLOCK_PLANES) && take(best, BLOCK_PLANES, length)) {
        memcpy(out, packed, length);
    }
}

static void code_bytes(uint32_t allowed, const uint8_t *in, size_t n, uint8_t *out,
                       struct block_facts *best)
{
    if (allows(allowed, BLOCK_ZSTD)) {
        take(best, BLOCK_ZSTD, shorter(CODEC_ZSTD, in, n, out));
    } else if (allows(allowed, BLOCK_LZ4)) {
        take(best, BLOCK_LZ4, shorter(CODEC_LZ4, in, n, out));
    }
}

struct block_facts gpu_block_code(uint32_t allowed, const uint8_t *in, size_t n, uint8_t *out)
{
    struct block_facts best = {.codec = BLOCK_RAW, .length = (uint32_t)n};
    bool bytes = allows(allowed, BLOCK_ZSTD) || allows(allowed, BLOCK_LZ4);
    bool planes = allows(allowed, BLOCK_PLANES) || allows(allowed, BLOCK_PLANES_LZ4);
    if (planes && (!bytes || are_numbers(in, n, out))) {
        code_planes(allowed, in, n, out, &best);
    } else if (bytes) {
        code_bytes(allowed, in, n, out, &best);
    }
    return best;
}

bool gpu_block_decode(enum block_codec codec, const uint8_t *in, size_t length, uint8_t *out,
                      size_t n)
{
    static const enum codec_id as[BLOCK_CODECS] = {
        [BLOCK_RAW] = CODEC_NONE,
        [BLOCK_LZ4] = CODEC_LZ4,
        [BLOCK_PLANES_LZ4] = CODEC_PLANES,
        [BLOCK_ZSTD] = CODEC_ZSTD,
    };
    if (n == 0 || n % GPU_PAGE != 0 || n > BLOCK_MAX_BYTES || length == 0 ||
        length > BLOCK_MAX_BYTES || codec >= BLOCK_CODECS) {
        return false;
    }
    return codec == BLOCK_PLANES ? planes_unpack(in, length, out, n)
                                 : codecs[as[codec]].decode(in, length, out, n);
}
