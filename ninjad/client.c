/*
 * Theory of operation
 *
 * A client is read from for TURN_MS at most, then it is the next one's turn; and not at all while
 * more than CLIENT_HIGH_WATER bytes wait for it. One that takes nothing for CLIENT_READ_S is
 * dropped, as is one that leaves a line unfinished for CLIENT_LINE_S, however often it sends a
 * byte.
 *
 * Requests that a client sent before it left are done, though nobody reads the answers. A client
 * that only closed its sending side still gets them. Whether it has left altogether is looked for
 * again and again then, as nothing is read from it that would tell.
 */
#include "ninjad/client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/jsonline.h"
#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define PIECE   512
#define TURN_MS 20
#define LOOK_MS 100

struct client {
    int fd;
    struct client_peer peer;
    const struct client_ops *ops;
    void *ctx;
    struct event *readable, *writable;
    struct event *line_timer, *look_timer, *end_timer;
    struct event_base *base;
    struct jsonline *in;
    struct evbuffer *out;
    unsigned lines;     /* that came, whole or wrong */
    unsigned open_line; /* the value of lines when line_timer was started */
    bool half_closed;   /* nothing more comes */
    bool deaf;          /* nothing more is read */
    bool ended;
    const char *why;
};

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    struct client *client = arg;
    timer_free(&client->end_timer);
    client->ops->gone(client->ctx, client, client->why);
}

/* The owner is told from a timer: it frees the client, which may be in use now. */
static void end(struct client *client, const char *why)
{
    if (!client->ended) {
        client->ended = true;
        client->why = why;
        event_del(client->readable);
        event_del(client->writable);
        timer_free(&client->line_timer);
        timer_free(&client->look_timer);
        client->end_timer = timer_start(client->base, 0, on_end, client);
    }
}

static bool is_wanted(const struct client *client)
{
    return evbuffer_get_length(client->out) > 0 || client->ops->is_waiting(client->ctx, client);
}

/* Looks whether a half-closed client has left. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct client *client = arg;
    struct pollfd it = {.fd = client->fd, .events = 0};
    timer_free(&client->look_timer);
    if ((poll(&it, 1, 0) > 0 && (it.revents & (POLLHUP | POLLERR)) != 0) || !is_wanted(client)) {
        end(client, NULL);
    } else {
        client->look_timer = timer_start(client->base, LOOK_MS, on_look, client);
    }
}

static void flush(struct client *client)
{
    struct timeval limit = {CLIENT_READ_S, 0};
    bool moved = false;
    while (!client->ended && evbuffer_get_length(client->out) > 0) {
        int n = evbuffer_write(client->out, client->fd);
        moved |= n > 0;
        if (n > 0 || (n < 0 && errno == EINTR)) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            client->deaf = true;
            evbuffer_drain(client->out, evbuffer_get_length(client->out));
            break;
        }
        if (moved || !event_pending(client->writable, EV_WRITE, NULL)) {
            event_add(client->writable, &limit); /* counts anew */
        }
        return;
    }
    if (!client->ended && !client->half_closed) {
        event_add(client->readable, NULL);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct client *client = arg;
    if (what & EV_TIMEOUT) {
        end(client, "it does not read what it asked for");
    } else {
        flush(client);
    }
}

static void on_line_late(evutil_socket_t fd, short what, void *arg)
{
    struct client *client = arg;
    timer_free(&client->line_timer);
    end(client, "it began a line, and did not end it in time");
}

static void watch_line(struct client *client)
{
    bool open = jsonline_is_open(client->in);
    if (!open || client->lines != client->open_line) {
        timer_free(&client->line_timer);
    }
    if (open && !client->ended && client->line_timer == NULL) {
        client->open_line = client->lines;
        client->line_timer = timer_start(client->base, CLIENT_LINE_S * 1000, on_line_late, client);
    }
}

static void half_close(struct client *client)
{
    client->half_closed = true;
    event_del(client->readable);
    jsonline_feed(client->in, "\n", 1); /* the last line needs no end */
    timer_free(&client->line_timer);
    if (!client->ended) {
        on_look(-1, EV_TIMEOUT, client);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct client *client = arg;
    char piece[PIECE];
    int64_t until = now_ms() + TURN_MS;
    ssize_t n;
    do {
        n = read(client->fd, piece, sizeof(piece));
        if (n > 0) {
            jsonline_feed(client->in, piece, (size_t)n);
        }
    } while (n > 0 && !client->ended && client_unsent(client) < CLIENT_HIGH_WATER &&
             now_ms() < until);
    if (n == 0) {
        half_close(client);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        end(client, NULL);
    } else {
        watch_line(client);
    }
    if (client_unsent(client) >= CLIENT_HIGH_WATER) {
        event_del(client->readable);
    }
}

static void on_line(void *arg, json_t *object, const char *wrong)
{
    struct client *client = arg;
    client->lines++;
    if (!client->ended) {
        client->ops->request(client->ctx, client, object, wrong);
    }
}

struct client *client_new(struct event_base *base, int fd, const struct client_peer *peer,
                          const struct client_ops *ops, void *ctx)
{
    struct client *client = xcalloc(1, sizeof(*client));
    *client = (struct client){.fd = fd, .peer = *peer, .ops = ops, .ctx = ctx, .base = base};
    client->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, client);
    client->writable = event_new(base, fd, EV_WRITE, on_writable, client);
    client->in = jsonline_new(CLIENT_MAX_LINE, on_line, client);
    client->out = evbuffer_new();
    if (client->readable == NULL || client->writable == NULL || client->in == NULL ||
        client->out == NULL || event_add(client->readable, NULL) != 0) {
        client->fd = -1;
        client_free(client);
        return NULL;
    }
    return client;
}

void client_free(struct client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->readable != NULL) {
        event_free(client->readable);
    }
    if (client->writable != NULL) {
        event_free(client->writable);
    }
    timer_free(&client->line_timer);
    timer_free(&client->look_timer);
    timer_free(&client->end_timer);
    jsonline_free(client->in);
    if (client->out != NULL) {
        evbuffer_free(client->out);
    }
    if (client->fd >= 0) {
        close(client->fd);
    }
    free(client);
}

const struct client_peer *client_peer(const struct client *client)
{
    return &client->peer;
}

static int add_bytes(const char *bytes, size_t len, void *out)
{
    return evbuffer_add(out, bytes, len);
}

void client_send(struct client *client, const json_t *object)
{
    if (client->ended || client->deaf) {
        return;
    }
    if (json_dump_callback(object, add_bytes, client->out, JSON_COMPACT) != 0 ||
        evbuffer_add(client->out, "\n", 1) != 0) {
        end(client, "an answer is lost: out of memory");
        return;
    }
    flush(client);
    if (client_unsent(client) > CLIENT_MAX_UNSENT) {
        end(client, "it does not read what it asked for");
    }
}

size_t client_unsent(const struct client *client)
{
    return evbuffer_get_length(client->out);
}
