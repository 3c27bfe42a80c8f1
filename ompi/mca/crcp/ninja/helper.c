/*
 * Theory of operation
 *
 * A rank that computes for long does not come to the safe point. If the user wants, and the MPI
 * library runs with MPI_THREAD_MULTIPLE, a thread waits for the agent and takes part in a switch
 * itself; the application goes on computing, and finds the gate shut if it calls MPI meanwhile.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ompi/runtime/mpiruntime.h"

static struct {
    bool running;
    volatile bool stopping;
    pthread_t thread;
} helper;

static void *serve_when_asked(void *arg)
{
    const struct timespec pause = {0, 1000000};
    while (!helper.stopping) {
        bool something = agent_link_poll(100) || !agent_link_is_up();
        if (something && !ninja_module_serve()) {
            nanosleep(&pause, NULL); /* another thread does */
        }
    }
    return NULL;
}

bool helper_start(char *why, size_t size)
{
    sigset_t all, before;
    if (!ompi_mpi_thread_multiple) {
        snprintf(why, size, "it needs MPI_THREAD_MULTIPLE (mpirun -x OMPI_MPI_THREAD_LEVEL=3)");
        return false;
    }
    helper.stopping = false;
    sigfillset(&all); /* signals are for the application's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&helper.thread, NULL, serve_when_asked, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    helper.running = rc == 0;
    if (rc != 0) {
        snprintf(why, size, "%s", strerror(rc));
    }
    return helper.running;
}

void helper_stop(void)
{
    if (helper.running) {
        helper.running = false;
        helper.stopping = true;
        pthread_join(helper.thread, NULL);
    }
}
