#include "guest-agent/events.h"

#include <stdlib.h>

#include "common/log.h"

struct events {
    json_t *kept[EVENTS_KEPT]; /* that of sequence number n is at n % EVENTS_KEPT */
    size_t bytes[EVENTS_KEPT];
    size_t total;
    uint64_t first, last; /* of the kept ones; first > last: none */
    events_sink *sink;
    void *ctx;
};

struct events *events_new(void)
{
    struct events *ring = calloc(1, sizeof(*ring));
    if (ring != NULL) {
        ring->first = 1;
    }
    return ring;
}

static void forget_oldest(struct events *ring)
{
    size_t slot = ring->first % EVENTS_KEPT;
    json_decref(ring->kept[slot]);
    ring->kept[slot] = NULL;
    ring->total -= ring->bytes[slot];
    ring->first++;
}

void events_free(struct events *ring)
{
    if (ring == NULL) {
        return;
    }
    while (ring->first <= ring->last) {
        forget_oldest(ring);
    }
    free(ring);
}

void events_set_sink(struct events *ring, events_sink *sink, void *ctx)
{
    ring->sink = sink;
    ring->ctx = ctx;
}

void events_emit(struct events *ring, const char *name, json_t *data)
{
    size_t size = json_dumpb(data, NULL, 0, JSON_COMPACT);
    if (size == 0) {
        ninja_log_error("event %s: its data is left out: out of memory", name);
    } else if (size > EVENTS_MAX_DATA) {
        ninja_log_warning("event %s of %zu bytes does not fit into a line; its data is left out",
                          name, size);
    }
    if (size == 0 || size > EVENTS_MAX_DATA) {
        json_decref(data);
        data = json_pack("{s:b}", "truncated", 1);
        size = 32;
    }
    uint64_t seq = ring->last + 1;
    json_t *event =
        json_pack("{s:s, s:I, s:o}", "event", name, "seq", (json_int_t)seq, "data", data);
    if (event == NULL) {
        ninja_log_error("event %s is lost: out of memory", name);
        return;
    }
    size += 128; /* the name, the number and the punctuation */
    while (ring->first <= ring->last &&
           (ring->last - ring->first + 1 == EVENTS_KEPT || ring->total + size > EVENTS_MAX_BYTES)) {
        forget_oldest(ring);
    }
    size_t slot = seq % EVENTS_KEPT;
    ring->kept[slot] = event;
    ring->bytes[slot] = size;
    ring->total += size;
    ring->last = seq;
    ninja_log_debug("event %s, number %ju", name, (uintmax_t)seq);
    if (ring->sink != NULL) {
        ring->sink(ring->ctx, event);
    }
}

uint64_t events_last_seq(const struct events *ring)
{
    return ring->last;
}

json_t *events_after(const struct events *ring, uint64_t after, bool *lost)
{
    json_t *list = json_array();
    uint64_t seq = after < ring->first ? ring->first : after + 1;
    *lost = after + 1 < ring->first;
    for (; seq <= ring->last; seq++) {
        json_array_append(list, ring->kept[seq % EVENTS_KEPT]);
    }
    return list;
}
