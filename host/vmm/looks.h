/*
 * What the QEMU of each VM at each site says of itself. For commands that only look; nothing is
 * changed, and every QMP socket is free again afterwards.
 */
#ifndef NINJA_LOOKS_H
#define NINJA_LOOKS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#include "common/error.h"
#include "host/config/cluster.h"

enum look_question {
    LOOK_VERSION,     /* query-version */
    LOOK_STATUS,      /* query-status */
    LOOK_MEMORY,      /* query-memory-size-summary */
    LOOK_MIGRATION,   /* query-migrate */
    LOOK_PERIPHERALS, /* qom-list of /machine/peripheral */
    LOOK_MACHINE,     /* the type of /machine */
    LOOK_BLOCK,       /* query-block */
    LOOK_DEVICE,      /* device-list-properties of the site's device; not asked without one */
    LOOK_QUESTIONS,
};

struct look {
    struct ninja_error err;          /* set: it could not be asked */
    json_t *answers[LOOK_QUESTIONS]; /* NULL: not asked, or refused */
    struct ninja_error device_err;   /* why LOOK_DEVICE was refused */
};

struct looks;

/** Ends always, within the time-outs connect and command. With the driver local nobody is asked. */
struct looks *looks_start(struct event_base *base, const struct cluster *cluster,
                          void (*done)(void *arg), void *arg);

/** NULL: that VM has no QMP socket at that site. */
const struct look *looks_at(const struct looks *looks, int vm, int site);

/** QEMU's word for its state, e.g. "running" or "inmigrate"; empty: not known. */
const char *look_status(const struct look *look);

/** Bytes; -1: not known. */
int64_t look_memory(const struct look *look);

/** MAJOR * 10000 + MINOR * 100 + MICRO, and as text; -1: not known. */
int look_version(const struct look *look, char *text, size_t size);

/** NULL is allowed. */
void looks_free(struct looks *looks);

#endif
