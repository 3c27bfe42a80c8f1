#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/printable.h"

#define MAX_MESSAGE 2048

/* So that nobody who makes a program log fills a disk. Debug messages are not counted. */
#define WINDOW_S  10
#define MAX_LINES 1000 /* in a window */

static const struct {
    const char *name;
    int sd_priority;
} levels[] = {
    [NINJA_LOG_ERROR] = {"error", 3},
    [NINJA_LOG_WARNING] = {"warning", 4},
    [NINJA_LOG_INFO] = {"info", 6},
    [NINJA_LOG_DEBUG] = {"debug", 7},
};

static const char *program = "ninja";
static enum ninja_log_level most_detailed = NINJA_LOG_INFO;
static bool to_journal;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static time_t window_began; /* monotonic */
static unsigned lines;      /* of this window */
static void (*before_line)(void *arg);
static void (*after_line)(void *arg);
static void *surround_arg;

void ninja_log_init(const char *name, enum ninja_log_level level)
{
    program = name;
    most_detailed = level;
    to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void ninja_log_surround(void (*before)(void *arg), void (*after)(void *arg), void *arg)
{
    before_line = before;
    after_line = after;
    surround_arg = arg;
}

static void write_prefix(enum ninja_log_level level)
{
    if (to_journal) {
        fprintf(stderr, "<%d>", levels[level].sd_priority);
        return;
    }
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    char clock[16];
    strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    fprintf(stderr, "%s.%03ld %s: %s: ", clock, now.tv_nsec / 1000000, program, levels[level].name);
}

/* Whether one more line may be written; left_out: how many of the window before were not. */
static bool may_write(unsigned *left_out)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    *left_out = 0;
    if (now.tv_sec - window_began >= WINDOW_S) {
        *left_out = lines > MAX_LINES ? lines - MAX_LINES : 0;
        window_began = now.tv_sec;
        lines = 0;
    }
    bool may = ++lines <= MAX_LINES;
    pthread_mutex_unlock(&lock);
    return may;
}

void ninja_log(enum ninja_log_level level, const char *fmt, ...)
{
    if (level > most_detailed) {
        return;
    }
    int saved = errno;
    unsigned left_out = 0;
    if (level != NINJA_LOG_DEBUG && !may_write(&left_out)) {
        return;
    }
    char message[MAX_MESSAGE];
    va_list ap;
    va_start(ap, fmt);
    errno = saved;
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    ninja_printable(message);
    flockfile(stderr);
    if (before_line != NULL) {
        before_line(surround_arg);
    }
    if (left_out > 0) {
        write_prefix(NINJA_LOG_WARNING);
        fprintf(stderr, "%u lines were left out: there were more than %d in %d s\n", left_out,
                MAX_LINES, WINDOW_S);
    }
    write_prefix(level);
    fprintf(stderr, "%s\n", message);
    if (after_line != NULL) {
        after_line(surround_arg);
    }
    funlockfile(stderr);
    errno = saved;
}
