/*
 * The agent: its parts, put together.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <event2/event.h>
#include <stdint.h>

#include "common/error.h"
#include "guest-agent/deviceops.h"
#include "guest-agent/events.h"
#include "guest-agent/hostlink.h"
#include "guest-agent/jobs.h"
#include "guest-agent/linkwatch.h"
#include "guest-agent/ranks.h"
#include "guest-agent/scripts.h"

#define AGENT_PORT "/dev/virtio-ports/org.ninja.agent.0"

/* All strings are borrowed for the agent's life. */
struct agent_config {
    const char *port;   /* the virtio port; unused when there is a listen path */
    const char *listen; /* a UNIX stream socket in place of the port, or NULL */
    const char *socket; /* for the ranks */
    const char *scripts;
    uint32_t script_ms;
    const char *sys, *proc;
};

struct agent {
    const struct agent_config *config;
    struct event_base *base;
    char instance[33]; /* new with each start */
    struct events *events;
    struct hostlink *link;
    struct jobs *jobs;
    struct ranks *ranks;
    struct linkwatch *watch;
    struct scripts *scripts;
    struct deviceops *ops;
};

/**
 * Opens everything; the caller runs the event loop.
 *
 * @param config  borrowed
 * @return NULL with an error
 */
struct agent *agent_new(const struct agent_config *config, struct ninja_error *err);
void agent_free(struct agent *agent);

#endif
