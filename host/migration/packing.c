/*
 * A search that goes back where it comes to no end: VM after VM, the greatest first, each to every
 * host with room, the best first. It is done for 0 VMs without a device, then for 1 and so on, so
 * the first way that is found has the most devices.
 *
 * What cannot end well is cut off early: hosts that are alike are tried once, and so is a rest of
 * VMs that needs more than all hosts together have. What is left may still be much too much, so
 * tries are counted; where they do not suffice, any number may be without a device.
 */
#include "host/migration/packing.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

struct search {
    struct packing_host *hosts; /* what is free by now */
    int n_hosts;
    const struct packing_vm *vms;
    int n_vms;
    int *order; /* VMs, the greatest first */
    int *to;
    int without; /* so many more may be without a device */
    int tries;
};

enum packing_need packing_lacks(const struct packing_host *host, const struct packing_vm *vm)
{
    if (host->has_devices && host->devices < 1) {
        return PACKING_DEVICES;
    } else if (host->memory_mib >= 0 && host->memory_mib < vm->memory_mib) {
        return PACKING_MEMORY;
    } else if (host->cpus >= 0 && host->cpus < vm->cpus) {
        return PACKING_CPUS;
    }
    return PACKING_NOTHING;
}

/* sign 1: a VM comes; -1: it goes again. */
static void put(struct packing_host *host, const struct packing_vm *vm, int sign)
{
    host->devices -= sign;
    host->memory_mib -= host->memory_mib >= 0 ? sign * vm->memory_mib : 0;
    host->cpus -= host->cpus >= 0 ? sign * vm->cpus : 0;
    host->idle_cpus -= host->idle_cpus != PACKING_UNKNOWN ? sign * vm->cpus : 0;
    host->vms += sign;
}

static bool may_have_own(const struct search *search, int at)
{
    for (int i = at; i < search->n_vms; i++) {
        for (int h = 0; h < search->n_hosts; h++) {
            if (search->vms[search->order[i]].may[h] == PACKING_MAY_WITH_DEVICE) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the VMs from that one of the order on cannot all have room. */
static bool is_hopeless(const struct search *search, int at)
{
    int64_t memory = 0, cpus = 0;
    bool any_memory = false, any_cpus = false;
    int left = search->n_vms - at, devices = search->without;
    for (int i = at; i < search->n_vms; i++) {
        memory += search->vms[search->order[i]].memory_mib;
        cpus += search->vms[search->order[i]].cpus;
    }
    for (int h = 0; h < search->n_hosts; h++) {
        const struct packing_host *host = &search->hosts[h];
        any_memory |= host->memory_mib < 0;
        any_cpus |= host->cpus < 0;
        memory -= host->memory_mib;
        cpus -= host->cpus;
        devices += host->has_devices ? host->devices : 0;
    }
    return (devices < left && !may_have_own(search, at)) || (!any_memory && memory > 0) ||
           (!any_cpus && cpus > 0);
}

static bool is_alike(const struct search *search, int at, int a, int b)
{
    const struct packing_host *one = &search->hosts[a], *other = &search->hosts[b];
    if (one->has_devices != other->has_devices ||
        (one->has_devices && one->devices != other->devices) || one->vms != other->vms ||
        one->memory_mib != other->memory_mib || one->cpus != other->cpus) {
        return false;
    }
    for (int i = at; i < search->n_vms; i++) {
        const struct packing_vm *vm = &search->vms[search->order[i]];
        if (vm->may[a] != vm->may[b]) {
            return false;
        }
    }
    return true;
}

static bool gets_device(const struct search *search, int vm, int host)
{
    return search->hosts[host].has_devices || search->vms[vm].may[host] == PACKING_MAY_WITH_DEVICE;
}

static bool shares_cpus(const struct search *search, int vm, int host)
{
    return search->hosts[host].idle_cpus < search->vms[vm].cpus;
}

static bool is_better(const struct search *search, int vm, int a, int b)
{
    bool with = gets_device(search, vm, a), shares = shares_cpus(search, vm, a);
    if (with != gets_device(search, vm, b)) {
        return with;
    }
    return shares != shares_cpus(search, vm, b) ? !shares
                                                : search->hosts[a].vms < search->hosts[b].vms;
}

/* The best host for a VM that was not tried; -1: there is none. */
static int next_host(const struct search *search, int at, const bool *tried)
{
    int v = search->order[at], best = -1;
    const struct packing_vm *vm = &search->vms[v];
    for (int h = 0; h < search->n_hosts; h++) {
        bool fits = vm->may[h] && packing_lacks(&search->hosts[h], vm) == PACKING_NOTHING &&
                    (search->without > 0 || gets_device(search, v, h));
        if (fits && !tried[h] && (best < 0 || is_better(search, v, h, best))) {
            best = h;
        }
    }
    return best;
}

static void mark_tried(const struct search *search, int at, int host, bool *tried)
{
    for (int h = 0; h < search->n_hosts; h++) {
        tried[h] |= h == host || is_alike(search, at, h, host);
    }
}

static bool place_from(struct search *search, int at)
{
    if (at == search->n_vms) {
        return true;
    }
    if (is_hopeless(search, at) || ++search->tries > PACKING_MAX_TRIES) {
        return false;
    }
    bool *tried = xcalloc((size_t)search->n_hosts, sizeof(*tried)), placed = false;
    int host, v = search->order[at];
    while (!placed && (host = next_host(search, at, tried)) >= 0) {
        int without = gets_device(search, v, host) ? 0 : 1;
        mark_tried(search, at, host, tried);
        put(&search->hosts[host], &search->vms[v], 1);
        search->without -= without;
        search->to[v] = host;
        placed = place_from(search, at + 1);
        if (!placed) {
            put(&search->hosts[host], &search->vms[v], -1);
            search->without += without;
        }
    }
    free(tried);
    return placed;
}

static bool is_greater(const struct packing_vm *a, const struct packing_vm *b)
{
    return a->memory_mib != b->memory_mib ? a->memory_mib > b->memory_mib : a->cpus > b->cpus;
}

/* Those that are alike stay as they were named. */
static void put_in_order(struct search *search)
{
    for (int i = 0; i < search->n_vms; i++) {
        int at = i;
        while (at > 0 && is_greater(&search->vms[i], &search->vms[search->order[at - 1]])) {
            search->order[at] = search->order[at - 1];
            at--;
        }
        search->order[at] = i;
    }
}

enum packing packing_find(const struct packing_host *hosts, int n_hosts,
                          const struct packing_vm *vms, int n_vms, int *to)
{
    struct search search = {.n_hosts = n_hosts, .vms = vms, .n_vms = n_vms, .to = to};
    bool placed = n_vms == 0, gave_up = false;
    search.hosts = xcalloc((size_t)n_hosts, sizeof(*search.hosts));
    search.order = xcalloc((size_t)n_vms + 1, sizeof(*search.order));
    memcpy(search.hosts, hosts, (size_t)n_hosts * sizeof(*hosts));
    put_in_order(&search);
    for (int n = 0; !placed && n <= n_vms; n++) {
        if (search.tries > PACKING_MAX_TRIES) {
            n = n_vms;
            gave_up = true;
        }
        search.tries = 0;
        search.without = n;
        placed = place_from(&search, 0);
    }
    gave_up |= search.tries > PACKING_MAX_TRIES;
    free(search.hosts);
    free(search.order);
    return placed ? PACKING_FITS : gave_up ? PACKING_GAVE_UP : PACKING_LACKS;
}
