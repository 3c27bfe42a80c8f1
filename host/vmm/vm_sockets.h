/*
 * What the drivers share that reach a VM by UNIX sockets of the cluster file: their keys there, and
 * the way to the agent.
 */
#ifndef NINJA_VM_SOCKETS_H
#define NINJA_VM_SOCKETS_H

#include "host/vmm/driver.h"

/* Their part of a VM at a site. What the file leaves out is NULL. */
struct vm_sockets {
    char *qmp, *agent, *receive;
};

/* And of a site: shell commands, and how ninja-stream brings memory there. */
struct vm_commands {
    char *prepare, *release;
    char *stream; /* HOST:PORT; NULL: memory goes from QEMU to QEMU */
    char *stream_command;
    int stream_bandwidth; /* MiB/s, of all VMs; 0: no limit */
};

/* For `in_file` of a driver: the first one needs all sockets, the second one the agent's alone,
 * which may be the same at several sites. */
extern const struct cluster_key vm_sockets_keys[], vm_agent_keys[], vm_commands_keys[];

/* As vm_commands_keys, with those of the stream. */
extern const struct cluster_key vm_streams_keys[];

/** The same: takes the device, as after QEMU's -device. */
bool vm_sockets_read_device(struct cluster_device *device, struct ninja_error *err);

static inline const struct vm_sockets *vm_sockets_at(const struct cluster *cluster, int vm,
                                                     int site)
{
    return cluster->sites[site].vms[vm].own;
}

static inline const struct vm_commands *vm_commands_at(const struct cluster *cluster, int site)
{
    return cluster->sites[site].own;
}

/* For `mend` of a driver. */
#define VM_SOCKETS_MEND                                                                            \
    "start the VM, correct the key \"qmp\" or \"agent\" in the cluster file, or run ninjactl as "  \
    "a "                                                                                           \
    "user who may connect there"

/** The way to the agent by its socket there. */
struct channel_way vm_sockets_way_to_agent(const struct vmm *vmm, int site);

#endif
