/*
 * ninja-detach and ninja-attach: commands that end with an event, which bears the token that the
 * command was given.
 */
#ifndef NINJA_GUEST_COMMAND_H
#define NINJA_GUEST_COMMAND_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "host/agent/agent_client.h"

struct guest_command;

/** @param data  the event's, borrowed; NULL with err set (no answer, or "ok" was false) */
typedef void (*guest_command_done)(void *arg, json_t *data, const struct ninja_error *err);

/**
 * @param command     "ninja-detach" or "ninja-attach"
 * @param event       the event that ends it
 * @param device      as after QEMU's -device
 * @param timeout_ms  for the guest; the wait here is a little longer
 */
struct guest_command *guest_command_start(struct event_base *base, struct agent *agent,
                                          const char *command, const char *event,
                                          const char *device, int timeout_ms,
                                          guest_command_done done, void *arg);

/** May be called in `done`, and must be called after it. NULL is allowed. */
void guest_command_free(struct guest_command *command);

/**
 * The evidence: false with err (class ERR_HELD) naming the processes if any still has the device
 * open.
 *
 * @param data  of the event NINJA_DETACHED
 */
bool guest_holds_nothing(json_t *data, struct ninja_error *err);

#endif
