#include "host/vmm/driver.h"

#include <string.h>

#include "common/log.h"

#define POINTER(name) &driver_##name,
static const struct vmm_driver *const drivers[] = {VMM_DRIVERS(POINTER)};
#undef POINTER

#define DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

const struct vmm_driver *driver_find(const char *name)
{
    for (size_t i = 0; i < DRIVERS; i++) {
        if (strcmp(drivers[i]->in_file.name, name) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

const struct cluster_driver *driver_in_file(size_t i)
{
    return i < DRIVERS ? &drivers[i]->in_file : NULL;
}

void vmm_set_move(struct vmm *vmm, enum vmm_move move)
{
    static const char *const names[] = {
        [VMM_AT_SOURCE] = "at the source",
        [VMM_ON_ITS_WAY] = "on its way",
        [VMM_SPLIT] = "split",
        [VMM_ARRIVED] = "arrived",
    };
    if (move != vmm->move) {
        ninja_log_vm(NINJA_LOG_DEBUG, vmm_name(vmm), "%s -> %s", names[vmm->move], names[move]);
        vmm->move = move;
    }
}

void vmm_init(struct vmm *vmm, const struct vmm_driver *driver, struct event_base *base,
              const struct cluster *cluster, int vm)
{
    vmm->driver = driver;
    vmm->base = base;
    vmm->cluster = cluster;
    vmm->vm = vm;
    vmm->transfer = TRANSFER_DEFAULT;
    vmm->site = vmm->from = vmm->to = -1;
    vmm->progress = (struct vmm_progress){.measured = driver->measures, .downtime_ms = -1};
}
