#include "tests/unit/fake_qemu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/timer.h"

#define COPY_MS 20

static const struct fake_peer_handler handler;

static void later(struct fake_qemu *qemu, int ms, event_callback_fn callback)
{
    struct timeval after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (qemu->timer != NULL) {
        event_free(qemu->timer);
    }
    qemu->timer = event_new(qemu->base, -1, 0, callback, qemu);
    event_add(qemu->timer, &after);
}

static void event(struct fake_qemu *qemu, const char *name, json_t *data)
{
    if (qemu->peer != NULL) {
        fake_peer_send(qemu->peer,
                       json_pack("{s:s, s:o, s:{s:i, s:i}}", "event", name, "data", data,
                                 "timestamp", "seconds", 1, "microseconds", 2),
                       false);
    } else {
        json_decref(data);
    }
}

static void set_status(struct fake_qemu *qemu, const char *status)
{
    snprintf(qemu->status, sizeof(qemu->status), "%s", status);
}

static void set_migration(struct fake_qemu *qemu, const char *status)
{
    snprintf(qemu->migration, sizeof(qemu->migration), "%s", status);
    event(qemu, "MIGRATION", json_pack("{s:s}", "status", status));
}

static void on_death(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    fake_log("%s ends", qemu->name);
    fake_peer_free(qemu->peer);
    qemu->peer = NULL;
    qemu->incoming[0] = '\0';
    if (qemu->begins_again) {
        qemu->dying = false;
        qemu->held = false;
        set_status(qemu, "inmigrate");
        qemu->peer = fake_peer_listen(qemu->base, qemu->path, &handler, qemu);
    }
}

static void die(struct fake_qemu *qemu)
{
    if (!qemu->dying) {
        qemu->dying = true;
        later(qemu, 1, on_death);
    }
}

/* ---- migration ---- */

static void begin_to_run(struct fake_qemu *qemu)
{
    set_status(qemu, "running");
    fake_log("%s runs", qemu->name);
    event(qemu, "RESUME", json_object());
    if (qemu->on_runs != NULL) {
        qemu->on_runs(qemu->arg);
    }
}

static void on_starts(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    if (qemu->held) {
        set_status(qemu, "paused");
    } else {
        begin_to_run(qemu);
    }
}

/* While it waits for a migration, both are about what is to follow. */
static void stop(struct fake_qemu *qemu)
{
    if (strcmp(qemu->status, "inmigrate") == 0) {
        qemu->held = true;
    } else {
        set_status(qemu, "paused");
    }
}

static void cont(struct fake_qemu *qemu)
{
    if (qemu->loaded && !qemu->never_runs) {
        qemu->loaded = qemu->held = false;
        on_starts(-1, 0, qemu);
    } else if (qemu->loaded || qemu->never_goes_on) {
        return;
    } else if (strcmp(qemu->status, "inmigrate") == 0) {
        qemu->held = false;
    } else if (qemu->held) {
        qemu->held = false;
        begin_to_run(qemu);
    } else {
        set_status(qemu, "running");
    }
}

static void on_copied(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    if (qemu->copy_hangs) {
        return;
    }
    if (qemu->looks < qemu->copy_looks) {
        later(qemu, COPY_MS, on_copied);
        return;
    }
    if (qemu->copy_fails || qemu->fail_copies > 0) {
        qemu->fail_copies -= qemu->fail_copies > 0;
        set_migration(qemu, "failed");
        if (qemu->destination->peer != NULL) {
            die(qemu->destination);
        }
        return;
    }
    set_status(qemu, "postmigrate");
    event(qemu, "STOP", json_object());
    set_migration(qemu, "completed");
    if (qemu->destination->dies_when_sent) {
        die(qemu->destination);
    } else if (!qemu->destination->never_runs) {
        later(qemu->destination, COPY_MS, on_starts);
    }
}

/* ---- post-copy ---- */

