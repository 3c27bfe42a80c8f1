/*
 * Moving a VM between two QEMUs.
 *
 * prepare: start the receiver, see that it is one (status inmigrate), tell it not to run by itself,
 * set every migration capability on both sides (a former receiver keeps those it had), open its
 * port. Nothing of this touches the running VM. A VM that is nowhere has no source, and its
 * receiver opens no port: it is going to be given an image.
 * migrate: with the capability "return-path" the source says "completed" only when the destination
 * has said that it has everything; without it, what lies in a buffer on the way counts as sent, and
 * is lost with whatever breaks then. A source that does not hear that word runs on by itself. So
 * the destination must not have begun by itself either: it is told to ("cont") once the source
 * has said "completed". A device_add before it runs is lost, so the operation ends with its
 * "running": the point of no return. The source also says "completed" before it knows the
 * downtime, and is asked once more for that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/config/device.h"
#include "host/vmm/driver_qmp.h"

#define RETRY_MS 100

static struct qmp_vm *of(struct vmm *vmm)
{
    return (struct qmp_vm *)vmm;
}

/* ---- prepare ---- */

static bool receiver_waits(struct qmp_vm *v, json_t *result, struct ninja_error *err)
{
    peer_set_status(destination_of(v), result);
    if (strcmp(destination_of(v)->status, "inmigrate") != 0) {
        return ninja_error_set(err, ERR_REFUSED,
                               "the QEMU there is \"%s\" and does not wait for a migration; start "
                               "the receiving QEMU with -incoming defer",
                               destination_of(v)->status);
    }
    receiver_set(v, RECEIVER_WAITS);
    return true;
}

static json_t *device_type(struct qmp_vm *v)
{
    const struct cluster_device *gets = vmm_device_at(&v->vmm, v->vmm.to);
    json_t *device = gets != NULL ? device_parse(gets->spec, NULL) : NULL;
    json_t *arguments = NULL;
    if (device != NULL) {
        arguments = json_pack("{s:O}", "typename", json_object_get(device, "driver"));
        json_decref(device);
    }
    return arguments;
}

static bool wants(const struct qmp_vm *v, const char *capability)
{
    const struct transfer *transfer = &v->vmm.transfer;
    return strcmp(capability, "events") == 0 || strcmp(capability, "return-path") == 0 ||
           (strcmp(capability, "postcopy-ram") == 0 && transfer_has_post_copy(transfer)) ||
           (strcmp(capability, "multifd") == 0 && transfer->parallel > 0);
}

void qmp_vm_take_capabilities(struct qmp_vm *v, json_t *result,
                              bool (*wanted)(const struct qmp_vm *v, const char *name))
{
    size_t i;
    json_t *capability;
    json_decref(v->capabilities);
    v->capabilities = json_array();
    json_array_foreach(result, i, capability)
    {
        const char *name = json_string_value(json_object_get(capability, "capability"));
        if (name != NULL) {
            json_array_append_new(v->capabilities, json_pack("{s:s, s:b}", "capability", name,
                                                             "state", wanted(v, name)));
        }
    }
}

json_t *qmp_vm_capabilities(struct qmp_vm *v)
{
    return json_pack("{s:O}", "capabilities", v->capabilities);
}

static bool has_multifd(const struct qmp_vm *v)
{
    size_t i;
    json_t *capability;
    json_array_foreach(v->capabilities, i, capability)
    {
        if (strcmp(json_string_value(json_object_get(capability, "capability")), "multifd") == 0) {
            return true;
        }
    }
    return false;
}

static bool keep_capabilities(struct qmp_vm *v, json_t *result, struct ninja_error *err)
{
    qmp_vm_take_capabilities(v, result, wants);
    return v->vmm.transfer.parallel == 0 || has_multifd(v) ||
           ninja_error_set(err, ERR_REFUSED,
                           "the QEMU there cannot send memory over several connections (it lacks "
                           "the capability multifd)");
}

/* Both sides have to agree. A former receiver keeps those it had. */
static json_t *parameters_of_both(struct qmp_vm *v)
{
    const struct transfer *transfer = &v->vmm.transfer;
    return json_pack("{s:i, s:s}", "multifd-channels",
                     transfer->parallel ? transfer->parallel : TRANSFER_PARALLEL,
                     "multifd-compression", compress_name(transfer->compress));
}

