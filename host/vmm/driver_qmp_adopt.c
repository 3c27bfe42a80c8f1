/*
 * Where a VM is whose move was interrupted.
 *
 *     source says    at the source        at the destination    it is taken for
 *     nothing sent   answers              anything              at the source; a receiver is ours,
 *                                                               what else is there is not
 *     sent before    runs                 nothing, inmigrate    the same
 *     sent, or on    anything             inmigrate, paused     on its way
 *       its way
 *     sent, or no    does not run         runs                  moved
 *       answer
 *     post-copy      does not run         runs                  moved, and split
 *
 * A destination that is paused has everything, and waits to be told to run. Everything else is for
 * the operator: it may have run at the destination, and what the source has is then of the past, or
 * it may run there soon, unseen. The same for a VM which the journal says has run there and that
 * does not now.
 */
#include <string.h>

#include "host/vmm/driver_qmp.h"

static bool was_sent(const struct peer *source)
{
    return strcmp(source->migration, "completed") == 0;
}

/* Whether it can come to run by nothing but our word. */
static bool waits(const struct peer *destination, bool stopped)
{
    return peer_is(destination, "inmigrate") || (stopped && peer_is(destination, "paused"));
}

static bool answers(const struct peer *peer)
{
    return peer->status[0] != '\0';
}

/* At the destination there is nothing of this VM that might run one day. */
static bool is_at_source(const struct peer *source, const struct peer *destination)
{
    if (peer_migration_is_over(source)) {
        return true;
    }
    /* The last migration of a VM that runs again is of no interest. */
    return was_sent(source) && peer_is(source, "running") &&
           (!answers(destination) || peer_is(destination, "inmigrate"));
}

static void adopt_at_source(struct qmp_vm *v, bool on_its_way)
{
    v->vmm.site = v->vmm.from;
    v->vmm.from = -1;
    vmm_has_seen_device(&v->vmm, v->peers[v->vmm.site].device);
    vmm_set_move(&v->vmm, on_its_way ? VMM_ON_ITS_WAY : VMM_AT_SOURCE);
    if (on_its_way) { /* for all that is known, it may have been told to change sides */
        copy_set(v, transfer_has_post_copy(&v->vmm.transfer) ? COPY_CHANGES_SIDES : COPY_GOES_ON);
    }
    if (waits(destination_of(v), on_its_way)) {
        receiver_set(v, RECEIVER_WAITS);
    }
    op_end(v, v->vmm.site, NULL);
}

static void adopt_at_destination(struct qmp_vm *v, bool split)
{
    v->vmm.site = v->vmm.to;
    vmm_set_move(&v->vmm, split ? VMM_SPLIT : VMM_ARRIVED);
    v->vmm.committed = true;
    copy_set(v, split ? COPY_CHANGES_SIDES : COPY_NONE);
    v->reconnect_at = now_ms() + qmp_vm_timeout(v, TIMEOUT_RECONNECT);
    vmm_has_seen_device(&v->vmm, destination_of(v)->device);
    op_end(v, v->vmm.site, NULL);
}

static void ask_operator(struct qmp_vm *v)
{
    const struct peer *source = &v->peers[v->vmm.from], *destination = destination_of(v);
    const char *from = v->vmm.cluster->sites[v->vmm.from].name;
    const char *to = v->vmm.cluster->sites[v->vmm.to].name;
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    peers_describe(v, text, sizeof(text));
    const char *why = "";
    if (post_copy_is_on(destination)) {
        why = ": it runs there without that part of its memory which is still here";
    } else if (v->ran_there) {
        why = ": it has run there";
    } else if (peer_is(source, "running") && peer_is(destination, "running")) {
        why = ": it runs at both";
    } else if (was_sent(source)) {
        why = ": its memory was sent, and it may have run there";
    } else if (answers(source)) {
        why = ": its memory is on its way, and it may come to run there at any time";
    }
    ninja_error_set(
        &err, ERR_OPERATOR,
        "it cannot be told where %s is to run on (%s)%s; nothing was touched. If it runs "
        "at %s, or did, \"cont\" is for the QEMU there and \"quit\" for the one at %s; "
        "only if it certainly never ran there, end the QEMU at %s, and then "
        "\"migrate_cancel\" and \"cont\" are for the one at %s. Then give the command "
        "again",
        vmm_name(&v->vmm), text, why, to, from, to, from);
    v->vmm.site = v->vmm.from;
    op_end(v, -1, &err);
}

static void on_adopted(void *arg, const struct ninja_error *unused)
{
    struct qmp_vm *v = arg;
    struct peer *source = &v->peers[v->vmm.from], *destination = destination_of(v);
    /* One that never left is not there: what runs there is something else. */
    bool left = !answers(source) || v->ran_there || !peer_migration_is_over(source);
    if (peer_is(destination, "running") && peer_is(source, "running") && left &&
        v->adoption == ADOPTION_ASKED) {
        /* The two answered one after the other, and it may have moved in between. */
        adoption_set(v, ADOPTION_ASKED_AGAIN);
        peers_ask(v, OP_ADOPT, on_adopted, v->done, v->arg);
    } else if (peer_is(destination, "running") && !peer_is(source, "running") && left &&
               (answers(source) || !post_copy_is_on(destination))) {
        adopt_at_destination(v, post_copy_is_on(source));
    } else if (!answers(source) || v->ran_there) {
        ask_operator(v);
    } else if (peer_is(destination, "running") && !peer_is(source, "running")) {
        ask_operator(v);
    } else if (is_at_source(source, destination)) {
        adopt_at_source(v, false);
    } else if (waits(destination, !peer_is(source, "running"))) {
        adopt_at_source(v, true);
    } else {
        ask_operator(v);
    }
}

void qmp_vm_adopt(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg)
{
    struct qmp_vm *v = (struct qmp_vm *)vmm;
    vmm->from = from;
    qmp_vm_goes_to(v, to);
    v->ran_there = ran_there;
    adoption_set(v, ADOPTION_ASKED);
    peers_ask(v, OP_ADOPT, on_adopted, done, arg);
}
