/*
 * A thread with a queue: it does one thing after the other, so that whoever gives it something to
 * do does not wait.
 */
#ifndef NINJA_WORKER_H
#define NINJA_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKER_MAX_QUEUE 256

struct worker;

/**
 * Starts one. It lives as long as the program, as a thread that hangs in a library cannot be ended.
 *
 * @param idle     called when there was nothing to do for idle_ms; NULL: never
 * @return NULL when there is no thread
 */
struct worker *worker_new(void (*idle)(void *arg), int idle_ms, void *arg);

/** Has something done, after all that it was given before. False: the queue is full. */
bool worker_post(struct worker *worker, void (*work)(void *arg), void *arg);

/** Has something done in a thread of its own, which ends with it. */
bool worker_once(void (*work)(void *arg), void *arg);

/** Makes a condition for worker_wait(). */
void worker_condition(pthread_cond_t *condition);

/** Waits for it with the lock held, for some milliseconds at most; it may also return for no
 * reason. */
void worker_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms);

#endif
