/*
 * Tells when an interconnect came, went or changed.
 */
#ifndef AGENT_LINKWATCH_H
#define AGENT_LINKWATCH_H

#include <event2/event.h>

#include "guest-agent/events.h"

struct linkwatch;

/**
 * Starts watching; changes become NINJA_INTERCONNECT events. What is there now is no change.
 *
 * @param sys  the root of sysfs, borrowed
 * @return NULL when out of memory
 */
struct linkwatch *linkwatch_new(struct event_base *base, struct events *events, const char *sys);
void linkwatch_free(struct linkwatch *watch);

#endif
