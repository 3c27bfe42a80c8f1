/*
 * Post-copy by libvirt: the VM changes sides in the middle of the copy. libvirt lets it run at the
 * destination by itself then, and never again at the source. Until that moment it could complete as
 * any other copy, without having waited for us at the destination; so it begins as slowly as
 * libvirt can be told to, and is made to change sides as soon as libvirt lets it.
 *
 * Where the two lose each other while both have a part of its memory, the copy goes on by itself as
 * long as TCP has not given up, even if one of them says that it failed. When both say so it is
 * resumed, until the time-out "recover" has passed. The source is never told to give up the
 * connection: a destination that did not notice could then not be resumed.
 */
#include <string.h>

#include "common/log.h"
#include "host/vmm/driver_libvirt.h"

#define RESUME_MS 2000 /* between two attempts to resume it */

bool libvirt_changes_sides(const struct libvirt_vm *v)
{
    return v->vmm.transfer.post_copy_after >= 0;
}

void libvirt_change_sides_if_due(struct libvirt_vm *v)
{
    const struct domain_seen *source = libvirt_seen(v, libvirt_from(v));
    if (libvirt_changes_sides(v) && source->state == DOMAIN_RUNNING && source->job &&
        source->passes > v->vmm.transfer.post_copy_after) {
        libvirt_ask(v, libvirt_from(v), "migrate-post-copy", NULL,
                    libvirt_timeout(v, TIMEOUT_COMMAND), NULL);
    }
}

static void changed_sides(struct libvirt_vm *v)
{
    libvirt_is_there(v, true);
    ninja_log_vm(NINJA_LOG_INFO, vmm_name(&v->vmm),
                 "runs at %s, and the rest of its memory follows", libvirt_site_name(v, v->vmm.to));
    if (v->vmm.on_there != NULL) {
        v->vmm.on_there(v->vmm.on_there_arg);
    }
}

/* The two have lost each other, or we have lost one of them. */
static bool may_wait(struct libvirt_vm *v)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const char *from = libvirt_site_name(v, v->vmm.from), *to = libvirt_site_name(v, v->vmm.to);
    int ms = libvirt_timeout(v, TIMEOUT_RECOVER);
    if (v->recover_by == 0) {
        v->recover_by = now_ms() + ms;
        ninja_log_vm(NINJA_LOG_WARNING, vmm_name(&v->vmm),
                     "the connection between %s and %s broke while its memory was on both sides; "
                     "it is being made anew",
                     from, to);
    }
    if (now_ms() <= v->recover_by) {
        libvirt_wait(v, v->vmm.to,
                     ms + libvirt_timeout(v, TIMEOUT_CONNECT) + libvirt_timeout(v, TIMEOUT_COMMAND),
                     "the hosts did not find each other again in time");
        return true;
    }
    ninja_error_set(
        &err, ERR_OPERATOR,
        "%s has one part of its memory at %s and the other one at %s, and the "
        "connection between them could not be made again in time. Mend the network and "
        "give \"ninjactl resume\"; destroy none of the two domains before. If that does "
        "not help, libvirt cannot reach the QEMU at %s, as that waits for memory itself: "
        "the VM is lost then, and virsh destroy is for both",
        vmm_name(&v->vmm), from, to, to);
    libvirt_end(v, -1, &err);
    return false;
}

static bool recover(struct libvirt_vm *v)
{
    if (!may_wait(v)) {
        return false;
    }
    if (!v->copy.goes_on && now_ms() >= v->resume_at) {
        v->resume_at = now_ms() + RESUME_MS;
        v->copy.until = now_ms() + libvirt_timeout(v, TIMEOUT_COPY);
        libvirt_copy(v, "post-copy-resume");
    }
    return true;
}

/* An attempt to resume it changes what one of them says before it is known how it ends. */
static void note_that_it_goes_on(struct libvirt_vm *v)
{
    if (libvirt_seen(v, v->vmm.from)->state == DOMAIN_SPLIT &&
        libvirt_seen(v, v->vmm.to)->state == DOMAIN_SPLIT) {
        v->recover_by = 0;
    }
}

bool libvirt_split(struct libvirt_vm *v, enum verdict verdict)
{
    if (!vmm_is_there(&v->vmm)) {
        changed_sides(v);
    }
    if (v->op == LV_CANCEL) { /* it is too late */
        libvirt_end(v, v->vmm.site, NULL);
        return false;
    }
    if (verdict == VERDICT_BROKEN) {
        return recover(v);
    }
    if (verdict == VERDICT_UNKNOWN) {
        return may_wait(v);
    }
    note_that_it_goes_on(v);
    return true;
}
