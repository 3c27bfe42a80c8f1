#include "host/base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/descriptor.h"
#include "host/base/plain_file.h"

#define MAX_LINKS 16

/* ---- what is written to as it is ---- */

static bool is_stream(const struct stat *status)
{
    return S_ISCHR(status->st_mode) || S_ISFIFO(status->st_mode);
}

/* Without O_NONBLOCK it would wait for a FIFO's reader; but then writing waits for him. */
static bool write_as_it_is(const char *path, const char *data, size_t size, struct ninja_error *err)
{
    struct stat status;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENXIO) {
        return ninja_error_set(err, ERR_STATE, "%s: nobody reads from it", path);
    }
    bool ok = fd >= 0 && fstat(fd, &status) == 0 && is_stream(&status) &&
              fcntl(fd, F_SETFL, O_WRONLY) == 0 && write_all(fd, data, size);
    ok = ok || ninja_error_set(err, ERR_STATE, "%s: %m", path);
    if (fd >= 0) {
        ok = (close(fd) == 0 || ninja_error_set(err, ERR_STATE, "%s: %m", path)) && ok;
    }
    return ok;
}

/* ---- plain files ---- */

/* Puts where a link leads in its place. */
static bool follow_link(char path[PATH_MAX], int link, struct ninja_error *err)
{
    char target[PATH_MAX], joined[2 * PATH_MAX];
    ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
    if (n < 0) {
        return ninja_error_set(err, ERR_STATE, "%s: %m", path);
    }
    target[n] = '\0';
    const char *slash = strrchr(path, '/');
    int dir = target[0] != '/' && slash != NULL ? (int)(slash - path) + 1 : 0;
    snprintf(joined, sizeof(joined), "%.*s%s", dir, path, target);
    if (strlen(joined) >= PATH_MAX) {
        return ninja_error_set(err, ERR_STATE, "%s: the link leads to a path that is too long",
                               path);
    }
    strcpy(path, joined);
    return true;
}

/* One link of the way; *at_end: path is none. What is looked at is what is followed. */
static bool take_link(char path[PATH_MAX], bool *at_end, struct ninja_error *err)
{
    struct stat status;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    *at_end = fd < 0 && errno == ENOENT;
    if (*at_end) {
        return true;
    }
    bool ok = fd >= 0 && fstat(fd, &status) == 0;
    if (!ok) {
        ninja_error_set(err, ERR_STATE, "%s: %m", path);
    } else if (!S_ISLNK(status.st_mode)) {
        *at_end = true;
        ok = S_ISREG(status.st_mode) ||
             ninja_error_set(err, ERR_STATE, "%s: it is %s, not a plain file", path,
                             plain_file_kind(status.st_mode));
    } else if (status.st_uid != 0 && status.st_uid != geteuid()) {
        ok = ninja_error_set(err, ERR_STATE, "%s: it is a link of user %u, which is not followed",
                             path, (unsigned)status.st_uid);
    } else {
        ok = follow_link(path, fd, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static bool find_place(const char *path, char place[PATH_MAX], struct ninja_error *err)
{
    bool at_end = false;
    if (snprintf(place, PATH_MAX, "%s", path) >= PATH_MAX) {
        return ninja_error_set(err, ERR_STATE, "%.80s...: the path is too long", path);
    }
    for (int i = 0; i < MAX_LINKS && !at_end; i++) {
        if (!take_link(place, &at_end, err)) {
            return false;
        }
    }
    return at_end || ninja_error_set(err, ERR_STATE, "%s: more than %d links follow each other",
                                     path, MAX_LINKS);
}

/* mkostemp() makes a new file or none. */
static bool write_beside(const char *place, mode_t mode, const char *data, size_t size)
{
    char temporary[PATH_MAX + 16];
    snprintf(temporary, sizeof(temporary), "%s.XXXXXX", place);
    int fd = mkostemp(temporary, O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, data, size) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    if (fd >= 0) {
        ok = close(fd) == 0 && ok;
    }
    ok = ok && rename(temporary, place) == 0;
    if (fd >= 0 && !ok) {
        int why = errno;
        unlink(temporary);
        errno = why;
    }
    return ok;
}

bool whole_file_write(const char *path, mode_t mode, const char *data, size_t size,
                      struct ninja_error *err)
{
    char place[PATH_MAX];
    if (mode == WHOLE_FILE_UMASK) {
        mode_t mask = umask(0);
        umask(mask);
        mode = 0666 & ~mask;
    }
    return find_place(path, place, err) && (write_beside(place, mode, data, size) ||
                                            ninja_error_set(err, ERR_STATE, "%s: %m", path));
}

bool whole_file_write_to(const char *path, const char *data, size_t size, struct ninja_error *err)
{
    struct stat status;
    return stat(path, &status) == 0 && is_stream(&status)
               ? write_as_it_is(path, data, size, err)
               : whole_file_write(path, WHOLE_FILE_UMASK, data, size, err);
}
