/*
 * Moving a VM between two hosts.
 *
 * prepare: asks both hosts what would be in the way; nothing is touched.
 * migrate: the hosts copy it, and it then waits at the destination, paused. When the source is seen
 * to be off, we let it run there: the point of no return. What migrate is answered proves nothing,
 * so both hosts are looked at until they say something final (driver_libvirt_adopt.c); the same for
 * cancel, which has the source give the copy up. A copy that was all sent cannot be called back,
 * and goes on.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/printable.h"
#include "host/vmm/driver_libvirt.h"

#define SETTLE_MS   500  /* between two looks */
#define LATE_MS     2000 /* in which a host begins what it was asked for, if it does */
#define PROGRESS_MS 200
#define LATE_COPY   "the memory was not copied in time"

static struct libvirt_vm *of(struct vmm *vmm)
{
    return (struct libvirt_vm *)vmm;
}

static struct domain_seen *source(struct libvirt_vm *v)
{
    return libvirt_seen(v, libvirt_from(v));
}

static struct domain_seen *destination(struct libvirt_vm *v)
{
    return libvirt_seen(v, v->vmm.to);
}

/* ---- prepare ---- */

/* All problems, one sentence after the other. */
static void tell_problems(json_t *problems, struct ninja_error *err)
{
    char text[480] = "";
    size_t i;
    json_t *problem;
    json_array_foreach(problems, i, problem)
    {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%s", len ? "; " : "",
                 json_string_value(problem));
    }
    ninja_error_set(err, ERR_REFUSED, "libvirt would refuse to move it: %s", text);
}

static void on_checked(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    json_t *problems = json_object_get(result, "problems");
    if (err == NULL && json_array_size(problems) > 0) {
        tell_problems(problems, &wrong);
        err = &wrong;
    }
    libvirt_end(v, v->vmm.to, err);
}

static void check(struct libvirt_vm *v)
{
    const struct cluster *cluster = v->vmm.cluster;
    json_t *arguments = json_pack("{s:s}", "to", libvirt_uri(cluster, v->vmm.vm, v->vmm.to));
    libvirt_ask(v, v->vmm.site, "migrate-check", arguments, libvirt_timeout(v, TIMEOUT_PREPARE),
                on_checked);
}

/* What a coordinator before left there: the VM runs at the source, so it is of no use. */
static void on_leftover_removed(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    if (err != NULL && err->class != ERR_NOT_FOUND) {
        libvirt_end(v, v->vmm.to, err);
        return;
    }
    check(v);
}

static void on_looked_before(struct libvirt_vm *v)
{
    enum verdict verdict = libvirt_judge(source(v), destination(v), false);
    if (verdict == VERDICT_LEFTOVER && v->copy.begun) {
        libvirt_ask(v, v->vmm.to, "domain-remove", NULL, libvirt_timeout(v, TIMEOUT_QUIT),
                    on_leftover_removed);
    } else if (source(v)->state == DOMAIN_UNKNOWN) {
        libvirt_end(v, v->vmm.site, &source(v)->err);
    } else if (destination(v)->state == DOMAIN_UNKNOWN) {
        libvirt_end(v, v->vmm.to, &destination(v)->err);
    } else {
        check(v);
    }
}

/* Refused, or there is nothing to prepare. */
static void end_prepare(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    libvirt_end(v, v->vmm.to, ninja_error_is_set(&v->failure) ? &v->failure : NULL);
}

void libvirt_prepare(struct vmm *vmm, int site, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    vmm->to = site;
    libvirt_begin(v, LV_PREPARE, done, arg);
    v->failure = (struct ninja_error)NINJA_ERROR_INIT;
    if (vmm_is_between(vmm) || /* a coordinator before has begun it */
        !libvirt_may_move(vmm->cluster, &vmm->transfer, vmm->vm, site, &v->failure)) {
        libvirt_poll(v, 0, end_prepare);
        return;
    }
    libvirt_wait(v, site,
                 libvirt_timeout(v, TIMEOUT_PREPARE) + libvirt_timeout(v, TIMEOUT_CONNECT) +
                     libvirt_timeout(v, TIMEOUT_COMMAND),
                 "libvirt did not say in time whether the VM can be moved");
    libvirt_look_at_both(v, on_looked_before);
}

/* ---- progress ---- */

/* It stood still until it ran there, which libvirt's own figure leaves out if we let it run. */
static void take_downtime(struct libvirt_vm *v)
{
    if (v->stopped_at > 0) {
        int64_t until = v->resumed_at > v->stopped_at ? v->resumed_at : now_ms();
        v->vmm.progress.downtime_ms = until - v->stopped_at;
    }
}

static void settle_now(evutil_socket_t fd, short what, void *arg);