static void on_rest_copied(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    if (qemu->breaks > 0) {
        qemu->breaks--;
        set_migration(qemu, "postcopy-paused");
        qemu->destination->incoming[0] = '\0';
        if (!qemu->breaks_unseen) {
            set_migration(qemu->destination, "postcopy-paused");
        }
        return;
    }
    set_status(qemu, "postmigrate");
    set_migration(qemu, "completed");
    set_migration(qemu->destination, "completed");
}

static void start_postcopy(struct fake_qemu *qemu)
{
    if (strcmp(qemu->migration, "active") == 0) {
        set_status(qemu, "finish-migrate");
        set_migration(qemu, "postcopy-active");
        set_migration(qemu->destination, "postcopy-active");
        later(qemu->destination, COPY_MS, on_starts);
        later(qemu, qemu->rest_ms ? qemu->rest_ms : 3 * COPY_MS, on_rest_copied);
    }
}

static void pause_migration(struct fake_qemu *qemu)
{
    if (strcmp(qemu->migration, "postcopy-active") == 0) {
        set_migration(qemu, "postcopy-paused");
    }
}

static void recover(struct fake_qemu *qemu, json_t *request)
{
    json_t *uri = json_object_get(json_object_get(request, "arguments"), "uri");
    if (strcmp(qemu->migration, "postcopy-paused") != 0) {
        fake_peer_error(qemu->peer, request, "GenericError",
                        "Migrate recover can only be run when postcopy is paused.");
        return;
    }
    snprintf(qemu->incoming, sizeof(qemu->incoming), "%s", json_string_value(uri));
    fake_peer_return(qemu->peer, request, json_object());
}

/* Whether the source gets through to its destination there. */
static bool is_reached(const struct fake_qemu *qemu, json_t *request)
{
    const struct fake_qemu *to = qemu->destination;
    json_t *uri = json_object_get(json_object_get(request, "arguments"), "uri");
    if (to == NULL || to->incoming[0] == '\0') {
        return false;
    }
    return strcmp(json_string_value(uri), to->reached_at ? to->reached_at : to->incoming) == 0;
}

/* What fails, fails unseen. */
static void resume(struct fake_qemu *qemu, json_t *request)
{
    bool heard = is_reached(qemu, request);
    if (strcmp(qemu->migration, "postcopy-paused") != 0) {
        fake_peer_error(qemu->peer, request, "GenericError",
                        "Cannot resume if there is no paused migration");
        return;
    }
    fake_peer_return(qemu->peer, request, json_object());
    if (heard && qemu->fail_resumes == 0) {
        set_migration(qemu, "postcopy-active");
        set_migration(qemu->destination, "postcopy-active");
        later(qemu, COPY_MS, on_rest_copied);
    }
    qemu->fail_resumes -= qemu->fail_resumes > 0;
}

static void find_destination(struct fake_qemu *qemu, json_t *request)
{
    json_t *uri = json_object_get(json_object_get(request, "arguments"), "uri");
    for (int i = 0; i < qemu->n_all; i++) {
        if (strcmp(qemu->all[i].incoming, json_string_value(uri)) == 0) {
            qemu->destination = &qemu->all[i];
        }
    }
}

/* ---- images ---- */

static void on_saved(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    bool fails = qemu->copy_fails;
    if (qemu->copy_hangs) {
        return;
    }
    fails |= write(qemu->image, qemu->memory, strlen(qemu->memory)) < 0;
    close(qemu->image);
    qemu->image = -1;
    if (!fails && !qemu->snapshot) {
        set_status(qemu, "postmigrate");
    }
    fake_log("%s saved", qemu->name);
    set_migration(qemu, fails ? "failed" : "completed");
}

static void save(struct fake_qemu *qemu, json_t *request)
{
    if (qemu->image < 0 || qemu->device[0] != '\0' || strcmp(qemu->status, "paused") != 0) {
        fake_peer_error(qemu->peer, request, "GenericError", "no descriptor, or not as expected");
        return;
    }
    fake_peer_return(qemu->peer, request, json_object());
    set_migration(qemu, "active");
    if (qemu->snapshot) {
        set_status(qemu, "running");
        event(qemu, "RESUME", json_object());
    }
    later(qemu, COPY_MS, on_saved);
}

