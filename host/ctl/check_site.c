/*
 * A destination: whether each VM that is not there could be received, and gets its device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/memory.h"
#include "host/config/host_device.h"
#include "host/config/path.h"
#include "host/ctl/checks.h"

struct destination {
    struct checks *checks;
    int index; /* of the site */
    const struct cluster_site *site;
    const char *vm;
    struct vmm_arrival arrival;
    const struct look *source, *receiver; /* NULL: not known */
};

/* Where the whole command is a program's path and arguments, a shell would find nothing else. */
static void check_prepare(struct checks *checks, const struct cluster_site *site,
                          const char *command)
{
    char path[1024];
    size_t len = strcspn(command, " \t");
    if (command[0] != '/' || len >= sizeof(path) ||
        strcspn(command, "$`\\\"'*?[#~=%<>|&;(){}") < len) {
        check_ok(checks, "prepare", site->name, "the command \"prepare\" starts receivers");
        return;
    }
    memcpy(path, command, len);
    path[len] = '\0';
    if (access(path, X_OK) < 0) {
        check_miss(checks, REQUIRED, "prepare", site->name,
                   "correct \"prepare\" in the cluster file, or put the program there",
                   "the command \"prepare\" cannot be run: %s: %m", path);
    } else {
        check_ok(checks, "prepare", site->name, "the command \"prepare\" (%s) starts receivers",
                 path);
    }
}

static const char *address_of(const struct destination *to, int vm)
{
    return vmm_arrival(survey_vms(to->checks->session->survey)[vm].vmm, to->index).address;
}

static void check_address(const struct destination *to, int vm)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct cluster *cluster = to->checks->session->cluster;
    struct path path = {NULL, NULL};
    for (int other = 0; other < vm; other++) {
        const char *address = address_of(to, other);
        if (address != NULL && strcmp(address, to->arrival.address) == 0) {
            check_miss(to->checks, REQUIRED, "receive", to->site->name,
                       "give every VM an address of its own in \"receive\"",
                       "%s and %s are received at the same address %s", cluster->vms[other], to->vm,
                       address);
            return;
        }
    }
    path_set(&path, to->arrival.address, to->arrival.address);
    if (path_check(&path, &err)) {
        check_ok(to->checks, "receive", to->site->name, "%s is received at %s", to->vm,
                 to->arrival.address);
    } else {
        check_miss(to->checks, err.class == ERR_UNKNOWN ? OPTIONAL : REQUIRED, "receive",
                   to->site->name, "correct \"receive\" in the cluster file, or the host's names",
                   "%s cannot be received: %s", to->vm, err.message);
    }
    path_clear(&path);
}

static void check_stream(const struct destination *to)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct path path = {NULL, NULL};
    char *uri = xasprintf("tcp:%s", to->arrival.stream);
    path_set(&path, uri, uri);
    free(uri);
    if (path_check(&path, &err)) {
        check_ok(to->checks, "stream", to->site->name, "memory comes by ninja-stream at %s",
                 to->arrival.stream);
    } else {
        check_miss(to->checks, REQUIRED, "stream", to->site->name,
                   "correct \"stream\" in the cluster file, or the host's names",
                   "no memory can come by ninja-stream: %s", err.message);
    }
    path_clear(&path);
}

/* ---- the receiver ---- */

static bool waits(const struct destination *to)
{
    return to->receiver != NULL && to->receiver->waits;
}

/* QEMU has it from its start on, as it has that of QMP. */
static void check_agent_socket(const struct destination *to, const struct vmm *vmm, int site)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct channel_way way = vmm->driver->way_to_agent(vmm, site);
    if (way.answers == NULL ||
        (vmm->site >= 0 && strcmp(vmm_way_to_agent(vmm).name, way.name) == 0)) {
        return; /* it cannot be told, or was asked where the VM is */
    }
    if (way.answers(&way, &err)) {
        check_ok(to->checks, "agent-socket", to->site->name,
                 "the socket of %s's agent can be connected", to->vm);
    } else if (err.class == ERR_CONNECT || waits(to) || to->receiver == NULL) {
        check_miss(
            to->checks, REQUIRED, "agent-socket", to->site->name,
            "correct the key \"agent\" in the cluster file, or run ninjactl as a user who may "
            "connect there",
            "the agent of %s cannot be reached there: %s", to->vm, err.message);
    }
}

