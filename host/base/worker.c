#include "host/base/worker.h"

#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "host/base/memory.h"

struct item {
    void (*work)(void *arg);
    void *arg;
};

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct item queue[WORKER_MAX_QUEUE]; /* a ring */
    unsigned first, count;
    void (*idle)(void *arg);
    int idle_ms;
    void *arg;
};

void worker_condition(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void worker_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    int64_t until = now_ms() + ms;
    struct timespec at = {until / 1000, until % 1000 * 1000000};
    pthread_cond_timedwait(condition, lock, &at);
}

static void wait_for_work(struct worker *worker)
{
    if (worker->idle == NULL)
        pthread_cond_wait(&worker->posted, &worker->lock);
    else
        worker_wait(&worker->posted, &worker->lock, worker->idle_ms);
}

/* What to do next: the first of the queue, or `idle` if nothing came in its time. */
static struct item next(struct worker *worker)
{
    struct item item = {worker->idle, worker->arg};
    pthread_mutex_lock(&worker->lock);
    if (worker->count == 0)
        wait_for_work(worker);
    if (worker->count > 0) {
        item = worker->queue[worker->first];
        worker->first = (worker->first + 1) % WORKER_MAX_QUEUE;
        worker->count--;
    }
    pthread_mutex_unlock(&worker->lock);
    return item;
}

static void *worker_main(void *arg)
{
    while (true) {
        struct item item = next(arg);
        if (item.work != NULL)
            item.work(item.arg);
    }
    return NULL;
}

static bool start(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arg) != 0)
        return false;
    pthread_detach(thread);
    return true;
}

struct worker *worker_new(void (*idle)(void *arg), int idle_ms, void *arg)
{
    struct worker *worker = xcalloc(1, sizeof(*worker));
    worker->idle = idle;
    worker->idle_ms = idle_ms;
    worker->arg = arg;
    pthread_mutex_init(&worker->lock, NULL);
    worker_condition(&worker->posted);
    if (start(worker_main, worker))
        return worker;
    free(worker);
    return NULL;
}

bool worker_post(struct worker *worker, void (*work)(void *arg), void *arg)
{
    pthread_mutex_lock(&worker->lock);
    bool room = worker->count < WORKER_MAX_QUEUE;
    if (room) {
        unsigned last = (worker->first + worker->count) % WORKER_MAX_QUEUE;
        worker->queue[last] = (struct item){work, arg};
        worker->count++;
        pthread_cond_signal(&worker->posted);
    }
    pthread_mutex_unlock(&worker->lock);
    return room;
}

static void *once_main(void *arg)
{
    struct item item = *(struct item *)arg;
    free(arg);
    item.work(item.arg);
    return NULL;
}

bool worker_once(void (*work)(void *arg), void *arg)
{
    struct item *item = xmalloc(sizeof(*item));
    *item = (struct item){work, arg};
    if (start(once_main, item))
        return true;
    free(item);
    return false;
}
