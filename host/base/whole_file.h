/*
 * A file that is there as a whole or not at all.
 *
 * It is written beside its place, under a name that nobody can foresee, synced, and renamed. Only a
 * plain file is ever replaced. A link is not: the file that it leads to is, if the link is our own
 * or root's, as nobody else may choose what we write to.
 */
#ifndef NINJA_WHOLE_FILE_H
#define NINJA_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

/* The mode that a new file gets. */
#define WHOLE_FILE_UMASK ((mode_t)-1)

/**
 * Writes a plain file, or makes it.
 *
 * @param mode  that it has then
 * @return false with err, class ERR_STATE; what was there before is there still
 */
bool whole_file_write(const char *path, mode_t mode, const char *data, size_t size,
                      struct ninja_error *err);

/**
 * The same, for a file that a person named at the command line: a terminal, a pipe and /dev/null
 * are written to as they are. A FIFO must have a reader.
 */
bool whole_file_write_to(const char *path, const char *data, size_t size, struct ninja_error *err);

#endif