/* Whether it can be asked more. */
static bool check_receiver(const struct destination *to)
{
    const struct look *receiver = to->receiver;
    bool is_there = !ninja_error_is_set(&receiver->err);
    if (!is_there && receiver->mend != NULL) {
        check_miss(to->checks, REQUIRED, "receiver", to->site->name, receiver->mend,
                   "%s cannot be received: %s", to->vm, receiver->err.message);
    } else if (!to->arrival.receiver) {
        return is_there;
    } else if (!is_there && to->arrival.command == NULL) {
        check_miss(to->checks, REQUIRED, "receiver", to->site->name,
                   "start the receiving QEMU with -incoming defer, or give the site a \"prepare\"",
                   "%s cannot be received: no QEMU answers there and there is no command "
                   "\"prepare\" (%s)",
                   to->vm, receiver->err.message);
    } else if (is_there && receiver->waits) {
        check_ok(to->checks, "receiver", to->site->name, "a QEMU waits for %s", to->vm);
    } else if (is_there) {
        check_miss(to->checks, to->arrival.command ? OPTIONAL : REQUIRED, "receiver",
                   to->site->name, "end that QEMU; start the receiving one with -incoming defer",
                   "the QEMU of %s there is \"%s\" and does not wait for a migration", to->vm,
                   receiver->state);
    }
    return is_there;
}

static void check_refusals(const struct destination *to)
{
    size_t i;
    json_t *refusal;
    json_array_foreach(to->receiver->refusals, i, refusal)
    {
        check_miss(to->checks, REQUIRED, "refusal", to->site->name,
                   "mend that; nothing was touched", "%s cannot come there: %s", to->vm,
                   json_string_value(refusal));
    }
    if (to->receiver->refusals != NULL && json_array_size(to->receiver->refusals) == 0) {
        check_ok(to->checks, "refusal", to->site->name, "%s would be let in there", to->vm);
    }
}

static void check_same_memory(const struct destination *to)
{
    int64_t here = to->source->memory, there = to->receiver->memory;
    if (here > 0 && there > 0 && here != there) {
        check_miss(to->checks, REQUIRED, "receiver-memory", to->site->name,
                   "start the receiver with the same -m",
                   "%s has %lld MiB of RAM, its receiver %lld", to->vm, (long long)here >> 20,
                   (long long)there >> 20);
    }
}

static void check_same_machine(const struct destination *to)
{
    const char *here = to->source->machine, *there = to->receiver->machine;
    if (here[0] != '\0' && there[0] != '\0' && strcmp(here, there) != 0) {
        check_miss(to->checks, REQUIRED, "receiver-machine", to->site->name,
                   "start the receiver with the same -M, by its full name",
                   "%s is of machine type %s, its receiver of %s", to->vm, here, there);
    }
}

static void check_same_version(const struct destination *to)
{
    int here = to->source->version_number, there = to->receiver->version_number;
    if (here > 0 && there > 0 && there < here) {
        check_miss(to->checks, OPTIONAL, "receiver-version", to->site->name,
                   "use the same QEMU or a later one at the destination",
                   "%s runs on QEMU %s and would be received by %s, which is older", to->vm,
                   to->source->version, to->receiver->version);
    }
}

static bool has_disk(const struct look *look, const char *file)
{
    size_t i;
    json_t *disk;
    json_array_foreach(look->disks, i, disk)
    {
        if (strcmp(json_string_value(disk), file) == 0) {
            return true;
        }
    }
    return false;
}

static void check_disks(const struct destination *to)
{
    size_t i;
    json_t *disk;
    json_array_foreach(to->source->written_disks, i, disk)
    {
        const char *file = json_string_value(disk);
        if (to->receiver != NULL && has_disk(to->receiver, file)) {
            check_ok(to->checks, "disk", to->site->name, "%s has its disk %s there, too", to->vm,
                     file);
        } else {
            check_miss(
                to->checks, OPTIONAL, "disk", to->site->name,
                "put it on storage that both sites share; disks are not copied",
                "%s writes to the disk %s, which its receiver must have under that name, too",
                to->vm, file);
        }
    }
}

