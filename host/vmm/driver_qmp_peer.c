/*
 * The VM's QEMU at one site: its connection, the commands that it is given, and its word at the
 * last look. What it says by itself is passed on to the operation in progress.
 */
#include <stdio.h>
#include <string.h>

#include "host/vmm/driver_qmp.h"

static void on_ready(void *arg)
{
    struct peer *peer = arg;
    if (peer->owner->peer_ready != NULL) {
        peer->owner->peer_ready(peer);
    }
}

static void on_event(void *arg, const char *name, json_t *data)
{
    struct peer *peer = arg;
    qmp_vm_device_event(peer, name, data);
    if (peer->owner->peer_event != NULL) {
        peer->owner->peer_event(peer, name, data);
    }
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct peer *peer = arg;
    peer->status[0] = '\0';
    if (peer->owner->peer_ended != NULL) {
        peer->owner->peer_ended(peer, err);
    }
}

static const struct qmp_handler handler = {
    .on_ready = on_ready,
    .on_event = on_event,
    .on_end = on_end,
};

bool peer_connect(struct peer *peer, struct ninja_error *err)
{
    const struct vmm *vmm = &peer->owner->vmm;
    peer_disconnect(peer);
    peer->qmp = qmp_connect(vmm->base, vm_sockets_at(vmm->cluster, vmm->vm, peer->site)->qmp,
                            vmm->cluster->timeouts[TIMEOUT_CONNECT], &handler, peer, err);
    return peer->qmp != NULL;
}

void peer_disconnect(struct peer *peer)
{
    qmp_free(peer->qmp);
    peer->qmp = NULL;
    peer->status[0] = '\0';
}

static void on_nobody_there(evutil_socket_t fd, short what, void *arg)
{
    struct peer *peer = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    qmp_reply reply = peer->unsent;
    timer_free(&peer->unsent_timer);
    ninja_error_set(&err, ERR_CLOSED, "there is no connection to QEMU%s%s",
                    peer->err.message[0] ? ": " : "", peer->err.message);
    reply(peer, NULL, &err);
}

static void not_sent(struct peer *peer, json_t *arguments, qmp_reply reply)
{
    json_decref(arguments);
    if (reply != NULL) { /* an operation waits for one reply at a time */
        peer->unsent = reply;
        timer_free(&peer->unsent_timer);
        peer->unsent_timer = timer_start(peer->owner->vmm.base, 0, on_nobody_there, peer);
    }
}

void peer_execute_within(struct peer *peer, const char *command, json_t *arguments, int timeout_ms,
                         qmp_reply reply)
{
    if (peer->qmp != NULL) {
        qmp_execute(peer->qmp, command, arguments, timeout_ms, reply, peer);
    } else {
        not_sent(peer, arguments, reply);
    }
}

void peer_execute_with_fd(struct peer *peer, const char *command, json_t *arguments, int fd,
                          qmp_reply reply)
{
    if (peer->qmp != NULL) {
        qmp_execute_with_fd(peer->qmp, command, arguments, fd,
                            peer->owner->vmm.cluster->timeouts[TIMEOUT_COMMAND], reply, peer);
    } else {
        not_sent(peer, arguments, reply);
    }
}

void peer_execute_urgent(struct peer *peer, const char *command, json_t *arguments, qmp_reply reply)
{
    if (peer->qmp != NULL) {
        qmp_execute_urgent(peer->qmp, command, arguments,
                           peer->owner->vmm.cluster->timeouts[TIMEOUT_COMMAND], reply, peer);
    } else {
        not_sent(peer, arguments, reply);
    }
}

void peer_execute(struct peer *peer, const char *command, json_t *arguments, qmp_reply reply)
{
    peer_execute_within(peer, command, arguments,
                        peer->owner->vmm.cluster->timeouts[TIMEOUT_COMMAND], reply);
}

void peer_set_status(struct peer *peer, json_t *result)
{
    const char *status = json_string_value(json_object_get(result, "status"));
    snprintf(peer->status, sizeof(peer->status), "%s", status ? status : "?");
}

void peer_set_migration(struct peer *peer, json_t *result)
{
    const char *status = json_string_value(json_object_get(result, "status"));
    const char *none = result != NULL ? "none" : "";
    snprintf(peer->migration, sizeof(peer->migration), "%s", status ? status : none);
}

bool peer_migration_is_over(const struct peer *peer)
{
    static const char *const over[] = {"none", "cancelled", "failed"};
    for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
        if (strcmp(peer->migration, over[i]) == 0) {
            return true;
        }
    }
    return false;
}
