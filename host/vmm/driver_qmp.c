/*
 * The driver "qmp": stock QEMU, by its QMP sockets alone.
 *
 * Every operation is a chain of callbacks: a command's reply starts the next command. op_begin()
 * and op_end() bracket it; in between, one deadline runs, and the three peer_* pointers say what
 * an event, a new connection or its loss mean to the operation. A reply that comes after
 * its operation ended is recognised by v->op.
 */
#include "host/vmm/driver_qmp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/config/device.h"

static struct qmp_vm *of(struct vmm *vmm)
{
    return (struct qmp_vm *)vmm;
}

/* ---- operations ---- */

void op_begin(struct qmp_vm *v, enum op op, vmm_done done, void *arg)
{
    v->op = op;
    v->done = done;
    v->arg = arg;
    v->peer_ready = NULL;
    v->peer_event = NULL;
    v->peer_ended = NULL;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    /* What could not be taken back in time is in a state that nobody knows. */
    ninja_error_set(&err, v->op == OP_CANCEL ? ERR_OPERATOR : ERR_TIMEOUT, "%s", v->waiting_for);
    op_end(v, v->waiting_at, &err);
}

void op_wait(struct qmp_vm *v, int site, int timeout_ms, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->waiting_for, sizeof(v->waiting_for), fmt, ap);
    va_end(ap);
    v->waiting_at = site;
    timer_free(&v->deadline);
    v->deadline = timer_start(v->vmm.base, timeout_ms, on_deadline, v);
}

void op_end(struct qmp_vm *v, int site, const struct ninja_error *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    vmm_done done = v->done;
    timer_free(&v->deadline);
    timer_free(&v->poll);
    gather_free(&v->gather);
    host_command_free(v->command);
    v->command = NULL;
    v->peer_ready = NULL;
    v->peer_event = NULL;
    v->peer_ended = NULL;
    v->done = NULL;
    v->op = OP_NONE;
    if (why != NULL) {
        err = *why;
    }
    if (why != NULL && site >= 0) {
        ninja_error_where(&err, "%s at %s", vmm_name(&v->vmm), v->vmm.cluster->sites[site].name);
    }
    if (done != NULL) {
        done(v->arg, why ? &err : NULL);
    }
}

void op_poll(struct qmp_vm *v, int ms, event_callback_fn callback, void *arg)
{
    timer_free(&v->poll);
    v->poll = timer_start(v->vmm.base, ms, callback, arg);
}

/* ---- locate ---- */

static bool names_child(json_t *children, const char *name)
{
    size_t i;
    json_t *child;
    json_array_foreach(children, i, child)
    {
        const char *value = json_string_value(json_object_get(child, "name"));
        if (value != NULL && strcmp(value, name) == 0) {
            return true;
        }
    }
    return false;
}

static void asked_one(struct peer *peer)
{
    if (peer->asked) {
        peer->asked = false;
        gather_done(&peer->owner->gather, NULL);
    }
}

static void on_devices(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    const char *id = v->vmm.cluster->sites[peer->site].vms[v->vmm.vm].device_id;
    peer->has_device = result != NULL && names_child(result, id);
    if (err != NULL) {
        peer->err = *err;
        peer->status[0] = '\0';
    }
    asked_one(peer);
}

static void on_located_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (err != NULL) {
        peer->err = *err;
        asked_one(peer);
        return;
    }
    peer_set_status(peer, result);
    if (v->vmm.cluster->sites[peer->site].vms[v->vmm.vm].device_id == NULL) {
        asked_one(peer);
        return;
    }
    peer_execute(peer, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), on_devices);
}

/* Before the status: one that ends in between is then seen as going on, not as one of long ago. */
static void on_located_migration(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    peer_set_migration(peer, result);
    if (err != NULL) {
        peer->err = *err;
        asked_one(peer);
        return;
    }
    peer_execute(peer, "query-status", NULL, on_located_status);
}

static void on_locate_ready(struct peer *peer)
{
    peer_execute(peer, "query-migrate", NULL, on_located_migration);
}

static void on_locate_ended(struct peer *peer, const struct ninja_error *err)
{
    if (!ninja_error_is_set(&peer->err)) {
        peer->err = *err;
    }
    asked_one(peer);
}

void peers_describe(struct qmp_vm *v, char *text, size_t size)
{
    text[0] = '\0';
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        const struct peer *peer = &v->peers[s];
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%s: %.150s", len ? "; " : "",
                 v->vmm.cluster->sites[s].name, peer->status[0] ? peer->status : peer->err.message);
    }
}

