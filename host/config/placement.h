/*
 * Where the VMs of a cluster are to be: each at a place of its own, or where it is. What is asked
 * for may leave a choice, as a site may have several hosts; host/migration/choice.h makes it.
 */
#ifndef NINJA_PLACEMENT_H
#define NINJA_PLACEMENT_H

#include "host/config/cluster.h"

#define PLACEMENT_STAYS (-1) /* the VM is left as it is, and where it is */

struct placement {
    int *to;      /* by VM: a place, or PLACEMENT_STAYS; as soon as it was chosen */
    bool by_name; /* its VMs were named one by one, so there has to be something to do for each */

    /* What was asked for. */
    bool **may;    /* by VM and place: where it may go; NULL: it stays */
    bool *emptied; /* by place: only VMs that are at one of these go; NULL: all that may */
    char *emptied_name;
    char **why; /* by VM: why that place was chosen, for people; NULL: there was no choice */
    int n_vms;
};

/**
 * Reads it as on the command line: one SITE or HOST for all VMs, or VM=SITE and VM=HOST for some,
 * where the others stay.
 *
 * @param placement  to be cleared, also if it failed
 * @return false with err: class ERR_NO_SUCH_SITE, ERR_NO_SUCH_VM or ERR_BAD_ARGUMENT
 */
bool placement_read(struct placement *placement, const struct cluster *cluster, char *const *words,
                    int n, struct ninja_error *err);

/**
 * Reads that a host, or all of a site, is to be left by all VMs that are there.
 *
 * @param to  where they may go: names of sites and hosts with commas between them; NULL: anywhere
 */
bool placement_read_evacuation(struct placement *placement, const struct cluster *cluster,
                               const char *host, const char *to, struct ninja_error *err);

/** All stay where they are. */
void placement_stay(struct placement *placement, const struct cluster *cluster);

void placement_clear(struct placement *placement);

#define PLACEMENT_SEVERAL "several"

/** The name of the place, or the site, that all go to which do not stay, or PLACEMENT_SEVERAL. */
const char *placement_name(const struct cluster *cluster, const int *to);

#endif
