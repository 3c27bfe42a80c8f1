/*
 * A file that is there as a whole or not at all.
 */
#ifndef NINJA_WHOLE_FILE_H
#define NINJA_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/**
 * Writes a file: beside it, synced, and then put in its place, with the mode that a new file gets.
 * What is no regular file (a terminal, a pipe, /dev/null) is written to as it is.
 *
 * @return false with err, class "State"; what was there before is there still
 */
bool whole_file_write(const char *path, const char *data, size_t size, struct ninja_error *err);

#endif
