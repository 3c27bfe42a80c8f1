/*
 * Theory of operation
 *
 * The port is opened at the start and again whenever it gave an error: it may be unplugged, or its
 * driver may come later than the agent. Only one process can have it open. An end of file is no
 * error, see channel.c. The host stays connected to QEMU while an agent ends and the next one opens
 * the port, so each opening begins with a line that tells it. Where udev makes no
 * /dev/virtio-ports/NAME, the port is looked up by its name in sysfs.
 */
#include "guest-agent/hostlink.h"

#include <dirent.h>
#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "guest-agent/text.h"
#include "common/unixsock.h"

#define REOPEN_S    1
#define MAX_CLIENTS 16
#define PORTS_DIR   "/dev/virtio-ports/"
#define PORTS_SYS   "/sys/class/virtio-ports"

struct client {
    LIST_ENTRY(client) entry;
    struct channel *ch;
};

struct hostlink {
    struct event_base *base;
    hostlink_request *request;
    void *ctx;
    LIST_HEAD(client_list, client) clients;
    int n_clients;
    const char *port; /* NULL: listening */
    json_t *opened;   /* with a port only */
    struct event *timer;
    int complained; /* the errno last logged, so that a missing port is told once */
    struct unixsock sock;
    struct event *acceptable;
};

static void drop(struct hostlink *link, struct client *client)
{
    LIST_REMOVE(client, entry);
    link->n_clients--;
    channel_free(client->ch);
    free(client);
}

static void on_request(void *ctx, struct channel *ch, json_t *request, const char *wrong)
{
    struct hostlink *link = ctx;
    link->request(link->ctx, ch, request, wrong);
}

static void again_later(struct hostlink *link)
{
    struct timeval tv = {REOPEN_S, 0};
    evtimer_add(link->timer, &tv);
}

static void on_gone(void *ctx, struct channel *ch, int error)
{
    struct hostlink *link = ctx;
    struct client *client;
    LIST_FOREACH(client, &link->clients, entry)
    {
        if (client->ch == ch) {
            break;
        }
    }
    if (error != 0) {
        ninja_log_warning("channel to the host: %s", strerror(error));
    } else {
        ninja_log_info("a host left");
    }
    if (client != NULL) {
        drop(link, client);
    }
    if (link->port != NULL) {
        again_later(link);
    } else {
        event_add(link->acceptable, NULL);
    }
}

static const struct channel_ops ops = {.request = on_request, .gone = on_gone};

static bool add_client(struct hostlink *link, int fd, enum channel_kind kind)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client != NULL) {
        client->ch = channel_new(link->base, fd, kind, &ops, link);
    }
    if (client == NULL || client->ch == NULL) {
        ninja_log_error("no channel to the host: out of memory");
        free(client);
        close(fd);
        return false;
    }
    LIST_INSERT_HEAD(&link->clients, client, entry);
    link->n_clients++;
    return true;
}

/* The device node of the port of that name, from sysfs; false when there is none. */
static bool find_port(const char *name, char *node, size_t size)
{
    DIR *dir = opendir(PORTS_SYS);
    if (dir == NULL) {
        return false;
    }
    bool found = false;
    struct dirent *entry;
    while (!found && (entry = readdir(dir)) != NULL) {
        char value[256];
        if (entry->d_name[0] != '.' &&
            text_first_line(value, sizeof(value), PORTS_SYS "/%s/name", entry->d_name) &&
            strcmp(value, name) == 0) {
            snprintf(node, size, "/dev/%s", entry->d_name);
            found = true;
        }
    }
    closedir(dir);
    return found;
}

static int open_node(const char *path)
{
    int flags = O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int fd = open(path, flags);
    if (fd < 0 && errno == ENOENT && strncmp(path, PORTS_DIR, strlen(PORTS_DIR)) == 0) {
        char node[PATH_MAX];
        if (find_port(path + strlen(PORTS_DIR), node, sizeof(node))) {
            return open(node, flags);
        }
        errno = ENOENT;
    }
    return fd;
}

