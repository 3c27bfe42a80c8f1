/*
 * Logging for the agent and the host side: one line on standard error, which systemd's journal
 * takes as it is (the level travels as the sd-daemon "<N>" prefix when JOURNAL_STREAM is set).
 */
#ifndef NINJA_LOG_H
#define NINJA_LOG_H

enum ninja_log_level {
    NINJA_LOG_ERROR,
    NINJA_LOG_WARNING,
    NINJA_LOG_INFO,
    NINJA_LOG_DEBUG,
};

/**
 * Sets the program's name and the most detailed level that is written.
 *
 * @param name  borrowed for the life of the process
 */
void ninja_log_init(const char *name, enum ninja_log_level level);

/**
 * Has something done before and after each line that is written, for a display on the same
 * terminal. NULL for both: nothing any more. They may not log.
 */
void ninja_log_surround(void (*before)(void *arg), void (*after)(void *arg), void *arg);

void ninja_log(enum ninja_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define ninja_log_error(...)   ninja_log(NINJA_LOG_ERROR, __VA_ARGS__)
#define ninja_log_warning(...) ninja_log(NINJA_LOG_WARNING, __VA_ARGS__)
#define ninja_log_info(...)    ninja_log(NINJA_LOG_INFO, __VA_ARGS__)
#define ninja_log_debug(...)   ninja_log(NINJA_LOG_DEBUG, __VA_ARGS__)

#endif
