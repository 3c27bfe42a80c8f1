/*
 * Where the messages of a program of the host side go.
 */
#ifndef NINJA_LOGS_H
#define NINJA_LOGS_H

#include <stdbool.h>

#include "common/error.h"

/* As the words of the setting "log". */
enum log_target {
    LOG_AUTO, /* to the journal where standard error is connected to it */
    LOG_STDERR,
    LOG_JOURNAL,
};

/**
 * Lets messages go there.
 *
 * @param program  SYSLOG_IDENTIFIER; borrowed for the life of the process
 * @return false with err, class ERR_CONFIG: the journal was asked for, and there is none
 */
bool log_to(enum log_target target, const char *program, struct ninja_error *err);

/* The log of one migration: all messages, debug ones as well. */
struct log_file;

#define LOG_FILE_MAX (16 * 1024 * 1024) /* bytes; later messages are left out */

/**
 * Writes DIR/log, at its end, from now on beside where messages go otherwise. What cannot be
 * written is left out, as a full disk is no reason for a migration to fail.
 *
 * @param only  standard error gets no messages any more, as it is the same file
 */
struct log_file *log_file_open(const char *dir, bool only);

/** NULL is allowed. */
void log_file_close(struct log_file *file);

#endif
