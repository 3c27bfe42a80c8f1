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
 * knows that no other thread is in it.
 */
#include "gate.h"

#include "ompi_config.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "opal/mca/event/event.h"
#include "opal/runtime/opal.h"
#include "opal/runtime/opal_progress.h"

#define SLEEP_MS 10

/* Of one thread. Records are used again, but never freed. */
struct caller {
    struct caller *next;
    unsigned depth;
    bool keeper;
    bool in_use;
};

static struct {
    bool built;
    volatile bool shut;
    struct caller *callers;
    pthread_mutex_t lock; /* of the list, and of lifted */
    pthread_cond_t lifted;
    pthread_key_t at_exit;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER};

static __thread struct caller *me;

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

static inline bool must_wait(const struct caller *caller)
{
    return gate.shut && caller->depth == 1 && !caller->keeper;
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

/* In opal_progress(): what is shut out need not spin. */
static int sleep_at_shut_gate(void)
{
    if (gate.shut) {
        const struct caller *caller = this_caller();
        if (caller->depth == 0 && !caller->keeper) {
            wait_until_lifted(SLEEP_MS);
        }
    }
    return 0;
}

/* --- the keeper --------------------------------------------------------------------------- */

void gate_shut(void)
{
    if (gate.built && !gate.shut) {
        this_caller()->keeper = true;
        gate.shut = true;
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
        if (!caller->keeper && __atomic_load_n(&caller->depth, __ATOMIC_ACQUIRE) > 0) {
            return false;
        }
    }
    return true;
}

void gate_lift(void)
{
    if (gate.built && gate.shut) {
        this_caller()->keeper = false;
        pthread_mutex_lock(&gate.lock);
        gate.shut = false;
        pthread_cond_broadcast(&gate.lifted);
        pthread_mutex_unlock(&gate.lock);
    }
}

struct task {
    void (*function)(void *);
    void *arg;
    bool done;
};

/* Perhaps in another thread than the keeper's, which then waits: this one plays its part. */
static void on_alone(int fd, short what, void *arg)
{
    struct task *task = arg;
    struct caller *caller = this_caller();
    bool was_keeper = caller->keeper;
    caller->keeper = true;
    task->function(task->arg);
    caller->keeper = was_keeper;
    __atomic_store_n(&task->done, true, __ATOMIC_RELEASE);
}

void gate_run_alone(void (*function)(void *), void *arg)
{
    if (!gate.built) {
        function(arg);
        return;
    }
    struct task task = {function, arg, false};
    opal_event_t event;
    opal_event_evtimer_set(opal_sync_event_base, &event, on_alone, &task);
    opal_progress_event_users_increment(); /* so that the loop is entered at every call */
    opal_event_active(&event, OPAL_EV_TIMEOUT, 1);
    while (!__atomic_load_n(&task.done, __ATOMIC_ACQUIRE)) {
        opal_progress();
    }
    opal_progress_event_users_decrement();
    opal_event_evtimer_del(&event);
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
        snprintf(why, size, "MPI_THREAD_MULTIPLE needs membarrier(2), Linux 4.14: %m");
        return false;
    }
    if (!make_condition() || pthread_key_create(&gate.at_exit, on_thread_exit) != 0 ||
        opal_progress_register(sleep_at_shut_gate) != OPAL_SUCCESS) {
        snprintf(why, size, "cannot make what MPI_THREAD_MULTIPLE needs: %m");
        return false;
    }
    gate.built = true;
    return true;
}

bool gate_is_built(void)
{
    return gate.built;
}
