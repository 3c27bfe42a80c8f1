/*
 * Taking back prepare and migrate. Two copies of a VM must never run, and the one that ran last
 * must not be lost. So a source whose memory may have arrived goes on only when its receiver, which
 * waited until then, ended after we told it to quit; and a receiver that does not wait any more, or
 * of which that is not known, is not told to quit. What cannot be decided so is left as it is, for
 * the operator. A VM that was told to change sides for post-copy cannot be called back.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "host/vmm/driver_qmp.h"

#define RETRY_MS 100
/* How long a completed migration may still come to run at the destination when it is cancelled. */
#define GRACE_MS 3000

static struct qmp_vm *of(struct vmm *vmm)
{
    return (struct qmp_vm *)vmm;
}

static bool was_sent(struct qmp_vm *v)
{
    return strcmp(source_of(v)->migration, "completed") == 0;
}

static bool receiver_is_ours(const struct qmp_vm *v)
{
    return v->receiver == RECEIVER_WAITS || v->receiver == RECEIVER_STAYS;
}

/* Whether what was sent can no longer come to run, if anything was. */
static bool is_void(struct qmp_vm *v)
{
    return v->receiver == RECEIVER_ENDED || (v->copy == COPY_NONE && !was_sent(v));
}

static void cancel_failed(struct qmp_vm *v, const char *what, const struct ninja_error *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_OPERATOR,
                    "%s%s%s; look at both QEMUs of this VM: the one that is to run on needs "
                    "\"cont\", the other one \"quit\"",
                    what, why ? ": " : "", why ? why->message : "");
    op_end(v, v->vmm.site, &err);
}

/* There is nothing left to cancel a second time. */
static void rolled_back(struct qmp_vm *v)
{
    vmm_set_move(&v->vmm, VMM_AT_SOURCE);
    v->vmm.to = -1;
    op_end(v, v->vmm.site, NULL);
}

static void on_given_up(void *arg, const struct ninja_error *err)
{
    struct qmp_vm *v = arg;
    if (err != NULL) {
        ninja_log_vm(NINJA_LOG_WARNING, vmm_name(&v->vmm), "cleaning up at %s: %s",
                     site_to(v)->name, err->message);
    }
    rolled_back(v);
}

static void clean_up_receiver(struct qmp_vm *v)
{
    if (commands_to(v)->release == NULL || v->receiver == RECEIVER_UNKNOWN) {
        rolled_back(v);
        return;
    }
    op_wait(v, v->vmm.to, qmp_vm_timeout(v, TIMEOUT_PREPARE) + qmp_vm_timeout(v, TIMEOUT_COMMAND),
            "the command \"release\" did not end");
    v->command = host_command_start(v->vmm.base, v->vmm.cluster, commands_to(v)->release, v->vmm.vm,
                                    v->vmm.to, v->vmm.site, qmp_vm_timeout(v, TIMEOUT_PREPARE),
                                    on_given_up, v);
}

static void on_source_status(void *arg, json_t *result, const struct ninja_error *err);

static void on_cont(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_CANCEL) {
        return;
    }
    if (err != NULL) {
        cancel_failed(v, "the source VM could not go on", err);
        return;
    }
    peer_execute(peer, "query-status", NULL, on_source_status);
}

static void on_source_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_CANCEL) {
        return;
    }
    if (err != NULL) {
        cancel_failed(v, "the source QEMU does not answer", err);
        return;
    }
    peer_set_status(peer, result);
    bool runs = strcmp(peer->status, "running") == 0;
    if (runs && (is_void(v) || was_sent(v))) { /* sent, and continued since: of an earlier time */
        clean_up_receiver(v);
    } else if (runs) {
        cancel_failed(v, "the migration goes on, and its receiver cannot be reached", NULL);
    } else if (v->receiver == RECEIVER_STAYS) {
        cancel_failed(v, "the receiving QEMU was told to quit and did not", NULL);
    } else if (!is_void(v)) {
        cancel_failed(v,
                      "its memory was sent, and it cannot be told whether it runs at the "
                      "destination, or did",
                      NULL);
    } else if (now_ms() > v->give_up_at) {
        cancel_failed(v, "the source VM does not run again", NULL);
    } else {
        peer_execute(peer, "cont", NULL, on_cont);
    }
}

static void look_at_source(struct qmp_vm *v)
{
    v->peer_ended = NULL;
    timer_free(&v->poll); /* the receiver's time to quit in */
    v->give_up_at = now_ms() + qmp_vm_timeout(v, TIMEOUT_QUIT);
    op_wait(v, v->vmm.site,
            2 * qmp_vm_timeout(v, TIMEOUT_QUIT) + qmp_vm_timeout(v, TIMEOUT_COMMAND),
            "the source VM does not run again");
    peer_execute(source_of(v), "query-status", NULL, on_source_status);
}

static void on_receiver_ended(struct peer *peer, const struct ninja_error *err)
{
    if (peer == destination_of(peer->owner)) {
        receiver_set(peer->owner, RECEIVER_ENDED);
        look_at_source(peer->owner);
    }
}

/* It did not end within its time: only a source that never stopped is safe then. */
static void on_receiver_stays(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    receiver_set(v, RECEIVER_STAYS);
    look_at_source(v);
}

