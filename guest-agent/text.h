/*
 * Text that comes from outside (file contents, process names, script output) on its way to JSON.
 */
#ifndef AGENT_TEXT_H
#define AGENT_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * A JSON string of any bytes: what is not UTF-8, and NUL, becomes '?'.
 *
 * @return a new reference, NULL only when out of memory
 */
json_t *text_json(const char *bytes, size_t len);

/** Makes a path in room for PATH_MAX bytes. Returns false when it is too long. */
bool text_path(char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * Reads the first line of a small file, without the newline, cut at size - 1 bytes.
 *
 * @param fmt  printf format of the path
 * @return whether it could be read (an empty file: yes, an empty line)
 */
bool text_first_line(char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
