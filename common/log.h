/*
 * Logging for the agent and the host side: one line on standard error, which systemd's journal
 * takes as it is (the level travels as the sd-daemon "<N>" prefix when standard error is connected
 * to it). A program can have the lines go elsewhere, and more detailed ones to a second place.
 */
#ifndef NINJA_LOG_H
#define NINJA_LOG_H

#include <stdbool.h>

enum ninja_log_level {
    NINJA_LOG_ERROR,
    NINJA_LOG_WARNING,
    NINJA_LOG_INFO,
    NINJA_LOG_DEBUG,
};

/* What a line is about, beside its text. */
enum ninja_log_field {
    NINJA_LOG_MIGRATION,
    NINJA_LOG_CLUSTER,
    NINJA_LOG_STAGE,
    NINJA_LOG_VM,
    NINJA_LOG_FIELDS,
};

struct ninja_log_line {
    enum ninja_log_level level;
    const char *text;                     /* printable, without an end of line */
    const char *fields[NINJA_LOG_FIELDS]; /* empty: it is about none */
};

/* A place for lines. It may not log. */
struct ninja_log_sink {
    void (*write)(void *arg, const struct ninja_log_line *line);
    void *arg;
};

/**
 * Sets the program's name and the most detailed level that is written.
 *
 * @param name  borrowed for the life of the process
 */
void ninja_log_init(const char *name, enum ninja_log_level level);

/** Whether standard error is connected to the journal, as systemd.exec(5) says it is to be found.
 */
bool ninja_log_is_in_journal(void);

/** Has lines go there rather than to standard error; borrowed. NULL: back to that. */
void ninja_log_output(const struct ninja_log_sink *sink);

/** Whether lines for standard error are written: they are, until told otherwise. */
void ninja_log_stderr(bool wanted);

/** Has a copy of all lines go there, also of those that are too detailed for the output; borrowed.
 * NULL: of no line any more. */
void ninja_log_copy(const struct ninja_log_sink *sink);

/** Sets what lines are about from now on; copied, cut at 127 characters. Empty: nothing. */
void ninja_log_about(enum ninja_log_field field, const char *value);

const char *ninja_log_level_name(enum ninja_log_level level);

/** The priority of syslog(3). */
int ninja_log_priority(enum ninja_log_level level);

/**
 * Has something done before and after each line that is written, for a display on the same
 * terminal. NULL for both: nothing any more. They may not log.
 */
void ninja_log_surround(void (*before)(void *arg), void (*after)(void *arg), void *arg);

void ninja_log(enum ninja_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Logs "VM: ...", with the VM as the field. */
void ninja_log_vm(enum ninja_log_level level, const char *vm, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define ninja_log_error(...)   ninja_log(NINJA_LOG_ERROR, __VA_ARGS__)
#define ninja_log_warning(...) ninja_log(NINJA_LOG_WARNING, __VA_ARGS__)
#define ninja_log_info(...)    ninja_log(NINJA_LOG_INFO, __VA_ARGS__)
#define ninja_log_debug(...)   ninja_log(NINJA_LOG_DEBUG, __VA_ARGS__)

#endif
