/*
 * Framing of the QEMU guest agent's wire format: bytes in, JSON objects out.
 *
 * An object is handed on when its last brace arrives, as some clients send no newline. A newline
 * always ends what was begun, and 0xFF, which no JSON text can hold, throws it away: so a peer that
 * starts anew in the middle of an old line gets through. The limits of json_scan.h are enforced as
 * the bytes arrive, before any of them is parsed; the rest of a line that broke one is skipped.
 */
#ifndef NINJA_JSONLINE_H
#define NINJA_JSONLINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/json_scan.h"

struct jsonline;

/**
 * Called for each object, and for each line that is none.
 *
 * @param object  borrowed, or NULL
 * @param wrong   what is wrong with the line when there is no object
 *
 * It must not free the jsonline.
 */
typedef void jsonline_fn(void *ctx, json_t *object, const char *wrong);

/**
 * @param max_bytes  of a line, without its end
 * @return NULL when out of memory; free with jsonline_free()
 */
struct jsonline *jsonline_new(size_t max_bytes, jsonline_fn *fn, void *ctx);
void jsonline_free(struct jsonline *j);

/** Takes bytes as they arrived, in pieces of any size. */
void jsonline_feed(struct jsonline *j, const void *bytes, size_t len);

/** Whether a line was begun that has not ended. */
bool jsonline_is_open(const struct jsonline *j);

/** Forgets what was begun, as 0xFF does. */
void jsonline_reset(struct jsonline *j);

#endif
