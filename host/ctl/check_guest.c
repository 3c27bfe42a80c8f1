#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/agent_proto.h"
#include "host/base/json_text.h"
#include "host/ctl/checks.h"

/* ---- the VMM ---- */

static void check_version(struct checks *checks, const char *name, const struct look *look)
{
    if (look->version_is_old) {
        check_miss(checks, OPTIONAL, "vmm-version", name, "use a later QEMU; 7.2 has been tried",
                   "QEMU %s is older than any that was tried", look->version);
    } else if (look->version[0] != '\0') {
        check_ok(checks, "vmm-version", name, "QEMU %s answers", look->version);
    }
}

/* QEMU says what blocks a migration; the bypass device is a blocker that goes with the device. */
static void check_blockers(struct checks *checks, const char *name, const struct vmm *vmm,
                           const struct look *look)
{
    size_t n = json_array_size(look->blockers), expected = vmm->has_device ? 1 : 0;
    const char *first = json_string_value(json_array_get(look->blockers, 0));
    if (n > expected) {
        check_miss(
            checks, expected > 0 ? OPTIONAL : REQUIRED, "blockers", name,
            "take from the VM what cannot be migrated; only the device that the cluster file "
            "names is unplugged",
            "QEMU cannot migrate it: %s%s", first ? first : "it does not say why",
            n > 1 ? ", and more" : "");
    } else if (look->blockers != NULL) {
        check_ok(checks, "blockers", name,
                 n > 0 ? "QEMU cannot migrate it while it has its bypass device, and then can"
                       : "nothing in it blocks a migration");
    }
}

static void check_vmm(struct checks *checks, int i)
{
    const struct cluster *cluster = checks->session->cluster;
    const struct vmm *vmm = survey_vms(checks->session->survey)[i].vmm;
    const char *name = cluster->vms[i], *at = cluster->sites[vmm->site].name;
    const struct look *look = looks_at(checks->looks, i, vmm->site);
    if (vmm->has_device) {
        check_ok(checks, "device", name, "runs at %s, with its bypass device", at);
    } else if (!vmm_may_have_device(vmm, vmm->site)) {
        check_ok(checks, "device", name, "runs at %s, which has no bypass device for it", at);
    } else {
        check_miss(checks, OPTIONAL, "device", name,
                   "plug the device in; a migration away works without it, too",
                   "runs at %s, without the device that the cluster file names", at);
    }
    if (look != NULL && !ninja_error_is_set(&look->err)) {
        check_version(checks, name, look);
        check_blockers(checks, name, vmm, look);
    }
}

/* ---- the guest ---- */

static bool has_port(json_t *interconnects)
{
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(interconnects, "rdma"), i, port)
    {
        if (strcmp(json_text_in(port, "state"), "ACTIVE") == 0) {
            return true;
        }
    }
    return false;
}

static bool has_network(json_t *interconnects)
{
    size_t i;
    json_t *net;
    json_array_foreach(json_object_get(interconnects, "net"), i, net)
    {
        if (strcmp(json_text_in(net, "state"), "up") == 0 &&
            json_array_size(json_object_get(net, "addresses")) > 0) {
            return true;
        }
    }
    return false;
}

static void check_links(struct checks *checks, const char *name, const struct survey_vm *vm)
{
    if (vm->vmm->has_device && !has_port(vm->interconnects)) {
        check_miss(checks, OPTIONAL, "link", name,
                   "look at its driver and cable, and at the attach scripts in "
                   "/etc/ninja/agent.d",
                   "has a bypass device, but no RDMA port is ACTIVE in the guest");
    } else if (vm->vmm->has_device) {
        check_ok(checks, "link", name, "an RDMA port is ACTIVE");
    }
    if (has_network(vm->interconnects)) {
        check_ok(checks, "standby", name, "a network interface is up, for use while it moves");
    } else {
        check_miss(checks, OPTIONAL, "standby", name,
                   "give the VM a virtio NIC with an address that always stays, or migrate with "
                   "--mode paused",
                   "no network interface is up with an address: jobs over several VMs cannot run "
                   "on while it moves");
    }
}

