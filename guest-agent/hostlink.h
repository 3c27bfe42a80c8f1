/*
 * Where hosts reach the agent: one virtio port, or a UNIX socket with any number of connections.
 */
#ifndef AGENT_HOSTLINK_H
#define AGENT_HOSTLINK_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "guest-agent/channel.h"

struct hostlink;

typedef void hostlink_request(void *ctx, struct channel *ch, json_t *request, const char *wrong);

/**
 * Opens the port, which may also come later: it is tried again until it is there.
 *
 * @param path     borrowed for the link's life
 * @param opened   the line that a host gets each time when the port was opened; taken over, also in
 *                 case of an error. A host that was connected all the while sees by it that it must
 *                 begin anew, as it sees no end of a connection.
 * @param request  gets what channel_ops.request gets
 * @return NULL with an error
 */
struct hostlink *hostlink_port(struct event_base *base, const char *path, json_t *opened,
                               hostlink_request *request, void *ctx, struct ninja_error *err);

/** Listens on a UNIX socket (mode 0600) instead; as hostlink_port(). */
struct hostlink *hostlink_listen(struct event_base *base, const char *path,
                                 hostlink_request *request, void *ctx, struct ninja_error *err);

/** Ends all channels and removes the socket's file. */
void hostlink_free(struct hostlink *link);

/** Gives an event to every host that greeted. */
void hostlink_broadcast(struct hostlink *link, json_t *event);

#endif
