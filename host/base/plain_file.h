/*
 * Plain files, and nothing else: a FIFO would be waited for, a device does what it likes when it is
 * opened.
 */
#ifndef NINJA_PLAIN_FILE_H
#define NINJA_PLAIN_FILE_H

#include <sys/types.h>

#include "common/error.h"

/** What a file of that mode (stat's) is, with its article: "a FIFO", "a plain file". */
const char *plain_file_kind(mode_t mode);

/**
 * Opens a plain file, close-on-exec. Links are followed.
 *
 * @param flags  of open(2)
 * @param mode   for one that O_CREAT makes
 * @param class  of err
 * @return a descriptor, or -1 with err and errno: EINVAL if it is no plain file
 */
int plain_file_open(const char *path, int flags, mode_t mode, enum ninja_error_class class,
                    struct ninja_error *err);

#endif
