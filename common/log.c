#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/printable.h"

#define MAX_MESSAGE 2048

/* Nobody can fill a disk by making a program log. Debug messages are not counted. */
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

#define MAX_FIELD 128

static const char *program = "ninja";
static enum ninja_log_level most_detailed = NINJA_LOG_INFO;
static bool to_journal, to_stderr = true;
static const struct ninja_log_sink *output; /* NULL: standard error */
static const struct ninja_log_sink *copy;   /* NULL: none */
static char about[NINJA_LOG_FIELDS][MAX_FIELD];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static time_t window_began; /* monotonic */
static unsigned lines;      /* of this window */
static void (*before_line)(void *arg);
static void (*after_line)(void *arg);
static void *surround_arg;

bool ninja_log_is_in_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void ninja_log_init(const char *name, enum ninja_log_level level)
{
    program = name;
    most_detailed = level;
    to_journal = ninja_log_is_in_journal();
}

void ninja_log_output(const struct ninja_log_sink *sink)
{
    output = sink;
}

void ninja_log_stderr(bool wanted)
{
    to_stderr = wanted;
}

void ninja_log_copy(const struct ninja_log_sink *sink)
{
    copy = sink;
}

void ninja_log_about(enum ninja_log_field field, const char *value)
{
    snprintf(about[field], sizeof(about[field]), "%s", value);
}

const char *ninja_log_level_name(enum ninja_log_level level)
{
    return levels[level].name;
}

int ninja_log_priority(enum ninja_log_level level)
{
    return levels[level].sd_priority;
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

static void write_to_stderr(const struct ninja_log_line *line)
{
    flockfile(stderr);
    if (before_line != NULL) {
        before_line(surround_arg);
    }
    write_prefix(line->level);
    fprintf(stderr, "%s\n", line->text);
    if (after_line != NULL) {
        after_line(surround_arg);
    }
    funlockfile(stderr);
}

static void write_line(const struct ninja_log_line *line)
{
    if (copy != NULL) {
        copy->write(copy->arg, line);
    }
    if (line->level > most_detailed) {
        return;
    }
    if (output != NULL) {
        output->write(output->arg, line);
    } else if (to_stderr) {
        write_to_stderr(line);
    }
}

/* vm: NULL: it is about none. errno as the message may use it. */
static void log_line(enum ninja_log_level level, const char *vm, const char *fmt, va_list ap)
{
    int saved = errno, n = 0;
    unsigned left_out = 0;
    char text[MAX_MESSAGE];
    struct ninja_log_line line = {.level = level, .text = text};
    if ((level > most_detailed && copy == NULL) ||
        (level != NINJA_LOG_DEBUG && !may_write(&left_out))) {
        return;
    }
    for (int i = 0; i < NINJA_LOG_FIELDS; i++) {
        line.fields[i] = about[i];
    }
    if (left_out > 0) {
        snprintf(text, sizeof(text), "%u lines were left out: there were more than %d in %d s",
                 left_out, MAX_LINES, WINDOW_S);
        line.level = NINJA_LOG_WARNING;
        write_line(&line);
        line.level = level;
    }
    if (vm != NULL) {
        n = snprintf(text, sizeof(text), "%.255s: ", vm);
        line.fields[NINJA_LOG_VM] = vm;
    }
    errno = saved;
    vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
    ninja_printable(text);
    write_line(&line);
    errno = saved;
}

void ninja_log(enum ninja_log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_line(level, NULL, fmt, ap);
    va_end(ap);
}

void ninja_log_vm(enum ninja_log_level level, const char *vm, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_line(level, vm, fmt, ap);
    va_end(ap);
}
