#include "host/base/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host/base/memory.h"

int64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void wall_clock_text(char *text, size_t size)
{
    struct timespec now;
    struct tm tm;
    char date[32], zone[8];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof(zone), "%z", &tm);
    snprintf(text, size, "%s.%03ld%s", date, now.tv_nsec / 1000000, zone);
}

bool wall_clock_read(const char *text, int64_t *us)
{
    struct tm tm = {0};
    int ms, at = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL || sscanf(rest, ".%3d%n", &ms, &at) != 1 || ms < 0) {
        return false;
    }
    rest = strptime(rest + at, "%z", &tm);
    int64_t zone_s = tm.tm_gmtoff; /* which timegm() changes */
    *us = ((int64_t)timegm(&tm) - zone_s) * 1000000 + (int64_t)ms * 1000;
    return rest != NULL && *rest == '\0';
}

struct event *timer_start(struct event_base *base, int64_t ms, event_callback_fn callback,
                          void *arg)
{
    struct event *timer = xchecked(event_new(base, -1, 0, callback, arg));
    struct timeval after = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
    if (event_add(timer, &after) != 0) {
        abort();
    }
    return timer;
}

void timer_free(struct event **timer)
{
    if (*timer != NULL) {
        event_free(*timer);
        *timer = NULL;
    }
}

static void on_gathered(evutil_socket_t fd, short what, void *arg)
{
    struct gather *gather = arg;
    timer_free(&gather->timer);
    struct ninja_error err = gather->err;
    gather->done(gather->arg, ninja_error_is_set(&err) ? &err : NULL);
}

/* The timer stands for "nothing is pending": it runs only while that is so. */
static void rearm(struct gather *gather)
{
    timer_free(&gather->timer);
    if (gather->pending == 0) {
        gather->timer = timer_start(gather->base, 0, on_gathered, gather);
    }
}

void gather_begin(struct gather *gather, struct event_base *base,
                  void (*done)(void *arg, const struct ninja_error *err), void *arg)
{
    timer_free(&gather->timer);
    *gather = (struct gather){.base = base, .done = done, .arg = arg};
    rearm(gather);
}

void gather_add(struct gather *gather)
{
    gather->pending++;
    rearm(gather);
}

void gather_done(struct gather *gather, const struct ninja_error *err)
{
    if (err != NULL && !ninja_error_is_set(&gather->err)) {
        gather->err = *err;
    }
    gather->pending--;
    rearm(gather);
}

void gather_free(struct gather *gather)
{
    timer_free(&gather->timer);
}
