/* What a host has for VMs: memory and CPUs, and how much of them is free. */
#ifndef NINJA_LIBVIRT_ROOM_H
#define NINJA_LIBVIRT_ROOM_H

#include <jansson.h>
#include <libvirt/libvirt.h>

/** KiB that a VM which comes now could get; 0: the host does not say. */
unsigned long long room_free_kib(virConnectPtr conn);

/** A new object: "memory_kib", "free_bytes", "cpus", "vms_memory_kib", "vms_cpus". What the host
 * does not say is 0. */
json_t *room_json(virConnectPtr conn);

#endif