static json_t *parameters(struct qmp_vm *v)
{
    const struct transfer *transfer = &v->vmm.transfer;
    json_int_t bandwidth = (json_int_t)transfer->bandwidth_mib * 1024 * 1024;
    json_t *json = json_pack("{s:I, s:i}", "max-bandwidth", bandwidth ? bandwidth : QMP_NO_LIMIT,
                             "downtime-limit", transfer->downtime_limit_ms);
    if (transfer_has_post_copy(transfer)) {
        json_object_set_new(
            json, "max-postcopy-bandwidth",
            json_integer((json_int_t)transfer->post_copy_bandwidth_mib * 1024 * 1024));
    }
    return json;
}

static json_t *where_to_listen(struct qmp_vm *v)
{
    return v->vmm.site >= 0 ? json_pack("{s:s}", "uri", v->path.listen) : NULL;
}

static const struct prepare_step {
    bool at_source;          /* left out where there is none */
    bool may_lack_arguments; /* then it is left out */
    const char *command;
    json_t *(*arguments)(struct qmp_vm *v);
    bool (*check)(struct qmp_vm *v, json_t *result, struct ninja_error *err);
} prepare_steps[] = {
    {false, false, "query-status", NULL, receiver_waits},
    {false, false, "stop", NULL, NULL}, /* when it has everything, as with -S */
    {false, true, "device-list-properties", device_type, NULL},
    {false, false, "query-migrate-capabilities", NULL, keep_capabilities},
    {false, false, "migrate-set-capabilities", qmp_vm_capabilities, NULL},
    {true, false, "query-migrate-capabilities", NULL, keep_capabilities},
    {true, false, "migrate-set-capabilities", qmp_vm_capabilities, NULL},
    {false, false, "migrate-set-parameters", parameters_of_both, NULL},
    {true, false, "migrate-set-parameters", parameters_of_both, NULL},
    {true, false, "migrate-set-parameters", parameters, NULL},
    {false, true, "migrate-incoming", where_to_listen, NULL},
};
#define PREPARE_STEPS (sizeof(prepare_steps) / sizeof(prepare_steps[0]))

static void next_prepare_step(struct qmp_vm *v);

static void on_prepare_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    if (v->op != OP_PREPARE) {
        return;
    }
    const struct prepare_step *step = &prepare_steps[v->step];
    if (err != NULL) {
        op_end(v, peer->site, err);
    } else if (step->check != NULL && !step->check(v, result, &wrong)) {
        op_end(v, peer->site, &wrong);
    } else {
        v->step++;
        next_prepare_step(v);
    }
}

static void next_prepare_step(struct qmp_vm *v)
{
    for (; v->step < PREPARE_STEPS; v->step++) {
        const struct prepare_step *step = &prepare_steps[v->step];
        if (step->at_source && v->vmm.site < 0) {
            continue;
        }
        json_t *arguments = step->arguments ? step->arguments(v) : NULL;
        if (arguments == NULL && step->may_lack_arguments) {
            continue;
        }
        peer_execute(step->at_source ? source_of(v) : destination_of(v), step->command, arguments,
                     on_prepare_reply);
        return;
    }
    op_end(v, v->vmm.to, NULL);
}

static void on_receiver_ready(struct peer *peer)
{
    timer_free(&peer->owner->poll);
    peer->owner->step = 0;
    next_prepare_step(peer->owner);
}

/* A reply that is awaited brings the loss itself; this is for one before the greeting. */
static void on_receiver_lost(struct peer *peer, const struct ninja_error *err)
{
    if (peer->owner->op == OP_PREPARE) {
        op_end(peer->owner, peer->site, err);
    }
}

static void connect_receiver(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (peer_connect(destination_of(v), &err)) {
        return;
    }
    if (commands_to(v)->prepare != NULL && now_ms() < v->give_up_at) {
        op_poll(v, RETRY_MS, connect_receiver, v);
        return;
    }
    struct ninja_error why = NINJA_ERROR_INIT;
    ninja_error_set(&why, err.class, "no QEMU waits there (%s); %s", err.message,
                    commands_to(v)->prepare ? "does the command \"prepare\" start one?"
                                            : "start one with -incoming defer, or give the site a "
                                              "command \"prepare\"");
    op_end(v, v->vmm.to, &why);
}

