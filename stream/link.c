/*
 * Two threads: one makes the connection, reads from it, and makes it again when it breaks; the
 * other one writes. A frame that was sent stays in a list until the other side has said that it
 * took it; what a new connection has to repeat begins with the number that the other side awaits,
 * which each tells the other one first. So a break costs nothing but time.
 *
 * On its way is as much as the link carries in a round trip and a tenth of a second. More would
 * help nothing, and QEMU, which measures how fast it gets rid of its memory, would be misled about
 * how long the last part of it takes.
 */
#include "stream/link.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "host/base/machine.h"
#include "host/base/memory.h"
#include "host/base/worker.h"
#include "stream/bytes.h"
#include "stream/tcp.h"

#define MAGIC        "NINJASTR"
#define HELLO_BYTES  24
#define HELLO_MS     10000
#define HANDSHAKE_MS 5000
#define RETRY_MS     200
#define WINDOW_MIN   (256 * 1024)
#define WINDOW_MAX   (32 * 1024 * 1024)
#define QUEUE_US     100000
#define RATE_US      100000 /* over which the rate is measured */

enum link_state {
    LINK_CONNECTING,
    LINK_UP,
    LINK_BROKEN,
    LINK_OVER,
    LINK_STATES,
};

struct link {
    struct link_config config;
    const struct link_handler *handler;
    void *arg;
    int listener; /* -1: it connects */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum link_state state;
    struct ninja_error end; /* why it is over */
    struct tls *tls;        /* while LINK_UP */
    bool writing;           /* the writer uses `tls` */

    struct frames kept; /* sent, or to be sent, and not yet taken by the other side */
    struct frame *next; /* the first one to be sent; NULL: none */
    uint64_t next_number, awaited;
    uint64_t written; /* all frames before that number are */
    bool owes_ack;
    size_t on_its_way, window; /* bytes of `kept` */

    int64_t rate_since_us;
    uint64_t rate_bytes;
    int64_t may_write_us; /* by the limit of the rate */
    struct link_counters counters;
};

static const char *const names[] = {
    [LINK_CONNECTING] = "connecting",
    [LINK_UP] = "up",
    [LINK_BROKEN] = "broken",
    [LINK_OVER] = "over",
};
static const unsigned may_follow[LINK_STATES] = {
    [LINK_CONNECTING] = 1u << LINK_UP | 1u << LINK_OVER,
    [LINK_UP] = 1u << LINK_BROKEN | 1u << LINK_OVER,
    [LINK_BROKEN] = 1u << LINK_UP | 1u << LINK_OVER,
    [LINK_OVER] = 0,
};
static const struct machine states = {"link", names, may_follow};

/* With the lock held. */
static void set_state(struct link *link, enum link_state to)
{
    if (machine_changes(&states, NULL, link->state, to)) {
        link->state = to;
        pthread_cond_broadcast(&link->changed);
    }
}

static size_t size_of(const struct frame *frame)
{
    return FRAME_HEAD_BYTES + frame->length;
}

/* ---- what the other side took ---- */

static void measure_rate(struct link *link, size_t bytes, int64_t now)
{
    link->rate_bytes += bytes;
    if (now - link->rate_since_us < RATE_US) {
        return;
    }
    double rate = (double)link->rate_bytes / (double)(now - link->rate_since_us);
    double wanted = rate * (double)(link->counters.round_trip_us + QUEUE_US);
    link->rate_since_us = now;
    link->rate_bytes = 0;
    link->window = wanted < WINDOW_MIN   ? WINDOW_MIN
                   : wanted > WINDOW_MAX ? WINDOW_MAX
                                         : (size_t)wanted;
}

/* With the lock held: all before that number. */
static void forget_until(struct link *link, uint64_t number)
{
    struct frame *frame;
    int64_t now = now_us();
    while ((frame = TAILQ_FIRST(&link->kept)) != NULL && frame->number < number) {
        int64_t took = now - frame->sent_us;
        if (link->counters.round_trip_us == 0 || took < link->counters.round_trip_us) {
            link->counters.round_trip_us = took > 0 ? took : 1;
        }
        if (frame == link->next) {
            link->next = TAILQ_NEXT(frame, link);
        }
        link->on_its_way -= size_of(frame);
        measure_rate(link, size_of(frame), now);
        TAILQ_REMOVE(&link->kept, frame, link);
        frame_free(frame);
    }
    pthread_cond_broadcast(&link->changed);
}

