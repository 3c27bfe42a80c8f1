/*
 * Post-copy: the VM runs at the destination before all of its memory is there, and the rest follows
 * while it runs. So the copy ends however fast the VM writes, and until it ends each side has
 * what the other one lacks: the VM is split. No side may be ended, or told to run, in that time.
 *
 *     source        active -> postcopy-active ---------------------> completed
 *                        ^         |      ^                |
 *     migrate-start-postcopy       v      | postcopy-recover
 *                              postcopy-paused
 *
 * The destination waits to be told to run, as after a pre-copy (driver_qmp_move.c).
 *
 * The source is told to begin after as many passes over the memory as its transfer says; after
 * one, what is fetched page by page is only what was written since. Or it is told when some passes
 * on end were of no use (headway.h), as the copy would not end otherwise. If the connection breaks,
 * both sides stop at postcopy-paused with everything they have. It is then made anew until the
 * time-out "recover"; after that it is for an operator to mend the network and to resume the
 * migration, which comes here again.
 *
 * QEMU does not say how an attempt to connect again ended, and dies of an assertion (7.2) if one
 * ends after another one has succeeded. So there is one at a time: the next is made when the
 * time-out "reconnect" has passed, in which the kernel ends each; and a migration that is taken on
 * assumes that there may be one.
 */
#include <string.h>

#include "common/log.h"
#include "host/vmm/driver_qmp.h"

#define RECOVER_MS 1000
/* When a copy that makes no progress is taken for one whose connection is gone. */
#define SILENCE_MS 15000

static void recover(struct qmp_vm *v);

bool post_copy_is_on(const struct peer *peer)
{
    return strncmp(peer->migration, "postcopy-", 9) == 0;
}

void post_copy_begin_if_due(struct qmp_vm *v, json_t *result)
{
    const struct transfer *transfer = &v->vmm.transfer;
    json_t *pass = json_object_get(json_object_get(result, "ram"), "dirty-sync-count");
    headway_look(&v->headway, json_integer_value(pass), v->vmm.progress.remaining);
    bool enough = transfer->post_copy_after >= 0 && v->headway.pass > transfer->post_copy_after;
    bool stuck =
        transfer->post_copy_if_stuck > 0 && v->headway.stuck >= transfer->post_copy_if_stuck;
    if (v->copy == COPY_GOES_ON && (enough || stuck)) {
        copy_set(v, COPY_CHANGES_SIDES);
        ninja_log_vm(NINJA_LOG_INFO, vmm_name(&v->vmm),
                     "changes sides%s, and the rest of its memory follows",
                     enough ? "" : ", as its copy makes no headway");
        peer_execute(source_of(v), "migrate-start-postcopy", NULL, NULL);
    }
}

static void lost(struct qmp_vm *v, struct peer *peer, const struct ninja_error *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct cluster *cluster = v->vmm.cluster;
    const char *from = cluster->sites[source_of(v)->site].name;
    const char *to = cluster->sites[v->vmm.to].name;
    ninja_error_set(
        &err, ERR_OPERATOR,
        "%s runs at %s, a part of its memory is still at %s, and the QEMU at %s does not answer "
        "(%s). End none of the two. If it answers again, give \"ninjactl resume\". If it has "
        "ended, "
        "the VM is lost as it was, and the jobs with it; \"cont\" at %s then brings it back as it "
        "was when it left",
        vmm_name(&v->vmm), to, from, cluster->sites[peer->site].name, why->message, from);
    op_end(v, -1, &err);
}

/* ---- while it is split ---- */

static void on_destination_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_MIGRATE) {
        return;
    }
    if (err == NULL) {
        peer_set_status(peer, result);
    }
    if (strcmp(peer->status, "running") == 0 && !vmm_is_there(&v->vmm)) {
        qmp_vm_is_there(v, true);
        v->heard_at = now_ms();
        ninja_log_vm(NINJA_LOG_INFO, vmm_name(&v->vmm), "runs at %s", site_to(v)->name);
        if (v->vmm.on_there != NULL) {
            v->vmm.on_there(v->vmm.on_there_arg);
        }
    }
    qmp_vm_ask_progress_in(v, START_MS);
}

