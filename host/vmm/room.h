/*
 * What a host has for VMs, as it says itself.
 */
#ifndef NINJA_ROOM_H
#define NINJA_ROOM_H

#include <stdint.h>

/* What is not known is zero. */
struct vmm_room {
    int64_t memory_mib; /* all of it */
    int64_t free_mib;   /* of that, for VMs that come; it means something only with memory_mib */
    int cpus;           /* all of them */
    int idle_cpus;      /* of those, that no VM has; below zero: VMs share them already */
    const char *silent; /* why the host does not answer; until the next look */
};

#endif
