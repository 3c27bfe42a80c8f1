#include "host/base/plain_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

const char *plain_file_kind(mode_t mode)
{
    static const struct {
        mode_t type;
        const char *kind;
    } kinds[] = {
        {S_IFREG, "a plain file"}, {S_IFDIR, "a directory"},        {S_IFIFO, "a FIFO"},
        {S_IFSOCK, "a socket"},    {S_IFCHR, "a character device"}, {S_IFBLK, "a block device"},
        {S_IFLNK, "a link"},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if ((mode & S_IFMT) == kinds[i].type) {
            return kinds[i].kind;
        }
    }
    return "something unknown";
}

static int refuse(int fd, const char *path, const struct stat *status, enum ninja_error_class class,
                  struct ninja_error *err)
{
    if (fd >= 0) {
        close(fd);
    }
    ninja_error_set(err, class, "%s: it is %s, not a plain file", path,
                    plain_file_kind(status->st_mode));
    errno = EINVAL;
    return -1;
}

int plain_file_open(const char *path, int flags, mode_t mode, enum ninja_error_class class,
                    struct ninja_error *err)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        return refuse(-1, path, &status, class, err);
    }
    /* It may have been replaced since; O_NONBLOCK means nothing to a plain file. */
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
    if (fd < 0 || fstat(fd, &status) != 0) {
        int why = errno;
        ninja_error_set(err, class, "%s: %m", path);
        if (fd >= 0) {
            close(fd);
        }
        errno = why;
        return -1;
    }
    return S_ISREG(status.st_mode) ? fd : refuse(fd, path, &status, class, err);
}
