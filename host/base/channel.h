/*
 * A byte stream to a peer, for one who speaks with it and need not know how it is reached.
 *
 * Whoever knows that gives a way to the peer. A channel is one attempt to go there, and the stream
 * that comes of it. It may break at any time; then another one is opened by the same way.
 */
#ifndef NINJA_CHANNEL_H
#define NINJA_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/*
 * What becomes of a channel; all are called from the event loop, and never before open() returned.
 * First comes `opened` or `failed`, and of these only one. `closed` may follow `opened`, if the
 * channel is known to be at its end for a reason that the stream does not show; a stream may also
 * just end. The channel may be closed in any of them, and is to be closed after all of them.
 */
struct channel_events {
    /* A stream socket that does not block; whoever is called has to close it. */
    void (*opened)(void *arg, int fd);
    void (*closed)(void *arg, const struct ninja_error *why);
    void (*failed)(void *arg, const struct ninja_error *why);
};

/* The part that all channels have; a channel's own struct begins with it. */
struct channel {
    void (*close)(struct channel *channel);
};

/* The way to a peer. It may be copied, and holds as long as `owner` lives. */
struct channel_way {
    /**
     * Opens a channel.
     *
     * @param events  borrowed for the life of the channel
     * @return never NULL: what is wrong is told by `failed`
     */
    struct channel *(*open)(const struct channel_way *way, const struct channel_events *events,
                            void *arg);

    /* Whether it can be opened now, as far as that shows without disturbing anybody; NULL: it does
     * not show. */
    bool (*answers)(const struct channel_way *way, struct ninja_error *err);

    void *owner;
    int which;      /* of the peers that `owner` knows */
    char name[256]; /* for people; two ways of the same name lead to the same peer */
};

/** Gives up an attempt, or leaves the stream to whoever has it. Sets it to NULL; NULL is allowed.
 */
static inline void channel_close(struct channel **channel)
{
    if (*channel != NULL) {
        (*channel)->close(*channel);
        *channel = NULL;
    }
}

#endif
