/*
 * ninja-detach and ninja-attach: what is done in the guest around an unplug and a plug.
 */
#ifndef AGENT_DEVICEOPS_H
#define AGENT_DEVICEOPS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "guest-agent/events.h"
#include "guest-agent/scripts.h"

struct deviceops;

enum deviceop { DEVICEOP_DETACH, DEVICEOP_ATTACH, DEVICEOPS };

/**
 * @param scripts  used by nobody else; freed after this
 * @param proc     the root of procfs, borrowed
 * @return NULL when out of memory
 */
struct deviceops *deviceops_new(struct event_base *base, struct events *events,
                                struct scripts *scripts, const char *proc);
void deviceops_free(struct deviceops *ops);

/**
 * Accepts an operation, or the repetition of one by its token.
 *
 * @param args  {"token", "device", "timeout-ms"}, borrowed
 * @return false with an error
 */
bool deviceops_give(struct deviceops *ops, enum deviceop what, json_t *args,
                    struct ninja_error *err);

#endif