static void lifecycle_event(struct libvirt_vm *v, int site, const char *state)
{
    if (site == v->vmm.site && strcmp(state, "suspended") == 0) {
        v->stopped_at = now_ms();
    } else if (site == v->vmm.to && strcmp(state, "resumed") == 0) {
        v->resumed_at = now_ms();
        if (v->poll != NULL) { /* it changed sides */
            libvirt_poll(v, 0, settle_now);
        }
    }
}

void libvirt_move_event(struct libvirt_vm *v, const char *name, int site, json_t *data)
{
    json_t *statistics = json_object_get(data, "statistics");
    const char *state = json_string_value(json_object_get(data, "state"));
    if (v->op != LV_MIGRATE && v->op != LV_CANCEL) {
        return;
    }
    if (statistics != NULL && site == libvirt_from(v)) {
        libvirt_take_progress(&v->vmm.progress, statistics);
        if (strcmp(name, "JOB_COMPLETED") == 0 && v->stopped_at == 0) {
            v->vmm.progress.downtime_ms =
                json_integer_value(json_object_get(statistics, "downtime"));
        }
    } else if (state != NULL && !vmm_is_there(&v->vmm)) {
        lifecycle_event(v, site, state);
    }
}

/* ---- what both hosts say in the end ---- */

void libvirt_is_there(struct libvirt_vm *v, bool split)
{
    if (!vmm_is_there(&v->vmm)) {
        take_downtime(v);
        v->vmm.from = v->vmm.site;
        v->vmm.site = v->vmm.to;
        v->vmm.committed = true;
    }
    vmm_has_seen_device(&v->vmm, destination(v)->device);
    vmm_set_move(&v->vmm, split ? VMM_SPLIT : VMM_ARRIVED);
}

static void arrived(struct libvirt_vm *v)
{
    libvirt_is_there(v, false);
    libvirt_end(v, v->vmm.site, NULL);
}

static void on_resumed(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    if (err != NULL) {
        ninja_log_vm(NINJA_LOG_DEBUG, vmm_name(&v->vmm), "resuming at %s: %s",
                     libvirt_site_name(v, v->vmm.to), err->message);
    }
    libvirt_poll(v, err == NULL ? 0 : SETTLE_MS, settle_now);
}

/* For a request whose effect is looked for. */
static void on_done_anyway(void *arg, json_t *result, const struct ninja_error *err)
{
    settle_now(-1, 0, arg);
}

static void ask_operator(struct libvirt_vm *v)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    libvirt_describe(v, libvirt_from(v), v->vmm.to, text, sizeof(text));
    ninja_error_set(&err, ERR_OPERATOR,
                    "it cannot be told where %s is to run on (%s); the one that is to run on needs "
                    "virsh resume, the other one virsh destroy",
                    vmm_name(&v->vmm), text);
    libvirt_end(v, -1, &err);
}

static void rolled_back(struct libvirt_vm *v)
{
    vmm_set_move(&v->vmm, VMM_AT_SOURCE);
    v->copy.begun = v->copy.uncertain = false;
    vmm_has_seen_device(&v->vmm, source(v)->device);
    v->vmm.to = -1; /* there is nothing left to cancel a second time */
    libvirt_end(v, v->vmm.site, NULL);
}

static void failed(struct libvirt_vm *v)
{
    struct ninja_error err = v->failure;
    vmm_set_move(&v->vmm, VMM_AT_SOURCE);
    ninja_error_set(&err, ERR_COPY, "the migration did not go through, and it runs where it was");
    libvirt_end(v, v->vmm.site, &err);
}

/* It runs at the source, which nothing is at work on any more. */
static void settled_at_source(struct libvirt_vm *v, enum verdict verdict)
{
    if (v->copy.uncertain && !v->asked_again) {
        v->asked_again = true;
        libvirt_poll(v, LATE_MS, settle_now);
    } else if (v->op == LV_MIGRATE) {
        failed(v);
    } else if (verdict == VERDICT_LEFTOVER) {
        libvirt_ask(v, v->vmm.to, "domain-remove", NULL, libvirt_timeout(v, TIMEOUT_QUIT),
                    on_done_anyway);
    } else {
        rolled_back(v);
    }
}

static void give_up_copy(struct libvirt_vm *v)
{
    libvirt_ask(v, v->vmm.site, "migrate-abort", NULL, libvirt_timeout(v, TIMEOUT_COMMAND), NULL);
}

/* One who runs and is not at work has not gone, whatever the destination has, as only we let it run
 * there. */
static bool never_left(struct libvirt_vm *v)
{
    return !v->ran_there && !v->copy.uncertain && source(v)->state == DOMAIN_RUNNING &&
           !source(v)->job;
}

static void wait_for_settling(struct libvirt_vm *v)
{
    libvirt_wait(v, v->vmm.to,
                 libvirt_timeout(v, TIMEOUT_RECONNECT) + libvirt_timeout(v, TIMEOUT_START),
                 "it was not seen in time whether the VM arrived");
}