static void begin_connecting(struct qmp_vm *v)
{
    v->give_up_at = now_ms() + qmp_vm_timeout(v, TIMEOUT_CONNECT);
    op_wait(v, v->vmm.to,
            qmp_vm_timeout(v, TIMEOUT_CONNECT) +
                (int)PREPARE_STEPS * qmp_vm_timeout(v, TIMEOUT_COMMAND),
            "the receiving QEMU was not ready in time");
    op_poll(v, 0, connect_receiver, v);
}

static void on_prepare_command(void *arg, const struct ninja_error *err)
{
    struct qmp_vm *v = arg;
    if (err != NULL) {
        op_end(v, v->vmm.to, err);
        return;
    }
    receiver_set(v, RECEIVER_STARTED);
    begin_connecting(v);
}

static void on_prepared_already(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    op_end(v, v->vmm.to, NULL);
}

static void begin_receiver(struct qmp_vm *v)
{
    const struct vmm *vmm = &v->vmm;
    timer_free(&v->deadline);
    if (commands_to(v)->prepare == NULL) {
        begin_connecting(v);
        return;
    }
    v->command =
        host_command_start(vmm->base, vmm->cluster, commands_to(v)->prepare, vmm->vm, vmm->to,
                           vmm->site, qmp_vm_timeout(v, TIMEOUT_PREPARE), on_prepare_command, v);
}

void qmp_vm_prepare(struct vmm *vmm, int site, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    if (qmp_vm_is_copying(v) && vmm->to == site) { /* adopted */
        op_begin(v, OP_PREPARE, done, arg);
        op_poll(v, 0, on_prepared_already, v);
        return;
    }
    qmp_vm_goes_to(v, site);
    vmm->committed = false;
    v->reconnect_at = 0;
    op_begin(v, OP_PREPARE, done, arg);
    v->peer_ready = on_receiver_ready;
    v->peer_ended = on_receiver_lost;
    if (vmm->site >= 0 && qmp_vm_has_stream(v)) {
        qmp_vm_stream_begin(v, begin_receiver);
    } else {
        begin_receiver(v);
    }
}

/* ---- migrate ---- */

/* Above all that a VM can have, and small enough to calculate with. */
#define MAX_FIGURE 1e15

/* No figure is believed that cannot be. */
static int64_t figure(double value)
{
    return value > 0 && value <= MAX_FIGURE ? (int64_t)value : 0;
}

static int64_t figure_in(json_t *object, const char *name)
{
    return figure(json_number_value(json_object_get(object, name)));
}

/* The figures of query-migrate; QEMU leaves out what it does not know yet. */
void qmp_vm_take_progress(struct qmp_vm *v, json_t *result)
{
    struct vmm_progress *progress = &v->vmm.progress;
    json_t *ram = json_object_get(result, "ram");
    if (ram != NULL) {
        progress->transferred = figure_in(ram, "transferred");
        progress->total = figure_in(ram, "total");
        progress->remaining = figure_in(ram, "remaining");
        double mbps = json_number_value(json_object_get(ram, "mbps"));
        progress->bytes_per_s = figure(mbps * 1e6 / 8);
        progress->dirty_bytes_per_s = figure((double)figure_in(ram, "dirty-pages-rate") *
                                             (double)figure_in(ram, "page-size"));
    }
    if (json_object_get(result, "downtime") != NULL) {
        progress->downtime_ms = figure_in(result, "downtime");
    }
}

void qmp_vm_is_there(struct qmp_vm *v, bool split)
{
    v->vmm.from = v->vmm.site;
    v->vmm.site = v->vmm.to;
    vmm_set_move(&v->vmm, split ? VMM_SPLIT : VMM_ARRIVED);
    v->vmm.committed = true;
    v->vmm.has_device = false;
    copy_set(v, split ? COPY_CHANGES_SIDES : COPY_NONE);
    qmp_vm_stream_count(v);
}

static void on_last_figures(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_MIGRATE) {
        return;
    }
    if (err == NULL) {
        qmp_vm_take_progress(v, result);
    }
    op_end(v, v->vmm.to, NULL);
}

static void end_with_figures(struct qmp_vm *v)
{
    if (v->vmm.progress.downtime_ms != 0) {
        op_end(v, v->vmm.to, NULL);
        return;
    }
    op_wait(v, v->vmm.from, 2 * qmp_vm_timeout(v, TIMEOUT_COMMAND), "no answer came in time");
    peer_execute(source_of(v), "query-migrate", NULL, on_last_figures);
}

