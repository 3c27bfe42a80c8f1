/*
 * Theory of operation
 *
 * The program polls one descriptor, an epoll(7) of two: the connection to the agent, which comes
 * and goes, and a timer, for all that no message announces: looking for the agent again, running on
 * when it is silent, and going on with what a callback left to be done.
 */
#include "lib/ninja.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "lib/handle.h"

#define MAX_NAME   255
#define MAX_AT_ONE 64 /* messages in one dispatch, so that it always ends */

static void say(void *arg, int level, const char *text)
{
    const struct ninja *ninja = arg;
    if (ninja->callbacks.say != NULL) {
        ninja->callbacks.say(level, text, ninja->arg);
    }
}

/* --- waiting ------------------------------------------------------------------------------ */

/* Whether nobody waits for this rank any more. */
static bool has_left(const struct ninja *ninja)
{
    bool alone = ninja->link.fd < 0 && ninja->member.state == NINJA_RANK_RUNNING;
    return ninja->leaving && (ninja->may_leave || alone);
}

/* When there is something to do that no message announces, in ms from now; -1: nothing. */
static int64_t next_ms(const struct ninja *ninja)
{
    if (ninja->open_next || has_left(ninja)) {
        return 0;
    }
    int64_t ms = rank_link_wait_ms(&ninja->link);
    int64_t patience = member_patience_ms(&ninja->member);
    if (patience > 0) {
        int64_t left = ninja->member.heard_us / 1000 + patience + 1 - now_ms();
        left = left > 0 ? left : 0;
        ms = ms < 0 || left < ms ? left : ms;
    }
    return ms;
}

/* Has the descriptor be readable when it is time. */
static void watch(struct ninja *ninja)
{
    if (ninja->link.fd >= 0 && ninja->watched != ninja->link.connections) {
        struct epoll_event event = {.events = EPOLLIN};
        epoll_ctl(ninja->epoll, EPOLL_CTL_ADD, ninja->link.fd, &event);
        ninja->watched = ninja->link.connections;
    }
    int64_t ms = next_ms(ninja);
    struct itimerspec when = {
        .it_value = {ms > 0 ? ms / 1000 : 0, ms > 0 ? ms % 1000 * 1000000 : ms == 0}};
    timerfd_settime(ninja->timer, 0, &when, NULL);
}

static void take(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    if (ninja_rank_type_is_step(msg->type)) {
        order_begin(ninja, msg);
    } else if (msg->type == NINJA_RANK_BYE_OK) {
        ninja->may_leave = true;
    }
}

/* Does one thing; false: there is none. */
static bool do_one(struct ninja *ninja)
{
    struct ninja_rank_msg msg;
    if (ninja->open_next) {
        order_open_next(ninja);
    } else if (rank_link_receive(&ninja->link, &msg)) {
        take(ninja, &msg);
        ninja_rank_msg_clear(&msg);
    } else if (member_is_forgotten(&ninja->member)) {
        say(ninja, 0,
            "the agent was silent for too long during a switch: given up, the program runs on");
        order_run_on(ninja);
    } else {
        return false;
    }
    return true;
}

