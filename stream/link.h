/*
 * The connection between the two sides of a stream: frames go over it in order, each once, also
 * when the connection breaks and is made again within a time-out. It holds up who sends more than
 * the other side takes.
 */
#ifndef NINJA_STREAM_LINK_H
#define NINJA_STREAM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "stream/frame.h"
#include "stream/tls.h"

struct link;

struct link_config {
    bool listens; /* the side that is connected to */
    char host[256], port[16];
    uint8_t key[TLS_KEY_BYTES];
    int connect_ms;      /* for the first connection */
    int resume_ms;       /* for another one, when it breaks; 0: none is made */
    int64_t bytes_per_s; /* at most; 0: no limit */
};

struct link_handler {
    /* A frame came, in a thread of the link; it is the handler's. It must not wait for the link.
     * False with err: it makes no sense, and the link ends. */
    bool (*on_frame)(void *arg, struct frame *frame, struct ninja_error *err);
    /* It is over: from a thread of the link, once. */
    void (*on_end)(void *arg, const struct ninja_error *err);
};

struct link_counters {
    uint64_t bytes_sent, bytes_received; /* before TLS */
    uint64_t reconnects;
    int64_t round_trip_us; /* the shortest one; 0: not known */
};

/**
 * Makes a link, which listens already if it is to. It lives as long as the program.
 *
 * @param config   copied
 * @param handler  borrowed
 * @return NULL with err: class ERR_ADDRESS or ERR_CONNECT: it cannot listen there
 */
struct link *link_new(const struct link_config *config, const struct link_handler *handler,
                      void *arg, struct ninja_error *err);

/** Begins to connect; its handler is called from now on. False with err: there are no threads. */
bool link_start(struct link *link, struct ninja_error *err);

/** Whether both sides have met, and agree on a version; waits for that as long as it may take. */
bool link_wait(struct link *link, struct ninja_error *err);

/** Sends a frame, which is taken over. Waits while too much is on its way. False: it is over. */
bool link_send(struct link *link, struct frame *frame);

/** The same without waiting, for a small frame, from on_frame(). */
bool link_send_now(struct link *link, struct frame *frame);

/** Waits until the other side has taken everything, but not longer than that. */
void link_flush(struct link *link, int timeout_ms);

/** Whether whoever sends would wait now: the link is what is slow. */
bool link_is_full(struct link *link);

void link_count(struct link *link, struct link_counters *counters);

#endif
