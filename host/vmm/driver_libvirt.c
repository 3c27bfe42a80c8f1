/*
 * The driver "libvirt": each host's libvirt, by the program ninja-libvirt.
 *
 * libvirt's answers prove little: a detach that returned may still be waiting for the guest, and an
 * error, or none in time, does not say that nothing was done. So every operation asks for what it
 * wants and then looks until it sees that, or something else that is final. Events and answers only
 * make the next look come sooner. A look that fails is tried again, within the operation's time, so
 * libvirtd, or ninja-libvirt, may end and be started again in the middle.
 *
 * libvirt_begin() and libvirt_end() bracket an operation; what was asked for in it is forgotten at
 * its end.
 */
#include "host/vmm/driver_libvirt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/printable.h"
#include "host/base/memory.h"

#define LOOK_MS 1000 /* between two looks of an operation, if no event comes */

static struct libvirt_vm *of(struct vmm *vmm)
{
    return (struct libvirt_vm *)vmm;
}

/* ---- operations ---- */

void libvirt_begin(struct libvirt_vm *v, enum libvirt_op op, vmm_done done, void *arg)
{
    v->op = op;
    v->done = done;
    v->arg = arg;
    v->asked_again = false;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    const struct domain_seen *seen = libvirt_seen(v, v->waiting_at);
    struct ninja_error err = NINJA_ERROR_INIT;
    bool silent = seen->state == DOMAIN_UNKNOWN && ninja_error_is_set(&seen->err);
    v->in_vain = v->op == LV_MIGRATE;
    /* What could not be taken back in time is in a state that nobody knows. */
    ninja_error_set(&err, v->op == LV_CANCEL ? ERR_OPERATOR : ERR_TIMEOUT, "%s%s%s%s",
                    v->waiting_for, silent ? " (" : "", silent ? seen->err.message : "",
                    silent ? ")" : "");
    libvirt_end(v, v->waiting_at, &err);
}

void libvirt_wait(struct libvirt_vm *v, int site, int timeout_ms, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->waiting_for, sizeof(v->waiting_for), fmt, ap);
    va_end(ap);
    v->waiting_at = site;
    timer_free(&v->deadline);
    v->deadline = timer_start(v->vmm.base, timeout_ms, on_deadline, v);
}

static void forget_all(struct libvirt_vm *v)
{
    libvirt_forget(v->client, v);
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        libvirt_forget(v->client, &v->sites[s]);
    }
}

void libvirt_end(struct libvirt_vm *v, int site, const struct ninja_error *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    vmm_done done = v->done;
    timer_free(&v->deadline);
    timer_free(&v->poll);
    forget_all(v);
    v->done = NULL;
    v->op = LV_NONE;
    if (why != NULL) {
        err = *why;
    }
    if (why != NULL && site >= 0) {
        ninja_error_where(&err, "%s at %s", vmm_name(&v->vmm), libvirt_site_name(v, site));
    }
    if (done != NULL) {
        done(v->arg, why != NULL ? &err : NULL);
    }
}

void libvirt_poll(struct libvirt_vm *v, int ms, event_callback_fn callback)
{
    timer_free(&v->poll);
    v->poll = timer_start(v->vmm.base, ms, callback, v);
}

void libvirt_ask(struct libvirt_vm *v, int site, const char *command, json_t *arguments,
                 int timeout_ms, libvirt_reply reply)
{
    const struct cluster *cluster = v->vmm.cluster;
    json_t *all = arguments != NULL ? arguments : json_object();
    json_object_set_new(all, "vm", json_string(libvirt_domain(cluster, v->vmm.vm, site)));
    libvirt_execute(v->client, libvirt_uri(cluster, v->vmm.vm, site), command, all,
                    libvirt_timeout(v, TIMEOUT_CONNECT), timeout_ms, reply, v);
}

/* ---- looking ---- */

static void on_look(void *arg, json_t *result, const struct ninja_error *err)
{
    struct site_seen *site = arg;
    struct libvirt_vm *v = site->owner;
    domain_take(&site->seen, result, err, &v->vmm, site->site);
    if (--v->asked == 0) {
        v->then(v);
    }
}

