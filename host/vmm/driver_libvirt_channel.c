/*
 * The way to a VM's agent: ninja-libvirt opens the port on the VM's host, wherever that is, and
 * listens at a UNIX socket for us. Nobody else gets there, as the directory is made for this one
 * channel; when we are connected, socket and directory are of no use any more and are removed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/memory.h"
#include "host/base/unix_socket.h"
#include "host/vmm/driver_libvirt.h"

struct libvirt_channel {
    struct channel channel;
    struct libvirt_client *client;
    const struct channel_events *events;
    void *arg;
    char dir[200], socket[220];
    struct ninja_error err;
    struct event *timer;
};

static void remove_dir(struct libvirt_channel *channel)
{
    if (channel->dir[0] != '\0') {
        unlink(channel->socket);
        rmdir(channel->dir);
        channel->dir[0] = '\0';
    }
}

static void on_open(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_channel *channel = arg;
    struct ninja_error why = NINJA_ERROR_INIT;
    int fd = -1;
    if (err != NULL) {
        why = *err;
    } else {
        fd = unix_socket_connect(channel->socket, &why);
    }
    remove_dir(channel);
    if (fd >= 0) {
        channel->events->opened(channel->arg, fd);
    } else {
        channel->events->failed(channel->arg, &why);
    }
}

static void on_no_dir(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_channel *channel = arg;
    timer_free(&channel->timer);
    channel->events->failed(channel->arg, &channel->err);
}

/* A service's own, or a user's. */
static const char *runtime_dir(void)
{
    static const char *const variables[] = {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *dir = getenv(variables[i]);
        if (dir != NULL && dir[0] == '/') {
            return dir;
        }
    }
    return "/tmp";
}

static bool make_dir(struct libvirt_channel *channel)
{
    snprintf(channel->dir, sizeof(channel->dir), "%s/ninja-XXXXXX", runtime_dir());
    if (mkdtemp(channel->dir) == NULL) {
        ninja_error_set(&channel->err, ERR_IO, "no directory for a socket can be made, as %s: %m",
                        channel->dir);
        channel->dir[0] = '\0';
        return false;
    }
    snprintf(channel->socket, sizeof(channel->socket), "%s/agent", channel->dir);
    return true;
}

static void close_channel(struct channel *arg)
{
    struct libvirt_channel *channel = (struct libvirt_channel *)arg;
    libvirt_forget(channel->client, channel);
    libvirt_client_leave(channel->client);
    timer_free(&channel->timer);
    remove_dir(channel);
    free(channel);
}

static struct channel *open_way(const struct channel_way *way, const struct channel_events *events,
                                void *arg)
{
    struct libvirt_vm *v = way->owner;
    const struct cluster *cluster = v->vmm.cluster;
    struct libvirt_channel *channel = xcalloc(1, sizeof(*channel));
    channel->channel.close = close_channel;
    channel->client = libvirt_client_join(v->vmm.base);
    channel->events = events;
    channel->arg = arg;
    if (!make_dir(channel)) {
        channel->timer = timer_start(v->vmm.base, 0, on_no_dir, channel);
        return &channel->channel;
    }
    libvirt_execute(channel->client, libvirt_uri(cluster, v->vmm.vm, way->which), "channel-open",
                    json_pack("{s:s, s:s}", "vm", libvirt_domain(cluster, v->vmm.vm, way->which),
                              "socket", channel->socket),
                    libvirt_timeout(v, TIMEOUT_CONNECT), libvirt_timeout(v, TIMEOUT_COMMAND),
                    on_open, channel);
    return &channel->channel;
}

struct channel_way libvirt_way_to_agent(const struct vmm *vmm, int site)
{
    struct channel_way way = {.open = open_way, .owner = (void *)vmm, .which = site};
    snprintf(way.name, sizeof(way.name), "the channel of %.60s at %.170s",
             libvirt_domain(vmm->cluster, vmm->vm, site), libvirt_uri(vmm->cluster, vmm->vm, site));
    return way;
}
