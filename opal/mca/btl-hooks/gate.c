/*
 * Theory of operation
 *
 * Each thread counts in a record of its own how deep it is inside: an ordinary store, with no
 * atomic operation and no fence, as it is in the path of every message. The keeper sets a flag, and
 * then membarrier(2) makes every thread of the process pass a fence: a thread either had counted
 * itself in before, and the keeper sees that, or it sees the flag.
 *
 * A thread that waits for a message is not inside; it calls opal_progress() over and over, and
 * sleeps there in a progress function of ours while the gate is shut.
 *
 * The event loop is entered by one thread at a time. So a function that runs as one of its events
 * knows that no other thread is in it. If that is another thread than the keeper, it becomes the
 * keeper for so long, and first waits until the one before is out.
 */
#include "gate.h"

#include "ompi_config.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "opal/mca/event/event.h"
#include "opal/runtime/opal.h"
#include "opal/runtime/opal_progress.h"

#define SLEEP_MS     10
#define EVENT_LOOP_S 10 /* until another thread must have left it */

/* The record of a thread. Records are used again, but never freed. */
struct caller {
    struct caller *next;
    unsigned depth;
    bool in_use;
};

static struct {
    bool built;
    bool shut;
    struct caller *keeper; /* while it is shut */
    struct caller *callers;
    pthread_mutex_t lock; /* of the list, and of lifted */
    pthread_cond_t lifted;
    pthread_key_t at_exit;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* It lies in the space that the loader keeps for such variables, as a call to find it would be in
 * each message's path. */
static __thread struct caller *me __attribute__((tls_model("initial-exec")));

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* --- the threads -------------------------------------------------------------------------- */

static struct caller *first_unused(void)
{
    struct caller *caller = gate.callers;
    while (caller != NULL && caller->in_use) {
        caller = caller->next;
    }
    return caller;
}

static struct caller *new_caller(void)
{
    pthread_mutex_lock(&gate.lock);
    me = first_unused();
    if (me == NULL) {
        me = calloc(1, sizeof(*me));
        if (me == NULL) {
            abort(); /* uncounted, it could be inside when a transport is closed */
        }
        me->next = gate.callers;
        __atomic_store_n(&gate.callers, me, __ATOMIC_RELEASE);
    }
    me->in_use = true;
    pthread_mutex_unlock(&gate.lock);
    pthread_setspecific(gate.at_exit, me);
    return me;
}

static void on_thread_exit(void *arg)
{
    struct caller *caller = arg;
    me = NULL;
    pthread_mutex_lock(&gate.lock);
    caller->depth = 0;
    caller->in_use = false;
    pthread_mutex_unlock(&gate.lock);
}

static inline struct caller *this_caller(void)
{
    return me != NULL ? me : new_caller();
}

/* --- in and out --------------------------------------------------------------------------- */

static inline void count_in(struct caller *caller)
{
    __atomic_store_n(&caller->depth, caller->depth + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the keeper's membarrier does the rest */
}

static inline void count_out(struct caller *caller)
{
    __atomic_store_n(&caller->depth, caller->depth - 1, __ATOMIC_RELEASE);
}

static inline bool is_shut_for(const struct caller *caller)
{
    return __atomic_load_n(&gate.shut, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&gate.keeper, __ATOMIC_ACQUIRE) != caller;
}

static inline bool must_wait(const struct caller *caller)
{
    return is_shut_for(caller) && caller->depth == 1;
}

static void wait_until_lifted(unsigned milliseconds)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)milliseconds * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&gate.lock);
    while (gate.shut && pthread_cond_timedwait(&gate.lifted, &gate.lock, &end) == 0) {
    }
    pthread_mutex_unlock(&gate.lock);
}

void gate_enter(void)
{
    struct caller *caller = this_caller();
    count_in(caller);
    while (must_wait(caller)) {
        count_out(caller);
        wait_until_lifted(SLEEP_MS);
        count_in(caller);
    }
}

bool gate_try_enter(void)
{
    struct caller *caller = this_caller();
    count_in(caller);
    if (must_wait(caller)) {
        count_out(caller);
        return false;
    }
    return true;
}

void gate_enter_regardless(void)
{
    count_in(this_caller());
}

void gate_leave(void)
{
    count_out(me);
}

bool gate_is_inside(void)
{
    return gate.built && this_caller()->depth > 0;
}

