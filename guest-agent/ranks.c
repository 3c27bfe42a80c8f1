/*
 * Theory of operation
 *
 * Any process of the VM may connect, so nothing that one does may hold up another: sockets do not
 * block, each has a bounded queue, a HELLO has to come within HELLO_S, and connections without one
 * are few, of which a user who has many gives up the first. The kernel's credentials tell which
 * process and user it is; what the process says of its pid only counts where the kernel has none
 * (another pid namespace).
 *
 * A connection is ended from its own timer, never from within a send: the caller of a send may be
 * walking over the ranks.
 */
#include "guest-agent/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/unixsock.h"

#define HELLO_S      10
#define RETURN_MS    5000 /* after the agent was lost, ranks look for it every 2 seconds */
#define MAX_STRANGER 128  /* connections that did not say HELLO yet; see make_room() */
#define MAX_QUEUED   32
#define MAX_BYTES    (8u * 1024 * 1024)
#define SEND_BUFFER  (1024 * 1024)

struct packet {
    STAILQ_ENTRY(packet) entry;
    void *bytes;
    size_t size;
    int passed; /* a descriptor that goes with it, or -1 */
};

struct rank_conn {
    LIST_ENTRY(rank_conn) entry;
    struct ranks *server;
    int fd;
    struct ucred peer;
    struct rank *rank; /* NULL: did not say HELLO, or no longer counts */
    bool greeted, ending;
    struct event *readable, *writable, *timer;
    STAILQ_HEAD(packet_queue, packet) queue;
    int n_queued;
    size_t bytes_queued;
};

struct ranks {
    struct event_base *base;
    struct jobs *jobs;
    struct unixsock sock;
    int64_t began_ms;
    struct event *acceptable, *again;
    LIST_HEAD(conn_list, rank_conn) conns;
    int n_strangers;
};

static void packet_free(struct packet *packet)
{
    if (packet->passed >= 0) {
        close(packet->passed);
    }
    free(packet->bytes);
    free(packet);
}

/* Encodes a message, with a copy of the descriptor. NULL with errno set. */
static struct packet *packet_new(const struct ninja_rank_msg *msg, int passed)
{
    struct packet *packet = calloc(1, sizeof(*packet));
    if (packet == NULL) {
        return NULL;
    }
    packet->bytes = ninja_rank_encode(msg, &packet->size);
    packet->passed = packet->bytes != NULL && passed >= 0 ? fcntl(passed, F_DUPFD_CLOEXEC, 0) : -1;
    if (packet->bytes == NULL || (passed >= 0 && packet->passed < 0)) {
        packet_free(packet);
        return NULL;
    }
    return packet;
}

static void pop(struct rank_conn *conn)
{
    struct packet *packet = STAILQ_FIRST(&conn->queue);
    STAILQ_REMOVE_HEAD(&conn->queue, entry);
    conn->n_queued--;
    conn->bytes_queued -= packet->size;
    packet_free(packet);
}

static void conn_free(struct rank_conn *conn)
{
    LIST_REMOVE(conn, entry);
    conn->server->n_strangers -= !conn->greeted;
    while (!STAILQ_EMPTY(&conn->queue)) {
        pop(conn);
    }
    struct event *const events[] = {conn->readable, conn->writable, conn->timer};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    close(conn->fd);
    free(conn);
}

/* Ends the connection from the event loop; what is queued is still tried once. */
static void end(struct rank_conn *conn, const char *why)
{
    if (conn->ending) {
        return;
    }
    conn->ending = true;
    if (why != NULL) {
        ninja_log_warning("process %d, uid %u: %s; its connection is ended", (int)conn->peer.pid,
                          (unsigned)conn->peer.uid, why);
    }
    event_del(conn->readable);
    event_del(conn->writable);
    struct timeval now = {0, 0};
    evtimer_add(conn->timer, &now);
}