/* A new agent knows nothing of a goodbye that was said to the one before. */
static void say_bye(struct ninja *ninja)
{
    if (ninja->leaving && ninja->link.state == RANK_LINK_UP &&
        ninja->bye_sent != ninja->link.connections) {
        ninja->bye_sent = ninja->link.connections;
        rank_link_send(&ninja->link, &(struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    }
}

static void destroy(struct ninja *ninja)
{
    rank_link_close(&ninja->link);
    order_clear(ninja);
    if (ninja->epoll >= 0) {
        close(ninja->epoll);
    }
    if (ninja->timer >= 0) {
        close(ninja->timer);
    }
    free(ninja->agent);
    free(ninja->job);
    free(ninja);
}

int ninja_dispatch(struct ninja *ninja)
{
    uint64_t expired;
    if (ninja->calling) {
        errno = EBUSY;
        return -1;
    }
    if (read(ninja->timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN) {
        return -1;
    }
    rank_link_look(&ninja->link);
    for (int i = 0; i < MAX_AT_ONE && !ninja->closed && do_one(ninja); i++) {
    }
    if (ninja->closed) {
        destroy(ninja);
        return 1;
    }
    say_bye(ninja);
    watch(ninja);
    if (has_left(ninja)) {
        return 1;
    }
    if (ninja->link.state == RANK_LINK_REFUSED) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

int ninja_descriptor(const struct ninja *ninja)
{
    return ninja->epoll;
}

bool ninja_is_running(const struct ninja *ninja)
{
    return ninja->member.state == NINJA_RANK_RUNNING;
}

/* --- orders ------------------------------------------------------------------------------- */

static int end(struct ninja *ninja, uint64_t number, enum ninja_rank_status status, const char *why)
{
    if (ninja->underway == 0 || number != ninja->number) {
        errno = ESTALE;
        return -1;
    }
    order_end(ninja, status, why);
    watch(ninja);
    return 0;
}

int ninja_done(struct ninja *ninja, uint64_t number)
{
    return end(ninja, number, NINJA_RANK_OK, NULL);
}

int ninja_fail(struct ninja *ninja, uint64_t number, const char *why)
{
    return end(ninja, number, NINJA_RANK_FAILED, why);
}

/* --- the beginning and the end ------------------------------------------------------------ */

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        if (!isgraph((unsigned char)name[i])) {
            return false;
        }
    }
    return len > 0 && len <= MAX_NAME;
}

/* Checks what does not depend on the system. */
static bool may_join(const char *agent, const char *job, uint32_t rank, uint32_t size,
                     const struct ninja_callbacks *callbacks)
{
    bool has_job = job != NULL ? is_name(job) : size == 1;
    bool has_callbacks = callbacks->size >= offsetof(struct ninja_callbacks, say) &&
                         callbacks->release != NULL && callbacks->open != NULL;
    errno = EINVAL;
    if (!has_job || !has_callbacks || rank >= size || size > NINJA_RANK_MAX_PAIRS) {
        return false;
    }
    errno = ENAMETOOLONG;
    return strlen(agent) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

static char *own_name(void)
{
    char host[64] = "?", *name;
    gethostname(host, sizeof(host) - 1);
    int n = asprintf(&name, "%.100s@%s.%d", program_invocation_short_name, host, (int)getpid());
    for (int i = 0; i < n; i++) {
        name[i] = isgraph((unsigned char)name[i]) ? name[i] : '_';
    }
    return n >= 0 ? name : NULL;
}

static bool open_descriptors(struct ninja *ninja)
{
    struct epoll_event event = {.events = EPOLLIN};
    ninja->epoll = epoll_create1(EPOLL_CLOEXEC);
    ninja->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return ninja->epoll >= 0 && ninja->timer >= 0 &&
           epoll_ctl(ninja->epoll, EPOLL_CTL_ADD, ninja->timer, &event) == 0;
}

struct ninja *ninja_join(const char *agent, const char *job, uint32_t rank, uint32_t size,
                         const struct ninja_callbacks *callbacks, void *arg)
{
    agent = agent != NULL ? agent : NINJA_RANK_SOCKET;
    if (!may_join(agent, job, rank, size, callbacks)) {
        return NULL;
    }
    struct ninja *ninja = calloc(1, sizeof(*ninja));
    if (ninja == NULL) {
        return NULL;
    }
    *ninja = (struct ninja){.arg = arg,
                            .rank = rank,
                            .size = size,
                            .holds = true,
                            .bypass = true,
                            .had_bypass = true,
                            .epoll = -1,
                            .timer = -1};
    memcpy(&ninja->callbacks, callbacks,
           callbacks->size < sizeof(*callbacks) ? callbacks->size : sizeof(*callbacks));
    ninja->agent = strdup(agent);
    ninja->job = job != NULL ? strdup(job) : own_name();
    const struct rank_identity who = {ninja->agent, ninja->job, NINJA_VERSION,
                                      rank,         size,       &ninja->member};
    ninja_fault_init("rank", (int)rank);
    member_init(&ninja->member, say, NULL, ninja);
    rank_link_init(&ninja->link, &who, say, ninja);
    if (ninja->agent == NULL || ninja->job == NULL || !open_descriptors(ninja)) {
        int saved = errno;
        destroy(ninja);
        errno = saved;
        return NULL;
    }
    if (!rank_link_connect(&ninja->link)) {
        say(ninja, 1, "the program runs, but cannot be migrated until the agent is started");
    }
    watch(ninja);
    return ninja;
}

void ninja_leave(struct ninja *ninja)
{
    ninja->leaving = true;
    say_bye(ninja);
    watch(ninja);
}

void ninja_close(struct ninja *ninja)
{
    ninja->closed = true;
    if (!ninja->calling) {
        destroy(ninja);
    }
}
