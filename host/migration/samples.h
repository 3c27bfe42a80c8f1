/*
 * How the copies of a migration got on: samples of every VM, for the report.
 */
#ifndef NINJA_SAMPLES_H
#define NINJA_SAMPLES_H

#include <event2/event.h>
#include <jansson.h>

#include "host/vmm/driver.h"

struct samples;

struct sample {
    const char *vm;
    bool copying; /* now */
    struct vmm_progress progress;
};

/** Asks for VM 0 to n-1 about every 200 ms, and keeps the answers while any of them is copying. */
struct samples *samples_new(struct event_base *base, int n,
                            void (*ask)(void *arg, int vm, struct sample *sample), void *arg);

/** Takes one now, as a copy has just ended. */
void samples_take(struct samples *samples);

/** A new object, as docs/report.md describes it. Times are those since samples_new(). */
json_t *samples_to_json(const struct samples *samples);

/** NULL is allowed. */
void samples_free(struct samples *samples);

#endif
