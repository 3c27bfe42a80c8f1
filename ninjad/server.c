/*
 * Theory of operation
 *
 * The mode of a socket says who can connect to it; the kernel's word on the peer (SO_PEERCRED, and
 * its groups, SO_PEERGROUPS) is asked besides, as a socket is easily given the wrong mode. The
 * read-only socket is for everyone who can connect to it.
 *
 * At most half of the connections are of one user, root left aside, so that nobody keeps the others
 * out.
 */
#include "ninjad/server.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/log.h"
#include "common/unixsock.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "ninjad/api.h"
#include "ninjad/client.h"

#define MAX_SOCKETS 4
#define MAX_GROUPS  65536
#define READ_ONLY   "readonly" /* FileDescriptorName= of the socket unit */
#define NO_GROUP    ((gid_t)-1)

struct entry {
    LIST_ENTRY(entry) entry;
    struct client *client;
};

struct listener {
    struct server *server;
    struct unixsock sock; /* fd < 0 if systemd passed it */
    struct event *acceptable;
    bool read_only;
};

struct server {
    struct ninjad *ninjad;
    struct listener listeners[MAX_SOCKETS];
    int n_listeners;
    LIST_HEAD(entry_list, entry) clients;
    int n_clients;
    int64_t idle_since;
    gid_t group;
    unsigned long refused[REFUSALS];
    bool activated;
};

/* ---- clients ---- */

static void on_request(void *ctx, struct client *client, json_t *request, const char *wrong)
{
    struct server *server = ctx;
    api_request(server->ninjad, client, request, wrong);
}

static bool is_waiting(void *ctx, const struct client *client)
{
    struct server *server = ctx;
    return calls_of_client(server->ninjad->calls, client) > 0;
}

static void drop(struct server *server, struct entry *entry)
{
    LIST_REMOVE(entry, entry);
    server->n_clients--;
    server->idle_since = now_ms();
    client_free(entry->client);
    free(entry);
}

static void on_gone(void *ctx, struct client *client, const char *why)
{
    struct server *server = ctx;
    const struct client_peer *peer = client_peer(client);
    struct entry *entry;
    LIST_FOREACH(entry, &server->clients, entry)
    {
        if (entry->client == client) {
            break;
        }
    }
    if (why != NULL) {
        ninja_log_warning("uid %u (pid %d) was disconnected: %s", (unsigned)peer->uid,
                          (int)peer->pid, why);
    } else {
        ninja_log_debug("uid %u (pid %d) left", (unsigned)peer->uid, (int)peer->pid);
    }
    calls_forget(server->ninjad->calls, client);
    if (entry != NULL) {
        drop(server, entry);
    }
}

static const struct client_ops ops = {
    .request = on_request,
    .is_waiting = is_waiting,
    .gone = on_gone,
};

bool server_add(struct server *server, int fd, const struct client_peer *peer)
{
    struct entry *entry = xcalloc(1, sizeof(*entry));
    entry->client = client_new(server->ninjad->base, fd, peer, &ops, server);
    if (entry->client == NULL) {
        ninja_log_error("a client is not served: out of memory");
        free(entry);
        close(fd);
        return false;
    }
    LIST_INSERT_HEAD(&server->clients, entry, entry);
    server->n_clients++;
    api_event(entry->client, "hello", NULL, tell_greeting(peer->may_act));
    return true;
}

/* ---- who it is ---- */

static bool has_group(int fd, gid_t group)
{
    gid_t *groups = xmalloc(MAX_GROUPS * sizeof(gid_t));
    socklen_t size = MAX_GROUPS * sizeof(gid_t);
    bool has = false;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
        for (size_t i = 0; i < size / sizeof(gid_t); i++) {
            has |= groups[i] == group;
        }
    }
    free(groups);
    return has;
}

static bool is_trusted(const struct server *server, int fd, const struct ucred *cred)
{
    return cred->uid == 0 || cred->uid == geteuid() ||
           (server->group != NO_GROUP &&
            (cred->gid == server->group || has_group(fd, server->group)));
}

static int clients_of(const struct server *server, uid_t uid)
{
    struct entry *entry;
    int n = 0;
    LIST_FOREACH(entry, &server->clients, entry)
    {
        n += client_peer(entry->client)->uid == uid;
    }
    return n;
}

static bool has_room(const struct server *server, uid_t uid)
{
    int max = server->ninjad->options->max_clients;
    return server->n_clients < max && (uid == 0 || clients_of(server, uid) < (max + 1) / 2);
}

/* Tells the reason, as far as that can be done without waiting. */
static void refuse(struct server *server, int fd, enum refusal refusal, const struct ucred *cred)
{
    static const struct {
        enum ninja_error_class class;
        const char *text;
    } words[] = {
        [REFUSED_STRANGER] = {ERR_FORBIDDEN, "only root and members of the group of the socket may "
                                             "connect here; ask an administrator"},
        [REFUSED_TOO_MANY] = {ERR_BUSY, "there are too many connections; connect again later"},
    };
    char line[300];
    int n = snprintf(line, sizeof(line), "{\"error\":{\"class\":\"%s\",\"desc\":\"%s\"}}\n",
                     ninja_error_class_name(words[refusal].class), words[refusal].text);
    ssize_t sent = send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
    server->refused[refusal]++;
    ninja_log_warning("uid %u (pid %d) was refused: %s", (unsigned)cred->uid, (int)cred->pid,
                      words[refusal].text);
    close(fd);
}

