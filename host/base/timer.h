/*
 * One-shot timers, clocks, and waiting for several operations at once.
 */
#ifndef NINJA_TIMER_H
#define NINJA_TIMER_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"

/** Microseconds since 1970, for a reader who compares with other logs; it may jump. */
int64_t wall_clock_us(void);

/** The wall clock as ISO 8601 with milliseconds and zone; 40 bytes are enough. */
void wall_clock_text(char *text, size_t size);

/** Reads such a text, as microseconds since 1970. False: it is none. */
bool wall_clock_read(const char *text, int64_t *us);

/** Calls back once after ms milliseconds; free it with timer_free(). */
struct event *timer_start(struct event_base *base, int64_t ms, event_callback_fn callback,
                          void *arg);

/** Stops and frees a timer and sets it to NULL; NULL is allowed. */
void timer_free(struct event **timer);

/*
 * Waits for several operations that run at once. The first error is kept. `done` is called from
 * the event loop when the last one ended, or soon if there was none, never from within
 * gather_begin() or gather_done().
 */
struct gather {
    struct event_base *base;
    int pending;
    struct ninja_error err;
    void (*done)(void *arg, const struct ninja_error *err); /* err is NULL: all went well */
    void *arg;
    struct event *timer;
};

/** Begins; the operations are then announced by gather_add(). */
void gather_begin(struct gather *gather, struct event_base *base,
                  void (*done)(void *arg, const struct ninja_error *err), void *arg);
void gather_add(struct gather *gather);
/** One operation ended; err is NULL if well. */
void gather_done(struct gather *gather, const struct ninja_error *err);
/** Forgets about it all: `done` is not called, and no operation may end any more. */
void gather_free(struct gather *gather);

#endif
