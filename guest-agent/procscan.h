/*
 * Which processes hold a device that bypasses the VMM.
 */
#ifndef AGENT_PROCSCAN_H
#define AGENT_PROCSCAN_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/** Whether to leave a process out. */
typedef bool procscan_skip(void *ctx, pid_t pid);

/**
 * Looks at the descriptors and mappings of every process that the agent may look at.
 *
 * @param proc  the root of procfs, "/proc"
 * @param skip  NULL: leave none out
 * @return a new array of {"pid", "command", "job", "open": [...]}: "job" is the PMIx namespace from
 *         the process's environment and absent when it has none; not complete if there was a
 *         shortage meanwhile
 */
json_t *procscan(const char *proc, procscan_skip *skip, void *ctx);

#endif