static void on_image(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    size_t len = strlen(qemu->memory);
    ssize_t n = read(fd, qemu->memory + len, sizeof(qemu->memory) - 1 - len);
    if (n > 0) {
        qemu->memory[len + (size_t)n] = '\0';
        return;
    }
    event_free(qemu->incoming_image);
    qemu->incoming_image = NULL;
    close(fd);
    qemu->image = -1;
    if (qemu->copy_fails || len == 0) {
        die(qemu);
        return;
    }
    qemu->loaded = true;
    fake_log("%s loaded %s", qemu->name, qemu->memory);
    set_status(qemu, "paused");
}

static void load(struct fake_qemu *qemu, json_t *request)
{
    if (qemu->image < 0) {
        fake_peer_error(qemu->peer, request, "GenericError", "no descriptor");
        return;
    }
    fake_peer_return(qemu->peer, request, json_object());
    qemu->memory[0] = '\0';
    qemu->incoming_image = event_new(qemu->base, qemu->image, EV_READ | EV_PERSIST, on_image, qemu);
    event_add(qemu->incoming_image, NULL);
}

static bool is_of_image(json_t *request)
{
    const char *uri =
        json_string_value(json_object_get(json_object_get(request, "arguments"), "uri"));
    return uri != NULL && strncmp(uri, "fd:", 3) == 0;
}

/* False: it was refused. */
static bool take_capabilities(struct fake_qemu *qemu, json_t *request)
{
    size_t i;
    json_t *one, *list = json_object_get(json_object_get(request, "arguments"), "capabilities");
    json_array_foreach(list, i, one)
    {
        bool on = json_is_true(json_object_get(one, "state"));
        const char *name = json_string_value(json_object_get(one, "capability"));
        if (strcmp(name, "background-snapshot") == 0) {
            qemu->snapshot = on && !qemu->no_snapshot;
            if (on && qemu->no_snapshot) {
                fake_peer_error(qemu->peer, request, "GenericError",
                                "Background-snapshot is not supported by host kernel");
                return false;
            }
        }
    }
    return true;
}

static void migrate(struct fake_qemu *qemu, json_t *request)
{
    find_destination(qemu, request);
    if (!is_reached(qemu, request)) {
        fake_peer_error(qemu->peer, request, "GenericError", "nobody listens there");
        return;
    }
    if (qemu->device[0] != '\0') {
        fake_peer_error(qemu->peer, request, "GenericError",
                        "State blocked by non-migratable device");
        return;
    }
    fake_peer_return(qemu->peer, request, json_object());
    set_migration(qemu, "active");
    qemu->copy_began_ms = now_ms();
    qemu->looks = 0;
    later(qemu, qemu->copy_ms ? qemu->copy_ms : COPY_MS, on_copied);
}

/* Sent at an even pace, to the end of a copy that lasts copy_ms. */
static json_t *query_ram(const struct fake_qemu *qemu)
{
    json_int_t total = FAKE_QEMU_RAM, sent = 5000000, remaining = 0, pass = 1;
    if (qemu->copy_ms > 0 && strcmp(qemu->migration, "active") == 0) {
        int64_t ms = now_ms() - qemu->copy_began_ms;
        sent = ms < qemu->copy_ms ? total * ms / qemu->copy_ms : total;
        remaining = total - sent;
        pass += qemu->pass_ms > 0 ? ms / qemu->pass_ms : 0;
        if (pass > 1) {
            remaining = total / 4 >> (qemu->writes_less ? pass - 2 : 0);
        }
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:i, s:i, s:I}", "transferred", sent, "total", total,
                     "remaining", remaining, "mbps", 800.0, "dirty-pages-rate", 2560, "page-size",
                     4096, "dirty-sync-count", pass);
}

