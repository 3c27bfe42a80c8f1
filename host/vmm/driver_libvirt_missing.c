/*
 * In the place of the driver "libvirt" where the build was told to do without it.
 */
#include "host/vmm/driver.h"

const struct vmm_driver driver_libvirt = {
    .in_file = {.name = "libvirt",
                .missing = "this build has no libvirt; use one that was configured without "
                           "--without-libvirt"},
};
