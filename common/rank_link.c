/*
 *     DOWN --> GREETING --> UP        any of them --> DOWN: the connection was lost
 *                  |
 *                  +------> REFUSED
 */
#include "common/rank_link.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"

#define RETRY_MS    1000
#define GREETING_MS 10000 /* that long the agent waits for a hello */

#define LINK_NAME(state) [RANK_LINK_##state] = #state,
static const char *const state_names[] = {NINJA_EACH_LINK_STATE(LINK_NAME)};

#define TO(state) (1u << RANK_LINK_##state)
static const unsigned legal[] = {
    [RANK_LINK_DOWN] = TO(GREETING),
    [RANK_LINK_GREETING] = TO(UP) | TO(REFUSED) | TO(DOWN),
    [RANK_LINK_UP] = TO(DOWN),
    [RANK_LINK_REFUSED] = TO(DOWN),
};
_Static_assert(sizeof(legal) / sizeof(legal[0]) == RANK_LINK_STATES, "a row for each state");

__attribute__((format(printf, 3, 4))) static void say(const struct rank_link *link, int level,
                                                      const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (link->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    link->say(link->arg, level, text);
}

static void set_state(struct rank_link *link, enum rank_link_state to)
{
    if (to != link->state && (legal[link->state] & (1u << to)) != 0) {
        say(link, 10, "agent: %s -> %s", state_names[link->state], state_names[to]);
        link->state = to;
    }
}

void rank_link_init(struct rank_link *link, const struct rank_identity *who, rank_say *says,
                    void *arg)
{
    *link = (struct rank_link){.who = *who, .fd = -1, .passed = -1, .say = says, .arg = arg};
}

static void close_passed(struct rank_link *link)
{
    if (link->passed >= 0) {
        close(link->passed);
        link->passed = -1;
    }
}

static void close_fd(struct rank_link *link)
{
    close_passed(link);
    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
    }
}

void rank_link_close(struct rank_link *link)
{
    close_fd(link);
    set_state(link, RANK_LINK_DOWN);
}

/* It is DOWN from now on, and tried again later. Returns false. */
static bool lost(struct rank_link *link, const char *why)
{
    say(link, link->state == RANK_LINK_UP ? 1 : 10, "%s ninja-agent at %s: %s",
        link->state == RANK_LINK_UP ? "lost the" : "no", link->who.path, why);
    snprintf(link->why, sizeof(link->why), "%s", why);
    rank_link_close(link);
    link->next_ms = now_ms() + RETRY_MS;
    return false;
}

static int say_hello(const struct rank_link *link)
{
    char text[512];
    struct ninja_rank_pair rank = {link->who.rank, link->who.size};
    snprintf(text, sizeof(text), "%s\n%s", link->who.job, link->who.version);
    struct ninja_rank_msg hello = {
        .type = NINJA_RANK_HELLO,
        .arg = (uint32_t)getpid(),
        .epoch = link->who.member->epoch,
        .status = link->who.member->state,
        .n_a = 1,
        .a = &rank,
        .text = text,
    };
    return ninja_rank_send(link->fd, &hello);
}

static int open_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(addr.sun_path, path, length + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int size = (int)NINJA_RANK_MAX_MESSAGE;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

bool rank_link_connect(struct rank_link *link)
{
    link->fd = open_socket(link->who.path);
    if (link->fd < 0 || say_hello(link) != 0) {
        return lost(link, strerror(errno));
    }
    link->connections++;
    link->next_ms = now_ms() + GREETING_MS;
    set_state(link, RANK_LINK_GREETING);
    return true;
}

int rank_link_wait_ms(const struct rank_link *link)
{
    if (link->state != RANK_LINK_DOWN && link->state != RANK_LINK_GREETING) {
        return -1;
    }
    int64_t ms = link->next_ms - now_ms();
    return ms > 0 ? (int)ms : 0;
}

void rank_link_look(struct rank_link *link)
{
    if (rank_link_wait_ms(link) != 0) {
        return;
    }
    if (link->state == RANK_LINK_DOWN) {
        rank_link_connect(link);
    } else {
        lost(link, "no answer to hello in time");
    }
}

/* The answer to hello. */
static void take_answer(struct rank_link *link, const struct ninja_rank_msg *msg)
{
    if (msg->type == NINJA_RANK_WELCOME) {
        set_state(link, RANK_LINK_UP);
        say(link, 1, "the agent at %s knows this rank", link->who.path);
    } else if (msg->type == NINJA_RANK_REFUSED) {
        snprintf(link->why, sizeof(link->why), "%s", msg->text);
        set_state(link, RANK_LINK_REFUSED);
        close_fd(link);
        say(link, 1, "refused by the agent at %s: %s", link->who.path, link->why);
    } else {
        lost(link, "it speaks another protocol");
    }
}

/* Reads one packet; false: there is none. */
static bool receive(struct rank_link *link, struct ninja_rank_msg *msg)
{
    close_passed(link);
    int rc = ninja_rank_recv(link->fd, MSG_DONTWAIT, msg, &link->passed);
    if (rc == 1) {
        return true;
    }
    if (rc == 0) {
        return lost(link, "it closed the connection");
    }
    if (errno == EBADMSG) {
        return lost(link, "it sent what is not of this protocol (is it of the same version?)");
    }
    return errno == EAGAIN ? false : lost(link, strerror(errno));
}

void rank_link_await(struct rank_link *link, int milliseconds)
{
    struct ninja_rank_msg msg;
    int64_t end = now_ms() + milliseconds, left = milliseconds;
    while (link->state == RANK_LINK_GREETING && left >= 0) {
        struct pollfd p = {link->fd, POLLIN, 0};
        poll(&p, 1, (int)left);
        if (receive(link, &msg)) {
            take_answer(link, &msg);
            ninja_rank_msg_clear(&msg);
        }
        left = end - now_ms();
    }
    if (link->state == RANK_LINK_GREETING) {
        lost(link, "no answer to hello in time");
    }
}

bool rank_link_receive(struct rank_link *link, struct ninja_rank_msg *msg)
{
    while (link->fd >= 0 && receive(link, msg)) {
        if (link->state == RANK_LINK_GREETING) {
            take_answer(link, msg);
        } else if (ninja_fault(NINJA_FAULT_MESSAGE, "%s received",
                               ninja_rank_type_name(msg->type)) != NINJA_FAULT_LOST) {
            say(link, 20, "%s, epoch %u round %u", ninja_rank_type_name(msg->type), msg->epoch,
                msg->round);
            return true;
        }
        ninja_rank_msg_clear(msg);
    }
    return false;
}

void rank_link_send(struct rank_link *link, const struct ninja_rank_msg *msg)
{
    enum ninja_fault fault =
        ninja_fault(NINJA_FAULT_MESSAGE, "%s sent", ninja_rank_type_name(msg->type));
    if (fault == NINJA_FAULT_LOST) {
        return;
    }
    if (fault == NINJA_FAULT_REPEATED && link->fd >= 0) {
        ninja_rank_send(link->fd, msg);
    }
    if (link->fd >= 0 && ninja_rank_send(link->fd, msg) != 0) {
        lost(link, strerror(errno));
    }
}