static json_t *query_migrate(struct fake_qemu *qemu)
{
    json_t *result = json_object();
    qemu->looks++;
    if (qemu->migration[0] != '\0') {
        json_object_set_new(result, "status", json_string(qemu->migration));
        json_object_set_new(result, "ram", query_ram(qemu));
    }
    if (qemu->blocked_by != NULL) {
        json_object_set_new(result, "blocked-reasons", json_pack("[s]", qemu->blocked_by));
    }
    if (strcmp(qemu->migration, "completed") == 0) {
        json_object_set_new(result, "downtime", json_integer(qemu->late_figures > 0 ? 0 : 42));
        qemu->late_figures -= qemu->late_figures > 0;
    } else if (strcmp(qemu->migration, "failed") == 0) {
        json_object_set_new(result, "error-desc", json_string("Connection reset by peer"));
    }
    return result;
}

static void migrate_cancel(struct fake_qemu *qemu)
{
    if (strcmp(qemu->migration, "active") == 0 && !qemu->ignores_cancel) {
        bool to_image = qemu->image >= 0;
        set_migration(qemu, "cancelled");
        if (qemu->timer != NULL) {
            event_del(qemu->timer);
        }
        if (to_image) {
            close(qemu->image);
            qemu->image = -1;
        } else {
            die(qemu->destination);
        }
    }
}

/* ---- devices ---- */

void fake_qemu_let_go(struct fake_qemu *qemu)
{
    qemu->unplugs = false;
    json_t *data = json_pack("{s:s, s:s}", "device", qemu->device, "path", "/machine/peripheral");
    if (qemu->unplug_is_refused) {
        event(qemu, "DEVICE_UNPLUG_GUEST_ERROR", data);
        return;
    }
    qemu->device[0] = '\0';
    event(qemu, "DEVICE_DELETED", data);
}

static void on_unplugged(evutil_socket_t fd, short what, void *arg)
{
    fake_qemu_let_go(arg);
}

static void device_del(struct fake_qemu *qemu, json_t *request)
{
    const char *id =
        json_string_value(json_object_get(json_object_get(request, "arguments"), "id"));
    if (strcmp(id, qemu->device) != 0) {
        fake_peer_error(qemu->peer, request, "DeviceNotFound", "no such device");
        return;
    }
    bool again = qemu->unplugs;
    qemu->unplugs = true;
    if (again) {
        fake_peer_error(qemu->peer, request, "GenericError",
                        "Device is already in the process of unplug");
    } else {
        fake_peer_return(qemu->peer, request, json_object());
    }
    if (again ? qemu->unplug_wants_more : !qemu->unplug_hangs) {
        later(qemu, 5, on_unplugged);
    }
}

static void device_add(struct fake_qemu *qemu, json_t *request)
{
    const char *id =
        json_string_value(json_object_get(json_object_get(request, "arguments"), "id"));
    if (qemu->add_fails || strcmp(qemu->status, "running") != 0) {
        fake_peer_error(qemu->peer, request, "GenericError",
                        "vfio 0000:3b:00.1: no such host device");
        return;
    }
    snprintf(qemu->device, sizeof(qemu->device), "%s", id);
    fake_peer_return(qemu->peer, request, json_object());
}

/* ---- all commands ---- */

static json_t *peripherals(const struct fake_qemu *qemu)
{
    json_t *list = json_pack("[{s:s, s:s}]", "name", "type", "type", "string");
    if (qemu->device[0] != '\0') {
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "name", qemu->device, "type", "child<e1000e>"));
    }
    return list;
}

static void list_properties(struct fake_qemu *qemu, json_t *request)
{
    json_t *type = json_object_get(json_object_get(request, "arguments"), "typename");
    if (qemu->unknown_device != NULL &&
        strcmp(json_string_value(type), qemu->unknown_device) == 0) {
        char text[100];
        snprintf(text, sizeof(text), "Device '%s' not found", qemu->unknown_device);
        fake_peer_error(qemu->peer, request, "DeviceNotFound", text);
    } else {
        fake_peer_return(qemu->peer, request, json_array());
    }
}

/* It measures in no time. */
static void measure(struct fake_qemu *qemu, json_t *request)
{
    if (qemu->writes_mib < 0) {
        fake_peer_error(qemu->peer, request, "CommandNotFound", "calc-dirty-rate is not there");
    } else {
        fake_peer_return(qemu->peer, request, json_object());
    }
}

