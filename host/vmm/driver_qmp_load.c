/*
 * A VM from its image: a receiver gets a descriptor in place of a port. What it loads stands, as
 * the VM did of which the image was made (driver_qmp_save.c), until it is told to run. Until then
 * nothing is lost if it is ended.
 */
#include <stdio.h>
#include <string.h>

#include "host/vmm/driver_qmp.h"

#define RETRY_MS 100

static struct qmp_vm *of(struct vmm *vmm)
{
    return (struct qmp_vm *)vmm;
}

static void on_lost(struct peer *peer, const struct ninja_error *err)
{
    if (peer->site == peer->owner->vmm.to) {
        op_end(peer->owner, peer->site, err);
    }
}

/* ---- where it is ---- */

/* Whether there can be nothing of this VM; who waits for one is none. */
static bool is_nobody(const struct peer *peer)
{
    return peer_is(peer, "inmigrate") || (peer->status[0] == '\0' && peer->err.class == ERR_ABSENT);
}

static void on_absent(void *arg, const struct ninja_error *unused)
{
    struct qmp_vm *v = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    bool absent = true;
    peers_describe(v, text, sizeof(text));
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        absent = absent && is_nobody(&v->peers[s]);
    }
    peers_leave(v, -1);
    v->vmm.site = -1;
    if (absent) {
        op_end(v, -1, NULL);
        return;
    }
    ninja_error_set(&err, ERR_REFUSED,
                    "%s is there already, or that cannot be told (%s); two copies of a VM must not "
                    "run: end its QEMU first",
                    vmm_name(&v->vmm), text);
    op_end(v, -1, &err);
}

void qmp_vm_absent(struct vmm *vmm, vmm_done done, void *arg)
{
    peers_ask(of(vmm), OP_LOCATE, on_absent, done, arg);
}

static void is_started(struct qmp_vm *v)
{
    v->vmm.site = v->vmm.to;
    v->vmm.loaded = false;
    v->vmm.committed = true;
    vmm_set_move(&v->vmm, VMM_ARRIVED);
}

static void on_loaded_found(void *arg, const struct ninja_error *unused)
{
    struct qmp_vm *v = arg;
    struct peer *peer = destination_of(v);
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    peers_describe(v, text, sizeof(text));
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        if (s != v->vmm.to && !is_nobody(&v->peers[s])) {
            ninja_error_set(&err, ERR_OPERATOR, "%s was to be restarted at %s (%s)",
                            vmm_name(&v->vmm), v->vmm.cluster->sites[v->vmm.to].name, text);
        }
    }
    peers_leave(v, v->vmm.to);
    if (peer_is(peer, "running")) {
        is_started(v);
        vmm_has_seen_device(&v->vmm, peer->device);
    }
    v->vmm.loaded = peer_is(peer, "paused");
    if (peer_is(peer, "inmigrate") || v->vmm.loaded) {
        receiver_set(v, RECEIVER_WAITS);
    }
    op_end(v, -1, ninja_error_is_set(&err) ? &err : NULL);
}

void qmp_vm_find_loaded(struct vmm *vmm, int to, vmm_done done, void *arg)
{
    vmm->site = -1;
    qmp_vm_goes_to(of(vmm), to);
    peers_ask(of(vmm), OP_LOCATE, on_loaded_found, done, arg);
}

/* ---- load ---- */

static void ask_loaded(evutil_socket_t fd, short what, void *arg);

static void on_load_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    if (!op_takes(peer, OP_LOAD, err)) {
        return;
    }
    peer_set_status(peer, result);
    if (peer_is(peer, "inmigrate")) {
        op_poll(v, RETRY_MS, ask_loaded, v);
        return;
    }
    v->vmm.loaded = peer_is(peer, "paused");
    if (!v->vmm.loaded) {
        ninja_error_set(&wrong, ERR_FAILED, "it was loaded, and is \"%s\" in place of \"paused\"",
                        peer->status);
        op_end(v, peer->site, &wrong);
        return;
    }
    op_end(v, peer->site, NULL);
}

