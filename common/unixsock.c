#include "common/unixsock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool make_directory_of(const char *path, struct ninja_error *err)
{
    char dir[108];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL || slash == dir) {
        return true;
    }
    *slash = '\0';
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        return ninja_error_set(err, ERR_IO, "cannot make the directory %s: %m", dir);
    }
    return true;
}

/* Whether the path is free now: nothing there, or a socket that nobody listens on any more. */
static bool clear_path(const struct sockaddr_un *addr, int type, bool *replaced,
                       struct ninja_error *err)
{
    const char *path = addr->sun_path;
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT || ninja_error_set(err, ERR_IO, "%s: %m", path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return ninja_error_set(err, ERR_IN_USE, "%s exists and is not a socket: remove it", path);
    }
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return ninja_error_set(err, ERR_IO, "socket: %m");
    }
    int rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    int error = rc == 0 ? 0 : errno;
    close(fd);
    if (error != ECONNREFUSED && error != ENOENT) {
        return ninja_error_set(
            err, ERR_IN_USE, "another program listens on %s: end it, or choose another path", path);
    }
    *replaced = true;
    if (unlink(path) != 0 && errno != ENOENT) {
        return ninja_error_set(err, ERR_IO, "cannot remove the stale socket %s: %m", path);
    }
    return true;
}

bool unixsock_listen(struct unixsock *sock, const char *path, int type, mode_t mode,
                     struct ninja_error *err)
{
    *sock = (struct unixsock){.fd = -1};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof(addr.sun_path)) {
        return ninja_error_set(err, ERR_USAGE, "socket path '%s' is empty or longer than %zu bytes",
                               path, sizeof(addr.sun_path) - 1);
    }
    strcpy(addr.sun_path, path);
    if (!make_directory_of(path, err) || !clear_path(&addr, type, &sock->replaced, err)) {
        return false;
    }
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return ninja_error_set(err, ERR_IO, "socket: %m");
    }
    /* Nobody can connect before listen(), so the mode holds from the first connection on. */
    struct stat st;
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || chmod(path, mode) != 0 ||
        lstat(path, &st) != 0 || listen(fd, 128) != 0) {
        ninja_error_set(err, ERR_IO, "cannot listen on %s: %m", path);
        close(fd);
        return false;
    }
    sock->fd = fd;
    sock->dev = st.st_dev;
    sock->ino = st.st_ino;
    strcpy(sock->path, path);
    return true;
}

void unixsock_abandon(struct unixsock *sock)
{
    if (sock->fd >= 0) {
        close(sock->fd);
        sock->fd = -1;
    }
}

void unixsock_close(struct unixsock *sock)
{
    struct stat st;
    if (sock->fd < 0) {
        return;
    }
    close(sock->fd);
    sock->fd = -1;
    if (lstat(sock->path, &st) == 0 && st.st_dev == sock->dev && st.st_ino == sock->ino) {
        unlink(sock->path);
    }
}
