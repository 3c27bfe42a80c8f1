#include <stdio.h>
#include <sys/statvfs.h>

#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/ctl/checks.h"

#define LITTLE_SPACE_MIB  64
#define LONG_DOWNTIME_MS  5000
#define SHORT_DOWNTIME_MS 10

static void check_state_dir(struct checks *checks)
{
    const char *dir = checks->args->state_dir;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct statvfs space;
    int lock = lock_take(dir, checks->session->cluster->name, &err);
    if (lock < 0) {
        check_miss(checks, REQUIRED, "state-dir", "host",
                   "name another directory with --state-dir, or run ninjactl as a user who may "
                   "write there",
                   "%s", err.message);
        return;
    }
    lock_release(lock);
    check_ok(checks, "state-dir", "host", "the state directory %s can be written", dir);
    if (statvfs(dir, &space) == 0) {
        unsigned long long mib = (unsigned long long)space.f_bavail * space.f_frsize >> 20;
        if (mib < LITTLE_SPACE_MIB) {
            check_miss(checks, OPTIONAL, "state-space", "host",
                       "make room: what cannot be written to the journal is not begun",
                       "only %llu MiB are free for %s", mib, dir);
        }
    }
}

static void check_hooks(struct checks *checks)
{
    const struct hooks *hooks = &checks->session->hooks;
    struct ninja_error err = NINJA_ERROR_INIT;
    size_t i, n;
    json_t *script, *list;
    int missing = checks->missing;
    if (!hooks_list(hooks, &list, &err)) {
        check_miss(checks, REQUIRED, "hooks", "host", "see ninja.conf(5), or give --no-hooks", "%s",
                   err.message);
    }
    n = json_array_size(list);
    json_array_foreach(list, i, script)
    {
        const char *problem = json_text_in(script, "problem");
        if (problem[0] != '\0') {
            check_miss(checks, REQUIRED, "hooks", "host", "mend it, or take the script away",
                       "hook %s in %s is not run: %s", json_text_in(script, "name"), hooks->dir,
                       problem);
        }
    }
    json_decref(list);
    if (checks->missing == missing && n > 0) {
        check_ok(checks, "hooks", "host", "%zu hook scripts in %s would be run, for %.1f s each", n,
                 hooks->dir, hooks->timeout_ms / 1000.0);
    }
}

static void check_limits(struct checks *checks)
{
    const struct transfer *transfer = &checks->session->cluster->transfer;
    if (transfer->downtime_limit_ms > LONG_DOWNTIME_MS) {
        check_miss(checks, OPTIONAL, "downtime-limit", "host",
                   "lower \"downtime-limit\" if a VM must not stand still for so long",
                   "a VM may stand still for %.1f s at the end of its migration",
                   transfer->downtime_limit_ms / 1000.0);
    } else if (transfer->downtime_limit_ms < SHORT_DOWNTIME_MS) {
        check_miss(checks, OPTIONAL, "downtime-limit", "host",
                   "raise \"downtime-limit\", to 300 for example",
                   "with a downtime limit of %d ms the migration of a busy VM may never end",
                   transfer->downtime_limit_ms);
    } else {
        check_ok(checks, "downtime-limit", "host", "the downtime limit is %d ms",
                 transfer->downtime_limit_ms);
    }
}

/* A limit that is met exactly cannot send the memory in less than that. */
static void check_copy_time(struct checks *checks, int vm)
{
    const struct cluster *cluster = checks->session->cluster;
    const struct vmm *vmm = survey_vms(checks->session->survey)[vm].vmm;
    int site = vmm->site, bandwidth_mib = vmm->transfer.bandwidth_mib;
    const struct look *look = site >= 0 ? looks_at(checks->looks, vm, site) : NULL;
    int64_t ram = look != NULL ? look->memory : 0;
    if (ram <= 0 || bandwidth_mib <= 0) {
        return;
    }
    double s = (double)ram / UNITS_MIB / bandwidth_mib;
    if (s * 1000 > cluster->timeouts[TIMEOUT_COPY]) {
        check_miss(checks, OPTIONAL, "copy-time", cluster->vms[vm],
                   "raise the time-out \"copy\", or \"bandwidth\"",
                   "its %.0f MiB of RAM take %.0f s at %d MiB/s, and the time-out \"copy\" is "
                   "%.0f s",
                   (double)ram / UNITS_MIB, s, bandwidth_mib,
                   cluster->timeouts[TIMEOUT_COPY] / 1000.0);
    }
}

void check_host(struct checks *checks)
{
    const struct cluster *cluster = checks->session->cluster;
    check_ok(checks, "cluster-file", "host", "the cluster file %s is right: %d VMs, %d sites",
             cluster->file, cluster->n_vms, cluster->n_sites);
    check_state_dir(checks);
    check_hooks(checks);
    check_limits(checks);
    for (int i = 0; i < cluster->n_vms; i++) {
        check_copy_time(checks, i);
    }
}
