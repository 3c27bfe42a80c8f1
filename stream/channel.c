/*
 * Two threads: one reads from QEMU and sends, the other one writes to QEMU what came. What came
 * waits in a list, which the room that the other side was given bounds. Each direction ends by
 * itself, as QEMU may close one and still use the other; when both have, the channel is over.
 */
#include "stream/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/base/memory.h"
#include "host/base/worker.h"
#include "stream/bytes.h"
#include "stream/sender.h"
#include "stream/sorter.h"

#define READ_BYTES   (256 * 1024)
#define CREDIT_BYTES (CHANNEL_ROOM / 8) /* not to tell of each byte */

struct channel {
    struct session *session;
    uint16_t number;
    int vm, fd;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct frames came;
    size_t room_here;  /* what the other side may still send */
    size_t room_there; /* what we may */
    bool eof, broken;  /* nothing more will come; it is to end at once */
    int threads;
};

static bool tell(struct channel *channel, enum frame_type type)
{
    return session_send(channel->session, frame_new(type, channel->number, 0));
}

void channel_discard(struct channel *channel)
{
    struct frame *frame;
    while ((frame = TAILQ_FIRST(&channel->came)) != NULL) {
        TAILQ_REMOVE(&channel->came, frame, link);
        frame_free(frame);
    }
    close(channel->fd);
    pthread_mutex_destroy(&channel->lock);
    pthread_cond_destroy(&channel->changed);
    free(channel);
}

/* The last thread takes it apart. */
static void leave(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    bool last = --channel->threads == 0;
    pthread_mutex_unlock(&channel->lock);
    if (last) {
        session_remove(channel->session, channel);
        channel_discard(channel);
    }
}

/* As if the connection to its QEMU had broken. */
static void break_off(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    channel->broken = true;
    shutdown(channel->fd, SHUT_RDWR);
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
}

/* ---- from QEMU ---- */

/* Waits until the other side has room for so much, and takes that. False: the channel broke. */
static bool take_room(struct channel *channel, size_t len)
{
    pthread_mutex_lock(&channel->lock);
    while (channel->room_there < len && !channel->broken) {
        pthread_cond_wait(&channel->changed, &channel->lock);
    }
    bool taken = !channel->broken;
    if (taken) {
        channel->room_there -= len;
    }
    pthread_mutex_unlock(&channel->lock);
    return taken;
}

static bool send_bytes(struct channel *channel, const uint8_t *bytes, size_t len)
{
    if (!take_room(channel, len)) {
        return false;
    }
    struct frame *frame = frame_new(FRAME_BYTES, channel->number, (uint32_t)len);
    memcpy(frame->body, bytes, len);
    return session_send(channel->session, frame);
}

/* What is read, and what becomes of it: at the source pages are looked for. */
struct input {
    uint8_t bytes[READ_BYTES];
    struct sender *sender; /* NULL: it goes through as it is */
    struct sorter sorter;
};

static bool send_batch(struct channel *channel, struct input *in)
{
    struct batch *batch = &in->sorter.batch;
    size_t len = batch_raw_bytes(batch);
    return len == 0 || (take_room(channel, len) &&
                        sender_send(in->sender, batch, channel->number, channel->vm));
}

static bool sort_all(struct channel *channel, struct input *in, size_t len)
{
    for (size_t done = 0; done < len;) {
        done += sorter_take(&in->sorter, in->bytes + done, len - done);
        if (sorter_is_full(&in->sorter) && !send_batch(channel, in)) {
            return false;
        }
    }
    return true;
}

/* When QEMU has nothing more to say for the moment, what it said is not held back. */
static bool take_input(struct channel *channel, struct input *in, size_t len)
{
    struct pollfd more = {.fd = channel->fd, .events = POLLIN};
    if (in->sender == NULL) {
        return send_bytes(channel, in->bytes, len);
    }
    return sort_all(channel, in, len) && (poll(&more, 1, 0) == 1 || send_batch(channel, in));
}

/* Returns how QEMU ended it. */
static enum frame_type read_all(struct channel *channel, struct input *in)
{
    while (true) {
        ssize_t n = read(channel->fd, in->bytes, READ_BYTES);
        if (n == 0) {
            return in->sender == NULL || send_batch(channel, in) ? FRAME_EOF : FRAME_RESET;
        }
        if ((n < 0 && errno != EINTR) || (n > 0 && !take_input(channel, in, (size_t)n))) {
            return FRAME_RESET;
        }
    }
}

