/*
 * The locks are those of open file descriptions: they end with the descriptor, also where another
 * one of this process to the same file is closed before.
 */
#include "host/checkpoint/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/descriptor.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/text_file.h"

#define MAX_CLUSTER 1024

static int open_lock(const char *dir, int flags, struct ninja_error *err)
{
    char *path = xasprintf("%s/" LOCK_FILE, dir);
    int fd = plain_file_open(path, flags, 0600, ERR_IO, err);
    int why = errno;
    free(path);
    errno = why;
    return fd;
}

/* Closes the descriptor if it cannot be locked. */
static bool lock_it(int fd, short type, const char *dir, struct ninja_error *err)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        return true;
    }
    if (errno == EAGAIN || errno == EACCES) {
        ninja_error_set(err, ERR_BUSY,
                        "%s is in use: another process writes, reads or removes it; try again when "
                        "that has ended",
                        dir);
    } else {
        ninja_error_set(err, ERR_IO, "%s/" LOCK_FILE " cannot be locked: %m", dir);
    }
    close(fd);
    return false;
}

int lock_make(const char *dir, const char *cluster, struct ninja_error *err)
{
    int fd = open_lock(dir, O_RDWR | O_CREAT | O_EXCL, err);
    if (fd < 0 || !lock_it(fd, F_WRLCK, dir, err)) {
        return -1;
    }
    if (!write_all(fd, cluster, strlen(cluster))) {
        ninja_error_set(err, ERR_IO, "%s/" LOCK_FILE ": %m", dir);
        close(fd);
        return -1;
    }
    return fd;
}

bool lock_to_read(const char *dir, int *lock, struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    *lock = open_lock(dir, O_RDONLY, &why);
    if (*lock < 0) {
        bool is_old = errno == ENOENT;
        *err = is_old ? *err : why;
        return is_old;
    }
    if (!lock_it(*lock, F_RDLCK, dir, err)) {
        *lock = -1;
    }
    return *lock >= 0;
}

bool lock_to_change(const char *dir, int *lock, struct ninja_error *err)
{
    *lock = open_lock(dir, O_RDWR | O_CREAT, err);
    if (*lock >= 0 && !lock_it(*lock, F_WRLCK, dir, err)) {
        *lock = -1;
    }
    return *lock >= 0;
}

bool lock_is_held(const char *dir)
{
    struct ninja_error ignored = NINJA_ERROR_INIT;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open_lock(dir, O_RDONLY, &ignored);
    bool is = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0) {
        close(fd);
    }
    return is;
}

char *lock_cluster(const char *dir)
{
    struct ninja_error ignored = NINJA_ERROR_INIT;
    int fd = open_lock(dir, O_RDONLY, &ignored);
    char *name = fd >= 0 ? text_file_read(fd, dir, MAX_CLUSTER, ERR_IO, &ignored) : NULL;
    if (fd >= 0) {
        close(fd);
    }
    return name;
}
