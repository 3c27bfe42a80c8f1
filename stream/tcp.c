#include "stream/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENT_MS 20000

static void prepare(int fd)
{
    const int on = 1, idle = 5, interval = 5, probes = 3, silent = SILENT_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof(silent));
}

static struct addrinfo *look_up(const char *host, const char *port, int flags,
                                struct ninja_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *found = NULL;
    int code = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &found);
    if (code != 0) {
        ninja_error_set(err, ERR_ADDRESS, "%s:%s is no address: %s", host, port,
                        gai_strerror(code));
        return NULL;
    }
    return found;
}

static int listen_at(const struct addrinfo *at)
{
    const int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, 4) < 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

int tcp_listen(const char *host, const char *port, struct ninja_error *err)
{
    struct addrinfo *found = look_up(host, port, AI_PASSIVE, err);
    int fd = -1;
    for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = listen_at(at);
    }
    if (found != NULL && fd < 0) {
        ninja_error_set(err, ERR_CONNECT, "the stream cannot listen at %s:%s: %m", host, port);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return fd;
}

int tcp_accept(int listener, int timeout_ms, struct ninja_error *err)
{
    struct pollfd in = {.fd = listener, .events = POLLIN};
    int n = poll(&in, 1, timeout_ms);
    int fd = n > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
    if (fd < 0) {
        ninja_error_set(err, n == 0 ? ERR_TIMEOUT : ERR_CONNECT,
                        "the other side of the stream did not connect in time");
        return -1;
    }
    prepare(fd);
    return fd;
}

static bool wait_connected(int fd, int timeout_ms)
{
    struct pollfd out = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof(errno);
    int code = 0;
    if (poll(&out, 1, timeout_ms) <= 0) {
        errno = ETIMEDOUT;
        return false;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0) {
        return false;
    }
    errno = code;
    return code == 0;
}

static int connect_to(const struct addrinfo *to, int timeout_ms)
{
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->ai_protocol);
    if (fd < 0) {
        return -1;
    }
    if ((connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS) ||
        !wait_connected(fd, timeout_ms)) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    prepare(fd);
    return fd;
}

int tcp_connect(const char *host, const char *port, int timeout_ms, struct ninja_error *err)
{
    struct addrinfo *found = look_up(host, port, 0, err);
    int fd = -1;
    for (struct addrinfo *to = found; to != NULL && fd < 0; to = to->ai_next) {
        fd = connect_to(to, timeout_ms);
    }
    if (found != NULL && fd < 0) {
        ninja_error_set(err, ERR_CONNECT, "the stream cannot connect to %s:%s: %m", host, port);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return fd;
}
