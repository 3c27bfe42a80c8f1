/*
 * The ways to make pages smaller, as a table. What LZ4 and Zstandard write can be read by the
 * public libraries.
 */
#ifndef NINJA_STREAM_CODEC_H
#define NINJA_STREAM_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As they are called on the wire. */
enum codec_id {
    CODEC_NONE,
    CODEC_LZ4,    /* a block */
    CODEC_ZSTD,   /* a frame, level 1 */
    CODEC_PLANES, /* bit planes (planes.h), of which an LZ4 block was made */
    CODECS,
};

/* How much CPU may be spent to save bytes. */
enum effort {
    EFFORT_NONE,
    EFFORT_LITTLE,
    EFFORT_MUCH,
};

struct codec {
    const char *name;
    enum effort effort; /* from which on it is tried */

    /** Returns how many bytes it wrote, or 0: it cannot make them fit into `room`. */
    size_t (*encode)(const uint8_t *from, size_t len, uint8_t *to, size_t room);

    /** Whether exactly len bytes came of it. It writes no more than that, whatever it is given. */
    bool (*decode)(const uint8_t *from, size_t coded, uint8_t *to, size_t len);
};

extern const struct codec codecs[CODECS];

/** Frees what a thread that used them keeps. */
void codec_leave_thread(void);

/**
 * The one that makes a sample smallest, of those that are not too dear.
 *
 * @param room  scratch memory, of at least len bytes
 */
enum codec_id codec_choose(const uint8_t *sample, size_t len, enum effort effort, uint8_t *room);

#endif