/* ---- writing ---- */

/* With the lock held: how long the limit of the rate has it wait, and counts it. */
static int64_t wait_for_rate(struct link *link, size_t bytes)
{
    int64_t now = now_us(), limit = link->config.bytes_per_s;
    if (limit == 0) {
        return 0;
    }
    if (link->may_write_us < now) {
        link->may_write_us = now;
    }
    int64_t wait = link->may_write_us - now;
    link->may_write_us += (int64_t)bytes * 1000000 / limit;
    return wait;
}

/* With the lock held, which is given up meanwhile. */
static void write_frame(struct link *link, struct frame *frame)
{
    struct tls *tls = link->tls;
    uint8_t head[FRAME_HEAD_BYTES];
    int64_t wait = wait_for_rate(link, size_of(frame));
    frame_head_put(frame, head);
    link->writing = true;
    pthread_mutex_unlock(&link->lock);
    if (wait > 0) {
        usleep((useconds_t)wait);
    }
    bool written = tls_write(tls, head, sizeof(head)) &&
                   (frame->length == 0 || tls_write(tls, frame->body, frame->length));
    pthread_mutex_lock(&link->lock);
    link->writing = false;
    link->counters.bytes_sent += size_of(frame);
    if (!written) {
        tls_shut(tls); /* the reader sees to the rest */
    } else if (frame->type != FRAME_ACK) {
        link->written = frame->number + 1;
    }
    pthread_cond_broadcast(&link->changed);
}

static void write_next(struct link *link)
{
    struct frame *frame = link->next;
    if (link->owes_ack) {
        struct frame ack = {.type = FRAME_ACK, .number = link->awaited};
        link->owes_ack = false;
        write_frame(link, &ack);
        return;
    }
    link->next = TAILQ_NEXT(frame, link);
    frame->sent_us = now_us();
    write_frame(link, frame);
}

static void writer(void *arg)
{
    struct link *link = arg;
    pthread_mutex_lock(&link->lock);
    while (link->state != LINK_OVER) {
        if (link->state == LINK_UP && (link->owes_ack || link->next != NULL)) {
            write_next(link);
        } else {
            pthread_cond_wait(&link->changed, &link->lock);
        }
    }
    pthread_mutex_unlock(&link->lock);
}

/* ---- reading ---- */

static bool take_ack(struct link *link, uint64_t number, struct ninja_error *err)
{
    pthread_mutex_lock(&link->lock);
    while (link->writing && number > link->written) { /* the writer does not know yet */
        pthread_cond_wait(&link->changed, &link->lock);
    }
    bool makes_sense = number <= link->written;
    if (makes_sense) {
        forget_until(link, number);
    }
    pthread_mutex_unlock(&link->lock);
    return makes_sense || ninja_error_set(err, ERR_PROTOCOL,
                                          "the other side of the stream took what was not sent");
}

static bool take_frame(struct link *link, struct frame *frame, struct ninja_error *err)
{
    size_t bytes = size_of(frame);
    if (!link->handler->on_frame(link->arg, frame, err)) {
        return false;
    }
    pthread_mutex_lock(&link->lock);
    link->counters.bytes_received += bytes;
    link->awaited++;
    link->owes_ack = true;
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    return true;
}

/* False without err: the connection is gone. */
static bool read_frame(struct link *link, struct tls *tls, struct ninja_error *err)
{
    uint8_t bytes[FRAME_HEAD_BYTES];
    struct frame head;
    if (!tls_read(tls, bytes, sizeof(bytes))) {
        return false;
    }
    if (!frame_head_get(&head, bytes)) {
        return ninja_error_set(err, ERR_PROTOCOL, "the other side of the stream sent nonsense");
    }
    if (head.type == FRAME_ACK) {
        return take_ack(link, head.number, err);
    }
    if (head.number != link->awaited) {
        return ninja_error_set(err, ERR_PROTOCOL, "a part of the stream was left out");
    }
    struct frame *frame = frame_new(head.type, head.channel, head.length);
    frame->number = head.number;
    if (frame->length > 0 && !tls_read(tls, frame->body, frame->length)) {
        frame_free(frame);
        return false;
    }
    return take_frame(link, frame, err);
}

