/* Base64 (RFC 4648, with padding), for bytes that travel in JSON. */
#ifndef NINJA_BASE64_H
#define NINJA_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/** @return the text, malloc'ed, or NULL when out of memory */
char *ninja_base64_encode(const void *data, size_t size);

/**
 * Decodes a text, strictly: no blanks, all padding, no bits left over.
 *
 * @param out   room bytes; NULL: the text is only checked
 * @param room  what the text may decode to at most
 * @return bytes of the result, or -1 when the text is malformed or too long
 */
ssize_t ninja_base64_decode(const char *text, void *out, size_t room);

#endif