static void flush(struct rank_conn *conn)
{
    while (!STAILQ_EMPTY(&conn->queue)) {
        struct packet *packet = STAILQ_FIRST(&conn->queue);
        if (ninja_rank_send_packet(conn->fd, packet->bytes, packet->size, packet->passed,
                                   MSG_DONTWAIT) == 0) {
            pop(conn);
        } else if (errno == EAGAIN) {
            event_add(conn->writable, NULL);
            return;
        } else {
            end(conn, errno == EPIPE || errno == ECONNRESET ? NULL : strerror(errno));
            return;
        }
    }
}

void rank_conn_send(struct rank_conn *conn, const struct ninja_rank_msg *msg, int passed)
{
    if (conn->ending || ninja_fault(NINJA_FAULT_MESSAGE, "%s to a rank",
                                    ninja_rank_type_name(msg->type)) == NINJA_FAULT_LOST) {
        return;
    }
    struct packet *packet = packet_new(msg, passed);
    if (packet == NULL) {
        ninja_log_error("a message to process %d: %m", (int)conn->peer.pid);
        end(conn, "a message to it cannot be made");
        return;
    }
    if (conn->n_queued >= MAX_QUEUED || conn->bytes_queued + packet->size > MAX_BYTES) {
        packet_free(packet);
        end(conn, "does not take its messages");
        return;
    }
    STAILQ_INSERT_TAIL(&conn->queue, packet, entry);
    conn->n_queued++;
    conn->bytes_queued += packet->size;
    flush(conn);
}

void rank_conn_forget(struct rank_conn *conn)
{
    conn->rank = NULL;
    end(conn, NULL);
}

static void greet(struct rank_conn *conn, const struct ninja_rank_msg *msg)
{
    char why[256];
    pid_t pid = conn->peer.pid > 0 ? conn->peer.pid : (pid_t)msg->arg;
    conn->rank = jobs_hello(conn->server->jobs, conn, pid, conn->peer.uid, msg, why, sizeof(why));
    if (conn->rank == NULL) {
        rank_conn_send(conn, &(struct ninja_rank_msg){.type = NINJA_RANK_REFUSED, .text = why}, -1);
        end(conn, why);
        return;
    }
    conn->greeted = true;
    conn->server->n_strangers--;
    evtimer_del(conn->timer);
    rank_conn_send(conn, &(struct ninja_rank_msg){.type = NINJA_RANK_WELCOME}, -1);
}