static void look_between(struct libvirt_vm *v, const int *sites, int n, looked then)
{
    const struct cluster *cluster = v->vmm.cluster;
    for (int s = 0; s < cluster->n_sites; s++) {
        libvirt_forget(v->client, &v->sites[s]);
    }
    v->asked = n;
    v->then = then;
    for (int i = 0; i < n; i++) {
        json_t *arguments = json_pack("{s:s}", "vm", libvirt_domain(cluster, v->vmm.vm, sites[i]));
        libvirt_execute(v->client, libvirt_uri(cluster, v->vmm.vm, sites[i]), "domain-look",
                        arguments, libvirt_timeout(v, TIMEOUT_CONNECT),
                        libvirt_timeout(v, TIMEOUT_COMMAND), on_look, &v->sites[sites[i]]);
    }
}

void libvirt_look_at(struct libvirt_vm *v, int site, looked then)
{
    look_between(v, &site, 1, then);
}

void libvirt_look_at_both(struct libvirt_vm *v, looked then)
{
    const int sites[] = {libvirt_from(v), v->vmm.to};
    look_between(v, sites, 2, then);
}

static void look_at_all(struct libvirt_vm *v, looked then)
{
    int sites[CLUSTER_MAX_HOSTS];
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        sites[s] = s;
    }
    look_between(v, sites, v->vmm.cluster->n_sites, then);
}

static void describe_one(struct libvirt_vm *v, int site, char *text, size_t size)
{
    const struct domain_seen *seen = libvirt_seen(v, site);
    size_t len = strlen(text);
    snprintf(text + len, size - len, "%s%s: %.150s", len ? "; " : "", libvirt_site_name(v, site),
             seen->state != DOMAIN_UNKNOWN ? seen->words : seen->err.message);
}

void libvirt_describe(struct libvirt_vm *v, int from, int to, char *text, size_t size)
{
    text[0] = '\0';
    describe_one(v, from, text, size);
    describe_one(v, to, text, size);
}

/* ---- locate ---- */

/* libvirt moves nothing between hosts with one UUID: it takes them for the same. */
static bool hosts_differ(const struct libvirt_vm *v, struct ninja_error *err)
{
    const struct cluster *cluster = v->vmm.cluster;
    int vm = v->vmm.vm;
    for (int s = 0; s < cluster->n_sites; s++) {
        const char *uri = libvirt_uri(cluster, vm, s), *uuid = libvirt_host_uuid(v->client, uri);
        for (int other = 0; uuid[0] != '\0' && other < s; other++) {
            const char *its = libvirt_uri(cluster, vm, other);
            if (strcmp(uri, its) != 0 && strcmp(uuid, libvirt_host_uuid(v->client, its)) == 0) {
                return ninja_error_set(
                    err, ERR_REFUSED,
                    "the hosts of \"%s\" (%.100s) and \"%s\" (%.100s) have the same UUID %s; if "
                    "they are one host, correct \"uri\"; if not, give one a \"host_uuid\" of its "
                    "own in its libvirtd.conf",
                    cluster->sites[other].name, its, cluster->sites[s].name, uri, uuid);
            }
        }
    }
    return true;
}

static void describe_running(struct libvirt_vm *v, bool running, char *text, size_t size)
{
    text[0] = '\0';
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        if (!running || libvirt_seen(v, s)->state == DOMAIN_RUNNING) {
            describe_one(v, s, text, size);
        }
    }
}

