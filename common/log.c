#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/printable.h"

#define MAX_MESSAGE 2048

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

void ninja_log_init(const char *name, enum ninja_log_level level)
{
    program = name;
    most_detailed = level;
    to_journal = getenv("JOURNAL_STREAM") != NULL;
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

void ninja_log(enum ninja_log_level level, const char *fmt, ...)
{
    if (level > most_detailed) {
        return;
    }
    int saved = errno;
    char message[MAX_MESSAGE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    ninja_printable(message);
    flockfile(stderr);
    write_prefix(level);
    fprintf(stderr, "%s\n", message);
    funlockfile(stderr);
    errno = saved;
}