static void check_agent(struct checks *checks, const char *name, const struct survey_vm *vm)
{
    const char *version = agent_version(vm->agent);
    if (ninja_error_is_set(&vm->agent_err)) {
        check_miss(checks, REQUIRED, "agent", name,
                   vm->agent_err.class == ERR_PROTOCOL_MISMATCH
                       ? "install the same version of ninja-agent in the VM as on the host"
                   : vm->agent_err.class == ERR_CONNECT
                       ? "correct the key \"agent\" in the cluster file, or run ninjactl as a user "
                         "who may connect there"
                       : "start ninja-agent in the VM and give the VM a virtio-serial port "
                         "org.ninja.agent.0",
                   "%s", vm->agent_err.message);
        return;
    }
    check_ok(checks, "agent", name, "agent %s answers (%s), protocol %d", version,
             agent_hostname(vm->agent), NINJA_AGENT_PROTOCOL);
    if (strcmp(version, PACKAGE_VERSION) != 0) {
        check_miss(checks, OPTIONAL, "agent-version", name,
                   "install the same version on both sides", "the agent's version is %s, ours %s",
                   version, PACKAGE_VERSION);
    }
    check_links(checks, name, vm);
}

void check_guest(struct checks *checks, int i)
{
    const struct survey_vm *vm = &survey_vms(checks->session->survey)[i];
    const char *name = checks->session->cluster->vms[i];
    if (vm->vmm->site < 0) {
        check_miss(checks, REQUIRED, "vm", name, vm->vmm->driver->mend, "%s", vm->vmm_err.message);
        return;
    }
    check_vmm(checks, i);
    check_agent(checks, name, vm);
}

/* ---- jobs ---- */

/* Ranks were started with a component, perhaps long before the agent and we were installed. */
static void check_rank_versions(struct checks *checks, const struct job *job)
{
    int others = 0, first = -1, known = 0;
    for (int r = 0; r < job->size; r++) {
        const char *version = job->ranks[r].version;
        known += version[0] != '\0';
        if (version[0] != '\0' && strcmp(version, PACKAGE_VERSION) != 0) {
            first = others++ == 0 ? r : first;
        }
    }
    if (others > 0) {
        check_miss(checks, OPTIONAL, "rank-version", "jobs",
                   "install the same version of the Open MPI components in all VMs, and start the "
                   "job again when it may end",
                   "%d of %d ranks of job %s run another version of crcp/ninja than ours (%s): "
                   "rank %d runs %s",
                   others, job->size, job->name, PACKAGE_VERSION, first, job->ranks[first].version);
    } else if (known > 0) {
        check_ok(checks, "rank-version", "jobs", "%d of %d ranks of job %s run crcp/ninja %s",
                 known, job->size, job->name, PACKAGE_VERSION);
    }
}

void check_jobs(struct checks *checks)
{
    const struct jobs *jobs = survey_jobs(checks->session->survey);
    struct agent *const *agents = survey_agents(checks->session->survey);
    struct ninja_error err = NINJA_ERROR_INIT, unmanaged = NINJA_ERROR_INIT;
    if (!jobs_are_complete(jobs, &err)) {
        check_miss(checks, REQUIRED, "ranks", "jobs",
                   "wait until all ranks are through MPI_Init; name every VM of the job in the "
                   "cluster file",
                   "%s", err.message);
    } else {
        check_ok(checks, "ranks", "jobs", "%d MPI job%s can be switched", jobs->n,
                 jobs->n == 1 ? "" : "s");
    }
    for (int i = 0; i < jobs->n; i++) {
        check_rank_versions(checks, &jobs->jobs[i]);
    }
    if (!jobs_none_unmanaged(jobs, NULL, agents, &unmanaged)) {
        check_miss(
            checks, REQUIRED, "unmanaged", "jobs",
            "start jobs with mpirun --mca crcp ninja; end other programs that use the device", "%s",
            unmanaged.message);
    }
}