static bool answer_query(struct fake_qemu *qemu, const char *name, json_t *request)
{
    if (strcmp(name, "query-status") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_pack("{s:s, s:b}", "status", qemu->status, "running",
                                   strcmp(qemu->status, "running") == 0));
    } else if (strcmp(name, "query-migrate") == 0) {
        fake_peer_return(qemu->peer, request, query_migrate(qemu));
    } else if (strcmp(name, "qom-list") == 0) {
        fake_peer_return(qemu->peer, request, peripherals(qemu));
    } else if (strcmp(name, "query-migrate-capabilities") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_pack("[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}, {s:s, s:b}]", "capability",
                                   "events", "state", 0, "capability", "postcopy-ram", "state", 1,
                                   "capability", "return-path", "state", 0, "capability",
                                   qemu->no_multifd ? "xbzrle" : "multifd", "state", 0));
    } else if (strcmp(name, "query-version") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", 7, "minor", 2,
                                   "micro", 0, "package", "fake"));
    } else if (strcmp(name, "query-memory-size-summary") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_pack("{s:I}", "base-memory", (json_int_t)FAKE_QEMU_RAM));
    } else if (strcmp(name, "calc-dirty-rate") == 0) {
        measure(qemu, request);
    } else if (strcmp(name, "query-dirty-rate") == 0) {
        fake_peer_return(
            qemu->peer, request,
            json_pack("{s:s, s:i}", "status", "measured", "dirty-rate", qemu->writes_mib));
    } else if (strcmp(name, "query-cpus-fast") == 0) {
        fake_peer_return(qemu->peer, request, json_pack("[{}, {}]"));
    } else if (strcmp(name, "query-block") == 0) {
        fake_peer_return(qemu->peer, request,
                         qemu->disk == NULL ? json_array()
                                            : json_pack("[{s:s, s:{s:b, s:s}}]", "device", "disk0",
                                                        "inserted", "ro", 0, "file", qemu->disk));
    } else if (strcmp(name, "qom-get") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_string(qemu->machine ? qemu->machine : "pc-q35-7.2-machine"));
    } else if (strcmp(name, "device-list-properties") == 0) {
        list_properties(qemu, request);
    } else {
        return false;
    }
    return true;
}

static void log_capabilities(struct fake_qemu *qemu, json_t *request)
{
    size_t i;
    json_t *one;
    json_t *list = json_object_get(json_object_get(request, "arguments"), "capabilities");
    json_array_foreach(list, i, one)
    {
        fake_log("%s capability %s %s", qemu->name,
                 json_string_value(json_object_get(one, "capability")),
                 json_is_true(json_object_get(one, "state")) ? "on" : "off");
    }
}

static void log_parameters(struct fake_qemu *qemu, json_t *arguments)
{
    json_t *channels = json_object_get(arguments, "multifd-channels");
    json_t *rest = json_object_get(arguments, "max-postcopy-bandwidth");
    if (rest != NULL) {
        fake_log("%s max-postcopy-bandwidth %lld", qemu->name, (long long)json_integer_value(rest));
    }
    if (channels != NULL) {
        fake_log("%s multifd %d %s", qemu->name, (int)json_integer_value(channels),
                 json_string_value(json_object_get(arguments, "multifd-compression")));
    }
}

