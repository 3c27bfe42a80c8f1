/*
 * What is said of each VM at each site. For commands that only look; nothing is changed, and every
 * VMM is free to be spoken to again afterwards.
 */
#ifndef NINJA_LOOKS_H
#define NINJA_LOOKS_H

#include <event2/event.h>

#include "host/config/cluster.h"
#include "host/vmm/look.h"

struct vmm_driver;
struct looks;

/**
 * Ends always, within the time-outs connect and command.
 *
 * @param driver  that of the cluster; with one that cannot look nobody is asked
 */
struct looks *looks_start(struct event_base *base, const struct vmm_driver *driver,
                          const struct cluster *cluster, void (*done)(void *arg), void *arg);

/** NULL: there is nobody who could have been asked. */
const struct look *looks_at(const struct looks *looks, int vm, int site);

/** NULL is allowed. */
void looks_free(struct looks *looks);

#endif
