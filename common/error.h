/*
 * An error with a class that programs test and a message that people read.
 *
 * It is set where the fault is seen; the first one wins, and callers add where, not what.
 */
#ifndef NINJA_ERROR_H
#define NINJA_ERROR_H

#include <stdbool.h>

struct ninja_error {
    char class[32];    /* e.g. "Timeout", "Refused", "Protocol"; empty: no error */
    char message[640]; /* what, where and what to do next, in one sentence or two; one line */
};

#define NINJA_ERROR_INIT {"", ""}

/**
 * Sets an error unless one is set already.
 *
 * @param err   where to put it; NULL is allowed and ignores the error
 * @param class one CamelCase word
 * @param fmt   printf format of the message; %m is the current errno
 * @return always false, so that a function returning bool can end with it
 */
bool ninja_error_set(struct ninja_error *err, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Puts "<where>: " before the message of an error that is set. Returns false. */
bool ninja_error_where(struct ninja_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool ninja_error_is_set(const struct ninja_error *err)
{
    return err->class[0] != '\0';
}

#endif
