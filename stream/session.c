#include "stream/session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/unixsock.h"
#include "host/base/memory.h"
#include "host/base/worker.h"
#include "stream/bytes.h"
#include "stream/channel.h"
#include "stream/sender.h"

struct vm {
    struct session *session;
    int number;
    char path[108]; /* empty: it is not known */
    struct unixsock listener;
};

struct session {
    bool is_source;
    struct link *link;
    struct sender *sender; /* at the source */
    struct pages *pages;   /* at the destination; of the thread that reads from the link */
    void (*on_end)(const struct ninja_error *err);

    pthread_mutex_t lock; /* of what follows; no other one is taken while it is held */
    pthread_cond_t idle;
    struct vm vms[SESSION_MAX_VMS];
    struct channel *channels[SESSION_MAX_CHANNELS];
    unsigned taken; /* by a thread of the link: none of them is removed now */
    int n_channels, n_opening;
    uint16_t next_channel;
};

/* ---- channels ---- */

static struct channel **place_of(struct session *session, uint16_t number)
{
    return &session->channels[number % SESSION_MAX_CHANNELS];
}

static bool add(struct session *session, struct channel *channel)
{
    pthread_mutex_lock(&session->lock);
    struct channel **place = place_of(session, channel_number(channel));
    bool is_free = *place == NULL;
    if (is_free) {
        *place = channel;
        session->n_channels++;
    }
    pthread_mutex_unlock(&session->lock);
    return is_free;
}

void session_remove(struct session *session, struct channel *channel)
{
    pthread_mutex_lock(&session->lock);
    while (session->taken > 0) {
        pthread_cond_wait(&session->idle, &session->lock);
    }
    *place_of(session, channel_number(channel)) = NULL;
    session->n_channels--;
    pthread_cond_broadcast(&session->idle);
    pthread_mutex_unlock(&session->lock);
}

/* It is not removed before put_back(). NULL: it is over. */
static struct channel *take_out(struct session *session, uint16_t number)
{
    pthread_mutex_lock(&session->lock);
    struct channel *channel = *place_of(session, number);
    if (channel != NULL && channel_number(channel) != number) {
        channel = NULL;
    }
    session->taken += channel != NULL;
    pthread_mutex_unlock(&session->lock);
    return channel;
}

static void put_back(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    session->taken--;
    pthread_cond_broadcast(&session->idle);
    pthread_mutex_unlock(&session->lock);
}

/* NULL: the number is taken. */
static struct channel *add_channel(struct session *session, uint16_t number, int vm, int fd)
{
    struct channel *channel = channel_new(session, number, vm, fd);
    if (!add(session, channel)) {
        channel_discard(channel);
        return NULL;
    }
    return channel;
}

/* ---- at the source ---- */

/* The next number whose place is free; -1: there are too many. */
static int next_number(struct session *session)
{
    int number = -1;
    pthread_mutex_lock(&session->lock);
    for (int i = 0; i < SESSION_MAX_CHANNELS && number < 0; i++) {
        uint16_t next = session->next_channel++;
        if (*place_of(session, next) == NULL) {
            number = next;
        }
    }
    pthread_mutex_unlock(&session->lock);
    return number;
}

static void qemu_connected(struct vm *vm, int fd)
{
    int number = next_number(vm->session);
    if (number < 0) {
        ninja_log_warning("too many connections at once: one of %s is refused", vm->path);
        close(fd);
        return;
    }
    struct channel *channel = add_channel(vm->session, (uint16_t)number, vm->number, fd);
    struct frame *open = frame_new(FRAME_OPEN, (uint16_t)number, 2);
    put16(open->body, (uint16_t)vm->number);
    if (!session_send(vm->session, open) || channel == NULL || !channel_start(channel)) {
        session_send(vm->session, frame_new(FRAME_RESET, (uint16_t)number, 0));
    }
}

static void accept_all(void *arg)
{
    struct vm *vm = arg;
    struct pollfd in = {.fd = vm->listener.fd, .events = POLLIN};
    while (poll(&in, 1, -1) >= 0 || errno == EINTR) {
        int fd = accept4(vm->listener.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            qemu_connected(vm, fd);
        }
    }
}

/* ---- at the destination ---- */

/* -1: nobody listens there, or the VM is not known. */
static int connect_qemu(struct session *session, int vm)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_mutex_lock(&session->lock);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", session->vms[vm].path);
    pthread_mutex_unlock(&session->lock);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        ninja_log_warning("QEMU does not listen at \"%s\": %m", address.sun_path);
        close(fd);
        fd = -1;
    }
    return fd;
}