/* A progress function of MPI: a thread that is shut out need not spin. */
static int sleep_at_shut_gate(void)
{
    if (__atomic_load_n(&gate.shut, __ATOMIC_RELAXED)) {
        const struct caller *caller = this_caller();
        if (caller->depth == 0 && is_shut_for(caller)) {
            wait_until_lifted(SLEEP_MS);
        }
    }
    return 0;
}

/* --- the keeper --------------------------------------------------------------------------- */

void gate_shut(void)
{
    if (gate.built && !gate.shut) {
        __atomic_store_n(&gate.keeper, this_caller(), __ATOMIC_RELEASE);
        __atomic_store_n(&gate.shut, true, __ATOMIC_RELEASE);
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    }
}

bool gate_all_are_out(void)
{
    if (!gate.built) {
        return true;
    }
    const struct caller *caller = __atomic_load_n(&gate.callers, __ATOMIC_ACQUIRE);
    for (; caller != NULL; caller = caller->next) {
        if (caller != gate.keeper && __atomic_load_n(&caller->depth, __ATOMIC_ACQUIRE) > 0) {
            return false;
        }
    }
    return true;
}

void gate_lift(void)
{
    if (gate.built && gate.shut) {
        pthread_mutex_lock(&gate.lock);
        __atomic_store_n(&gate.shut, false, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&gate.lifted);
        pthread_mutex_unlock(&gate.lock);
    }
}

struct task {
    void (*function)(void *);
    void *arg;
    bool done;
};

static void take_over_from(const struct caller *keeper, struct caller *by)
{
    __atomic_store_n(&gate.keeper, by, __ATOMIC_RELEASE);
    if (by != keeper) {
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        while (!gate_all_are_out()) {
            sched_yield(); /* what it may be in, a progress function, ends soon */
        }
    }
}

static void on_alone(int fd, short what, void *arg)
{
    struct task *task = arg;
    struct caller *before = gate.keeper;
    take_over_from(before, this_caller());
    task->function(task->arg);
    __atomic_store_n(&gate.keeper, before, __ATOMIC_RELEASE);
    __atomic_store_n(&task->done, true, __ATOMIC_RELEASE);
}

static void say_nothing(int severity, const char *text)
{
}

/*
 * This runs nothing but MPI's events: opal_progress() would also go on with collectives, which then
 * meet transports that are gone. While another thread is in the loop, libevent refuses with a
 * warning.
 */
void gate_run_events(void)
{
    event_set_log_callback(say_nothing);
    int rc = opal_event_loop(opal_sync_event_base, OPAL_EVLOOP_NONBLOCK);
    event_set_log_callback(NULL);
    if (rc < 0) {
        sched_yield();
    }
}

bool gate_run_alone(void (*function)(void *), void *arg)
{
    if (!gate.built) {
        function(arg);
        return true;
    }
    struct task task = {function, arg, false};
    const int64_t end_ms = now_ms() + EVENT_LOOP_S * 1000;
    opal_event_t event;
    opal_event_evtimer_set(opal_sync_event_base, &event, on_alone, &task);
    opal_event_active(&event, OPAL_EV_TIMEOUT, 1);
    while (!__atomic_load_n(&task.done, __ATOMIC_ACQUIRE) && now_ms() < end_ms) {
        gate_run_events();
    }
    opal_event_evtimer_del(&event); /* waits for it, if it runs just now */
    return __atomic_load_n(&task.done, __ATOMIC_ACQUIRE);
}

/* --- building ----------------------------------------------------------------------------- */

static bool make_condition(void)
{
    pthread_condattr_t attr;
    bool ok = pthread_condattr_init(&attr) == 0 &&
              pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&gate.lifted, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}

bool gate_build(char *why, size_t size)
{
    if (gate.built) {
        return true;
    }
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0) {
        snprintf(why, size, "a gate for threads needs membarrier(2), Linux 4.14: %m");
        return false;
    }
    if (!make_condition() || pthread_key_create(&gate.at_exit, on_thread_exit) != 0 ||
        opal_progress_register(sleep_at_shut_gate) != OPAL_SUCCESS) {
        snprintf(why, size, "cannot make a gate for threads: %m");
        return false;
    }
    gate.built = true;
    return true;
}

bool gate_is_built(void)
{
    return gate.built;
}