static void open_port(struct hostlink *link)
{
    int fd = open_node(link->port);
    if (fd < 0) {
        if (errno != link->complained) {
            link->complained = errno;
            ninja_log_warning("cannot open %s: %m%s; trying again every second", link->port,
                              errno == EBUSY    ? " (another agent has it)"
                              : errno == ENOENT ? " (give the VM a virtserialport of that name)"
                                                : "");
        }
        again_later(link);
        return;
    }
    struct termios raw; /* a serial line would echo and translate */
    if (tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    link->complained = 0;
    if (add_client(link, fd, CHANNEL_PORT)) {
        ninja_log_info("port %s is open", link->port);
        channel_send(LIST_FIRST(&link->clients)->ch, link->opened, false);
    } else {
        again_later(link);
    }
}

static void on_reopen(evutil_socket_t fd, short what, void *arg)
{
    open_port(arg);
}

static void on_acceptable(evutil_socket_t listener, short what, void *arg)
{
    struct hostlink *link = arg;
    if (link->n_clients >= MAX_CLIENTS) {
        ninja_log_warning("%d hosts are connected; another one waits", MAX_CLIENTS);
        event_del(link->acceptable);
        return;
    }
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (add_client(link, fd, CHANNEL_STREAM)) {
            ninja_log_info("a host connected");
        }
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        ninja_log_error("cannot accept a host: %m");
        event_del(link->acceptable);
        again_later(link);
    }
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct hostlink *link = arg;
    event_add(link->acceptable, NULL);
}

static struct hostlink *link_new(struct event_base *base, hostlink_request *request, void *ctx,
                                 event_callback_fn on_timer, struct ninja_error *err)
{
    struct hostlink *link = calloc(1, sizeof(*link));
    if (link != NULL) {
        *link = (struct hostlink){.base = base, .request = request, .ctx = ctx, .sock.fd = -1};
        LIST_INIT(&link->clients);
        link->timer = evtimer_new(base, on_timer, link);
    }
    if (link == NULL || link->timer == NULL) {
        ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
        hostlink_free(link);
        return NULL;
    }
    return link;
}

struct hostlink *hostlink_port(struct event_base *base, const char *path, json_t *opened,
                               hostlink_request *request, void *ctx, struct ninja_error *err)
{
    struct hostlink *link = opened != NULL ? link_new(base, request, ctx, on_reopen, err) : NULL;
    if (link == NULL) {
        ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
        json_decref(opened);
    } else {
        link->port = path;
        link->opened = opened;
        open_port(link);
    }
    return link;
}

struct hostlink *hostlink_listen(struct event_base *base, const char *path,
                                 hostlink_request *request, void *ctx, struct ninja_error *err)
{
    struct hostlink *link = link_new(base, request, ctx, on_accept_again, err);
    if (link == NULL) {
        return NULL;
    }
    if (unixsock_listen(&link->sock, path, SOCK_STREAM, 0600, err)) {
        link->acceptable =
            event_new(base, link->sock.fd, EV_READ | EV_PERSIST, on_acceptable, link);
        if (link->acceptable != NULL && event_add(link->acceptable, NULL) == 0) {
            return link;
        }
        ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
    }
    hostlink_free(link);
    return NULL;
}

void hostlink_free(struct hostlink *link)
{
    if (link == NULL) {
        return;
    }
    while (!LIST_EMPTY(&link->clients)) {
        drop(link, LIST_FIRST(&link->clients));
    }
    if (link->timer != NULL) {
        event_free(link->timer);
    }
    if (link->acceptable != NULL) {
        event_free(link->acceptable);
    }
    unixsock_close(&link->sock);
    json_decref(link->opened);
    free(link);
}

static void broadcast(struct hostlink *link, json_t *event)
{
    struct client *client;
    LIST_FOREACH(client, &link->clients, entry)
    {
        channel_send_event(client->ch, event);
    }
}

void hostlink_broadcast(struct hostlink *link, json_t *event)
{
    static json_t *late; /* made so by a fault point */
    switch (ninja_fault(NINJA_FAULT_MESSAGE, "event %s",
                        json_string_value(json_object_get(event, "event")))) {
    case NINJA_FAULT_LATE:
        late = json_incref(event);
        return;
    case NINJA_FAULT_LOST:
        return;
    case NINJA_FAULT_REPEATED:
        broadcast(link, event);
        break;
    default:
        break;
    }
    broadcast(link, event);
    if (late != NULL) {
        broadcast(link, late);
        json_decref(late);
        late = NULL;
    }
}
