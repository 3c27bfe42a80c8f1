/*
 * An image of a VM: it is stopped, and migrates to a descriptor. As its QEMU keeps that it was
 * stopped, whoever loads the image gets a VM that stands.
 *
 * A live image is a background-snapshot: as soon as QEMU has saved the state of the devices it lets
 * the VM run by itself, and saves each page before the guest changes it. Where the memory's kind or
 * the kernel does not allow that, QEMU refuses the capability, and the image is made as of a VM
 * that stands.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "host/vmm/driver_qmp.h"

#define RETRY_MS  100
#define FROZEN_MS 10 /* between two looks at whether a live one runs again */

static struct qmp_vm *of(struct vmm *vmm)
{
    return (struct qmp_vm *)vmm;
}

static struct peer *here(struct qmp_vm *v)
{
    return &v->peers[v->vmm.site];
}

/* ---- find ---- */

/* What waits for a VM is not the VM. */
static bool has_it(const struct peer *peer)
{
    return peer->status[0] != '\0' && !peer_is(peer, "inmigrate");
}

static void on_found(void *arg, const struct ninja_error *unused)
{
    struct qmp_vm *v = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    int found = 0;
    v->vmm.site = -1;
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        if (has_it(&v->peers[s])) {
            found++;
            v->vmm.site = s;
        }
    }
    peers_describe(v, text, sizeof(text));
    peers_leave(v, v->vmm.site);
    if (found != 1) {
        v->vmm.site = -1;
        ninja_error_set(&err, found ? ERR_OPERATOR : ERR_NOT_FOUND, "%s is %s (%s)",
                        vmm_name(&v->vmm), found ? "at several sites at once" : "at no site", text);
        op_end(v, -1, &err);
        return;
    }
    vmm_has_seen_device(&v->vmm, here(v)->device);
    vmm_set_stands(&v->vmm, !peer_is(here(v), "running") || !peer_migration_is_over(here(v)));
    op_end(v, v->vmm.site, NULL);
}

static void qmp_vm_find(struct vmm *vmm, vmm_done done, void *arg)
{
    peers_ask(of(vmm), OP_LOCATE, on_found, done, arg);
}

/* ---- stop ---- */

static void on_stopped_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    if (!op_takes(peer, OP_STOP, err)) {
        return;
    }
    peer_set_status(peer, result);
    if (!peer_is(peer, "paused")) {
        ninja_error_set(&wrong, ERR_FAILED, "it was stopped, and is \"%s\"", peer->status);
        op_end(v, peer->site, &wrong);
        return;
    }
    op_end(v, peer->site, NULL);
}

static void on_stopped(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (!op_takes(peer, OP_STOP, err)) {
        return;
    }
    peer_execute(peer, "query-status", NULL, on_stopped_status);
}

static void qmp_vm_stop(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_begin(v, OP_STOP, done, arg);
    op_wait(v, vmm->site, 2 * qmp_vm_timeout(v, TIMEOUT_COMMAND), "QEMU did not stop the VM");
    v->peer_ended = op_ends_with_peer;
    vmm_set_stands(vmm, true);
    peer_execute(here(v), "stop", NULL, on_stopped);
}

/* ---- save ---- */

static void next_save_step(struct qmp_vm *v);

/* An earlier migration left some of them on, which an image has no use for or would hang in. */
static bool is_wanted(const struct qmp_vm *v, const char *capability)
{
    return strcmp(capability, "events") == 0;
}

static void take_capabilities(struct qmp_vm *v, json_t *result)
{
    qmp_vm_take_capabilities(v, result, is_wanted);
}

static json_t *no_arguments(struct qmp_vm *v)
{
    return json_object();
}

static json_t *live_capability(struct qmp_vm *v)
{
    return v->live ? json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability",
                               "background-snapshot", "state", true)
                   : NULL;
}

static json_t *bandwidth(struct qmp_vm *v)
{
    return json_pack("{s:I}", "max-bandwidth", QMP_NO_LIMIT);
}

static json_t *name_of_image(struct qmp_vm *v)
{
    return json_pack("{s:s}", "fdname", IMAGE_FD);
}

static json_t *uri_of_image(struct qmp_vm *v)
{
    return json_pack("{s:s}", "uri", IMAGE_URI);
}

static const struct save_step {
    const char *command;
    json_t *(*arguments)(struct qmp_vm *v); /* gives NULL: the step is left out */
    void (*take)(struct qmp_vm *v, json_t *result);
    bool with_fd;
    bool may_fail; /* then the image is not a live one */
} save_steps[] = {
    {"query-migrate-capabilities", no_arguments, take_capabilities, false, false},
    {"migrate-set-capabilities", qmp_vm_capabilities, NULL, false, false},
    {"migrate-set-capabilities", live_capability, NULL, false, true},
    {"migrate-set-parameters", bandwidth, NULL, false, false},
    {"getfd", name_of_image, NULL, true, false},
    {"migrate", uri_of_image, NULL, false, false},
};
#define SAVE_STEPS (sizeof(save_steps) / sizeof(save_steps[0]))

static void ask_saved(evutil_socket_t fd, short what, void *arg);

static void on_live_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_SAVE) {
        return;
    }
    if (err == NULL) {
        peer_set_status(peer, result);
        vmm_set_stands(&v->vmm, !peer_is(peer, "running"));
    }
    op_poll(v, v->vmm.stands ? FROZEN_MS : RETRY_MS, ask_saved, v);
}

