/*
 * Theory of operation
 *
 * The kernel's route netlink tells of interfaces and addresses; it is only the trigger of a look at
 * all of them, SETTLE_MS later, as one change brings several messages. The state of an RDMA port is
 * not told there, so there is a look every PERIOD_MS as well, which also makes up for messages that
 * netlink dropped.
 */
#include "guest-agent/linkwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "guest-agent/interconnects.h"
#include "guest-agent/shortage.h"

#define SETTLE_MS 50
#define PERIOD_MS 1000

struct linkwatch {
    struct events *events;
    const char *sys;
    json_t *last;
    int netlink;
    struct event *message, *timer;
    bool soon;
};

static void look_in(struct linkwatch *watch, int ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(watch->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct linkwatch *watch = arg;
    shortage_forget();
    json_t *now = shortage_checked(interconnects_scan(watch->sys, false));
    bool same = now == NULL || json_equal(now, watch->last);
    json_t *all = same ? NULL : shortage_checked(interconnects_scan(watch->sys, true));
    watch->soon = false;
    if (all != NULL) {
        json_decref(watch->last);
        watch->last = now;
        events_emit(watch->events, "NINJA_INTERCONNECT", all);
    } else {
        json_decref(now);
    }
    look_in(watch, PERIOD_MS);
}

static void on_message(evutil_socket_t fd, short what, void *arg)
{
    struct linkwatch *watch = arg;
    char bytes[16384];
    ssize_t n;
    do {
        n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    } while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
    if (!watch->soon) {
        watch->soon = true;
        look_in(watch, SETTLE_MS);
    }
}

static int open_netlink(void)
{
    struct sockaddr_nl addr = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    }
    if (fd < 0) {
        ninja_log_warning("no netlink (%m): interface changes are seen within %d ms only",
                          PERIOD_MS);
    }
    return fd;
}

struct linkwatch *linkwatch_new(struct event_base *base, struct events *events, const char *sys)
{
    struct linkwatch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return NULL;
    }
    watch->events = events;
    watch->sys = sys;
    watch->netlink = open_netlink();
    watch->last = interconnects_scan(sys, false);
    watch->timer = evtimer_new(base, on_timer, watch);
    if (watch->netlink >= 0) {
        watch->message = event_new(base, watch->netlink, EV_READ | EV_PERSIST, on_message, watch);
    }
    if (watch->last == NULL || watch->timer == NULL ||
        (watch->netlink >= 0 && (watch->message == NULL || event_add(watch->message, NULL) != 0))) {
        linkwatch_free(watch);
        return NULL;
    }
    look_in(watch, PERIOD_MS);
    return watch;
}

void linkwatch_free(struct linkwatch *watch)
{
    if (watch == NULL) {
        return;
    }
    if (watch->timer != NULL) {
        event_free(watch->timer);
    }
    if (watch->message != NULL) {
        event_free(watch->message);
    }
    if (watch->netlink >= 0) {
        close(watch->netlink);
    }
    json_decref(watch->last);
    free(watch);
}
