/*
 * A PCI device of the host that is passed through, as this host's sysfs shows it.
 */
#ifndef NINJA_HOST_DEVICE_H
#define NINJA_HOST_DEVICE_H

#include <stdbool.h>

struct host_device {
    char address[32]; /* as in the cluster file, with the domain: 0000:3b:00.1 */
    bool present;     /* this host has it; it may be that of another */
    char driver[64];  /* it is bound to; empty: to none */
    char group[16];   /* of the IOMMU; empty: none */
};

/**
 * @param sysfs   where it is mounted
 * @param device  the text after QEMU's -device
 * @return false: it is not one that is passed through with host=ADDRESS
 */
bool host_device_look(const char *sysfs, const char *device, struct host_device *found);

#endif
