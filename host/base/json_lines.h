/*
 * One JSON object a line, over a UNIX socket, for QMP and for the agent's channel.
 *
 * A connection owns its socket and calls back from the event loop. After `on_end` nothing is
 * called any more; the owner still frees the connection, and may do so in any callback.
 */
#ifndef NINJA_JSON_LINES_H
#define NINJA_JSON_LINES_H

#include <event2/event.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "common/error.h"
#include "common/json_scan.h"

#define JSON_LINES_MAX_LINE JSON_MAX_LINE

struct json_lines;

/* Of both directions. */
struct json_traffic {
    int64_t lines, bytes;
};

struct json_lines_handler {
    /* object is borrowed for the call */
    void (*on_object)(void *arg, json_t *object);
    /* the peer closed, or it broke the rules; err says which, borrowed */
    void (*on_end)(void *arg, const struct ninja_error *err);
    int max_depth; /* of an object; 0: as deep as the agents' protocol allows */
};

/* Of a UNIX socket's path, in bytes. */
#define JSON_LINES_MAX_PATH (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/**
 * Connects to a UNIX stream socket.
 *
 * Connecting to a UNIX socket does not wait unless the listener's backlog is full, which is
 * reported as an error like any other.
 *
 * @param handler  borrowed for the life of the connection
 * @return the connection, or NULL with err set: class ERR_ABSENT: nobody listens there, so far;
 *         ERR_BUSY: whoever does lets nobody in, so far;
 *         ERR_CONNECT: it could not be even then, as there is something else, or it is not allowed
 */
struct json_lines *json_lines_connect(struct event_base *base, const char *path,
                                      const struct json_lines_handler *handler, void *arg,
                                      struct ninja_error *err);

/** Whether someone listens at a UNIX stream socket now; otherwise err, as above. */
bool json_lines_answers(const char *path, struct ninja_error *err);

/** Adds to these counters from now on. Borrowed for the life of the connection. */
void json_lines_count(struct json_lines *lines, struct json_traffic *traffic);

/**
 * Sends one object.
 *
 * @param sentinel  precede it by a 0xFF byte (the agent protocol's parser reset)
 */
void json_lines_send(struct json_lines *lines, const json_t *object, bool sentinel);

/**
 * Drops what comes until a 0xFF byte; lines after it are parsed again. Otherwise 0xFF bytes
 * reset the line, as does a line that has one in the middle.
 */
void json_lines_skip_to_sentinel(struct json_lines *lines);

/** NULL is allowed. */
void json_lines_free(struct json_lines *lines);

#endif
