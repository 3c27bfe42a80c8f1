/*
 * What ninjactl complains of: for people on standard error, and for the program that started it as
 * one line of JSON on the descriptor whose number is in NINJA_ERROR_FD (docs/ninjactl-json.md).
 */
#ifndef NINJA_COMPLAINTS_H
#define NINJA_COMPLAINTS_H

#include <stdbool.h>

#include "common/error.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_REFUSED = 2,
    EXIT_ROLLED_BACK = 3,
    EXIT_OPERATOR = 4,
    EXIT_NOT_ENDED = 5,
    EXIT_USAGE = 64,
    EXIT_CLUSTER_FILE = 65,
    EXIT_OUTPUT = 74,
    EXIT_CONFIG = 78,
};

/**
 * Takes NINJA_ERROR_FD out of the environment, so that what this process starts does not have it.
 *
 * @return false: it is no open descriptor, which was complained of
 */
bool complaints_begin(void);

/** Writes "ninjactl: MESSAGE" to standard error, and keeps it for complaints_end(). */
void complain(const struct ninja_error *err);
void complain_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** The descriptor; -1: nobody wants to know. */
int complaints_fd(void);

/** Says nothing more on the descriptor: it is closed. */
void complaints_stop(void);

/**
 * Says on the descriptor what was complained of, in a process that ends with that exit code, which
 * tells the class. Nothing is said of success, or where there were no complaints.
 */
void complaints_end(int code);

#endif
