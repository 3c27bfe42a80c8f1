/*
 * Connecting to a UNIX stream socket, and why it cannot be.
 */
#ifndef NINJA_UNIX_SOCKET_H
#define NINJA_UNIX_SOCKET_H

#include <event2/event.h>
#include <sys/un.h>

#include "common/error.h"
#include "host/base/channel.h"

/* Of the path, in bytes. */
#define UNIX_SOCKET_MAX_PATH (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/**
 * Connects. That does not wait unless the listener's backlog is full, which is reported as an error
 * like any other.
 *
 * @return the descriptor, which does not block, or -1 with err set: class ERR_ABSENT: nobody
 *         listens there, so far; ERR_BUSY: whoever does lets nobody in, so far;
 *         ERR_CONNECT: it could not be even then, as there is something else, or it is not allowed
 */
int unix_socket_connect(const char *path, struct ninja_error *err);

/** The way that leads to a socket, with errors as above; the path is copied. */
struct channel_way unix_socket_way(struct event_base *base, const char *path);

#endif
