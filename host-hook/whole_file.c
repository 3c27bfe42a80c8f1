#include "host-hook/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_as_it_is(const char *path, const char *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, data, size);
    if (fd >= 0) {
        ok = close(fd) == 0 && ok;
    }
    return ok;
}

/* The name is new, as others may be able to write to the directory. */
static bool write_beside(const char *path, const char *data, size_t size)
{
    char temporary[PATH_MAX + 16];
    mode_t mask = umask(0);
    umask(mask);
    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    bool ok =
        fd >= 0 && write_all(fd, data, size) && fchmod(fd, 0666 & ~mask) == 0 && fsync(fd) == 0;
    if (fd >= 0) {
        ok = close(fd) == 0 && ok;
    }
    ok = ok && rename(temporary, path) == 0;
    if (fd >= 0 && !ok) {
        int why = errno;
        unlink(temporary);
        errno = why;
    }
    return ok;
}

bool whole_file_write(const char *path, const char *data, size_t size, struct ninja_error *err)
{
    struct stat status;
    char behind[PATH_MAX]; /* a link is not replaced, but what it leads to */
    bool there = stat(path, &status) == 0;
    if (there && realpath(path, behind) == NULL) {
        return ninja_error_set(err, "State", "%s: %m", path);
    }
    bool ok = there && !S_ISREG(status.st_mode) ? write_as_it_is(behind, data, size)
                                                : write_beside(there ? behind : path, data, size);
    return ok || ninja_error_set(err, "State", "%s: %m", path);
}
