/*
 * A shell command of the cluster file (prepare, release), run for one VM.
 */
#ifndef NINJA_HOST_COMMAND_H
#define NINJA_HOST_COMMAND_H

#include <event2/event.h>

#include "common/error.h"
#include "host/config/cluster.h"

struct host_command;

/** @param err  NULL, or class ERR_COMMAND with the end of what the command wrote */
typedef void (*host_command_done)(void *arg, const struct ninja_error *err);

/**
 * Replaces {vm}, {site}, {host}, {from}, {qmp}, {agent}, {receive} and starts `/bin/sh -c TEXT` in
 * a session of its own, with the same values as NINJA_* in its environment.
 *
 * @param text        the template
 * @param site, from  indexes; from may be -1
 * @param timeout_ms  after that the command and its children are ended
 */
struct host_command *host_command_start(struct event_base *base, const struct cluster *cluster,
                                        const char *text, int vm, int site, int from,
                                        int timeout_ms, host_command_done done, void *arg);

/** Kills the command if it still runs; `done` is not called any more. NULL is allowed. */
void host_command_free(struct host_command *command);

#endif
