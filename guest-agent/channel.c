/*
 * Theory of operation
 *
 * A virtio port reads as end of file, and polls as hung up, for as long as no host has its other
 * end open: before the first one comes, between two of them, and for some time in a migration. The
 * descriptor stays good. So the channel of a port is PRESENT or AWAY; while AWAY it waits for no
 * event, which would fire all the time, but tries a read every AWAY_MS. What is queued stays
 * queued; what the kernel took is not sent again. As the next host may be another one, half a
 * request is forgotten and the greeting asked for anew.
 *
 * A host that sends and does not read is no longer read from when HIGH_WATER bytes wait for it, and
 * gets no events above EVENTS_WATER: it sees from the sequence numbers that some are missing, and
 * ninja-events gives them again.
 */
#include "guest-agent/channel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/jsonline.h"

#define AWAY_MS      100
#define READ_SIZE    16384
#define EVENTS_WATER (8u * 1024 * 1024)
#define HIGH_WATER   (16u * 1024 * 1024)

enum presence { PRESENT, AWAY, ENDED };

static const char *const presence_names[] = {
    [PRESENT] = "PRESENT",
    [AWAY] = "AWAY",
    [ENDED] = "ENDED",
};

struct channel {
    int fd;
    enum channel_kind kind;
    enum presence presence;
    const struct channel_ops *ops;
    void *ctx;
    struct event *readable, *writable, *timer; /* timer: the next try while AWAY, or the end */
    struct evbuffer *out;
    struct jsonline *in;
    int error;
    bool greeted, dropping;
};

static void set_presence(struct channel *ch, enum presence presence)
{
    if (ch->presence != presence) {
        ninja_log_info("channel %d: %s -> %s", ch->fd, presence_names[ch->presence],
                       presence_names[presence]);
        ch->presence = presence;
    }
}

static void in_ms(struct event *timer, int ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(timer, &tv);
}

/* The owner is told from the timer: it frees the channel, which may be in use now. */
static void end(struct channel *ch, int error)
{
    if (ch->presence == ENDED) {
        return;
    }
    event_del(ch->readable);
    event_del(ch->writable);
    ch->error = error;
    ch->greeted = false;
    set_presence(ch, ENDED);
    in_ms(ch->timer, 0);
}

static void go_away(struct channel *ch)
{
    event_del(ch->readable);
    event_del(ch->writable);
    if (ch->presence == PRESENT) {
        jsonline_reset(ch->in);
        ch->greeted = false;
        set_presence(ch, AWAY);
    }
    in_ms(ch->timer, AWAY_MS);
}

static void flush(struct channel *ch)
{
    while (ch->presence == PRESENT && evbuffer_get_length(ch->out) > 0) {
        int n = evbuffer_write(ch->out, ch->fd);
        if (n > 0 || (n < 0 && errno == EINTR)) {
            continue;
        }
        if (n == 0 || errno == EAGAIN) {
            event_add(ch->writable, NULL);
        } else {
            end(ch, errno);
        }
        break;
    }
    size_t left = evbuffer_get_length(ch->out);
    if (left < EVENTS_WATER / 2) {
        ch->dropping = false;
    }
    if (ch->presence == PRESENT && left < HIGH_WATER / 2) {
        event_add(ch->readable, NULL);
    }
}

static void come_back(struct channel *ch)
{
    if (ch->presence == AWAY) {
        evtimer_del(ch->timer);
        set_presence(ch, PRESENT);
        flush(ch);
    }
}

/* Reads once: in both presences, as reading is how a host is noticed. */
static void try_read(struct channel *ch)
{
    char bytes[READ_SIZE];
    ssize_t n = read(ch->fd, bytes, sizeof(bytes));
    if (n > 0) {
        come_back(ch);
        jsonline_feed(ch->in, bytes, (size_t)n);
    } else if (n == 0 && ch->kind == CHANNEL_PORT) {
        go_away(ch);
    } else if (n == 0) {
        end(ch, 0);
    } else if (errno == EAGAIN) {
        come_back(ch);
    } else if (errno != EINTR) {
        end(ch, errno);
    } else if (ch->presence == AWAY) {
        in_ms(ch->timer, AWAY_MS);
    }
    if (evbuffer_get_length(ch->out) >= HIGH_WATER) {
        event_del(ch->readable);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    try_read(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    flush(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct channel *ch = arg;
    if (ch->presence == ENDED) {
        ch->ops->gone(ch->ctx, ch, ch->error);
    } else {
        try_read(ch);
    }
}

static void on_line(void *arg, json_t *object, const char *wrong)
{
    struct channel *ch = arg;
    if (ch->presence != ENDED) {
        ch->ops->request(ch->ctx, ch, object, wrong);
    }
}

struct channel *channel_new(struct event_base *base, int fd, enum channel_kind kind,
                            const struct channel_ops *ops, void *ctx)
{
    struct channel *ch = calloc(1, sizeof(*ch));
    if (ch == NULL) {
        return NULL;
    }
    *ch = (struct channel){.fd = fd, .kind = kind, .ops = ops, .ctx = ctx};
    ch->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, ch);
    ch->writable = event_new(base, fd, EV_WRITE, on_writable, ch);
    ch->timer = evtimer_new(base, on_timer, ch);
    ch->out = evbuffer_new();
    ch->in = jsonline_new(CHANNEL_MAX_REQUEST, on_line, ch);
    if (ch->readable == NULL || ch->writable == NULL || ch->timer == NULL || ch->out == NULL ||
        ch->in == NULL || event_add(ch->readable, NULL) != 0) {
        ch->fd = -1;
        channel_free(ch);
        return NULL;
    }
    return ch;
}

void channel_free(struct channel *ch)
{
    if (ch == NULL) {
        return;
    }
    struct event *const events[] = {ch->readable, ch->writable, ch->timer};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    if (ch->out != NULL) {
        evbuffer_free(ch->out);
    }
    jsonline_free(ch->in);
    if (ch->fd >= 0) {
        close(ch->fd);
    }
    free(ch);
}

static int add_bytes(const char *bytes, size_t len, void *out)
{
    return evbuffer_add(out, bytes, len);
}

static void queue(struct channel *ch, json_t *line, bool delimit)
{
    struct evbuffer *whole = evbuffer_new();
    if (whole == NULL || (delimit && evbuffer_add(whole, "\xff", 1) != 0) ||
        json_dump_callback(line, add_bytes, whole, JSON_COMPACT) != 0 ||
        evbuffer_add(whole, "\n", 1) != 0 || evbuffer_add_buffer(ch->out, whole) != 0) {
        ninja_log_error("channel %d: an answer is lost: out of memory", ch->fd);
    }
    if (whole != NULL) {
        evbuffer_free(whole);
    }
    flush(ch);
}

void channel_send(struct channel *ch, json_t *line, bool delimit)
{
    if (ch->presence != ENDED) {
        queue(ch, line, delimit);
    }
}

void channel_send_event(struct channel *ch, json_t *event)
{
    if (!ch->greeted) {
        return;
    }
    if (evbuffer_get_length(ch->out) > EVENTS_WATER) {
        if (!ch->dropping) {
            ninja_log_warning("channel %d: the host does not read; events wait in the ring only",
                              ch->fd);
        }
        ch->dropping = true;
        return;
    }
    queue(ch, event, false);
}

bool channel_greeted(const struct channel *ch)
{
    return ch->greeted;
}

void channel_set_greeted(struct channel *ch)
{
    ch->greeted = true;
}
