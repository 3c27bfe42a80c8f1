#include "host-hook/driver.h"

#include <string.h>

const struct vmm_driver *driver_find(const char *name)
{
    static const struct vmm_driver *const drivers[] = {&driver_qmp, &driver_local};
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strcmp(drivers[i]->name, name) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

void vmm_init(struct vmm *vmm, const struct vmm_driver *driver, struct event_base *base,
              const struct cluster *cluster, int vm)
{
    vmm->driver = driver;
    vmm->base = base;
    vmm->cluster = cluster;
    vmm->vm = vm;
    vmm->site = vmm->from = vmm->to = -1;
    vmm->progress.downtime_ms = -1;
}