static void on_saved_migration(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error failed = NINJA_ERROR_INIT;
    if (!op_takes(peer, OP_SAVE, err)) {
        return;
    }
    qmp_vm_take_progress(v, result);
    peer_set_migration(peer, result);
    if (strcmp(peer->migration, "completed") == 0) {
        vmm_set_stands(&v->vmm, v->vmm.stands && !v->live);
        op_end(v, peer->site, NULL);
    } else if (peer_migration_is_over(peer)) {
        const char *why = json_string_value(json_object_get(result, "error-desc"));
        ninja_error_set(&failed, ERR_COPY, "saving its memory failed: %s",
                        why ? why : "QEMU does not say why (see its log)");
        op_end(v, peer->site, &failed);
    } else if (v->live && v->vmm.stands) {
        peer_execute(peer, "query-status", NULL, on_live_status);
    } else {
        op_poll(v, RETRY_MS, ask_saved, v);
    }
}

static void ask_saved(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    timer_free(&v->poll);
    peer_execute(here(v), "query-migrate", NULL, on_saved_migration);
}

static void on_save_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_SAVE) {
        return;
    }
    if (err != NULL && !save_steps[v->step].may_fail) {
        op_end(v, peer->site, err);
        return;
    }
    if (err != NULL) {
        ninja_log_vm(NINJA_LOG_WARNING, vmm_name(&v->vmm),
                     "it stands until its image is written, as it cannot run meanwhile: %s",
                     err->message);
        v->live = false;
    }
    if (err == NULL && save_steps[v->step].take != NULL) {
        save_steps[v->step].take(v, result);
    }
    if (save_steps[v->step].with_fd) { /* ours would hide that QEMU closes it */
        qmp_vm_close_image(v);
    }
    v->step++;
    next_save_step(v);
}

static void next_save_step(struct qmp_vm *v)
{
    for (; v->step < SAVE_STEPS; v->step++) {
        const struct save_step *step = &save_steps[v->step];
        json_t *arguments = step->arguments(v);
        if (arguments == NULL) {
            continue;
        }
        if (step->with_fd) {
            peer_execute_with_fd(here(v), step->command, arguments, v->image, on_save_reply);
        } else {
            peer_execute(here(v), step->command, arguments, on_save_reply);
        }
        return;
    }
    ask_saved(-1, 0, v);
}

static void on_save_event(struct peer *peer, const char *name, json_t *data)
{
    struct qmp_vm *v = peer->owner;
    if (strcmp(name, "RESUME") == 0) {
        vmm_set_stands(&v->vmm, false);
    } else if (strcmp(name, "MIGRATION") == 0 && v->poll != NULL) {
        event_active(v->poll, EV_TIMEOUT, 0);
    }
}

static void qmp_vm_save(struct vmm *vmm, int fd, bool live, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_begin(v, OP_SAVE, done, arg);
    op_wait(v, vmm->site, qmp_vm_timeout(v, TIMEOUT_COPY), "its memory was not saved in time");
    v->peer_ended = op_ends_with_peer;
    v->peer_event = on_save_event;
    v->step = 0;
    v->image = fd;
    v->live = live;
    next_save_step(v);
}

/* ---- proceed ---- */

static void ask_migration(evutil_socket_t fd, short what, void *arg);

static void cannot_proceed(struct qmp_vm *v, const char *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_OPERATOR,
                    "it was stopped for an image, and does not run again: %s; look at its QEMU, "
                    "which needs \"cont\"",
                    why);
    op_end(v, v->vmm.site, &err);
}

static void on_proceeds(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_PROCEED) {
        return;
    }
    if (err != NULL) {
        cannot_proceed(v, err->message);
        return;
    }
    peer_set_status(peer, result);
    if (!peer_is(peer, "running")) {
        cannot_proceed(v, peer->status);
        return;
    }
    vmm_set_stands(&v->vmm, false);
    op_end(v, peer->site, NULL);
}

static void on_cont(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (peer->owner->op != OP_PROCEED) {
        return;
    }
    if (err != NULL) {
        cannot_proceed(peer->owner, err->message);
        return;
    }
    peer_execute(peer, "query-status", NULL, on_proceeds);
}

static void on_migration(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_PROCEED) {
        return;
    }
    if (err != NULL) {
        cannot_proceed(v, err->message);
        return;
    }
    peer_set_migration(peer, result);
    if (peer_migration_is_over(peer) || strcmp(peer->migration, "completed") == 0) {
        peer_execute(peer, "cont", NULL, on_cont);
    } else {
        op_poll(v, RETRY_MS, ask_migration, v);
    }
}

static void ask_migration(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    timer_free(&v->poll);
    peer_execute(here(v), "query-migrate", NULL, on_migration);
}

static void on_cancelled(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (peer->owner->op == OP_PROCEED) {
        ask_migration(-1, 0, peer->owner);
    }
}

static void qmp_vm_proceed(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_cancel(v, vmm->site);
    op_begin(v, OP_PROCEED, done, arg);
    op_wait(v, vmm->site, qmp_vm_timeout(v, TIMEOUT_QUIT) + 4 * qmp_vm_timeout(v, TIMEOUT_COMMAND),
            "it was stopped for an image, and could not be let run again in time");
    peer_execute(here(v), "migrate_cancel", NULL, on_cancelled);
}

/* ---- the other half is in driver_qmp_load.c ---- */

const struct vmm_images qmp_vm_images = {
    .find = qmp_vm_find,
    .stop = qmp_vm_stop,
    .save = qmp_vm_save,
    .proceed = qmp_vm_proceed,
    .absent = qmp_vm_absent,
    .find_loaded = qmp_vm_find_loaded,
    .load = qmp_vm_load,
    .start = qmp_vm_start,
    .discard = qmp_vm_discard,
};
