#include "host/base/json_lines.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host/base/memory.h"

/* Bytes that a peer may leave unread before we call it dead. */
#define MAX_UNSENT (16u * 1024 * 1024)

struct json_lines {
    struct bufferevent *bev;
    const struct json_lines_handler *handler;
    void *arg;
    size_t searched; /* bytes of the input in which there is no end of a line */
    bool skipping;
    bool ended;
    bool busy;                    /* callbacks are running, any of which may free us */
    bool dead;                    /* ... and did */
    struct json_traffic *traffic; /* NULL: nobody counts */
};

static void end(struct json_lines *lines, enum ninja_error_class class, const char *what)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (lines->ended) {
        return;
    }
    lines->ended = true;
    bufferevent_disable(lines->bev, EV_READ | EV_WRITE);
    ninja_error_set(&err, class, "%s", what);
    lines->handler->on_end(lines->arg, &err);
}

static bool too_deep_or_many(const struct json_lines *lines, const char *text, size_t len)
{
    int depth = lines->handler->max_depth != 0 ? lines->handler->max_depth : JSON_MAX_DEPTH;
    struct json_scan scan = {0};
    for (size_t i = 0; i < len; i++) {
        enum json_scanned found = json_scan(&scan, text[i], depth);
        if (found == JSON_TOO_DEEP || found == JSON_TOO_MANY) {
            return true;
        }
    }
    return false;
}

static void count(const struct json_lines *lines, size_t bytes, bool sent)
{
    if (lines->traffic != NULL) {
        lines->traffic->lines++;
        lines->traffic->bytes += (int64_t)bytes;
        lines->traffic->sent += sent ? (int64_t)bytes : 0;
    }
}

void json_lines_count(struct json_lines *lines, struct json_traffic *traffic)
{
    lines->traffic = traffic;
}

static void one_line(struct json_lines *lines, const char *text, size_t len)
{
    const char *sentinel = memrchr(text, 0xFF, len);
    if (sentinel != NULL) {
        lines->skipping = false;
        len -= (size_t)(sentinel + 1 - text);
        text = sentinel + 1;
    }
    if (lines->skipping || strspn(text, " \t\r") == len) {
        return;
    }
    if (too_deep_or_many(lines, text, len)) {
        end(lines, ERR_PROTOCOL, "it sent JSON that is nested too deeply, or of too many objects");
        return;
    }
    char wrong[JSON_WRONG_BYTES]; /* it has the peer's bytes: not for a terminal */
    json_t *object = json_parse_line(text, len, 0, wrong);
    if (object == NULL) {
        end(lines, ERR_PROTOCOL, "it sent a line that is not a JSON object");
        return;
    }
    lines->handler->on_object(lines->arg, object);
    json_decref(object);
}

/*
 * The next line, without its end, or NULL. Each byte is looked at once: a peer that sends a long
 * line byte by byte must not have us search all of it each time.
 */
static char *next_line(struct json_lines *lines, struct evbuffer *in, size_t *len)
{
    struct evbuffer_ptr at;
    char *line = NULL;
    if (evbuffer_ptr_set(in, &at, lines->searched, EVBUFFER_PTR_SET) == 0) {
        at = evbuffer_search(in, "\n", 1, &at);
    }
    if (at.pos < 0) {
        lines->searched = evbuffer_get_length(in);
        return NULL;
    }
    *len = (size_t)at.pos;
    line = xmalloc(*len + 1);
    evbuffer_remove(in, line, *len + 1);
    line[*len] = '\0';
    lines->searched = 0;
    return line;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct json_lines *lines = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    lines->busy = true;
    while (!lines->dead && !lines->ended) {
        size_t len;
        char *line = next_line(lines, in, &len);
        if (line == NULL) {
            break;
        }
        count(lines, len + 1, false);
        if (len > JSON_LINES_MAX_LINE) {
            end(lines, ERR_PROTOCOL, "it sent a line of more than 4 MiB");
        } else {
            one_line(lines, line, len);
        }
        free(line);
    }
    if (!lines->dead && !lines->ended && evbuffer_get_length(in) > JSON_LINES_MAX_LINE) {
        end(lines, ERR_PROTOCOL, "it sent a line of more than 4 MiB");
    }
    lines->busy = false;
    if (lines->dead) {
        free(lines);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    if (what & BEV_EVENT_EOF) {
        end(arg, ERR_CLOSED, "it closed the connection");
    } else if (what & BEV_EVENT_ERROR) {
        end(arg, ERR_CLOSED, strerror(errno));
    }
}

struct json_lines *json_lines_new(struct event_base *base, int fd,
                                  const struct json_lines_handler *handler, void *arg)
{
    struct json_lines *lines = xcalloc(1, sizeof(*lines));
    struct bufferevent *bev = xchecked(bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE));
    lines->bev = bev;
    lines->handler = handler;
    lines->arg = arg;
    bufferevent_setcb(bev, on_read, NULL, on_event, lines);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    return lines;
}

void json_lines_send(struct json_lines *lines, const json_t *object, bool sentinel)
{
    if (lines->ended) {
        return;
    }
    char *text = json_dumps(object, JSON_COMPACT);
    if (text == NULL) {
        return;
    }
    /* A peer that does not read is caught by the sender's time-out; this bounds the memory. */
    if (evbuffer_get_length(bufferevent_get_output(lines->bev)) < MAX_UNSENT) {
        if (sentinel) {
            bufferevent_write(lines->bev, "\xff", 1);
        }
        count(lines, strlen(text) + 1, true);
        bufferevent_write(lines->bev, text, strlen(text));
        bufferevent_write(lines->bev, "\n", 1);
    }
    free(text);
}

/* In one piece, past libevent, which knows no ancillary data. */
static bool send_with_fd(int socket, const char *text, size_t len, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {(char *)text, len};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)len;
}

bool json_lines_send_fd(struct json_lines *lines, const json_t *object, int fd,
                        struct ninja_error *err)
{
    if (lines->ended) {
        return ninja_error_set(err, ERR_CLOSED, "the connection is closed");
    }
    if (evbuffer_get_length(bufferevent_get_output(lines->bev)) > 0) {
        return ninja_error_set(err, ERR_IO, "the peer does not read what was sent before");
    }
    char *text = xchecked(json_dumps(object, JSON_COMPACT));
    size_t len = strlen(text);
    text = xrealloc(text, len + 2);
    memcpy(text + len, "\n", 2);
    bool ok = send_with_fd(bufferevent_getfd(lines->bev), text, len + 1, fd) ||
              ninja_error_set(err, ERR_IO, "a descriptor could not be sent: %m");
    free(text);
    return ok;
}

void json_lines_skip_to_sentinel(struct json_lines *lines)
{
    lines->skipping = true;
}

void json_lines_free(struct json_lines *lines)
{
    if (lines == NULL) {
        return;
    }
    bufferevent_free(lines->bev);
    if (lines->busy) {
        lines->dead = true;
    } else {
        free(lines);
    }
}