static void count_opening(struct session *session, int n)
{
    pthread_mutex_lock(&session->lock);
    session->n_opening += n;
    pthread_cond_broadcast(&session->idle);
    pthread_mutex_unlock(&session->lock);
}

/* A QEMU that is not there is its VM's misfortune alone. */
static bool open_channel(struct session *session, const struct frame *frame,
                         struct ninja_error *err)
{
    int vm = frame->length == 2 ? get16(frame->body) : SESSION_MAX_VMS;
    if (session->is_source || vm >= SESSION_MAX_VMS) {
        return ninja_error_set(err, ERR_PROTOCOL, "the other side of the stream names no VM");
    }
    count_opening(session, 1); /* QEMU may notice before the channel is there */
    int fd = connect_qemu(session, vm);
    struct channel *channel = fd >= 0 ? add_channel(session, frame->channel, vm, fd) : NULL;
    if (channel == NULL || !channel_start(channel)) {
        link_send_now(session->link, frame_new(FRAME_RESET, frame->channel, 0));
    }
    count_opening(session, -1);
    return true;
}

/* Also of a channel that is over, as others may refer to what is in it. */
static struct frame *unpacked(struct session *session, struct frame *frame, struct ninja_error *err)
{
    struct frame *bytes = NULL;
    if (session->is_source) {
        ninja_error_set(err, ERR_PROTOCOL, "memory comes from where it was sent to");
    } else {
        bytes = batch_decode(frame, session->pages, err);
    }
    frame_free(frame);
    return bytes;
}

static bool on_frame(void *arg, struct frame *frame, struct ninja_error *err)
{
    struct session *session = arg;
    if (frame->type == FRAME_OPEN) {
        bool done = open_channel(session, frame, err);
        frame_free(frame);
        return done;
    }
    if (frame->type == FRAME_BATCH && (frame = unpacked(session, frame, err)) == NULL) {
        return false;
    }
    struct channel *channel = take_out(session, frame->channel);
    if (channel == NULL) { /* it is over, which the other side does not know yet */
        frame_free(frame);
        return true;
    }
    bool taken = channel_take(channel, frame, err);
    put_back(session);
    return taken;
}

static void on_link_end(void *arg, const struct ninja_error *err)
{
    struct session *session = arg;
    session->on_end(err);
}

static const struct link_handler handler = {.on_frame = on_frame, .on_end = on_link_end};

/* ---- for others ---- */

struct session *session_new(const struct link_config *config, uint32_t pages,
                            void (*on_end)(const struct ninja_error *err), struct ninja_error *err)
{
    struct session *session = xcalloc(1, sizeof(*session));
    session->is_source = !config->listens;
    session->on_end = on_end;
    pthread_mutex_init(&session->lock, NULL);
    worker_condition(&session->idle);
    session->link = link_new(config, &handler, session, err);
    if (session->link == NULL) {
        return NULL;
    }
    if (session->is_source) {
        session->sender = sender_new(session->link, pages);
    } else {
        session->pages = pages_new(pages);
    }
    return link_start(session->link, err) ? session
                                          : NULL; /* what was begun ends with the program */
}

struct sender *session_sender(struct session *session)
{
    return session->sender;
}

struct link *session_link(struct session *session)
{
    return session->link;
}

bool session_add_vm(struct session *session, int number, const char *path, struct ninja_error *err)
{
    struct vm *vm = &session->vms[number];
    if (strlen(path) >= sizeof(vm->path)) {
        return ninja_error_set(err, ERR_ADDRESS, "%s: the path of a socket is too long", path);
    }
    if (session->is_source && vm->path[0] != '\0') {
        return true;
    }
    pthread_mutex_lock(&session->lock);
    vm->session = session;
    vm->number = number;
    snprintf(vm->path, sizeof(vm->path), "%s", path);
    pthread_mutex_unlock(&session->lock);
    return !session->is_source ||
           (unixsock_listen(&vm->listener, path, SOCK_STREAM, 0600, err) &&
            (worker_once(accept_all, vm) ||
             ninja_error_set(err, ERR_NO_MEMORY, "there is no thread for the stream")));
}

bool session_send(struct session *session, struct frame *frame)
{
    return link_send(session->link, frame);
}

void session_wait_idle(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    while (session->n_channels + session->n_opening > 0) {
        pthread_cond_wait(&session->idle, &session->lock);
    }
    pthread_mutex_unlock(&session->lock);
}