static void on_located(struct libvirt_vm *v)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    int running = 0;
    v->vmm.site = -1;
    if (!hosts_differ(v, &err)) {
        libvirt_end(v, -1, &err);
        return;
    }
    for (int s = 0; s < v->vmm.cluster->n_sites; s++) {
        const struct domain_seen *seen = libvirt_seen(v, s);
        if (seen->state == DOMAIN_RUNNING) {
            v->vmm.site = s;
            vmm_has_seen_device(&v->vmm, seen->device);
            v->vmm.memory_mib = seen->memory_mib;
            v->vmm.cpus = seen->cpus;
            running++;
        }
    }
    if (running == 1) {
        libvirt_end(v, v->vmm.site, NULL);
        return;
    }
    v->vmm.site = -1;
    describe_running(v, running > 1, text, sizeof(text));
    if (running > 1) {
        ninja_error_set(&err, ERR_OPERATOR,
                        "%s runs at several sites at once (%s); find out by its console which one "
                        "is of the past, and virsh destroy that one",
                        vmm_name(&v->vmm), text);
    } else {
        ninja_error_set(&err, ERR_NOT_FOUND, "%s runs at no site (%s)", vmm_name(&v->vmm), text);
    }
    libvirt_end(v, -1, &err);
}

/* Two sites that are one would both be where it runs. */
static bool sites_differ(const struct vmm *vmm, struct ninja_error *err)
{
    const struct cluster *cluster = vmm->cluster;
    for (int s = 0; s < cluster->n_sites; s++) {
        for (int other = 0; other < s; other++) {
            if (strcmp(libvirt_uri(cluster, vmm->vm, s), libvirt_uri(cluster, vmm->vm, other)) ==
                    0 &&
                strcmp(libvirt_domain(cluster, vmm->vm, s),
                       libvirt_domain(cluster, vmm->vm, other)) == 0) {
                return ninja_error_set(err, ERR_CLUSTER_FILE,
                                       "%s:%d: %s is the same domain of the same host (%s) at the "
                                       "sites \"%s\" and \"%s\"; correct \"uri\"",
                                       cluster->file, cluster->sites[s].vms[vmm->vm].line,
                                       vmm_name(vmm), libvirt_uri(cluster, vmm->vm, s),
                                       cluster->sites[other].name, cluster->sites[s].name);
            }
        }
    }
    return true;
}

static void soon_refused(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    libvirt_end(v, -1, &v->failure);
}

static void lv_locate(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    libvirt_begin(v, LV_LOCATE, done, arg);
    v->failure = (struct ninja_error)NINJA_ERROR_INIT;
    if (sites_differ(vmm, &v->failure)) {
        look_at_all(v, on_located);
    } else {
        libvirt_poll(v, 0, soon_refused);
    }
}

static struct vmm_room lv_room(const struct vmm *vmm, int site)
{
    const struct libvirt_vm *v = (const struct libvirt_vm *)vmm;
    const struct domain_seen *seen = &v->sites[site].seen;
    struct vmm_room room = libvirt_host_room(v->client, libvirt_uri(vmm->cluster, vmm->vm, site));
    room.silent = ninja_error_is_set(&seen->err) ? seen->err.message : NULL;
    return room;
}

/* ---- unplug ---- */

static void look_whether_unplugged(evutil_socket_t fd, short what, void *arg);

static void on_unplug_look(struct libvirt_vm *v)
{
    const struct domain_seen *seen = libvirt_seen(v, v->vmm.site);
    if (seen->state != DOMAIN_UNKNOWN && seen->device != vmm_device(&v->vmm)) {
        vmm_lost_device(&v->vmm);
        libvirt_end(v, v->vmm.site, NULL);
    } else {
        libvirt_poll(v, LOOK_MS, look_whether_unplugged);
    }
}

static void look_whether_unplugged(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    timer_free(&v->poll);
    libvirt_look_at(v, v->vmm.site, on_unplug_look);
}

static void on_detach(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    v->vmm.leaving =
        v->asked_before || err == NULL || err->class == ERR_TIMEOUT || err->class == ERR_LOST;
    if (v->vmm.leaving || err->class == ERR_DEVICE_NOT_FOUND) {
        look_whether_unplugged(-1, 0, v);
    } else {
        libvirt_end(v, v->vmm.site, err);
    }
}

static void lv_unplug(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    const char *alias = vmm_device(vmm)->id;
    libvirt_begin(v, LV_UNPLUG, done, arg);
    libvirt_wait(v, vmm->site, libvirt_timeout(v, TIMEOUT_UNPLUG),
                 "the guest did not let go of device \"%.60s\" in time", alias);
    v->asked_before = vmm->leaving;
    vmm->leaving = true;
    libvirt_ask(v, vmm->site, "device-detach", json_pack("{s:s}", "alias", alias),
                libvirt_timeout(v, TIMEOUT_COMMAND), on_detach);
}