static void ask_whether_it_runs(evutil_socket_t fd, short what, void *arg);

static void on_start_status(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (!op_takes(peer, OP_MIGRATE, err)) {
        return;
    }
    peer_set_status(peer, result);
    if (peer_is(peer, "running")) {
        qmp_vm_is_there(v, false);
        end_with_figures(v);
    } else {
        op_poll(v, START_MS, ask_whether_it_runs, v);
    }
}

static void ask_whether_it_runs(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    timer_free(&v->poll);
    peer_execute(destination_of(v), "query-status", NULL, on_start_status);
}

/* What the answer would say is seen by the status. */
static void have_it_run(struct qmp_vm *v)
{
    peer_execute(destination_of(v), "cont", NULL, NULL);
    ask_whether_it_runs(-1, 0, v);
}

static void on_progress(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    struct ninja_error failed = NINJA_ERROR_INIT;
    if (v->op != OP_MIGRATE) {
        return;
    }
    if (err != NULL) {
        if (!post_copy_ended(v, err)) {
            op_end(v, peer->site, err);
        }
        return;
    }
    qmp_vm_take_progress(v, result);
    peer_set_migration(peer, result);
    const char *status = peer->migration;
    if (post_copy_is_on(peer)) {
        post_copy_progress(v);
    } else if (strcmp(status, "completed") == 0) {
        if (post_copy_ended(v, NULL)) {
            return;
        }
        op_wait(v, v->vmm.to, qmp_vm_timeout(v, TIMEOUT_START),
                "the memory was copied, but the VM did not begin to run there in time");
        have_it_run(v);
    } else if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0) {
        const char *why = json_string_value(json_object_get(result, "error-desc"));
        copy_set(v, COPY_NONE);
        ninja_error_set(&failed, ERR_COPY, "the migration of the memory %s: %s",
                        status[0] == 'f' ? "failed" : "was cancelled",
                        why ? why : "QEMU does not say why (see its log at the destination)");
        if (!post_copy_ended(v, &failed)) {
            op_end(v, peer->site, &failed);
        }
    } else {
        post_copy_begin_if_due(v, result);
        qmp_vm_ask_progress_in(v, PROGRESS_MS);
    }
}

static void ask_progress(struct qmp_vm *v)
{
    peer_execute(source_of(v), "query-migrate", NULL, on_progress);
}

static void on_progress_due(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    timer_free(&v->poll);
    ask_progress(v);
}

void qmp_vm_ask_progress_in(struct qmp_vm *v, int ms)
{
    op_poll(v, ms, on_progress_due, v);
}

/* Events only make us look sooner. */
static void on_migrate_event(struct peer *peer, const char *name, json_t *data)
{
    struct qmp_vm *v = peer->owner;
    if (v->poll == NULL) {
        return;
    }
    const char *status = json_string_value(json_object_get(data, "status"));
    if (peer == source_of(v) && strcmp(name, "MIGRATION") == 0 && status != NULL &&
        (strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
         strcmp(status, "postcopy-active") == 0)) {
        event_active(v->poll, EV_TIMEOUT, 0);
    } else if (peer == destination_of(v) && strcmp(name, "RESUME") == 0) {
        event_active(v->poll, EV_TIMEOUT, 0);
    }
}

static void on_migrate(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    struct qmp_vm *v = peer->owner;
    if (v->op != OP_MIGRATE) {
        return;
    }
    if (err != NULL) {
        if (err->class != ERR_TIMEOUT) {
            copy_set(v, COPY_NONE);
        }
        op_end(v, peer->site, err);
        return;
    }
    ask_progress(v);
}

void qmp_vm_migrate(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = of(vmm);
    op_begin(v, OP_MIGRATE, done, arg);
    op_wait(v, vmm->site, qmp_vm_timeout(v, TIMEOUT_COPY),
            "the migration of the memory did not end in time");
    v->peer_event = on_migrate_event;
    v->heard_at = now_ms();
    v->recover_by = 0;
    headway_begin(&v->headway);
    if (qmp_vm_is_copying(v)) { /* adopted */
        ask_progress(v);
        return;
    }
    copy_set(v, COPY_GOES_ON);
    vmm_set_move(vmm, VMM_ON_ITS_WAY);
    peer_execute(source_of(v), "migrate", json_pack("{s:s}", "uri", v->path.connect), on_migrate);
}
