/*
 * Waiting for an interconnect to become usable in a VM after a device was plugged in.
 */
#ifndef NINJA_LINK_WAIT_H
#define NINJA_LINK_WAIT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "host/agent/agent_client.h"

enum link_kind {
    LINK_NONE,
    LINK_RDMA, /* an RDMA port became ACTIVE */
    LINK_NET,  /* no RDMA port came, but a network interface is up */
};

/**
 * What is new, of two answers to ninja-interconnects as guest_interconnects() leaves them: the time
 * grows with the square of their length.
 *
 * @param port_is_coming  out: an RDMA port is there that was not, and is not ACTIVE yet
 * @param name            out: the port's or interface's
 */
enum link_kind link_compare(json_t *before, json_t *now, bool *port_is_coming, char *name,
                            size_t size);

struct link_wait;

/** @param err  class ERR_TIMEOUT with LINK_NONE */
typedef void (*link_done)(void *arg, enum link_kind kind, const char *name,
                          const struct ninja_error *err);

/**
 * Waits until a port that was not ACTIVE before is, or, if none comes within a short while, a new
 * interface is up.
 *
 * @param before  interconnects before the device came; a reference is kept
 */
struct link_wait *link_wait_start(struct event_base *base, struct agent *agent, json_t *before,
                                  int timeout_ms, link_done done, void *arg);

/** May be called in `done`, and must be called after it. NULL is allowed. */
void link_wait_free(struct link_wait *wait);

#endif
