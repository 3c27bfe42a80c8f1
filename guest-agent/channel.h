/*
 * One channel to a host: requests come in, answers and events go out.
 */
#ifndef AGENT_CHANNEL_H
#define AGENT_CHANNEL_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "common/json_scan.h"

#define CHANNEL_MAX_LINE    JSON_MAX_LINE    /* to the host */
#define CHANNEL_MAX_REQUEST JSON_MAX_REQUEST /* from it */

struct channel;

enum channel_kind {
    CHANNEL_PORT,   /* a virtio port: end of file means that no host is there now */
    CHANNEL_STREAM, /* a connected socket: end of file is the end */
};

struct channel_ops {
    /** A request, or with @p request NULL a line that is none; both borrowed. */
    void (*request)(void *ctx, struct channel *ch, json_t *request, const char *wrong);
    /** The channel has ended (error: an errno, or 0) and is to be freed by the callee. */
    void (*gone)(void *ctx, struct channel *ch, int error);
};

/**
 * @param fd   non-blocking; closed by channel_free(), and not when NULL is returned
 * @param ops  borrowed for the channel's life
 * @return NULL when out of memory
 */
struct channel *channel_new(struct event_base *base, int fd, enum channel_kind kind,
                            const struct channel_ops *ops, void *ctx);
void channel_free(struct channel *ch);

/**
 * Queues one answer.
 *
 * @param line     borrowed
 * @param delimit  put a 0xFF byte before it
 */
void channel_send(struct channel *ch, json_t *line, bool delimit);

/** Queues an event if the host has greeted; leaves it out when the host does not read. */
void channel_send_event(struct channel *ch, json_t *event);

/** Whether the host said ninja-hello. It has to say it again when it went away from the port. */
bool channel_greeted(const struct channel *ch);
void channel_set_greeted(struct channel *ch);

#endif
