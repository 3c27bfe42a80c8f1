#include "tests/unit/fake_qemu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void on_starts(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    set_status(qemu, "running");
    fake_log("%s runs", qemu->name);
    event(qemu, "RESUME", json_object());
    if (qemu->on_runs != NULL) {
        qemu->on_runs(qemu->arg);
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

static void migrate(struct fake_qemu *qemu, json_t *request)
{
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
    json_int_t total = FAKE_QEMU_RAM, sent = 5000000, remaining = 0;
    if (qemu->copy_ms > 0 && strcmp(qemu->migration, "active") == 0) {
        int64_t ms = now_ms() - qemu->copy_began_ms;
        sent = ms < qemu->copy_ms ? total * ms / qemu->copy_ms : total;
        remaining = total - sent;
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:i, s:i, s:i}", "transferred", sent, "total", total,
                     "remaining", remaining, "mbps", 800.0, "dirty-pages-rate", 2560, "page-size",
                     4096, "dirty-sync-count", 1);
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
        set_migration(qemu, "cancelled");
        if (qemu->timer != NULL) {
            event_del(qemu->timer);
        }
        die(qemu->destination);
    }
}

/* ---- devices ---- */

static void on_unplugged(evutil_socket_t fd, short what, void *arg)
{
    struct fake_qemu *qemu = arg;
    json_t *data = json_pack("{s:s, s:s}", "device", qemu->device, "path", "/machine/peripheral");
    if (qemu->unplug_is_refused) {
        event(qemu, "DEVICE_UNPLUG_GUEST_ERROR", data);
        return;
    }
    qemu->device[0] = '\0';
    event(qemu, "DEVICE_DELETED", data);
}

static void device_del(struct fake_qemu *qemu, json_t *request)
{
    const char *id =
        json_string_value(json_object_get(json_object_get(request, "arguments"), "id"));
    if (strcmp(id, qemu->device) != 0) {
        fake_peer_error(qemu->peer, request, "DeviceNotFound", "no such device");
        return;
    }
    fake_peer_return(qemu->peer, request, json_object());
    if (!qemu->unplug_hangs) {
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
                         json_pack("[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}]", "capability", "events",
                                   "state", 0, "capability", "postcopy-ram", "state", 1,
                                   "capability", qemu->no_multifd ? "xbzrle" : "multifd", "state",
                                   0));
    } else if (strcmp(name, "query-version") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", 7, "minor", 2,
                                   "micro", 0, "package", "fake"));
    } else if (strcmp(name, "query-memory-size-summary") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_pack("{s:I}", "base-memory", (json_int_t)FAKE_QEMU_RAM));
    } else if (strcmp(name, "query-block") == 0) {
        fake_peer_return(qemu->peer, request,
                         qemu->disk == NULL ? json_array()
                                            : json_pack("[{s:s, s:{s:b, s:s}}]", "device", "disk0",
                                                        "inserted", "ro", 0, "file", qemu->disk));
    } else if (strcmp(name, "qom-get") == 0) {
        fake_peer_return(qemu->peer, request,
                         json_string(qemu->machine ? qemu->machine : "pc-q35-7.2-machine"));
    } else if (strcmp(name, "device-list-properties") == 0 && qemu->unknown_device) {
        fake_peer_error(qemu->peer, request, "DeviceNotFound", "Device 'nonsense' not found");
    } else if (strcmp(name, "device-list-properties") == 0) {
        fake_peer_return(qemu->peer, request, json_array());
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
        } else if (strcmp(name, "cont") == 0 && !qemu->never_goes_on) {
            set_status(qemu, "running");
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
    *qemu = (struct fake_qemu){.base = base, .name = name};
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
    memset(qemu, 0, sizeof(*qemu));
}
