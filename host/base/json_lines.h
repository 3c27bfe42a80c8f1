/*
 * One JSON object a line, over a stream, for QMP and for the agent's channel.
 *
 * A connection owns its stream and calls back from the event loop. After `on_end` nothing is
 * called any more; the owner still frees the connection, and may do so in any callback.
 */
#ifndef NINJA_JSON_LINES_H
#define NINJA_JSON_LINES_H

#include <event2/event.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json_scan.h"

#define JSON_LINES_MAX_LINE JSON_MAX_LINE

struct json_lines;

/* Of both directions; sent: how many of the bytes went to the peer. */
struct json_traffic {
    int64_t lines, bytes, sent;
};

struct json_lines_handler {
    /* object is borrowed for the call */
    void (*on_object)(void *arg, json_t *object);
    /* the peer closed, or it broke the rules; err says which, borrowed */
    void (*on_end)(void *arg, const struct ninja_error *err);
    int max_depth; /* of an object; 0: as deep as the agents' protocol allows */
};

/**
 * Begins on a stream that is open.
 *
 * @param fd       a stream socket that does not block; taken over
 * @param handler  borrowed for the life of the connection
 */
struct json_lines *json_lines_new(struct event_base *base, int fd,
                                  const struct json_lines_handler *handler, void *arg);

/** Adds to these counters from now on. Borrowed for the life of the connection. */
void json_lines_count(struct json_lines *lines, struct json_traffic *traffic);

/**
 * Sends one object.
 *
 * @param sentinel  precede it by a 0xFF byte (the agent protocol's parser reset)
 */
void json_lines_send(struct json_lines *lines, const json_t *object, bool sentinel);

/**
 * Sends one object, and a descriptor with it, of which the peer gets a copy. This works only while
 * nothing that was sent before is left.
 *
 * @return false with err, class ERR_CLOSED or ERR_IO: nothing of it was sent
 */
bool json_lines_send_fd(struct json_lines *lines, const json_t *object, int fd,
                        struct ninja_error *err);

/**
 * Drops what comes until a 0xFF byte; lines after it are parsed again. Otherwise 0xFF bytes
 * reset the line, as does a line that has one in the middle.
 */
void json_lines_skip_to_sentinel(struct json_lines *lines);

/** NULL is allowed. */
void json_lines_free(struct json_lines *lines);

#endif