/* A copy that is seen to go on may take its time, whoever it is that does not tell its end. */
static bool has_time(struct libvirt_vm *v)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (now_ms() < v->copy.until) {
        wait_for_settling(v);
        return true;
    }
    ninja_error_set(&err, ERR_TIMEOUT, LATE_COPY);
    libvirt_end(v, v->vmm.site, &err);
    return false;
}

/* Also of a copy of which nobody tells us, as it was begun before. */
static void take_seen_progress(struct libvirt_vm *v)
{
    const struct vmm_progress *seen = &source(v)->progress;
    struct vmm_progress *own = &v->vmm.progress;
    if (seen->total > 0) {
        own->total = seen->total;
        own->transferred = seen->transferred;
        own->remaining = seen->remaining;
        own->bytes_per_s = seen->bytes_per_s;
        own->dirty_bytes_per_s = seen->dirty_bytes_per_s;
    }
}

static void on_settle_look(struct libvirt_vm *v)
{
    take_seen_progress(v);
    enum verdict verdict = libvirt_judge(source(v), destination(v), v->ran_there);
    if (v->copy.goes_on && verdict != VERDICT_SPLIT && verdict != VERDICT_BROKEN) {
        verdict = VERDICT_ON_ITS_WAY;
    } else if (verdict == VERDICT_UNKNOWN && never_left(v)) {
        ninja_log_vm(NINJA_LOG_WARNING, vmm_name(&v->vmm),
                     "%s does not answer; when it does, virsh destroy what it has of this VM",
                     libvirt_site_name(v, v->vmm.to));
        verdict = VERDICT_AT_SOURCE;
    }
    switch (verdict) {
    case VERDICT_AT_SOURCE:
    case VERDICT_LEFTOVER:
        settled_at_source(v, verdict);
        return;
    case VERDICT_SENT:
        libvirt_ask(v, v->vmm.to, "domain-resume", NULL, libvirt_timeout(v, TIMEOUT_START),
                    on_resumed);
        return;
    case VERDICT_STUCK:
        libvirt_ask(v, v->vmm.site, "domain-remove", NULL, libvirt_timeout(v, TIMEOUT_QUIT),
                    on_done_anyway);
        return;
    case VERDICT_ARRIVED:
        arrived(v);
        return;
    case VERDICT_OPERATOR:
        if (v->asked_again) {
            ask_operator(v);
            return;
        }
        v->asked_again = true;
        break;
    case VERDICT_ON_ITS_WAY:
        if (v->op == LV_CANCEL) {
            give_up_copy(v);
        } else if (!has_time(v)) {
            return;
        } else {
            libvirt_change_sides_if_due(v);
        }
        break;
    case VERDICT_SPLIT:
    case VERDICT_BROKEN:
        if (!libvirt_split(v, verdict) || !has_time(v)) {
            return;
        }
        break;
    case VERDICT_UNKNOWN:
        if (v->vmm.move == VMM_SPLIT && !libvirt_split(v, verdict)) {
            return;
        }
        break;
    }
    libvirt_poll(v, SETTLE_MS, settle_now);
}

static void settle_now(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    timer_free(&v->poll);
    libvirt_look_at_both(v, on_settle_look);
}

/* ---- migrate ---- */

/* The copy ended, or nobody can tell. It may be cancelled by now. */
static void on_migrated(void *arg, json_t *result, const struct ninja_error *err)
{
    struct copy *copy = arg;
    struct libvirt_vm *v = copy->owner;
    copy->goes_on = false;
    copy->uncertain = err != NULL && (err->class == ERR_LOST || err->class == ERR_TIMEOUT);
    v->failure = err != NULL ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    if (v->op == LV_MIGRATE) {
        wait_for_settling(v);
        settle_now(-1, 0, v);
    }
}

static void add_text(json_t *arguments, const char *name, const char *text)
{
    if (text != NULL) {
        json_object_set_new(arguments, name, json_string(text));
    }
}

/* How fast, and over what. One that changes sides is to do so before all is copied. */
static void add_speed(const struct libvirt_vm *v, json_t *arguments)
{
    const struct transfer *transfer = &v->vmm.transfer;
    bool changes_sides = libvirt_changes_sides(v);
    json_object_set_new(arguments, "downtime_limit_ms",
                        json_integer(changes_sides ? 1 : transfer->downtime_limit_ms));
    json_object_set_new(arguments, "bandwidth_mib",
                        json_integer(changes_sides ? 1 : transfer->bandwidth_mib));
    json_object_set_new(arguments, "connections", json_integer(transfer->parallel));
    if (transfer->compress != COMPRESS_NONE) {
        add_text(arguments, "compression", compress_name(transfer->compress));
    }
}