static void ask_loaded(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    timer_free(&v->poll);
    peer_execute(destination_of(v), "query-status", NULL, on_load_status);
}

static void on_incoming(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (!op_takes(peer, OP_LOAD, err)) {
        return;
    }
    ask_loaded(-1, 0, peer->owner);
}

static void on_fd(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (!op_takes(peer, OP_LOAD, err)) {
        return;
    }
    qmp_vm_close_image(peer->owner);
    peer_execute(peer, "migrate-incoming", json_pack("{s:s}", "uri", IMAGE_URI), on_incoming);
}

void qmp_vm_load(struct vmm *vmm, int fd, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_begin(v, OP_LOAD, done, arg);
    op_wait(v, vmm->to, qmp_vm_timeout(v, TIMEOUT_COPY), "its memory was not loaded in time");
    v->peer_ended = on_lost;
    v->image = fd;
    peer_execute_with_fd(destination_of(v), "getfd", json_pack("{s:s}", "fdname", IMAGE_FD), fd,
                         on_fd);
}

/* ---- start ---- */

/* Each switch is to learn where the VM is, also if the first packets of that are lost. */
static json_t *announcement(void)
{
    return json_pack("{s:i, s:i, s:i, s:i}", "initial", 50, "max", 550, "rounds", 5, "step", 100);
}

static void on_start_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    if (!op_takes(peer, OP_START, err)) {
        return;
    }
    peer_set_status(peer, result);
    if (!peer_is(peer, "running")) {
        ninja_error_set(&wrong, ERR_FAILED, "it was told to run, and is \"%s\"", peer->status);
        op_end(v, peer->site, &wrong);
        return;
    }
    is_started(v);
    peer_execute(peer, "announce-self", announcement(), NULL);
    op_end(v, peer->site, NULL);
}

static void on_cont(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (!op_takes(peer, OP_START, err)) {
        return;
    }
    peer_execute(peer, "query-status", NULL, on_start_status);
}

void qmp_vm_start(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_begin(v, OP_START, done, arg);
    op_wait(v, vmm->to, qmp_vm_timeout(v, TIMEOUT_START), "it did not begin to run in time");
    v->peer_ended = on_lost;
    peer_execute(destination_of(v), "cont", NULL, on_cont);
}

/* ---- discard ---- */

static void on_released(void *arg, const struct ninja_error *err)
{
    struct qmp_vm *v = arg;
    op_end(v, v->vmm.to, err);
}

static void release(struct qmp_vm *v)
{
    v->peer_ended = NULL;
    v->vmm.loaded = false;
    timer_free(&v->poll);
    if (commands_to(v)->release == NULL || v->receiver == RECEIVER_UNKNOWN) {
        op_end(v, v->vmm.to, NULL);
        return;
    }
    v->command =
        host_command_start(v->vmm.base, v->vmm.cluster, commands_to(v)->release, v->vmm.vm,
                           v->vmm.to, -1, qmp_vm_timeout(v, TIMEOUT_PREPARE), on_released, v);
}

static void on_nobody_there(evutil_socket_t fd, short what, void *arg)
{
    release(arg);
}

static void on_receiver_ended(struct peer *peer, const struct ninja_error *err)
{
    if (peer->site == peer->owner->vmm.to) {
        release(peer->owner);
    }
}

void qmp_vm_discard(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_cancel(v, vmm->to);
    op_begin(v, OP_DISCARD, done, arg);
    if (vmm->committed || vmm->to < 0 || !qmp_is_ready(destination_of(v)->qmp) ||
        v->receiver == RECEIVER_UNKNOWN) {
        op_poll(v, 0, on_nobody_there, v);
        return;
    }
    op_wait(v, vmm->to, qmp_vm_timeout(v, TIMEOUT_QUIT) + qmp_vm_timeout(v, TIMEOUT_PREPARE),
            "its QEMU, which does not run the VM, was told to quit and did not; end it");
    v->peer_ended = on_receiver_ended;
    peer_execute(destination_of(v), "quit", NULL, NULL);
}
