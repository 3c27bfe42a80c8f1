/*
 * Which VM goes to which host, so that each has room. It knows numbers only: no VM is asked and
 * nothing is changed.
 */
#ifndef NINJA_PACKING_H
#define NINJA_PACKING_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define PACKING_UNKNOWN INT_MAX

/* What is free at a host. */
struct packing_host {
    bool has_devices;   /* a VM there takes one of them, and has no room without */
    int devices;        /* without has_devices it means nothing */
    int64_t memory_mib; /* -1: any VM fits */
    int cpus;           /* -1: the same */

    /* Only to choose among hosts with room. */
    int idle_cpus; /* that no VM has; PACKING_UNKNOWN: as many as are wanted */
    int vms;       /* so many are there */
};

/* Whether a VM may go to a host, and whether it has a device of its own there. */
enum packing_may {
    PACKING_MAY_NOT,
    PACKING_MAY,
    PACKING_MAY_WITH_DEVICE,
};

struct packing_vm {
    int64_t memory_mib;
    int cpus;
    const enum packing_may *may; /* by host */
};

enum packing {
    PACKING_FITS,
    PACKING_LACKS,   /* there is no way to place them all */
    PACKING_GAVE_UP, /* none was found in PACKING_MAX_TRIES */
};

#define PACKING_MAX_TRIES 20000

/**
 * Places all VMs, as many of them with a device as can be. Among hosts with room one whose CPUs
 * would not be shared comes first, then one with fewer VMs, then the one that is named first.
 *
 * @param to  out: a host for each VM; undefined if not all fit
 */
enum packing packing_find(const struct packing_host *hosts, int n_hosts,
                          const struct packing_vm *vms, int n_vms, int *to);

enum packing_need {
    PACKING_NOTHING, /* it fits */
    PACKING_DEVICES,
    PACKING_MEMORY,
    PACKING_CPUS,
};

/** What a host lacks for a VM, were it the only one that comes. */
enum packing_need packing_lacks(const struct packing_host *host, const struct packing_vm *vm);

#endif
