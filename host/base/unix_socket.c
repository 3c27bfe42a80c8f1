#include "host/base/unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/timer.h"

/* Says why it cannot be connected; connect() says the same of some that are not. */
static void tell_why(const char *path, int why, struct ninja_error *err)
{
    struct stat status;
    bool is_there = stat(path, &status) == 0;
    if (why == ENOENT) {
        ninja_error_set(err, ERR_ABSENT, "%s: there is no such socket", path);
    } else if (why == EACCES || why == EPERM) {
        ninja_error_set(err, ERR_CONNECT, "%s: user %u has no permission to connect to it", path,
                        (unsigned)geteuid());
    } else if (why == ECONNREFUSED && is_there && !S_ISSOCK(status.st_mode)) {
        ninja_error_set(err, ERR_CONNECT, "%s: it is %s, not a socket", path,
                        plain_file_kind(status.st_mode));
    } else if (why == ECONNREFUSED) {
        ninja_error_set(err, ERR_ABSENT, "%s: nobody listens at this socket", path);
    } else if (why == EAGAIN) {
        ninja_error_set(err, ERR_BUSY, "%s: others wait already to be connected to it", path);
    } else if (why == EPROTOTYPE) {
        ninja_error_set(err, ERR_CONNECT, "%s: it is a socket of another type", path);
    } else {
        errno = why;
        ninja_error_set(err, ERR_CONNECT, "%s: %m", path);
    }
}

int unix_socket_connect(const char *path, struct ninja_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) > UNIX_SOCKET_MAX_PATH) {
        ninja_error_set(err, ERR_CONNECT, "%s: a socket's path has at most %zu characters", path,
                        UNIX_SOCKET_MAX_PATH);
        return -1;
    }
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        tell_why(path, errno, err);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* ---- as a channel ---- */

struct opening {
    struct channel channel;
    const struct channel_events *events;
    void *arg;
    struct channel_way way;
    struct event *timer;
};

static void on_timer(evutil_socket_t unused, short what, void *arg)
{
    struct opening *opening = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    timer_free(&opening->timer);
    int fd = unix_socket_connect(opening->way.name, &err);
    if (fd >= 0) {
        opening->events->opened(opening->arg, fd);
    } else {
        opening->events->failed(opening->arg, &err);
    }
}

static void close_opening(struct channel *channel)
{
    struct opening *opening = (struct opening *)channel;
    timer_free(&opening->timer);
    free(opening);
}

static struct channel *open_way(const struct channel_way *way, const struct channel_events *events,
                                void *arg)
{
    struct opening *opening = xcalloc(1, sizeof(*opening));
    opening->channel.close = close_opening;
    opening->events = events;
    opening->arg = arg;
    opening->way = *way;
    opening->timer = timer_start(way->owner, 0, on_timer, opening);
    return &opening->channel;
}

static bool answers(const struct channel_way *way, struct ninja_error *err)
{
    int fd = unix_socket_connect(way->name, err);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

struct channel_way unix_socket_way(struct event_base *base, const char *path)
{
    struct channel_way way = {.open = open_way, .answers = answers, .owner = base};
    snprintf(way.name, sizeof(way.name), "%s", path);
    return way;
}
