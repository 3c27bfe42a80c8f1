/*
 * Two things are in the way of a VM that comes: memory that is in use now, by whomever, and memory
 * that VMs of the host were promised and have not touched yet. Neither contains the other: what is
 * in use is not only that of VMs, and a VM that was just started uses little.
 */
#include "host/libvirt/room.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

/* Page cache and buffers: the kernel gives both to a VM that wants them. */
static unsigned long long cached_kib(virConnectPtr conn)
{
    virNodeMemoryStats stats[16];
    unsigned long long sum = 0;
    int count = 0; /* asked for how many there are; it wants to be told just that then */
    if (virNodeGetMemoryStats(conn, VIR_NODE_MEMORY_STATS_ALL_CELLS, NULL, &count, 0) < 0 ||
        count > 16 ||
        virNodeGetMemoryStats(conn, VIR_NODE_MEMORY_STATS_ALL_CELLS, stats, &count, 0) < 0)
        return 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(stats[i].field, VIR_NODE_MEMORY_STATS_CACHED) == 0 ||
            strcmp(stats[i].field, VIR_NODE_MEMORY_STATS_BUFFERS) == 0)
            sum += stats[i].value;
    }
    return sum;
}

/* Huge pages were set aside, so they are not free memory, but VMs are what they are for. */
static unsigned long long huge_pages_kib(virConnectPtr conn)
{
    static const unsigned int sizes_kib[] = {2048, 1048576};
    enum { MAX_CELLS = 64 };
    unsigned long long pages[MAX_CELLS], sum = 0;
    for (size_t i = 0; i < sizeof(sizes_kib) / sizeof(sizes_kib[0]); i++) {
        unsigned int size = sizes_kib[i];
        int n = virNodeGetFreePages(conn, 1, &size, 0, MAX_CELLS, pages, 0);
        for (int cell = 0; cell < n; cell++)
            sum += pages[cell] * size;
    }
    return sum;
}

unsigned long long room_free_kib(virConnectPtr conn)
{
    return virNodeGetFreeMemory(conn) / 1024 + cached_kib(conn) + huge_pages_kib(conn);
}

/* What the VMs that run there, or arrive, were promised: memory in KiB and CPUs. No monitor of a
 * QEMU is asked, as that could hang. */
static void count_vms(virConnectPtr conn, json_int_t *memory_kib, json_int_t *cpus)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    for (int i = 0; i < n; i++) {
        virDomainInfo info;
        if (virDomainGetInfo(domains[i], &info) == 0) {
            *memory_kib += (json_int_t)info.maxMem;
            *cpus += info.nrVirtCpu;
        }
        virDomainFree(domains[i]);
    }
    free(domains);
}

json_t *room_json(virConnectPtr conn)
{
    virNodeInfo node = {.memory = 0};
    json_int_t vms_memory_kib = 0, vms_cpus = 0;
    virNodeGetInfo(conn, &node);
    count_vms(conn, &vms_memory_kib, &vms_cpus);
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "memory_kib", (json_int_t)node.memory,
                     "free_bytes", (json_int_t)room_free_kib(conn) * 1024, "cpus",
                     (json_int_t)node.cpus, "vms_memory_kib", vms_memory_kib, "vms_cpus", vms_cpus);
}