static void on_acceptable(evutil_socket_t listening, short what, void *arg)
{
    struct listener *listener = arg;
    struct server *server = listener->server;
    struct ucred cred;
    socklen_t size = sizeof(cred);
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return; /* it left already */
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0) {
        close(fd);
        return;
    }
    if (!listener->read_only && !is_trusted(server, fd, &cred)) {
        refuse(server, fd, REFUSED_STRANGER, &cred);
    } else if (!has_room(server, cred.uid)) {
        refuse(server, fd, REFUSED_TOO_MANY, &cred);
    } else {
        ninja_log_debug("uid %u (pid %d) connected", (unsigned)cred.uid, (int)cred.pid);
        server_add(server, fd,
                   &(struct client_peer){cred.uid, cred.pid, .may_act = !listener->read_only});
    }
}

/* ---- sockets ---- */

static bool add_listener(struct server *server, int fd, const struct unixsock *sock, bool read_only,
                         struct ninja_error *err)
{
    if (server->n_listeners == MAX_SOCKETS) {
        return ninja_error_set(err, ERR_USAGE, "there are more than %d sockets", MAX_SOCKETS);
    }
    struct listener *listener = &server->listeners[server->n_listeners];
    *listener = (struct listener){.server = server, .read_only = read_only, .sock = {.fd = -1}};
    listener->acceptable =
        event_new(server->ninjad->base, fd, EV_READ | EV_PERSIST, on_acceptable, listener);
    if (listener->acceptable == NULL || event_add(listener->acceptable, NULL) != 0) {
        return ninja_error_set(err, ERR_IO, "a socket cannot be listened on: out of memory");
    }
    if (sock != NULL) {
        listener->sock = *sock;
    }
    server->n_listeners++;
    return true;
}

static bool take_passed(struct server *server, struct ninja_error *err)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names);
    bool ok = true;
    for (int i = 0; i < n && ok; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0) {
            ok = ninja_error_set(err, ERR_USAGE,
                                 "descriptor %d was passed, which is no listening UNIX "
                                 "stream socket",
                                 fd);
        } else {
            evutil_make_socket_nonblocking(fd);
            ok = add_listener(server, fd, NULL, strcmp(names[i], READ_ONLY) == 0, err);
            server->activated = true;
        }
    }
    for (int i = 0; names != NULL && names[i] != NULL; i++) {
        free(names[i]);
    }
    free(names);
    return ok;
}

/* Only its owner can use it until it has its group. */
static bool open_socket(struct server *server, const char *path, bool read_only,
                        struct ninja_error *err)
{
    struct unixsock sock;
    if (!unixsock_listen(&sock, path, SOCK_STREAM, read_only ? 0666 : 0600, err)) {
        return false;
    }
    if (!read_only && server->group != NO_GROUP) {
        if (chown(path, (uid_t)-1, server->group) != 0 || chmod(path, 0660) != 0) {
            ninja_log_warning("%s: %m; the group \"%s\" cannot use it", path,
                              server->ninjad->options->group);
        }
    }
    if (!add_listener(server, sock.fd, &sock, read_only, err)) {
        unixsock_close(&sock);
        return false;
    }
    ninja_log_info("listening on %s%s", path, read_only ? ", for looking only" : "");
    return true;
}

static gid_t find_group(const char *name)
{
    struct group *group = getgrnam(name);
    if (group == NULL) {
        ninja_log_warning("there is no group \"%s\": only root and this user may use the service",
                          name);
    }
    return group != NULL ? group->gr_gid : NO_GROUP;
}

struct server *server_new(struct ninjad *ninjad, struct ninja_error *err)
{
    const struct options *options = ninjad->options;
    struct server *server = xcalloc(1, sizeof(*server));
    server->ninjad = ninjad;
    server->idle_since = now_ms();
    server->group = find_group(options->group);
    LIST_INIT(&server->clients);
    bool ok = take_passed(server, err) &&
              (options->listen == NULL || open_socket(server, options->listen, false, err)) &&
              (options->listen_ro == NULL || open_socket(server, options->listen_ro, true, err));
    if (ok && server->n_listeners == 0) {
        ok = ninja_error_set(err, ERR_USAGE,
                             "there is no socket: start it by ninjad.socket, or with "
                             "--listen PATH");
    }
    if (!ok) {
        server_free(server);
        return NULL;
    }
    return server;
}

void server_free(struct server *server)
{
    struct entry *entry;
    if (server == NULL) {
        return;
    }
    while ((entry = LIST_FIRST(&server->clients)) != NULL) {
        drop(server, entry);
    }
    for (int i = 0; i < server->n_listeners; i++) {
        event_free(server->listeners[i].acceptable);
        unixsock_close(&server->listeners[i].sock);
    }
    free(server);
}

int server_clients(const struct server *server)
{
    return server->n_clients;
}

unsigned long server_refused(const struct server *server, enum refusal refusal)
{
    return server->refused[refusal];
}

int64_t server_idle_since(const struct server *server)
{
    return server->n_clients > 0 ? -1 : server->idle_since;
}

bool server_is_activated(const struct server *server)
{
    return server->activated;
}