/* ---- plug ---- */

static void look_whether_plugged(evutil_socket_t fd, short what, void *arg);

static void on_plug_look(struct libvirt_vm *v)
{
    const struct domain_seen *seen = libvirt_seen(v, v->vmm.site);
    v->vmm.has_device = seen->device == vmm_device(&v->vmm);
    if (v->vmm.has_device) {
        libvirt_end(v, v->vmm.site, NULL);
    } else if (seen->state != DOMAIN_UNKNOWN && v->failure.class != ERR_TIMEOUT &&
               v->failure.class != ERR_LOST) {
        libvirt_end(v, v->vmm.site, &v->failure);
    } else {
        libvirt_poll(v, LOOK_MS, look_whether_plugged);
    }
}

static void look_whether_plugged(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    timer_free(&v->poll);
    libvirt_look_at(v, v->vmm.site, on_plug_look);
}

static void on_attach(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    if (err == NULL) {
        v->vmm.has_device = true;
        libvirt_end(v, v->vmm.site, NULL);
        return;
    }
    v->failure = *err;
    look_whether_plugged(-1, 0, v);
}

static void lv_plug(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    const struct cluster_device *device = vmm_device(vmm);
    int ms = libvirt_timeout(v, TIMEOUT_PLUG);
    libvirt_begin(v, LV_PLUG, done, arg);
    libvirt_wait(v, vmm->site, ms + libvirt_timeout(v, TIMEOUT_COMMAND),
                 "libvirt did not plug device \"%.60s\" in time", device->id);
    libvirt_ask(v, vmm->site, "device-attach", json_pack("{s:s}", "xml", device->spec), ms,
                on_attach);
}

/* ---- finish ---- */

static void look_whether_finished(evutil_socket_t fd, short what, void *arg);

static void on_removed(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    if (err != NULL && err->class != ERR_NOT_FOUND) {
        ninja_log_vm(NINJA_LOG_DEBUG, vmm_name(&v->vmm), "cleaning up at %s: %s",
                     libvirt_site_name(v, v->vmm.from), err->message);
    }
    libvirt_poll(v, err == NULL ? 0 : LOOK_MS, look_whether_finished);
}

/* The source is the only other copy: it goes only while the VM is seen at the destination. */
static void on_finish_look(struct libvirt_vm *v)
{
    const struct domain_seen *source = libvirt_seen(v, v->vmm.from);
    const struct domain_seen *destination = libvirt_seen(v, v->vmm.to);
    struct ninja_error err = NINJA_ERROR_INIT;
    if (source->state == DOMAIN_ABSENT) {
        libvirt_end(v, v->vmm.from, NULL);
    } else if (source->state == DOMAIN_RUNNING) {
        ninja_error_set(&err, ERR_OPERATOR,
                        "it runs here and at \"%s\"; find out by its console which one is of the "
                        "past, and virsh destroy that one",
                        libvirt_site_name(v, v->vmm.to));
        libvirt_end(v, v->vmm.from, &err);
    } else if (source->state != DOMAIN_UNKNOWN && destination->state == DOMAIN_RUNNING) {
        libvirt_ask(v, v->vmm.from, "domain-remove", NULL, libvirt_timeout(v, TIMEOUT_QUIT),
                    on_removed);
    } else {
        libvirt_poll(v, LOOK_MS, look_whether_finished);
    }
}

static void look_whether_finished(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    timer_free(&v->poll);
    libvirt_look_at_both(v, on_finish_look);
}

static void lv_finish(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = of(vmm);
    libvirt_begin(v, LV_FINISH, done, arg);
    libvirt_wait(v, vmm->from,
                 libvirt_timeout(v, TIMEOUT_QUIT) + libvirt_timeout(v, TIMEOUT_COMMAND),
                 "the VM could not be removed here; when it is seen to run at \"%.40s\", virsh "
                 "destroy and undefine it here",
                 libvirt_site_name(v, vmm->to));
    look_whether_finished(-1, 0, v);
}

