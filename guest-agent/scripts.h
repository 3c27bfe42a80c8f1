/*
 * The admin's scripts, run when a device is detached and attached.
 */
#ifndef AGENT_SCRIPTS_H
#define AGENT_SCRIPTS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#define SCRIPTS_MAX_OUTPUT 16384

struct scripts;

/** @param output  what the scripts wrote, and what went wrong; borrowed, any bytes but NUL */
typedef void scripts_done(void *ctx, bool ok, const char *output);

/**
 * @param dir      borrowed; a directory that is missing holds no scripts
 * @param each_ms  time limit of one script
 * @return NULL when out of memory
 */
struct scripts *scripts_new(struct event_base *base, const char *dir, uint32_t each_ms);

/** Kills what still runs, and does not call back. */
void scripts_free(struct scripts *scripts);

/**
 * Runs the executable files of the directory one after the other, in the order of their names, as
 * "FILE EVENT DEVICE" with NINJA_EVENT and NINJA_DEVICE in the environment. The first one that
 * fails is the last.
 *
 * @param event, device  copied
 * @param total_ms       time limit of all of them
 * @param done           called once, never before this returns
 * @return false when one run is in progress already, or out of memory
 */
bool scripts_run(struct scripts *scripts, const char *event, const char *device, uint32_t total_ms,
                 scripts_done *done, void *ctx);

#endif