static void from_qemu(void *arg)
{
    struct channel *channel = arg;
    struct input *in = xcalloc(1, sizeof(*in));
    in->sender = session_sender(channel->session);
    sorter_init(&in->sorter);
    enum frame_type end = read_all(channel, in);
    free(in);
    codec_leave_thread();
    tell(channel, end);
    if (end == FRAME_RESET) {
        break_off(channel);
    }
    leave(channel);
}

/* ---- to QEMU ---- */

static struct frame *wait_for_frame(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    while (TAILQ_EMPTY(&channel->came) && !channel->eof && !channel->broken) {
        pthread_cond_wait(&channel->changed, &channel->lock);
    }
    struct frame *frame = channel->broken ? NULL : TAILQ_FIRST(&channel->came);
    if (frame != NULL) {
        TAILQ_REMOVE(&channel->came, frame, link);
    }
    pthread_mutex_unlock(&channel->lock);
    return frame;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* Gives back the room of what was written, a good part of it at a time. */
static bool give_room(struct channel *channel, size_t *written)
{
    if (*written < CREDIT_BYTES) {
        return true;
    }
    struct frame *credit = frame_new(FRAME_CREDIT, channel->number, 4);
    put32(credit->body, (uint32_t)*written);
    pthread_mutex_lock(&channel->lock);
    channel->room_here += *written;
    pthread_mutex_unlock(&channel->lock);
    *written = 0;
    return session_send(channel->session, credit);
}

static bool write_frames(struct channel *channel)
{
    struct frame *frame;
    size_t written = 0;
    while ((frame = wait_for_frame(channel)) != NULL) {
        bool done = write_all(channel->fd, frame->body, frame->length);
        written += frame->length;
        frame_free(frame);
        if (!done || !give_room(channel, &written)) {
            return false;
        }
    }
    return !channel->broken;
}

static void to_qemu(void *arg)
{
    struct channel *channel = arg;
    if (write_frames(channel)) {
        shutdown(channel->fd, SHUT_WR);
    } else {
        break_off(channel); /* the other thread tells the other side */
    }
    leave(channel);
}

/* ---- for others ---- */

struct channel *channel_new(struct session *session, uint16_t number, int vm, int fd)
{
    struct channel *channel = xcalloc(1, sizeof(*channel));
    channel->session = session;
    channel->number = number;
    channel->vm = vm;
    channel->fd = fd;
    channel->room_here = channel->room_there = CHANNEL_ROOM;
    TAILQ_INIT(&channel->came);
    pthread_mutex_init(&channel->lock, NULL);
    pthread_cond_init(&channel->changed, NULL);
    return channel;
}

bool channel_start(struct channel *channel)
{
    channel->threads = 2;
    if (!worker_once(from_qemu, channel)) {
        session_remove(channel->session, channel);
        channel_discard(channel);
        return false;
    }
    if (!worker_once(to_qemu, channel)) {
        break_off(channel);
        leave(channel);
        return false;
    }
    return true;
}

uint16_t channel_number(const struct channel *channel)
{
    return channel->number;
}

static bool takes_bytes(const struct channel *channel, const struct frame *frame)
{
    return frame->length > 0 && frame->length <= channel->room_here && !channel->eof;
}

static bool takes_credit(const struct channel *channel, const struct frame *frame)
{
    return frame->length == 4 && get32(frame->body) <= CHANNEL_ROOM - channel->room_there;
}

/* With the lock held; false: it makes no sense. */
static bool take(struct channel *channel, struct frame *frame, bool *kept)
{
    switch (frame->type) {
    case FRAME_BYTES:
        if (!takes_bytes(channel, frame)) {
            return false;
        }
        channel->room_here -= frame->length;
        TAILQ_INSERT_TAIL(&channel->came, frame, link);
        *kept = true;
        return true;
    case FRAME_CREDIT:
        if (!takes_credit(channel, frame)) {
            return false;
        }
        channel->room_there += get32(frame->body);
        return true;
    case FRAME_EOF:
        channel->eof = true;
        return true;
    case FRAME_RESET:
        channel->broken = true;
        shutdown(channel->fd, SHUT_RDWR);
        return true;
    default:
        return false;
    }
}

bool channel_take(struct channel *channel, struct frame *frame, struct ninja_error *err)
{
    bool kept = false;
    pthread_mutex_lock(&channel->lock);
    bool taken = take(channel, frame, &kept);
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    if (!kept) {
        frame_free(frame);
    }
    return taken ||
           ninja_error_set(err, ERR_PROTOCOL, "the other side of the stream breaks its rules");
}
