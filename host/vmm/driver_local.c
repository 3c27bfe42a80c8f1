/*
 * The driver "local": a "VM" is an agent on this machine and nothing is really moved. It is for
 * tests of all that is not the VMM, and for switching a job that runs here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/vmm/vm_sockets.h"

struct local {
    struct vmm vmm;
    vmm_done done;
    void *arg;
    struct ninja_error err;
    struct event *timer;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct local *local = arg;
    struct ninja_error err = local->err;
    timer_free(&local->timer);
    local->done(local->arg, ninja_error_is_set(&err) ? &err : NULL);
}

/* Ends the operation, from the event loop. */
static void end(struct vmm *vmm, vmm_done done, void *arg, const struct ninja_error *err)
{
    struct local *local = (struct local *)vmm;
    local->done = done;
    local->arg = arg;
    local->err = *err;
    timer_free(&local->timer);
    local->timer = timer_start(vmm->base, 0, on_timer, local);
}

static const struct ninja_error no_error = NINJA_ERROR_INIT;

static struct vmm *local_open(struct event_base *base, const struct cluster *cluster, int vm)
{
    struct local *local = xcalloc(1, sizeof(*local));
    vmm_init(&local->vmm, &driver_local, base, cluster, vm);
    return &local->vmm;
}

/* Adds why it is not at a site, unless a site before had the same socket. */
static void add_reason(const struct vmm *vmm, int site, const struct channel_way *way,
                       const struct ninja_error *why, char *text, size_t size)
{
    size_t len = strlen(text);
    for (int s = 0; s < site; s++) {
        struct channel_way other = vm_sockets_way_to_agent(vmm, s);
        if (strcmp(other.name, way->name) == 0) {
            return;
        }
    }
    snprintf(text + len, size - len, "%s%.220s", len > 0 ? "; " : "", why->message);
}

static void local_locate(struct vmm *vmm, vmm_done done, void *arg)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char reasons[480] = "";
    bool absent = true;
    vmm->site = -1;
    for (int s = 0; vmm->site < 0 && s < vmm->cluster->n_sites; s++) {
        struct ninja_error why = NINJA_ERROR_INIT;
        struct channel_way way = vm_sockets_way_to_agent(vmm, s);
        if (way.answers(&way, &why)) {
            vmm->site = s;
        } else {
            absent = absent && why.class == ERR_ABSENT;
            add_reason(vmm, s, &way, &why, reasons, sizeof(reasons));
        }
    }
    if (vmm->site >= 0) {
        vmm->has_device = vmm_device(vmm) != NULL;
    } else {
        ninja_error_set(&err, ERR_NOT_FOUND, "%s: its agent cannot be reached: %s%s", vmm_name(vmm),
                        reasons, absent ? "; start one with ninja-agent --listen" : "");
    }
    end(vmm, done, arg, &err);
}

/* Nothing really moves: it is where it was. */
static void local_adopt(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg)
{
    vmm->site = from;
    vmm->to = to;
    vmm->has_device = vmm_device(vmm) != NULL;
    end(vmm, done, arg, &no_error);
}

static void local_unplug(struct vmm *vmm, vmm_done done, void *arg)
{
    vmm_lost_device(vmm);
    end(vmm, done, arg, &no_error);
}

static void local_prepare(struct vmm *vmm, int site, vmm_done done, void *arg)
{
    vmm->to = site;
    end(vmm, done, arg, &no_error);
}

static void local_migrate(struct vmm *vmm, vmm_done done, void *arg)
{
    vmm->from = vmm->site;
    vmm->site = vmm->to;
    vmm_set_move(vmm, VMM_ARRIVED);
    vmm->committed = true;
    end(vmm, done, arg, &no_error);
}

static void local_plug(struct vmm *vmm, vmm_done done, void *arg)
{
    vmm->has_device = true;
    end(vmm, done, arg, &no_error);
}

/* Operations last no time, so all that cancel() can meet is one whose timer has not run yet. */
static void local_cancel(struct vmm *vmm, vmm_done done, void *arg)
{
    struct local *local = (struct local *)vmm;
    if (local->timer != NULL) {
        struct ninja_error err = NINJA_ERROR_INIT;
        timer_free(&local->timer);
        ninja_error_set(&err, ERR_CANCELLED, "%s: cancelled", vmm_name(vmm));
        local->done(local->arg, &err);
    }
    end(vmm, done, arg, &no_error);
}

static void local_finish(struct vmm *vmm, vmm_done done, void *arg)
{
    end(vmm, done, arg, &no_error);
}

static void local_close(struct vmm *vmm)
{
    struct local *local = (struct local *)vmm;
    timer_free(&local->timer);
    vmm_clear(vmm);
    free(local);
}

const struct vmm_driver driver_local = {
    .in_file = {.name = "local",
                .entry = {vm_agent_keys, sizeof(struct vm_sockets)},
                .site = {vm_commands_keys, sizeof(struct vm_commands)},
                .read_device = vm_sockets_read_device},
    .mend = VM_SOCKETS_MEND,
    .open = local_open,
    .locate = local_locate,
    .adopt = local_adopt,
    .way_to_agent = vm_sockets_way_to_agent,
    .unplug = local_unplug,
    .prepare = local_prepare,
    .migrate = local_migrate,
    .plug = local_plug,
    .cancel = local_cancel,
    .finish = local_finish,
    .close = local_close,
};
