/*
 * Theory of operation
 *
 * Within a step a rank calls code of others, which may hang: a transport that waits for a device, a
 * loop of events that never ends. The thread that serves the agent feeds the watchdog whenever it
 * comes round. If it does not come round for too long, a thread that otherwise sleeps tells the
 * agent in its place that the step has failed, and what the rank is seen to do. Should the rank
 * come round later, it says nothing more of that step. The watchdog's thread touches nothing else.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* How long the rank is watched to see what it does. */
#define LOOK_MS 1000

static struct {
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* under the lock */
    bool stop;
    bool on_duty;               /* somebody serves the agent, and is in a step */
    bool barked;                /* of this step */
    pid_t who;                  /* its thread */
    struct ninja_rank_msg step; /* epoch, round, arg */

    int64_t fed_ms; /* atomic */
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- the thread --------------------------------------------------------------------------- */

/* Clock ticks that a thread of this process has used; -1: not known. */
static long ticks_of(pid_t who)
{
    char path[64], line[512];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)who);
    FILE *file = fopen(path, "re");
    bool ok = file != NULL && fgets(line, sizeof(line), file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    const char *after_name = ok ? strrchr(line, ')') : NULL;
    ok = after_name != NULL &&
         sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                &system) == 2;
    return ok ? (long)(user + system) : -1;
}

static const char *what_it_does(pid_t who)
{
    const struct timespec pause = {LOOK_MS / 1000, LOOK_MS % 1000 * 1000000};
    long before = ticks_of(who);
    nanosleep(&pause, NULL);
    long used = ticks_of(who) - before;
    return before >= 0 && used * 2 > sysconf(_SC_CLK_TCK) ? "it spins" : "it waits for something";
}

static bool is_hungry(void)
{
    return dog.on_duty && !dog.barked &&
           now_ms() - __atomic_load_n(&dog.fed_ms, __ATOMIC_RELAXED) >=
               (int64_t)ninja_params.watchdog * 1000;
}

/* Under the lock, but for the time in which it looks. */
static void bark(void)
{
    char text[256];
    struct ninja_rank_msg step = dog.step;
    pid_t who = dog.who;
    pthread_mutex_unlock(&dog.lock);
    const char *does = what_it_does(who);
    pthread_mutex_lock(&dog.lock);
    if (!is_hungry() || dog.step.epoch != step.epoch || dog.step.round != step.round ||
        dog.step.arg != step.arg) {
        return; /* it has come round */
    }
    snprintf(text, sizeof(text),
             "a part of Open MPI has not returned for %d s, and %s (process %d, thread %d; "
             "\"gdb -p\" shows where)",
             ninja_params.watchdog, does, (int)getpid(), (int)who);
    step.type = NINJA_RANK_REPORT;
    step.status = NINJA_RANK_FAILED;
    step.text = text;
    dog.barked = agent_link_send_apart(&step);
}

static void *run(void *arg)
{
    pthread_mutex_lock(&dog.lock);
    while (!dog.stop) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        if (dog.on_duty) {
            pthread_cond_timedwait(&dog.changed, &dog.lock, &until);
        } else {
            pthread_cond_wait(&dog.changed, &dog.lock);
        }
        if (!dog.stop && is_hungry()) {
            bark();
        }
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

/* --- whoever serves ----------------------------------------------------------------------- */

void watchdog_feed(void)
{
    __atomic_store_n(&dog.fed_ms, now_ms(), __ATOMIC_RELAXED);
}

void watchdog_begin(const struct ninja_rank_msg *step)
{
    watchdog_feed();
    pthread_mutex_lock(&dog.lock);
    dog.on_duty = ninja_params.watchdog > 0;
    dog.barked = false;
    dog.who = (pid_t)syscall(SYS_gettid);
    dog.step =
        (struct ninja_rank_msg){.epoch = step->epoch, .round = step->round, .arg = step->type};
    pthread_cond_signal(&dog.changed);
    pthread_mutex_unlock(&dog.lock);
}

bool watchdog_end(void)
{
    pthread_mutex_lock(&dog.lock);
    bool barked = dog.barked;
    dog.on_duty = dog.barked = false;
    pthread_mutex_unlock(&dog.lock);
    return !barked;
}

bool watchdog_open(char *why, size_t size)
{
    sigset_t all, before;
    pthread_cond_init(&dog.changed, NULL);
    dog.stop = dog.on_duty = false;
    sigfillset(&all); /* signals are for the application's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&dog.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    dog.runs = rc == 0;
    if (rc != 0) {
        snprintf(why, size, "a thread cannot be started: %s", strerror(rc));
    }
    return rc == 0;
}

void watchdog_close(void)
{
    if (dog.runs) {
        pthread_mutex_lock(&dog.lock);
        dog.stop = true;
        pthread_cond_signal(&dog.changed);
        pthread_mutex_unlock(&dog.lock);
        pthread_join(dog.thread, NULL);
        dog.runs = false;
    }
}
