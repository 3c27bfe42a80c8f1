/*
 * Theory of operation
 *
 * The addresses of two ranks differ in few bytes, and these are at the same places and often grow
 * by one from rank to rank: the port, the last byte of a node's address. So the bytes are put in
 * another order, the first byte of all ranks, then the second one of those that have two, and so
 * on, and in place of each byte stands its difference to the one before it in that order. What
 * comes of it is nearly all zeros, and zlib makes a byte of a rank of it, or less.
 *
 * The text is base64 of: a 32-bit number, how many bytes follow before they were compressed; and
 * compressed, for each rank a 32-bit number of its bytes, and all bytes in that order. The numbers
 * have their highest byte first, as the two ends may be of two kinds of machine.
 */
#include "common/address_list.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/addresses.h"
#include "common/base64.h"

static uint32_t length_of(const uint32_t *ends, uint32_t rank)
{
    return ends[rank] - (rank > 0 ? ends[rank - 1] : 0);
}

/*
 * Goes from one order to the other. Ranks whose bytes are over leave the list, so this takes time
 * with the number of bytes only.
 *
 * @param by_rank   rank by rank
 * @param by_place  place by place, as differences
 * @return false: out of memory
 */
static bool reorder(const uint32_t *ends, uint32_t n_ranks, uint8_t *by_rank, uint8_t *by_place,
                    bool decode)
{
    uint32_t *left = malloc(sizeof(*left) * ((size_t)n_ranks + 1));
    if (left == NULL) {
        return false;
    }
    uint32_t n_left = n_ranks;
    for (uint32_t rank = 0; rank < n_ranks; rank++) {
        left[rank] = rank;
    }
    for (uint32_t place = 0; n_left > 0; place++) {
        uint8_t before = 0;
        uint32_t n = 0;
        for (uint32_t i = 0; i < n_left; i++) {
            uint32_t rank = left[i], length = length_of(ends, rank);
            if (place >= length) {
                continue;
            }
            uint8_t *byte = &by_rank[ends[rank] - length + place];
            if (decode) {
                *byte = (uint8_t)(*by_place++ + before);
            } else {
                *by_place++ = (uint8_t)(*byte - before);
            }
            before = *byte;
            left[n++] = rank;
        }
        n_left = n;
    }
    free(left);
    return true;
}

/* ---- encoding ---- */

/* The lengths and the bytes, as they are to be compressed. */
static uint8_t *lay_out(const uint32_t *ends, uint32_t n_ranks, const void *data, size_t size)
{
    uint8_t *plain = malloc(size + 1);
    if (plain == NULL) {
        return NULL;
    }
    for (uint32_t rank = 0; rank < n_ranks; rank++) {
        uint32_t length = htonl(length_of(ends, rank));
        memcpy(plain + sizeof(length) * rank, &length, sizeof(length));
    }
    if (!reorder(ends, n_ranks, (uint8_t *)data, plain + sizeof(uint32_t) * n_ranks, false)) {
        free(plain);
        return NULL;
    }
    return plain;
}

static char *compress_as_text(const uint8_t *plain, uint32_t size)
{
    uint32_t head = htonl(size);
    uLongf packed_size = compressBound(size);
    uint8_t *packed = malloc(sizeof(head) + packed_size);
    char *text = NULL;
    if (packed != NULL && compress(packed + sizeof(head), &packed_size, plain, size) == Z_OK) {
        memcpy(packed, &head, sizeof(head));
        text = ninja_base64_encode(packed, sizeof(head) + packed_size);
    }
    free(packed);
    return text;
}

char *ninja_address_list_encode(const uint32_t *ends, uint32_t n_ranks, const void *data)
{
    size_t size = sizeof(uint32_t) * (size_t)n_ranks + (n_ranks > 0 ? ends[n_ranks - 1] : 0);
    if (size + sizeof(uint32_t) > NINJA_ADDRESSES_MAX) {
        errno = EFBIG;
        return NULL;
    }
    uint8_t *plain = lay_out(ends, n_ranks, data, size);
    char *text = plain != NULL ? compress_as_text(plain, (uint32_t)size) : NULL;
    free(plain);
    if (text == NULL) {
        errno = ENOMEM;
    }
    return text;
}

/* ---- decoding ---- */

/* The bytes before they were compressed, malloc'ed; NULL with what is wrong. */
static uint8_t *expand(const uint8_t *packed, size_t packed_size, uint32_t *size,
                       const char **wrong)
{
    *wrong = "too short";
    if (packed_size < sizeof(*size)) {
        return NULL;
    }
    memcpy(size, packed, sizeof(*size));
    *size = ntohl(*size);
    *wrong = "too long";
    if (*size > NINJA_ADDRESSES_MAX) {
        return NULL;
    }
    uint8_t *plain = malloc((size_t)*size + 1);
    uLongf got = *size;
    *wrong = "out of memory";
    if (plain != NULL &&
        (uncompress(plain, &got, packed + sizeof(*size), packed_size - sizeof(*size)) != Z_OK ||
         got != *size)) {
        *wrong = "not what was compressed";
        free(plain);
        return NULL;
    }
    return plain;
}

/* Takes the lengths, which have to add up. Returns what is wrong, or NULL. */
static const char *take_ends(const uint8_t *plain, uint32_t size, uint32_t n_ranks, uint32_t *ends)
{
    const size_t head = sizeof(uint32_t) * (size_t)n_ranks;
    uint32_t end = 0;
    if (size < head) {
        return "not of all ranks of this job";
    }
    for (uint32_t rank = 0; rank < n_ranks; rank++) {
        uint32_t length;
        memcpy(&length, plain + sizeof(length) * rank, sizeof(length));
        length = ntohl(length);
        if (length == 0 || length > NINJA_ADDRESSES_MAX_RANK || length > size - head - end) {
            return "a length is impossible";
        }
        end += length;
        ends[rank] = end;
    }
    return head + end == size ? NULL : "lengths do not add up";
}

const char *ninja_address_list_decode(const char *text, uint32_t n_ranks, uint32_t *ends,
                                      void **data)
{
    const char *wrong = "not base64";
    size_t room = strlen(text) / 4 * 3 + 1;
    uint8_t *packed = malloc(room), *plain = NULL;
    uint32_t size = 0;
    ssize_t n = packed != NULL ? ninja_base64_decode(text, packed, room) : -1;
    *data = NULL;
    if (n >= 0) {
        plain = expand(packed, (size_t)n, &size, &wrong);
    }
    free(packed);
    if (plain == NULL) {
        return wrong;
    }
    wrong = take_ends(plain, size, n_ranks, ends);
    const size_t head = sizeof(uint32_t) * (size_t)n_ranks;
    if (wrong == NULL) {
        *data = malloc(size - head + 1);
        wrong = *data != NULL && reorder(ends, n_ranks, *data, plain + head, true)
                    ? NULL
                    : "out of memory";
    }
    if (wrong != NULL) {
        free(*data);
        *data = NULL;
    }
    free(plain);
    return wrong;
}