static void on_located(void *arg, const struct ninja_error *unused)
{
    struct qmp_vm *v = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    int running = 0;
    v->vmm.site = -1;
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        if (strcmp(v->peers[s].status, "running") == 0) {
            v->vmm.site = s;
            v->vmm.has_device = v->peers[s].has_device;
            running++;
        }
    }
    peers_describe(v, text, sizeof(text));
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        if (s != v->vmm.site) {
            peer_disconnect(&v->peers[s]);
        }
    }
    if (running == 1) {
        op_end(v, v->vmm.site, NULL);
        return;
    }
    v->vmm.site = -1;
    ninja_error_set(&err, running ? ERR_OPERATOR : ERR_NOT_FOUND, "%s runs %s (%s)",
                    vmm_name(&v->vmm), running ? "at several sites at once" : "at no site", text);
    op_end(v, -1, &err);
}

void peers_ask(struct qmp_vm *v, enum op op, vmm_done conclude, vmm_done done, void *arg)
{
    struct vmm *vmm = &v->vmm;
    op_begin(v, op, done, arg);
    v->peer_ready = on_locate_ready;
    v->peer_ended = on_locate_ended;
    gather_begin(&v->gather, vmm->base, conclude, v);
    for (int s = 0; s < vmm->cluster->n_sites; s++) {
        struct peer *peer = &v->peers[s];
        peer->err = (struct ninja_error)NINJA_ERROR_INIT;
        peer->has_device = false;
        peer->migration[0] = '\0';
        if (peer_connect(peer, &peer->err)) {
            peer->asked = true;
            gather_add(&v->gather);
        }
    }
}

static void qmp_vm_locate(struct vmm *vmm, vmm_done done, void *arg)
{
    peers_ask(of(vmm), OP_LOCATE, on_located, done, arg);
}

/* ---- unplug and plug ---- */

static void on_unplug_event(struct peer *peer, const char *name, json_t *data)
{
    struct qmp_vm *v = peer->owner;
    const char *device = json_string_value(json_object_get(data, "device"));
    if (device == NULL || strcmp(device, vmm_entry(&v->vmm)->device_id) != 0) {
        return;
    }
    if (strcmp(name, "DEVICE_DELETED") == 0) {
        v->vmm.has_device = false;
        op_end(v, peer->site, NULL);
    } else if (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0) {
        struct ninja_error err = NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_UNPLUG, "the guest refused to let go of device \"%s\"", device);
        op_end(v, peer->site, &err);
    }
}

static void on_peer_lost(struct peer *peer, const struct ninja_error *err)
{
    op_end(peer->owner, peer->site, err);
}

static void on_device_del(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (err == NULL || peer->owner->op != OP_UNPLUG) {
        return;
    }
    if (err->class == ERR_DEVICE_NOT_FOUND) {
        peer->owner->vmm.has_device = false;
        err = NULL;
    }
    op_end(peer->owner, peer->site, err);
}

static void qmp_vm_unplug(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    const char *id = vmm_entry(vmm)->device_id;
    op_begin(v, OP_UNPLUG, done, arg);
    op_wait(v, vmm->site, vmm->cluster->timeouts[TIMEOUT_UNPLUG],
            "the guest did not let go of device \"%s\" in time (no DEVICE_DELETED after "
            "device_del)",
            id);
    v->peer_event = on_unplug_event;
    v->peer_ended = on_peer_lost;
    peer_execute(&v->peers[vmm->site], "device_del", json_pack("{s:s}", "id", id), on_device_del);
}

static void on_device_add(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (peer->owner->op == OP_PLUG) {
        peer->owner->vmm.has_device = err == NULL;
        op_end(peer->owner, peer->site, err);
    }
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    struct peer *peer = arg;
    struct ninja_error err = peer->err;
    op_end(peer->owner, peer->site, &err);
}

/* From the event loop a little later: for an error found before an operation returned. */
static void op_end_soon(struct qmp_vm *v, int site, const struct ninja_error *err)
{
    v->peers[site].err = *err;
    op_poll(v, 0, on_soon, &v->peers[site]);
}

static void qmp_vm_plug(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    struct ninja_error err = NINJA_ERROR_INIT;
    op_begin(v, OP_PLUG, done, arg);
    json_t *device = device_parse(vmm_entry(vmm)->device, &err);
    if (device == NULL) {
        op_end_soon(v, vmm->site, &err);
        return;
    }
    op_wait(v, vmm->site, vmm->cluster->timeouts[TIMEOUT_PLUG],
            "QEMU did not answer device_add in time");
    peer_execute_within(&v->peers[vmm->site], "device_add", device, 0, on_device_add);
}

/* ---- finish ---- */

static void on_released(void *arg, const struct ninja_error *err)
{
    struct qmp_vm *v = arg;
    op_end(v, v->vmm.from, err);
}

