/*
 * What goes between the two sides of a stream: frames, each of which begins with 16 bytes in
 * network order. A frame other than FRAME_ACK has a number, one more than the one before it, and is
 * kept until the other side has taken it.
 */
#ifndef NINJA_STREAM_FRAME_H
#define NINJA_STREAM_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define STREAM_VERSION   1
#define FRAME_HEAD_BYTES 16
#define FRAME_MAX_BODY   (2 * 1024 * 1024)

enum frame_type {
    FRAME_ACK,    /* number: of the next one that is awaited */
    FRAME_OPEN,   /* a QEMU has connected; body: be16, which VM */
    FRAME_BYTES,  /* body: what it wrote */
    FRAME_CREDIT, /* body: be32, so many bytes more may come for this channel */
    FRAME_EOF,    /* it writes no more */
    FRAME_RESET,  /* its connection broke */
    FRAME_BATCH,  /* the same as FRAME_BYTES, with its pages made small (batch.h) */
    FRAME_TYPES,
};

struct frame {
    enum frame_type type;
    uint16_t channel;
    uint64_t number;
    uint32_t length;
    uint8_t *body; /* the frame's; NULL if the length is 0 */
    int64_t sent_us;
    TAILQ_ENTRY(frame) link;
};

TAILQ_HEAD(frames, frame);

/** A frame with a body of that size, which is not set. */
struct frame *frame_new(enum frame_type type, uint16_t channel, uint32_t length);
/** NULL is allowed. */
void frame_free(struct frame *frame);

void frame_head_put(const struct frame *frame, uint8_t head[FRAME_HEAD_BYTES]);

/** False: no side that is well would send that. */
bool frame_head_get(struct frame *frame, const uint8_t head[FRAME_HEAD_BYTES]);

#endif
