#include "host/vmm/driver.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define MAX_WRITES (1 << 20) /* MiB/s; no VM writes more */

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

bool driver_makes_images(const char *name, struct ninja_error *err)
{
    return driver_find(name)->images != NULL ||
           ninja_error_set(err, ERR_REFUSED,
                           "the driver \"%s\" knows no checkpoints; the driver \"qmp\" does", name);
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

int vmm_take_writes(struct vmm *vmm, int times, int64_t mib_per_s, struct ninja_error *err)
{
    struct vmm_writes *writes = &vmm->writes;
    if (mib_per_s < 0 || mib_per_s > MAX_WRITES) {
        ninja_error_set(err, ERR_PROTOCOL, "it is said to write %lld MiB/s", (long long)mib_per_s);
        return -1;
    }
    int64_t bytes = (mib_per_s << 20) * times * VMM_WRITES_MS / 1000;
    if (times == 1) {
        writes->bytes = bytes;
        return 3;
    }
    writes->bytes_thrice = bytes;
    writes->known = true;
    return 0;
}

void vmm_lost_device(struct vmm *vmm)
{
    ninja_log_vm(NINJA_LOG_DEBUG, vmm_name(vmm), "its device is gone");
    vmm->has_device = vmm->leaving = false;
}

bool vmm_may_have_device(const struct vmm *vmm, int site)
{
    return cluster_devices(vmm->cluster, vmm->vm, site).n > 0;
}

/* The one that it is known to have comes first, so that one that is to go is seen until it went. */
const struct cluster_device *vmm_find_device(const struct vmm *vmm, int site,
                                             bool (*has)(void *arg, const char *id), void *arg)
{
    const struct cluster_devices may = cluster_devices(vmm->cluster, vmm->vm, site);
    const struct cluster_device *known = vmm_device_at(vmm, site);
    if (known != NULL && has(arg, known->id)) {
        return known;
    }
    for (int i = 0; i < may.n; i++) {
        if (has(arg, may.list[i].id)) {
            return &may.list[i];
        }
    }
    return NULL;
}

void vmm_has_seen_device(struct vmm *vmm, const struct cluster_device *device)
{
    vmm->has_device = device != NULL;
    if (device != NULL) {
        vmm->devices[vmm->site] = device;
    }
}

void vmm_set_stands(struct vmm *vmm, bool stands)
{
    if (stands && !vmm->stands) {
        vmm->stands_since = now_ms();
        vmm->stood_ms = -1;
    } else if (!stands && vmm->stands) {
        vmm->stood_ms = now_ms() - vmm->stands_since;
        ninja_log_vm(NINJA_LOG_DEBUG, vmm_name(vmm), "stood still for %lld ms",
                     (long long)vmm->stood_ms);
    }
    vmm->stands = stands;
}

void vmm_init(struct vmm *vmm, const struct vmm_driver *driver, struct event_base *base,
              const struct cluster *cluster, int vm)
{
    vmm->driver = driver;
    vmm->base = base;
    vmm->cluster = cluster;
    vmm->vm = vm;
    vmm->transfer = TRANSFER_DEFAULT;
    vmm->stood_ms = -1;
    vmm->site = vmm->from = vmm->to = -1;
    vmm->progress = (struct vmm_progress){.measured = driver->measures, .downtime_ms = -1};
    vmm->devices = xcalloc((size_t)cluster->n_sites, sizeof(*vmm->devices));
    for (int s = 0; s < cluster->n_sites; s++) {
        const struct cluster_device *own = &cluster->sites[s].vms[vm].device;
        vmm->devices[s] = own->id != NULL ? own : NULL;
    }
}

void vmm_clear(struct vmm *vmm)
{
    free(vmm->devices);
    vmm->devices = NULL;
}
