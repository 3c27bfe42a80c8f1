#include "tests/unit/fake_peer.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fake_peer {
    struct event_base *base;
    struct evconnlistener *listener;
    struct bufferevent *client;
    struct event *readable;
    struct evbuffer *input;
    int fd; /* that the client sent; -1: none */
    char path[108];
    const struct fake_peer_handler *handler;
    void *arg;
};

static void on_read(struct bufferevent *bev, struct fake_peer *peer)
{
    char *line;
    while (peer->client == bev &&
           (line = evbuffer_readln(peer->input, NULL, EVBUFFER_EOL_LF)) != NULL) {
        char *text = (unsigned char)line[0] == 0xFF ? line + 1 : line;
        json_t *object = json_loads(text, 0, NULL);
        if (object != NULL) {
            peer->handler->on_object(peer->arg, object);
            json_decref(object);
        }
        free(line);
    }
}

int fake_peer_take_fd(struct fake_peer *peer)
{
    int fd = peer->fd;
    peer->fd = -1;
    return fd;
}

static void drop(struct fake_peer *peer)
{
    if (peer->client != NULL) {
        event_free(peer->readable);
        evbuffer_free(peer->input);
        bufferevent_free(peer->client);
        peer->client = NULL;
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct fake_peer *peer = arg;
    if (peer->client == bev && (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) {
        drop(peer);
    }
}

/* In place of the bufferevent's own reading, which takes no descriptors. */
static void on_readable(evutil_socket_t socket, short what, void *arg)
{
    struct fake_peer *peer = arg;
    char data[65536], control[CMSG_SPACE(sizeof(int))];
    struct iovec room = {data, sizeof(data)};
    struct msghdr message = {.msg_iov = &room,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        close(fake_peer_take_fd(peer));
        memcpy(&peer->fd, CMSG_DATA(header), sizeof(int));
    }
    if (n <= 0) {
        drop(peer);
        return;
    }
    evbuffer_add(peer->input, data, (size_t)n);
    on_read(peer->client, peer);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                      int len, void *arg)
{
    fake_peer_serve(arg, fd);
}

void fake_peer_serve(struct fake_peer *peer, int fd)
{
    drop(peer);
    peer->client = bufferevent_socket_new(peer->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(peer->client, NULL, NULL, on_event, peer);
    bufferevent_enable(peer->client, EV_WRITE);
    peer->input = evbuffer_new();
    peer->readable = event_new(peer->base, fd, EV_READ | EV_PERSIST, on_readable, peer);
    event_add(peer->readable, NULL);
    if (peer->handler->on_connect != NULL) {
        peer->handler->on_connect(peer->arg);
    }
}

struct fake_peer *fake_peer_listen(struct event_base *base, const char *path,
                                   const struct fake_peer_handler *handler, void *arg)
{
    struct fake_peer *peer = calloc(1, sizeof(*peer));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    signal(SIGPIPE, SIG_IGN); /* as ninjactl does */
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    memcpy(peer->path, addr.sun_path, sizeof(peer->path));
    unlink(path);
    peer->base = base;
    peer->fd = -1;
    peer->handler = handler;
    peer->arg = arg;
    peer->listener = evconnlistener_new_bind(base, on_accept, peer, LEV_OPT_CLOSE_ON_FREE, 8,
                                             (struct sockaddr *)&addr, sizeof(addr));
    if (peer->listener == NULL) {
        perror(path);
        abort();
    }
    return peer;
}

void fake_peer_send(struct fake_peer *peer, json_t *object, bool sentinel)
{
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (peer->client != NULL) {
        if (sentinel) {
            bufferevent_write(peer->client, "\xff", 1);
        }
        fake_peer_send_text(peer, text);
        fake_peer_send_text(peer, "\n");
    }
    free(text);
}

void fake_peer_send_text(struct fake_peer *peer, const char *text)
{
    if (peer->client != NULL) {
        bufferevent_write(peer->client, text, strlen(text));
    }
}

static void send_with_id(struct fake_peer *peer, json_t *request, json_t *answer)
{
    json_t *id = json_object_get(request, "id");
    if (id != NULL) {
        json_object_set(answer, "id", id);
    }
    fake_peer_send(peer, answer, false);
}

void fake_peer_return(struct fake_peer *peer, json_t *request, json_t *result)
{
    send_with_id(peer, request, json_pack("{s:o}", "return", result));
}

void fake_peer_error(struct fake_peer *peer, json_t *request, const char *class, const char *desc)
{
    send_with_id(peer, request, json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", desc));
}

void fake_peer_hang_up(struct fake_peer *peer)
{
    if (peer->client != NULL) {
        bufferevent_flush(peer->client, EV_WRITE, BEV_FLUSH);
        struct evbuffer *out = bufferevent_get_output(peer->client);
        evbuffer_write(out, bufferevent_getfd(peer->client));
        drop(peer);
    }
}

bool fake_peer_has_client(const struct fake_peer *peer)
{
    return peer->client != NULL;
}

void fake_peer_free(struct fake_peer *peer)
{
    if (peer != NULL) {
        fake_peer_hang_up(peer);
        evconnlistener_free(peer->listener);
        unlink(peer->path);
        free(peer);
    }
}

/* ---- a directory ---- */

static char dir[64];

const char *fake_dir(void)
{
    if (dir[0] == '\0') {
        strcpy(dir, "/tmp/ninja-test-XXXXXX");
        if (mkdtemp(dir) == NULL) {
            abort();
        }
    }
    return dir;
}

void fake_dir_remove(void)
{
    char command[128];
    if (dir[0] != '\0') {
        snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        if (system(command) != 0) {
            abort();
        }
        dir[0] = '\0';
    }
}

/* ---- the log ---- */

#define LOG_LINES 2000
static char log_lines[LOG_LINES][160];
static int n_lines;

void fake_log(const char *fmt, ...)
{
    va_list ap;
    if (n_lines < LOG_LINES) {
        va_start(ap, fmt);
        vsnprintf(log_lines[n_lines++], sizeof(log_lines[0]), fmt, ap);
        va_end(ap);
    }
}

void fake_log_clear(void)
{
    n_lines = 0;
}

int fake_log_find(const char *text, int from)
{
    for (int i = from < 0 ? 0 : from; i < n_lines; i++) {
        if (strcmp(log_lines[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

int fake_log_count(const char *text)
{
    int n = 0;
    for (int i = fake_log_find(text, 0); i >= 0; i = fake_log_find(text, i + 1)) {
        n++;
    }
    return n;
}

void fake_log_print(void)
{
    for (int i = 0; i < n_lines; i++) {
        fprintf(stderr, "%3d %s\n", i, log_lines[i]);
    }
}

char *fake_repeated(const char *begin, const char *part, int n, const char *end)
{
    char *text = malloc(strlen(begin) + strlen(part) * (size_t)n + strlen(end) + 1);
    char *at = stpcpy(text, begin);
    for (int i = 0; i < n; i++) {
        at = stpcpy(at, part);
    }
    strcpy(at, end);
    return text;
}
