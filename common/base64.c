#include "common/base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *ninja_base64_encode(const void *data, size_t size)
{
    const uint8_t *in = data;
    char *text = malloc((size + 2) / 3 * 4 + 1);
    char *out = text;
    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)in[i] << 16;
        group |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        group |= n > 2 ? in[i + 2] : 0;
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = n > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = n > 2 ? alphabet[group & 63] : '=';
    }
    *out = '\0';
    return text;
}

/* The 24 bits of four characters, the last `padding` of which are '='; -1: not of the alphabet. */
static int32_t group_of(const char *text, size_t padding)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4 - padding; i++) {
        const char *at = memchr(alphabet, text[i], sizeof(alphabet) - 1);
        if (at == NULL) {
            return -1;
        }
        group |= (uint32_t)(at - alphabet) << (18 - 6 * i);
    }
    return (group & ((1u << 8 * padding) - 1)) == 0 ? (int32_t)group : -1;
}

ssize_t ninja_base64_decode(const char *text, void *out, size_t room)
{
    size_t len = strlen(text), size = 0;
    uint8_t *bytes = out;
    if (len % 4 != 0) {
        return -1;
    }
    for (size_t i = 0; i < len; i += 4) {
        size_t padding = i + 4 < len || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        int32_t group = group_of(text + i, padding);
        if (group < 0 || size + 3 - padding > room) {
            return -1;
        }
        for (size_t n = 0; n < 3 - padding; n++, size++) {
            if (bytes != NULL) {
                bytes[size] = (uint8_t)(group >> (16 - 8 * n));
            }
        }
    }
    return (ssize_t)size;
}
