/*
 * Theory of operation
 *
 * The lookout is a thread that sleeps until the agent says something, or until it is time to look
 * for the agent again, and then has the safe point called. As an event of MPI's own loop, which a
 * rank that waits for tcp polls all the time, the agent's descriptor would make each poll(2)
 * dearer: 2 % of the latency of tcp. A thread that sleeps costs nothing.
 *
 * It looks out once for each lookout_watch(), and does not touch the connection. A rank that
 * computes for long does not come to the safe point. So if the user wants it, and the MPI library
 * runs with MPI_THREAD_MULTIPLE, the thread also takes part in a switch itself; the application
 * goes on computing, and finds the gate shut if it calls MPI meanwhile. In a job of one rank the
 * thread always does so.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    int wake; /* eventfd: there is another order */
    bool serves;

    /* The order, under the lock. */
    bool stop;
    bool watching;
    int fd;           /* or -1 */
    int milliseconds; /* or -1: without limit */
} lookout = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = -1};

static bool is_to_stop(void)
{
    pthread_mutex_lock(&lookout.lock);
    bool stop = lookout.stop;
    pthread_mutex_unlock(&lookout.lock);
    return stop;
}

/* Returns true when what it watches for has come, false when there is another order. */
static bool look_out(void)
{
    struct pollfd fds[] = {{lookout.wake, POLLIN, 0}, {-1, POLLIN, 0}};
    eventfd_t orders;
    int milliseconds = -1;
    pthread_mutex_lock(&lookout.lock);
    bool watching = lookout.watching;
    if (watching) {
        fds[1].fd = lookout.fd; /* poll(2) overlooks a descriptor of -1 */
        milliseconds = lookout.milliseconds;
    }
    pthread_mutex_unlock(&lookout.lock);

    int n = poll(fds, 2, milliseconds);
    if (n < 0 || fds[0].revents != 0) {
        eventfd_read(lookout.wake, &orders);
        return false;
    }
    pthread_mutex_lock(&lookout.lock);
    lookout.watching = false;
    pthread_mutex_unlock(&lookout.lock);
    return true;
}

static void *run(void *arg)
{
    const struct timespec pause = {0, 1000000};
    while (!is_to_stop()) {
        if (!look_out()) {
            continue;
        }
        ninja_module_call();
        while (lookout.serves && ninja_module_is_called() && !is_to_stop()) {
            if (!ninja_module_serve()) {
                nanosleep(&pause, NULL); /* another thread does */
            }
        }
    }
    return NULL;
}

bool lookout_open(bool serves, char *why, size_t size)
{
    sigset_t all, before;
    lookout.serves = serves;
    lookout.stop = lookout.watching = false;
    lookout.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookout.wake < 0) {
        snprintf(why, size, "eventfd: %s", strerror(errno));
        return false;
    }
    sigfillset(&all); /* signals are for the application's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&lookout.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        snprintf(why, size, "a thread cannot be started: %s", strerror(rc));
        close(lookout.wake);
        lookout.wake = -1;
        return false;
    }
    return true;
}

void lookout_watch(int fd, int milliseconds)
{
    pthread_mutex_lock(&lookout.lock);
    lookout.watching = true;
    lookout.fd = fd;
    lookout.milliseconds = milliseconds;
    pthread_mutex_unlock(&lookout.lock);
    eventfd_write(lookout.wake, 1);
}

void lookout_close(void)
{
    if (lookout.wake >= 0) {
        pthread_mutex_lock(&lookout.lock);
        lookout.stop = true;
        pthread_mutex_unlock(&lookout.lock);
        eventfd_write(lookout.wake, 1);
        pthread_join(lookout.thread, NULL);
        close(lookout.wake);
        lookout.wake = -1;
    }
}