/* It has nothing new for us since: either the network is gone, or it is very slow. */
static bool is_silent(struct qmp_vm *v)
{
    int64_t now = now_ms();
    if (v->vmm.progress.transferred != v->heard) {
        v->heard = v->vmm.progress.transferred;
        v->heard_at = now;
    }
    return now - v->heard_at > SILENCE_MS;
}

void post_copy_progress(struct qmp_vm *v)
{
    struct peer *source = source_of(v);
    if (strcmp(source->migration, "postcopy-paused") == 0) {
        recover(v);
    } else if (!vmm_is_there(&v->vmm)) {
        peer_execute(destination_of(v), "cont", NULL, NULL); /* now, or when it can */
        peer_execute(destination_of(v), "query-status", NULL, on_destination_status);
        /* if the connection breaks now, that may never be answered */
        qmp_vm_ask_progress_in(v, RECOVER_MS);
    } else if (is_silent(v)) {
        v->heard_at = now_ms();
        peer_execute(source, "migrate-pause", NULL, NULL);
        qmp_vm_ask_progress_in(v, RECOVER_MS);
    } else {
        v->recover_by = 0;
        qmp_vm_ask_progress_in(v, PROGRESS_MS);
    }
}

bool post_copy_ended(struct qmp_vm *v, const struct ninja_error *err)
{
    if (v->vmm.move != VMM_SPLIT) {
        return false;
    }
    if (err != NULL) {
        lost(v, source_of(v), err);
        return true;
    }
    vmm_set_move(&v->vmm, VMM_ARRIVED);
    copy_set(v, COPY_NONE);
    op_end(v, v->vmm.site, NULL);
    return true;
}

/* ---- a connection that broke ---- */

static void on_resumed(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_MIGRATE) {
        return;
    }
    if (err != NULL) {
        ninja_log_vm(NINJA_LOG_INFO, vmm_name(&v->vmm), "not yet: %s", err->message);
    }
    v->reconnect_at = now_ms() + (err == NULL ? qmp_vm_timeout(v, TIMEOUT_RECONNECT) : 0);
    qmp_vm_ask_progress_in(v, RECOVER_MS);
}

static void on_receiver_waits(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_MIGRATE) {
        return;
    }
    if (err == NULL) {
        peer_execute(source_of(v), "migrate",
                     json_pack("{s:s, s:b}", "uri", v->path.connect, "resume", 1), on_resumed);
    } else if (err->class == ERR_GENERIC) {
        qmp_vm_ask_progress_in(v, RECOVER_MS); /* it has not paused yet */
    } else {
        lost(v, peer, err);
    }
}

/* An error says that it had paused by itself. */
static void on_receiver_paused(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op == OP_MIGRATE) {
        peer_execute_urgent(peer, "migrate-recover", json_pack("{s:s}", "uri", v->path.listen),
                            on_receiver_waits);
    }
}

/* The receiver's main loop may wait for the very memory that does not come, so all that is said to
 * it is out of band. */
static void recover(struct qmp_vm *v)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const char *from = v->vmm.cluster->sites[source_of(v)->site].name;
    if (v->recover_by == 0) {
        v->recover_by = now_ms() + qmp_vm_timeout(v, TIMEOUT_RECOVER);
        ninja_log_vm(NINJA_LOG_WARNING, vmm_name(&v->vmm),
                     "the connection between %s and %s broke while its memory was on both "
                     "sides; it is being made anew",
                     from, site_to(v)->name);
    }
    if (now_ms() > v->recover_by) {
        ninja_error_set(
            &err, ERR_OPERATOR,
            "%s has one part of its memory at %s and the other one at %s, and the "
            "connection between them could not be made again in time. It stands "
            "still, and nothing is lost: mend the network and give \"ninjactl resume\". "
            "End none of the two QEMUs",
            vmm_name(&v->vmm), from, site_to(v)->name);
        op_end(v, -1, &err);
        return;
    }
    v->heard_at = now_ms();
    if (now_ms() < v->reconnect_at) {
        qmp_vm_ask_progress_in(v, RECOVER_MS);
    } else {
        peer_execute_urgent(destination_of(v), "migrate-pause", NULL, on_receiver_paused);
    }
}
