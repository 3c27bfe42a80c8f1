/*
 * A connection of a QEMU, both directions of it, and its other end at the other side.
 *
 * No side sends more for a channel than the other one has room for, which is told by FRAME_CREDIT.
 * So one QEMU that does not read holds up nobody else.
 */
#ifndef NINJA_STREAM_CHANNEL_H
#define NINJA_STREAM_CHANNEL_H

#include "stream/session.h"

#define CHANNEL_ROOM (2 * 1024 * 1024) /* bytes that may be on their way to a QEMU */

/** Begins on a connected socket that blocks; taken over. It removes itself when it is over. */
struct channel *channel_new(struct session *session, uint16_t number, int vm, int fd);

/** Has its threads begin. False: there are none, and it is gone. */
bool channel_start(struct channel *channel);

/** Takes one apart that was not started. */
void channel_discard(struct channel *channel);

uint16_t channel_number(const struct channel *channel);

/** Takes a frame over that came for it. False with err: it makes no sense. */
bool channel_take(struct channel *channel, struct frame *frame, struct ninja_error *err);

#endif
