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
#include <unistd.h>

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
    bool takes_back = v->op == OP_CANCEL || v->op == OP_PROCEED;
    ninja_error_set(&err, takes_back ? ERR_OPERATOR : ERR_TIMEOUT, "%s", v->waiting_for);
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

void qmp_vm_close_image(struct qmp_vm *v)
{
    if (v->image >= 0) {
        close(v->image);
    }
    v->image = -1;
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
    qmp_vm_close_image(v);
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

void op_cancel(struct qmp_vm *v, int site)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (v->op != OP_NONE) {
        ninja_error_set(&err, ERR_CANCELLED, "cancelled");
        op_end(v, site, &err);
    }
}

bool op_takes(struct peer *peer, enum op op, const struct ninja_error *err)
{
    if (peer->owner->op != op) {
        return false;
    }
    if (err != NULL) {
        op_end(peer->owner, peer->site, err);
    }
    return err == NULL;
}

void op_ends_with_peer(struct peer *peer, const struct ninja_error *err)
{
    op_end(peer->owner, peer->site, err);
}

void op_poll(struct qmp_vm *v, int ms, event_callback_fn callback, void *arg)
{
    timer_free(&v->poll);
    v->poll = timer_start(v->vmm.base, ms, callback, arg);
}

/* ---- locate ---- */

static bool names_child(void *children, const char *name)
{
    size_t i;
    json_t *child;
    json_array_foreach((json_t *)children, i, child)
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

/* The last answer of a QEMU that is needed. */
static void asked_last(struct peer *peer, const struct ninja_error *err)
{
    if (err != NULL) {
        peer->err = *err;
        peer->status[0] = '\0';
    }
    asked_one(peer);
}

static void on_cpus(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    peer->cpus = (int)json_array_size(result);
    asked_last(peer, err);
}

static void on_memory(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    peer->memory_mib = qmp_memory_in(result) / (1024 * 1024);
    if (err != NULL) {
        asked_last(peer, err);
        return;
    }
    peer_execute(peer, "query-cpus-fast", NULL, on_cpus);
}

static void ask_size(struct peer *peer)
{
    if (peer->owner->vmm.cluster->limits_room && strcmp(peer->status, "running") == 0) {
        peer_execute(peer, "query-memory-size-summary", NULL, on_memory);
    } else {
        asked_one(peer);
    }
}

static void on_devices(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    peer->device = vmm_find_device(&peer->owner->vmm, peer->site, names_child, result);
    if (err != NULL) {
        asked_last(peer, err);
        return;
    }
    ask_size(peer);
}

static void on_located_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (err != NULL) {
        peer->err = *err;
        asked_one(peer);
        return;
    }
    peer_set_status(peer, result);
    if (!vmm_may_have_device(&peer->owner->vmm, peer->site)) {
        ask_size(peer);
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

void peers_leave(struct qmp_vm *v, int site)
{
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        if (s != site) {
            peer_disconnect(&v->peers[s]);
        }
    }
}

static void describe_some(struct qmp_vm *v, bool running, char *text, size_t size)
{
    text[0] = '\0';
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        const struct peer *peer = &v->peers[s];
        size_t len = strlen(text);
        if (running && strcmp(peer->status, "running") != 0) {
            continue;
        }
        snprintf(text + len, size - len, "%s%s: %.150s", len ? "; " : "",
                 v->vmm.cluster->sites[s].name, peer->status[0] ? peer->status : peer->err.message);
    }
}

void peers_describe(struct qmp_vm *v, char *text, size_t size)
{
    describe_some(v, false, text, size);
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
            vmm_has_seen_device(&v->vmm, v->peers[s].device);
            v->vmm.memory_mib = v->peers[s].memory_mib;
            v->vmm.cpus = v->peers[s].cpus;
            running++;
        }
    }
    describe_some(v, running > 1, text, sizeof(text));
    peers_leave(v, v->vmm.site);
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
        peer->device = NULL;
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

static void refused_to_let_go(struct qmp_vm *v, int site, const char *device)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    v->vmm.leaving = false;
    if (v->op == OP_UNPLUG) {
        ninja_error_set(&err, ERR_UNPLUG, "the guest refused to let go of device \"%s\"", device);
        op_end(v, site, &err);
    }
}

/* The answer to an unplug, which may come when nobody waits for it any more. */
void qmp_vm_device_event(struct peer *peer, const char *name, json_t *data)
{
    struct qmp_vm *v = peer->owner;
    const char *device = json_string_value(json_object_get(data, "device"));
    const struct cluster_device *own = vmm_device_at(&v->vmm, peer->site);
    if (peer->site != v->vmm.site || device == NULL || own == NULL ||
        strcmp(device, own->id) != 0) {
        return;
    }
    if (strcmp(name, "DEVICE_DELETED") == 0) {
        vmm_lost_device(&v->vmm);
        if (v->op == OP_UNPLUG) {
            op_end(v, peer->site, NULL);
        }
    } else if (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0) {
        refused_to_let_go(v, peer->site, device);
    }
}

static void on_device_del(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct vmm *vmm = &peer->owner->vmm;
    if (err == NULL || peer->owner->op != OP_UNPLUG) {
        return;
    }
    if (err->class == ERR_DEVICE_NOT_FOUND) {
        vmm_lost_device(vmm);
        err = NULL;
    } else if (peer->owner->asked_before) {
        return; /* that is why it is refused now */
    } else {
        vmm->leaving = err->class == ERR_TIMEOUT;
    }
    op_end(peer->owner, peer->site, err);
}

static void qmp_vm_unplug(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    const char *id = vmm_device(vmm)->id;
    op_begin(v, OP_UNPLUG, done, arg);
    op_wait(v, vmm->site, vmm->cluster->timeouts[TIMEOUT_UNPLUG],
            "the guest did not let go of device \"%s\" in time (no DEVICE_DELETED after "
            "device_del)",
            id);
    v->peer_ended = op_ends_with_peer;
    v->asked_before = vmm->leaving;
    vmm->leaving = true;
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
    json_t *device = device_parse(vmm_device(vmm)->spec, &err);
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
                                .stream = vm_commands_at(vmm->cluster, site)->stream,
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
    v->image = -1;
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
    qmp_vm_stream_end(v);
    json_decref(v->capabilities);
    path_clear(&v->path);
    free(v->peers);
    vmm_clear(vmm);
    free(v);
}

const struct vmm_driver driver_qmp = {
    .in_file = {.name = "qmp",
                .entry = {vm_sockets_keys, sizeof(struct vm_sockets)},
                .site = {vm_streams_keys, sizeof(struct vm_commands)},
                .check = qmp_entry_check,
                .read_device = vm_sockets_read_device},
    .mend = VM_SOCKETS_MEND,
    .measures = VMM_MEASURES_RATE | VMM_MEASURES_DIRTY_RATE | VMM_MEASURES_DOWNTIME,
    .post_copy = VMM_POST_COPY_ANY_TIME,
    .images = &qmp_vm_images,
    .look = qmp_vm_look,
    .open = qmp_vm_open,
    .locate = qmp_vm_locate,
    .adopt = qmp_vm_adopt,
    .way_to_agent = vm_sockets_way_to_agent,
    .arrival = qmp_vm_arrival,
    .measure = qmp_vm_measure,
    .unplug = qmp_vm_unplug,
    .prepare = qmp_vm_prepare,
    .migrate = qmp_vm_migrate,
    .plug = qmp_vm_plug,
    .cancel = qmp_vm_cancel,
    .finish = qmp_vm_finish,
    .close = qmp_vm_close,
};