static void on_object(void *arg, json_t *request)
{
    struct fake_qemu *qemu = arg;
    const char *urgent = json_string_value(json_object_get(request, "exec-oob"));
    const char *name =
        urgent != NULL ? urgent : json_string_value(json_object_get(request, "execute"));
    bool hangs = qemu->hangs_when_paused && strcmp(qemu->migration, "postcopy-paused") == 0;
    if (qemu->deaf || (hangs && urgent == NULL) || name == NULL ||
        answer_query(qemu, name, request)) {
        return;
    }
    fake_log("%s %s", qemu->name, name);
    if (strcmp(name, "migrate") == 0 &&
        json_is_true(json_object_get(json_object_get(request, "arguments"), "resume"))) {
        resume(qemu, request);
    } else if (strcmp(name, "migrate-recover") == 0) {
        recover(qemu, request);
    } else if (strcmp(name, "migrate") == 0 && is_of_image(request)) {
        save(qemu, request);
    } else if (strcmp(name, "migrate-incoming") == 0 && is_of_image(request)) {
        load(qemu, request);
    } else if (strcmp(name, "stop") == 0 && qemu->stop_fails) {
        fake_peer_error(qemu->peer, request, "GenericError", "it does not stop");
    } else if (strcmp(name, "migrate-set-capabilities") == 0 && !take_capabilities(qemu, request)) {
        return;
    } else if (strcmp(name, "migrate") == 0) {
        migrate(qemu, request);
    } else if (strcmp(name, "device_del") == 0) {
        device_del(qemu, request);
    } else if (strcmp(name, "device_add") == 0) {
        device_add(qemu, request);
    } else if (strcmp(name, "migrate-incoming") == 0 && qemu->refuses_incoming) {
        fake_peer_error(qemu->peer, request, "GenericError", "Address already in use");
    } else if (strcmp(name, "migrate-incoming") == 0 && qemu->incoming[0] != '\0') {
        fake_peer_error(qemu->peer, request, "GenericError",
                        "The incoming migration has already been started");
    } else {
        if (strcmp(name, "migrate-incoming") == 0) {
            snprintf(
                qemu->incoming, sizeof(qemu->incoming), "%s",
                json_string_value(json_object_get(json_object_get(request, "arguments"), "uri")));
        } else if (strcmp(name, "migrate-set-capabilities") == 0) {
            log_capabilities(qemu, request);
        } else if (strcmp(name, "migrate-set-parameters") == 0) {
            log_parameters(qemu, json_object_get(request, "arguments"));
        } else if (strcmp(name, "migrate_cancel") == 0) {
            migrate_cancel(qemu);
        } else if (strcmp(name, "migrate-start-postcopy") == 0) {
            start_postcopy(qemu);
        } else if (strcmp(name, "migrate-pause") == 0) {
            pause_migration(qemu);
        } else if (strcmp(name, "stop") == 0) {
            stop(qemu);
        } else if (strcmp(name, "cont") == 0) {
            cont(qemu);
        } else if (strcmp(name, "getfd") == 0) {
            qemu->image = fake_peer_take_fd(qemu->peer);
        }
        fake_peer_return(qemu->peer, request, json_object());
        if (strcmp(name, "quit") == 0) {
            die(qemu);
        }
    }
}

static void on_connect(void *arg)
{
    struct fake_qemu *qemu = arg;
    if (qemu->deaf) {
        return;
    }
    fake_peer_send(qemu->peer,
                   json_pack("{s:{s:{s:{s:i, s:i, s:i}}, s:[s]}}", "QMP", "version", "qemu",
                             "major", 7, "minor", 2, "micro", 0, "capabilities", "oob"),
                   false);
}

static const struct fake_peer_handler handler = {
    .on_connect = on_connect,
    .on_object = on_object,
};

void fake_qemu_init(struct fake_qemu *qemu, struct event_base *base, const char *name,
                    const char *path, const char *status)
{
    *qemu = (struct fake_qemu){.base = base, .name = name, .image = -1};
    snprintf(qemu->memory, sizeof(qemu->memory), "the memory of %s", name);
    set_status(qemu, status);
    snprintf(qemu->path, sizeof(qemu->path), "%s", path);
    qemu->peer = fake_peer_listen(base, path, &handler, qemu);
}

void fake_qemu_clear(struct fake_qemu *qemu)
{
    fake_peer_free(qemu->peer);
    if (qemu->timer != NULL) {
        event_free(qemu->timer);
    }
    if (qemu->incoming_image != NULL) {
        event_free(qemu->incoming_image);
    }
    if (qemu->image >= 0) {
        close(qemu->image);
    }
    memset(qemu, 0, sizeof(*qemu));
}