/* Its connection is gone. If the socket still answers, QEMU is not. */
static void receiver_unreachable(struct qmp_vm *v)
{
    if (v->receiver == RECEIVER_WAITS && peer_connect(destination_of(v), NULL)) {
        receiver_set(v, RECEIVER_STAYS);
    }
    look_at_source(v);
}

static void end_receiver(struct qmp_vm *v)
{
    struct peer *peer = destination_of(v);
    if (!qmp_is_ready(peer->qmp)) {
        receiver_unreachable(v);
        return;
    }
    v->peer_ended = on_receiver_ended;
    op_wait(v, v->vmm.to, 2 * qmp_vm_timeout(v, TIMEOUT_QUIT), "the receiving QEMU did not quit");
    op_poll(v, qmp_vm_timeout(v, TIMEOUT_QUIT), on_receiver_stays, v);
    peer_execute(peer, "quit", NULL, NULL);
}

static void ask_source_migration(evutil_socket_t fd, short what, void *arg);
static void ask_source_again(evutil_socket_t fd, short what, void *arg);
static void ask_receiver(evutil_socket_t fd, short what, void *arg);

static void on_receiver_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_CANCEL) {
        return;
    }
    if (err != NULL && qmp_vm_is_copying(v)) {
        cancel_failed(v, "the receiving QEMU does not answer, and the VM may run there", err);
        return;
    }
    if (err == NULL) {
        peer_set_status(peer, result);
    }
    if (strcmp(peer->status, "running") == 0) {
        qmp_vm_is_there(v, post_copy_is_on(source_of(v)));
        op_end(v, v->vmm.site, NULL);
    } else if (qmp_vm_is_copying(v) && strcmp(peer->status, "paused") == 0 &&
               now_ms() < v->give_up_at) {
        op_poll(v, START_MS, ask_source_again, v); /* it has everything, and waits for our word */
    } else if (v->copy == COPY_CHANGES_SIDES && now_ms() >= v->give_up_at) {
        cancel_failed(v, "it was told to change sides for post-copy, and did not yet", NULL);
    } else if (qmp_vm_is_copying(v) && strcmp(peer->status, "inmigrate") != 0) {
        cancel_failed(v, "the VM has run at the destination, and stands still there", NULL);
    } else if (qmp_vm_is_copying(v) && now_ms() < v->give_up_at) {
        op_poll(v, START_MS, ask_receiver, v); /* all was sent: it is about to run, or it hangs */
    } else if (qmp_vm_is_copying(v) && source_of(v)->migration[0] == '\0') {
        cancel_failed(v, "the source QEMU does not say whether all was sent", NULL);
    } else {
        end_receiver(v);
    }
}

static void ask_receiver(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    peer_execute(destination_of(v), "query-status", NULL, on_receiver_status);
}

/* Once the source does not run again by itself, it is too late to go back. */
static void on_source_word(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_CANCEL) {
        return;
    }
    peer_set_migration(peer, err == NULL ? result : NULL);
    if (was_sent(v) || post_copy_is_on(peer)) {
        peer_execute(destination_of(v), "cont", NULL, NULL);
    } else if (peer_migration_is_over(peer)) {
        copy_set(v, COPY_NONE);
    }
    ask_receiver(-1, 0, v);
}

static void ask_source_again(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    peer_execute(source_of(v), "query-migrate", NULL, on_source_word);
}

static void on_source_migration(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_CANCEL) {
        return;
    }
    peer_set_migration(peer, err == NULL ? result : NULL);
    bool over = peer_migration_is_over(peer);
    bool goes_on = !over && !was_sent(v) && !post_copy_is_on(peer);
    if (err == NULL && goes_on && now_ms() < v->give_up_at) {
        op_poll(v, RETRY_MS, ask_source_migration, v);
        return;
    }
    if (over) {
        copy_set(v, COPY_NONE);
    }
    if (!receiver_is_ours(v) || !qmp_is_ready(destination_of(v)->qmp)) {
        receiver_unreachable(v);
        return;
    }
    v->give_up_at = now_ms() + GRACE_MS;
    op_wait(v, v->vmm.to, GRACE_MS + 2 * qmp_vm_timeout(v, TIMEOUT_COMMAND),
            "the receiving QEMU does not answer");
    ask_receiver(-1, 0, v);
}

static void ask_source_migration(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    peer_execute(source_of(v), "query-migrate", NULL, on_source_migration);
}

static void nothing_to_cancel(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    op_end(v, v->vmm.site, NULL);
}

void qmp_vm_cancel(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_cancel(v, vmm->site);
    op_begin(v, OP_CANCEL, done, arg);
    if (vmm->committed || vmm->to < 0) {
        op_poll(v, 0, nothing_to_cancel, v);
        return;
    }
    v->give_up_at = now_ms() + qmp_vm_timeout(v, TIMEOUT_QUIT);
    op_wait(v, vmm->site, qmp_vm_timeout(v, TIMEOUT_QUIT) + qmp_vm_timeout(v, TIMEOUT_COMMAND),
            "the migration could not be cancelled");
    if (qmp_vm_is_copying(v)) {
        peer_execute(source_of(v),
                     v->copy == COPY_CHANGES_SIDES ? "migrate-start-postcopy" : "migrate_cancel",
                     NULL, NULL);
    }
    ask_source_migration(-1, 0, v);
}