/* ---- the connection ---- */

static bool exchange_hello(struct link *link, struct tls *tls, uint64_t *awaited,
                           struct ninja_error *err)
{
    uint8_t mine[HELLO_BYTES] = MAGIC, theirs[HELLO_BYTES];
    tls_limit(tls, HELLO_MS);
    put16(mine + 8, STREAM_VERSION);
    mine[10] = link->config.listens;
    put64(mine + 16, link->awaited);
    if (!tls_write(tls, mine, sizeof(mine)) || !tls_read(tls, theirs, sizeof(theirs))) {
        return ninja_error_set(err, ERR_CONNECT, "the other side of the stream said nothing");
    }
    tls_limit(tls, 0);
    *awaited = get64(theirs + 16);
    if (memcmp(theirs, MAGIC, 8) != 0 || get16(theirs + 8) != STREAM_VERSION) {
        return ninja_error_set(err, ERR_PROTOCOL_MISMATCH,
                               "ninja-stream is of version %d here and %d at the other side: "
                               "install the same version at both",
                               STREAM_VERSION, get16(theirs + 8));
    }
    return theirs[10] != link->config.listens ||
           ninja_error_set(err, ERR_PROTOCOL, "both sides of the stream have the same role");
}

/* With the lock held: goes on where the other side is. */
static bool go_on_from(struct link *link, uint64_t awaited, struct ninja_error *err)
{
    struct frame *first = TAILQ_FIRST(&link->kept);
    uint64_t oldest = first != NULL ? first->number : link->next_number;
    if (awaited < oldest || awaited > link->next_number) {
        return ninja_error_set(err, ERR_LOST, "the other side of the stream was started anew");
    }
    forget_until(link, awaited);
    link->next = TAILQ_FIRST(&link->kept);
    link->written = awaited;
    link->owes_ack = false;
    return true;
}

/* One attempt. An error of class ERR_CONNECT or ERR_ABSENT may pass. */
static struct tls *connect_once(struct link *link, int timeout_ms, struct ninja_error *err)
{
    uint64_t awaited = 0;
    int fd = link->listener >= 0
                 ? tcp_accept(link->listener, timeout_ms, err)
                 : tcp_connect(link->config.host, link->config.port, timeout_ms, err);
    if (fd < 0) {
        return NULL;
    }
    /* Nor does one who connects and says nothing keep others out for long. */
    int handshake_ms = timeout_ms < HANDSHAKE_MS ? timeout_ms : HANDSHAKE_MS;
    struct tls *tls = tls_new(fd, link->config.listens, link->config.key, handshake_ms, err);
    if (tls == NULL) {
        return NULL;
    }
    bool met = exchange_hello(link, tls, &awaited, err);
    pthread_mutex_lock(&link->lock);
    met = met && go_on_from(link, awaited, err);
    if (met) {
        link->tls = tls;
        set_state(link, LINK_UP);
    }
    pthread_mutex_unlock(&link->lock);
    if (!met) {
        tls_free(tls);
        return NULL;
    }
    return tls;
}

/* Whoever else connects does not keep the other side from it. */
static bool may_pass(const struct link *link, const struct ninja_error *err)
{
    return err->class == ERR_CONNECT || err->class == ERR_ABSENT || err->class == ERR_TIMEOUT ||
           (link->config.listens && err->class == ERR_FORBIDDEN);
}

static struct tls *connect_within(struct link *link, int timeout_ms, struct ninja_error *err)
{
    int64_t until = now_ms() + timeout_ms;
    while (true) {
        struct ninja_error why = NINJA_ERROR_INIT;
        int64_t left = until - now_ms();
        struct tls *tls = connect_once(link, left > 1 ? (int)left : 1, &why);
        if (tls != NULL) {
            return tls;
        }
        if (!may_pass(link, &why) || now_ms() + RETRY_MS > until) {
            *err = why;
            return NULL;
        }
        usleep(RETRY_MS * 1000);
    }
}