static void on_source_ended(struct peer *peer, const struct ninja_error *unused)
{
    struct qmp_vm *v = peer->owner;
    const struct cluster *cluster = v->vmm.cluster;
    v->peer_ended = NULL;
    if (vm_commands_at(cluster, peer->site)->release == NULL) {
        op_end(v, peer->site, NULL);
        return;
    }
    timer_free(&v->deadline);
    v->command = host_command_start(
        v->vmm.base, cluster, vm_commands_at(cluster, peer->site)->release, v->vmm.vm, peer->site,
        -1, cluster->timeouts[TIMEOUT_PREPARE], on_released, v);
}

static void on_source_gone(evutil_socket_t fd, short what, void *arg)
{
    on_source_ended(arg, NULL);
}

/* The source is the only other copy. It is not ended before the VM was seen at the destination. */
static void on_still_there(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error lost = NINJA_ERROR_INIT;
    if (v->op != OP_FINISH) {
        return;
    }
    if (err != NULL) {
        ninja_error_set(
            &lost, ERR_OPERATOR,
            "it began to run there, and its QEMU does not answer any more (%s). If it has "
            "ended, \"cont\" is for the QEMU at %s, which has the VM as it was when it "
            "left, and its jobs must be started again; if not, \"quit\" is",
            err->message, v->vmm.cluster->sites[v->vmm.from].name);
        op_end(v, v->vmm.site, &lost);
        return;
    }
    if (qmp_is_ready(source_of(v)->qmp)) {
        v->peer_ended = on_source_ended;
        peer_execute(source_of(v), "quit", NULL, NULL);
    } else {
        op_poll(v, 0, on_source_gone, source_of(v));
    }
}

static void qmp_vm_finish(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    struct peer *peer = source_of(v);
    op_begin(v, OP_FINISH, done, arg);
    op_wait(v, peer->site,
            vmm->cluster->timeouts[TIMEOUT_QUIT] + vmm->cluster->timeouts[TIMEOUT_COMMAND],
            "QEMU was told to quit and did not; the VM runs at \"%s\", so this one can be killed",
            vmm->cluster->sites[vmm->site].name);
    peer_execute(&v->peers[vmm->site], "query-status", NULL, on_still_there);
}

/* ---- the object ---- */

static struct vmm_arrival qmp_vm_arrival(const struct vmm *vmm, int site)
{
    return (struct vmm_arrival){.address = vm_sockets_at(vmm->cluster, vmm->vm, site)->receive,
                                .receiver = true,
                                .command = vm_commands_at(vmm->cluster, site)->prepare};
}

void qmp_vm_goes_to(struct qmp_vm *v, int site)
{
    const char *receive = vm_sockets_at(v->vmm.cluster, v->vmm.vm, site)->receive;
    v->vmm.to = site;
    path_set(&v->path, receive, receive);
    receiver_set(v, RECEIVER_UNKNOWN);
    copy_set(v, COPY_NONE);
    vmm_set_move(&v->vmm, VMM_AT_SOURCE);
}

static struct vmm *qmp_vm_open(struct event_base *base, const struct cluster *cluster, int vm)
{
    struct qmp_vm *v = xcalloc(1, sizeof(*v));
    vmm_init(&v->vmm, &driver_qmp, base, cluster, vm);
    v->peers = xcalloc((size_t)cluster->n_sites, sizeof(*v->peers));
    for (int s = 0; s < cluster->n_sites; s++) {
        v->peers[s].owner = v;
        v->peers[s].site = s;
    }
    return &v->vmm;
}

static void qmp_vm_close(struct vmm *vmm)
{
    struct qmp_vm *v = of(vmm);
    v->done = NULL;
    op_end(v, -1, NULL);
    for (int s = 0; s < vmm->cluster->n_sites; s++) {
        peer_disconnect(&v->peers[s]);
        timer_free(&v->peers[s].unsent_timer);
    }
    json_decref(v->capabilities);
    path_clear(&v->path);
    free(v->peers);
    free(v);
}

const struct vmm_driver driver_qmp = {
    .in_file = {.name = "qmp",
                .entry = {vm_sockets_keys, sizeof(struct vm_sockets)},
                .site = {vm_commands_keys, sizeof(struct vm_commands)},
                .finish = vm_sockets_finish},
    .mend = VM_SOCKETS_MEND,
    .measures = VMM_MEASURES_RATE | VMM_MEASURES_DIRTY_RATE | VMM_MEASURES_DOWNTIME,
    .look = qmp_vm_look,
    .open = qmp_vm_open,
    .locate = qmp_vm_locate,
    .adopt = qmp_vm_adopt,
    .way_to_agent = vm_sockets_way_to_agent,
    .arrival = qmp_vm_arrival,
    .unplug = qmp_vm_unplug,
    .prepare = qmp_vm_prepare,
    .migrate = qmp_vm_migrate,
    .plug = qmp_vm_plug,
    .cancel = qmp_vm_cancel,
    .finish = qmp_vm_finish,
    .close = qmp_vm_close,
};