static void take(struct rank_conn *conn, const struct ninja_rank_msg *msg)
{
    if (conn->rank != NULL) {
        const char *wrong = jobs_message(conn->rank, msg);
        if (wrong != NULL) {
            end(conn, wrong);
        }
    } else if (!conn->greeted && msg->type == NINJA_RANK_HELLO) {
        greet(conn, msg);
    } else {
        end(conn, "did not begin with a hello");
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct rank_conn *conn = arg;
    struct ninja_rank_msg msg;
    int rc = ninja_rank_recv(fd, MSG_DONTWAIT, &msg, NULL); /* takes no descriptors */
    if (rc > 0) {
        take(conn, &msg);
        ninja_rank_msg_clear(&msg);
    } else if (rc == 0) {
        end(conn, NULL);
    } else if (errno != EAGAIN && errno != EINTR) {
        end(conn, errno == EBADMSG      ? "sent what is not of this protocol"
                  : errno == ECONNRESET ? NULL
                                        : strerror(errno));
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    flush(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct rank_conn *conn = arg;
    if (!conn->ending) {
        end(conn, "said no hello in time");
        return;
    }
    struct rank *rank = conn->rank;
    conn_free(conn);
    if (rank != NULL) {
        jobs_rank_gone(rank);
    }
}

static bool conn_start(struct rank_conn *conn, struct event_base *base)
{
    socklen_t len = sizeof(conn->peer);
    int size = SEND_BUFFER;
    struct timeval patience = {HELLO_S, 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    conn->readable = event_new(base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(base, conn->fd, EV_WRITE, on_writable, conn);
    conn->timer = evtimer_new(base, on_timer, conn);
    return conn->readable != NULL && conn->writable != NULL && conn->timer != NULL &&
           getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &conn->peer, &len) == 0 &&
           event_add(conn->readable, NULL) == 0 && evtimer_add(conn->timer, &patience) == 0;
}

static int strangers_of(const struct ranks *server, uid_t uid)
{
    int n = 0;
    const struct rank_conn *conn;
    LIST_FOREACH(conn, &server->conns, entry)
    {
        n += !conn->greeted && !conn->ending && conn->peer.uid == uid;
    }
    return n;
}

/*
 * When strangers take all places, the oldest one of the user who has the most of them gives up its
 * own: so no user keeps the others out by connecting and saying nothing.
 */
static void make_room(struct ranks *server)
{
    struct rank_conn *conn, *oldest = NULL;
    int most = 0;
    LIST_FOREACH(conn, &server->conns, entry)
    {
        if (conn->greeted || conn->ending) {
            continue;
        }
        bool same = oldest != NULL && oldest->peer.uid == conn->peer.uid;
        int n = same ? most : strangers_of(server, conn->peer.uid);
        if (n >= most) { /* the oldest is the last of the list */
            most = n;
            oldest = conn;
        }
    }
    if (oldest != NULL) {
        end(oldest, "too many processes have not said hello");
        conn_free(oldest);
    }
}

static void on_acceptable(evutil_socket_t listener, short what, void *arg)
{
    struct ranks *server = arg;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            ninja_log_error("cannot accept a rank: %m");
            struct timeval tv = {1, 0};
            event_del(server->acceptable);
            evtimer_add(server->again, &tv);
        }
        return;
    }
    struct rank_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        ninja_log_error("cannot serve a rank: out of memory");
        close(fd);
        return;
    }
    if (server->n_strangers >= MAX_STRANGER) {
        make_room(server);
    }
    *conn = (struct rank_conn){.server = server, .fd = fd};
    STAILQ_INIT(&conn->queue);
    LIST_INSERT_HEAD(&server->conns, conn, entry);
    server->n_strangers++;
    if (!conn_start(conn, server->base)) {
        ninja_log_error("cannot serve a rank: %m");
        conn_free(conn);
    }
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct ranks *server = arg;
    event_add(server->acceptable, NULL);
}

bool ranks_may_return(const struct ranks *server)
{
    return server->sock.replaced && now_ms() - server->began_ms < RETURN_MS;
}

struct ranks *ranks_new(struct event_base *base, struct jobs *jobs, const char *path,
                        struct ninja_error *err)
{
    struct ranks *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    server->base = base;
    server->jobs = jobs;
    server->began_ms = now_ms();
    LIST_INIT(&server->conns);
    if (unixsock_listen(&server->sock, path, SOCK_SEQPACKET, 0666, err)) {
        server->acceptable =
            event_new(base, server->sock.fd, EV_READ | EV_PERSIST, on_acceptable, server);
        server->again = evtimer_new(base, on_accept_again, server);
        if (server->acceptable != NULL && server->again != NULL &&
            event_add(server->acceptable, NULL) == 0) {
            return server;
        }
        ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
    }
    ranks_free(server);
    return NULL;
}

void ranks_free(struct ranks *server)
{
    if (server == NULL) {
        return;
    }
    bool any = false;
    while (!LIST_EMPTY(&server->conns)) {
        any |= LIST_FIRST(&server->conns)->rank != NULL;
        conn_free(LIST_FIRST(&server->conns));
    }
    if (server->acceptable != NULL) {
        event_free(server->acceptable);
    }
    if (server->again != NULL) {
        event_free(server->again);
    }
    if (any) {
        unixsock_abandon(&server->sock); /* the next agent sees that ranks will look for it */
    } else {
        unixsock_close(&server->sock);
    }
    free(server);
}
