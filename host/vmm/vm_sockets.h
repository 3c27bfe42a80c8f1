/*
 * What the drivers share that reach a VM by UNIX sockets of the cluster file.
 */
#ifndef NINJA_VM_SOCKETS_H
#define NINJA_VM_SOCKETS_H

#include "host/vmm/driver.h"

/** The way to the agent by its socket there. */
struct channel_way vm_sockets_way_to_agent(const struct vmm *vmm, int site);

#endif