/* ---- events ---- */

static void on_device_event(struct libvirt_vm *v, const char *name, int site, json_t *data)
{
    const char *alias = json_string_value(json_object_get(data, "alias"));
    const struct cluster_device *own = vmm_device_at(&v->vmm, site);
    if (alias == NULL || own == NULL || strcmp(alias, own->id) != 0 || site != v->vmm.site) {
        return;
    }
    if (strcmp(name, "DEVICE_REMOVED") == 0) {
        vmm_lost_device(&v->vmm); /* also where nobody waits for it any more */
        if (v->op == LV_UNPLUG && v->poll != NULL) {
            libvirt_poll(v, 0, look_whether_unplugged);
        }
        return;
    }
    v->vmm.leaving = false;
    if (v->op == LV_UNPLUG) {
        struct ninja_error err = NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_UNPLUG, "the guest refused to let go of device \"%s\"", alias);
        libvirt_end(v, site, &err);
    }
}

static void on_event(void *arg, const char *name, const char *host, const char *vm, json_t *data)
{
    struct libvirt_vm *v = arg;
    const struct cluster *cluster = v->vmm.cluster;
    for (int s = 0; s < cluster->n_sites; s++) {
        if (strcmp(libvirt_uri(cluster, v->vmm.vm, s), host) != 0 ||
            strcmp(libvirt_domain(cluster, v->vmm.vm, s), vm) != 0) {
            continue;
        }
        if (strncmp(name, "DEVICE_", 7) == 0) {
            on_device_event(v, name, s, data);
        } else {
            libvirt_move_event(v, name, s, data);
        }
        return;
    }
}

/* ---- the object ---- */

static struct vmm *lv_open(struct event_base *base, const struct cluster *cluster, int vm)
{
    struct libvirt_vm *v = xcalloc(1, sizeof(*v));
    v->sites = xcalloc((size_t)cluster->n_sites, sizeof(*v->sites));
    vmm_init(&v->vmm, &driver_libvirt, base, cluster, vm);
    v->client = libvirt_client_join(base);
    v->copy.owner = v;
    libvirt_listen(v->client, on_event, v);
    for (int s = 0; s < cluster->n_sites; s++) {
        v->sites[s].owner = v;
        v->sites[s].site = s;
    }
    return &v->vmm;
}

static void lv_close(struct vmm *vmm)
{
    struct libvirt_vm *v = of(vmm);
    v->done = NULL;
    libvirt_end(v, -1, NULL);
    libvirt_forget(v->client, &v->copy);
    libvirt_unlisten(v->client, on_event, v);
    libvirt_client_leave(v->client);
    free(v->sites);
    vmm_clear(vmm);
    free(v);
}

const struct vmm_driver driver_libvirt = {
    .in_file = {.name = "libvirt",
                .entry = {libvirt_entry_keys, sizeof(struct libvirt_entry)},
                .site = {libvirt_site_keys, sizeof(struct libvirt_host)},
                .check = libvirt_check,
                .read_device = libvirt_read_device},
    .mend = "start the VM, correct the key \"uri\" or \"domain\" in the cluster file, or see "
            "whether virsh -c with that URI lists it",
    .measures = VMM_MEASURES_RATE | VMM_MEASURES_DIRTY_RATE | VMM_MEASURES_DOWNTIME,
    .post_copy = VMM_POST_COPY_AT_ONCE,
    .look = libvirt_look,
    .open = lv_open,
    .locate = lv_locate,
    .adopt = libvirt_adopt,
    .way_to_agent = libvirt_way_to_agent,
    .room = lv_room,
    .measure = libvirt_measure,
    .unplug = lv_unplug,
    .prepare = libvirt_prepare,
    .migrate = libvirt_migrate,
    .plug = lv_plug,
    .cancel = libvirt_cancel,
    .finish = lv_finish,
    .close = lv_close,
};
