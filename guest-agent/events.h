/*
 * The events that the agent sends unasked, and the ring of the last ones.
 *
 * The ring is bounded in number and in bytes, so that all of it fits into one line: ninja-events
 * gives it again to a host whose channel broke.
 */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest-agent/channel.h"

#define EVENTS_KEPT      2048 /* more than JOBS_MAX, as each job ends a step with one */
#define EVENTS_MAX_BYTES (CHANNEL_MAX_LINE - 64u * 1024)
#define EVENTS_MAX_DATA  (EVENTS_MAX_BYTES - 1024u) /* of one event, as compact JSON */

struct events;

/** Gets every event as it happens: {"event", "seq", "data"}, borrowed. */
typedef void events_sink(void *ctx, json_t *event);

/** @return NULL when out of memory; free with events_free() */
struct events *events_new(void);
void events_free(struct events *ring);

/** Sets who gets the events; NULL: nobody. */
void events_set_sink(struct events *ring, events_sink *sink, void *ctx);

/**
 * Makes an event, keeps it and gives it to the sink.
 *
 * @param data  stolen; above EVENTS_MAX_DATA the event goes out with {"truncated": true} in its
 *              place
 */
void events_emit(struct events *ring, const char *name, json_t *data);

/** The sequence number of the last event, 0 before the first. */
uint64_t events_last_seq(const struct events *ring);

/**
 * The kept events after a sequence number.
 *
 * @param lost  out: whether older ones above @p after are no longer kept
 * @return a new array
 */
json_t *events_after(const struct events *ring, uint64_t after, bool *lost);

#endif