/* Until it breaks. */
static void read_all(struct link *link, struct tls *tls, struct ninja_error *err)
{
    while (read_frame(link, tls, err)) {
    }
    tls_shut(tls);
    pthread_mutex_lock(&link->lock);
    while (link->writing) {
        pthread_cond_wait(&link->changed, &link->lock);
    }
    link->tls = NULL;
    if (link->config.resume_ms == 0) {
        ninja_error_set(err, ERR_LOST, "the connection between the two sides of the stream broke");
    }
    if (!ninja_error_is_set(err)) {
        link->counters.reconnects++;
        set_state(link, LINK_BROKEN);
        ninja_log_warning("the connection between the two sides broke; it is being made again");
    }
    pthread_mutex_unlock(&link->lock);
    tls_free(tls);
}

static void reader(void *arg)
{
    struct link *link = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    int timeout_ms = link->config.connect_ms;
    while (!ninja_error_is_set(&err)) {
        struct tls *tls = connect_within(link, timeout_ms, &err);
        if (tls != NULL) {
            read_all(link, tls, &err);
        }
        timeout_ms = link->config.resume_ms;
    }
    pthread_mutex_lock(&link->lock);
    link->end = err;
    set_state(link, LINK_OVER);
    pthread_mutex_unlock(&link->lock);
    link->handler->on_end(link->arg, &err);
}

/* ---- for others ---- */

struct link *link_new(const struct link_config *config, const struct link_handler *handler,
                      void *arg, struct ninja_error *err)
{
    int listener = config->listens ? tcp_listen(config->host, config->port, err) : -1;
    if (config->listens && listener < 0) {
        return NULL;
    }
    struct link *link = xcalloc(1, sizeof(*link));
    link->config = *config;
    link->handler = handler;
    link->arg = arg;
    link->listener = listener;
    link->window = 4 * WINDOW_MIN;
    TAILQ_INIT(&link->kept);
    pthread_mutex_init(&link->lock, NULL);
    worker_condition(&link->changed);
    return link;
}

bool link_start(struct link *link, struct ninja_error *err)
{
    return (worker_once(writer, link) && worker_once(reader, link)) ||
           ninja_error_set(err, ERR_NO_MEMORY, "there is no thread for the stream");
}

bool link_wait(struct link *link, struct ninja_error *err)
{
    pthread_mutex_lock(&link->lock);
    while (link->state == LINK_CONNECTING) {
        pthread_cond_wait(&link->changed, &link->lock);
    }
    bool met = link->state != LINK_OVER;
    if (!met) {
        *err = link->end;
    }
    pthread_mutex_unlock(&link->lock);
    return met;
}

static bool send_frame(struct link *link, struct frame *frame, bool waits)
{
    pthread_mutex_lock(&link->lock);
    while (waits && link->state != LINK_OVER && link->on_its_way > link->window) {
        pthread_cond_wait(&link->changed, &link->lock);
    }
    bool goes_on = link->state != LINK_OVER;
    if (goes_on) {
        frame->number = link->next_number++;
        link->on_its_way += size_of(frame);
        TAILQ_INSERT_TAIL(&link->kept, frame, link);
        link->next = link->next != NULL ? link->next : frame;
        pthread_cond_broadcast(&link->changed);
    }
    pthread_mutex_unlock(&link->lock);
    if (!goes_on) {
        frame_free(frame);
    }
    return goes_on;
}

bool link_send(struct link *link, struct frame *frame)
{
    return send_frame(link, frame, true);
}

bool link_send_now(struct link *link, struct frame *frame)
{
    return send_frame(link, frame, false);
}

void link_flush(struct link *link, int timeout_ms)
{
    int64_t until = now_ms() + timeout_ms;
    pthread_mutex_lock(&link->lock);
    while (!TAILQ_EMPTY(&link->kept) && link->state != LINK_OVER && now_ms() < until) {
        worker_wait(&link->changed, &link->lock, until - now_ms());
    }
    pthread_mutex_unlock(&link->lock);
}

bool link_is_full(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool full = link->on_its_way > link->window / 2;
    pthread_mutex_unlock(&link->lock);
    return full;
}

void link_count(struct link *link, struct link_counters *counters)
{
    pthread_mutex_lock(&link->lock);
    *counters = link->counters;
    pthread_mutex_unlock(&link->lock);
}
