/*
 * Makes up what a QEMU writes in a pre-copy: the same framing, around pages of several kinds.
 */
#ifndef NINJA_QEMU_STREAM_H
#define NINJA_QEMU_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct qemu_stream {
    uint8_t *bytes;
    size_t len, room;
    size_t pages; /* that are not zero */
    unsigned seed;
    int numbers; /* the pages that follow are of numbers */
    uint8_t kept[8][4096]; /* pages that come again */
};

/** With a seed of the caller's; freed with qemu_stream_free(). */
void qemu_stream_make(struct qemu_stream *stream, unsigned seed, size_t pages);
void qemu_stream_free(struct qemu_stream *stream);

#endif