static void add_post_copy_speed(const struct libvirt_vm *v, json_t *arguments)
{
    if (libvirt_changes_sides(v)) {
        json_object_set_new(arguments, "post_copy_bandwidth_mib",
                            json_integer(v->vmm.transfer.post_copy_bandwidth_mib));
    }
}

static json_t *copy_arguments(const struct libvirt_vm *v, const char *mode)
{
    const struct cluster *cluster = v->vmm.cluster;
    const struct cluster_device *leaves, *gets;
    int vm = v->vmm.vm, from = libvirt_from(v), to = v->vmm.to;
    json_t *arguments =
        json_pack("{s:s, s:s, s:s, s:i}", "vm", libvirt_domain(cluster, vm, from), "to",
                  libvirt_peer_uri(cluster, vm, to), "mode", mode, "progress_ms", PROGRESS_MS);
    add_text(arguments, "migrate_uri", libvirt_migration_uri(cluster, vm, to));
    add_text(arguments, "tls", libvirt_tls(cluster, vm, to));
    add_post_copy_speed(v, arguments);
    if (!vmm_is_there(&v->vmm)) { /* nor has it begun */
        leaves = vmm_device_at(&v->vmm, from);
        gets = vmm_device_at(&v->vmm, to);
        add_text(arguments, "alias", leaves != NULL ? leaves->id : NULL);
        add_text(arguments, "device", gets != NULL ? gets->spec : NULL);
        add_speed(v, arguments);
    }
    return arguments;
}

void libvirt_copy(struct libvirt_vm *v, const char *mode)
{
    v->copy.begun = v->copy.goes_on = true;
    libvirt_execute(v->client, libvirt_uri(v->vmm.cluster, v->vmm.vm, libvirt_from(v)), "migrate",
                    copy_arguments(v, mode), libvirt_timeout(v, TIMEOUT_CONNECT),
                    libvirt_timeout(v, TIMEOUT_COPY), on_migrated, &v->copy);
}

void libvirt_migrate(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    int ms = libvirt_timeout(v, TIMEOUT_COPY);
    libvirt_begin(v, LV_MIGRATE, done, arg);
    v->failure = (struct ninja_error)NINJA_ERROR_INIT;
    v->copy.until = now_ms() + ms;
    v->recover_by = v->resume_at = 0;
    v->in_vain = false;
    if (vmm_is_between(vmm)) { /* a coordinator before has begun it */
        wait_for_settling(v);
        settle_now(-1, 0, v);
        return;
    }
    vmm_set_move(vmm, VMM_ON_ITS_WAY);
    v->stopped_at = v->resumed_at = 0;
    libvirt_wait(v, vmm->site,
                 ms + libvirt_timeout(v, TIMEOUT_CONNECT) + libvirt_timeout(v, TIMEOUT_COMMAND),
                 "%s", LATE_COPY);
    libvirt_copy(v, libvirt_changes_sides(v) ? "post-copy" : "live");
    if (libvirt_changes_sides(v)) {
        libvirt_poll(v, SETTLE_MS, settle_now);
    }
}

/* ---- cancel ---- */

static void nothing_to_cancel(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    if (!v->vmm.committed) {
        v->vmm.to = -1;
    }
    libvirt_end(v, v->vmm.site, NULL);
}

/* Its device may have left while nobody could tell so. */
static void on_looked_for_device(struct libvirt_vm *v)
{
    const struct domain_seen *seen = libvirt_seen(v, v->vmm.site);
    if (seen->state != DOMAIN_UNKNOWN && seen->device != vmm_device(&v->vmm)) {
        vmm_lost_device(&v->vmm);
    }
    nothing_to_cancel(-1, 0, v);
}

void libvirt_cancel(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    if (v->op != LV_NONE) {
        struct ninja_error err = NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_CANCELLED, "cancelled");
        libvirt_end(v, vmm->site, &err);
    }
    libvirt_begin(v, LV_CANCEL, done, arg);
    if (vmm->committed || vmm->to < 0 || !v->copy.begun) {
        if (vmm->leaving) {
            libvirt_look_at(v, vmm->site, on_looked_for_device);
        } else {
            libvirt_poll(v, 0, nothing_to_cancel);
        }
        return;
    }
    libvirt_wait(v, vmm->to,
                 libvirt_timeout(v, v->in_vain ? TIMEOUT_COMMAND : TIMEOUT_RECONNECT) +
                     libvirt_timeout(v, TIMEOUT_QUIT),
                 "the migration could not be cancelled in time; look at the VM at both hosts: the "
                 "one that is to run on needs virsh resume, the other one virsh destroy");
    if (v->copy.goes_on) {
        give_up_copy(v);
    }
    settle_now(-1, 0, v);
}
