/*
 * A file of text that people write, read as a whole.
 */
#ifndef NINJA_TEXT_FILE_H
#define NINJA_TEXT_FILE_H

#include <stddef.h>

#include "common/error.h"

/**
 * Reads what is left of a file, but for the mark (U+FEFF) that some editors begin UTF-8 with.
 *
 * @param fd    stays open
 * @param name  for messages
 * @param max   bytes; more are an error, as is a NUL
 * @return the text, which the caller frees, or NULL with err, of the class
 */
char *text_file_read(int fd, const char *name, size_t max, enum ninja_error_class class,
                     struct ninja_error *err);

#endif