/* ---- the device ---- */

static void check_host_device(const struct destination *to, const char *device)
{
    struct host_device found;
    if (!host_device_look(to->checks->args->sysfs, device, &found)) {
        return;
    }
    if (!found.present) {
        check_miss(to->checks, OPTIONAL, "host-device", to->site->name,
                   "correct \"host\" in the key \"device\", unless the site is another machine",
                   "%s is to get %s, and this machine has no such device", to->vm, found.address);
    } else if (strcmp(found.driver, "vfio-pci") != 0) {
        check_miss(
            to->checks, OPTIONAL, "host-device", to->site->name,
            "bind it to vfio-pci (driverctl set-override ADDRESS vfio-pci), unless the site is "
            "another machine",
            "%s is to get %s, which is bound to %s", to->vm, found.address,
            found.driver[0] ? found.driver : "no driver");
    } else if (found.group[0] == '\0') {
        check_miss(to->checks, OPTIONAL, "host-device", to->site->name,
                   "turn the IOMMU on in the firmware and with intel_iommu=on or amd_iommu=on",
                   "%s is to get %s, which is in no IOMMU group", to->vm, found.address);
    } else {
        check_ok(to->checks, "host-device", to->site->name,
                 "%s gets %s, bound to vfio-pci, IOMMU "
                 "group %s",
                 to->vm, found.address, found.group);
    }
}

static void check_device(const struct destination *to, const char *device)
{
    const json_t *known = to->receiver != NULL ? to->receiver->refused_devices : NULL;
    const json_t *refused = json_object_get(known, device);
    if (refused != NULL) {
        check_miss(to->checks, REQUIRED, "device", to->site->name,
                   "correct the key \"device\", or install the QEMU package with that device",
                   "%s cannot get \"%s\": %s", to->vm, device, json_string_value(refused));
    } else {
        check_ok(to->checks, "device", to->site->name, "%s %s \"%s\"%s", to->vm,
                 to->site->host_of != NULL ? "may get" : "gets", device,
                 known != NULL ? ", which QEMU knows" : "");
    }
    check_host_device(to, device);
}

static void check_devices(const struct destination *to, const struct cluster_devices *may)
{
    if (may->n == 0) {
        check_ok(to->checks, "device", to->site->name, "%s gets no bypass device there", to->vm);
    }
    for (int i = 0; i < may->n; i++) {
        check_device(to, may->list[i].text);
    }
}

void check_site(struct checks *checks, int site)
{
    const struct cluster *cluster = checks->session->cluster;
    struct destination to = {.checks = checks, .index = site, .site = &cluster->sites[site]};
    const char *command = vmm_arrival(survey_vms(checks->session->survey)[0].vmm, site).command;
    if (command != NULL) {
        check_prepare(checks, to.site, command);
    }
    to.arrival = vmm_arrival(survey_vms(checks->session->survey)[0].vmm, site);
    if (to.arrival.stream != NULL) {
        check_stream(&to);
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct vmm *vmm = survey_vms(checks->session->survey)[i].vmm;
        int at = vmm->site;
        to.vm = cluster->vms[i];
        to.arrival = vmm_arrival(vmm, site);
        to.source = at >= 0 ? looks_at(checks->looks, i, at) : NULL;
        to.receiver = looks_at(checks->looks, i, site);
        if (at == site) {
            continue;
        }
        check_agent_socket(&to, vmm, site);
        if (to.receiver == NULL) {
            continue;
        }
        if (to.arrival.address != NULL) {
            check_address(&to, i);
        }
        if (!check_receiver(&to)) {
            to.receiver = NULL;
        }
        if (to.receiver != NULL) {
            check_refusals(&to);
        }
        if (to.source != NULL && to.receiver != NULL) {
            check_same_memory(&to);
            check_same_machine(&to);
            check_same_version(&to);
        }
        if (to.source != NULL) {
            check_disks(&to);
        }
        struct cluster_devices may = cluster_devices(cluster, i, site);
        check_devices(&to, &may);
    }
}
