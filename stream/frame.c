#include "stream/frame.h"

#include <stdlib.h>

#include "host/base/memory.h"
#include "stream/bytes.h"

struct frame *frame_new(enum frame_type type, uint16_t channel, uint32_t length)
{
    struct frame *frame = xcalloc(1, sizeof(*frame));
    frame->type = type;
    frame->channel = channel;
    frame->length = length;
    frame->body = length > 0 ? xmalloc(length) : NULL;
    return frame;
}

void frame_free(struct frame *frame)
{
    if (frame != NULL) {
        free(frame->body);
        free(frame);
    }
}

void frame_head_put(const struct frame *frame, uint8_t head[FRAME_HEAD_BYTES])
{
    head[0] = (uint8_t)frame->type;
    head[1] = 0;
    put16(head + 2, frame->channel);
    put32(head + 4, frame->length);
    put64(head + 8, frame->number);
}

bool frame_head_get(struct frame *frame, const uint8_t head[FRAME_HEAD_BYTES])
{
    *frame = (struct frame){.type = head[0],
                            .channel = get16(head + 2),
                            .length = get32(head + 4),
                            .number = get64(head + 8)};
    return head[0] < FRAME_TYPES && head[1] == 0 && frame->length <= FRAME_MAX_BODY &&
           (frame->type != FRAME_ACK || frame->length == 0);
}
