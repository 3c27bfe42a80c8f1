/*
 * A look at what there is of a VM at a site: what its VMM says of itself. Nothing is changed.
 */
#ifndef NINJA_LOOK_H
#define NINJA_LOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* What is not known is zero, empty, or NULL. */
struct look {
    struct ninja_error err; /* set: it could not be asked */
    const char *mend;       /* what to do then, if it can never be asked like this; static */

    char state[32];          /* the VMM's word for it, as "running" */
    bool waits;              /* for a VM that is to arrive */
    int64_t memory;          /* bytes of RAM */
    char version[100];       /* of the VMM */
    int version_number;      /* greater in a later one */
    bool version_is_old;     /* older than any that was tried */
    char machine[80];        /* the type of the machine */
    json_t *blockers;        /* sentences: why it cannot be migrated; empty: nothing blocks that */
    json_t *devices;         /* {"id": , "driver": }: those with an id of their own */
    json_t *disks;           /* files of its disks */
    json_t *written_disks;   /* those of them that it may write to */
    json_t *refused_devices; /* by their texts, why: of the site's devices, those that it does not
                                know */
    json_t *refusals;        /* sentences: why a VM that is elsewhere could not come here */
};

/* A look that goes on; a driver's own struct begins with it. */
struct looker {
    void (*close)(struct looker *looker);
};

static inline void look_clear(struct look *look)
{
    json_decref(look->blockers);
    json_decref(look->refusals);
    json_decref(look->refused_devices);
    json_decref(look->devices);
    json_decref(look->disks);
    json_decref(look->written_disks);
}

#endif
