/*
 * Takes the place of timer_start() in the host's targets: what would be looked at again within a
 * second is looked at at once. So retries and polls are reached; time-outs are not.
 */
#include "host/base/timer.h"

#define SOON_MS 1000

struct event *__real_timer_start(struct event_base *base, int64_t ms, event_callback_fn callback,
                                 void *arg);
struct event *__wrap_timer_start(struct event_base *base, int64_t ms, event_callback_fn callback,
                                 void *arg);

struct event *__wrap_timer_start(struct event_base *base, int64_t ms, event_callback_fn callback,
                                 void *arg)
{
    return __real_timer_start(base, ms <= SOON_MS ? 0 : ms, callback, arg);
}
