/*
 * Theory of operation
 *
 * MPI_Comm_spawn, MPI_Comm_accept and MPI_Comm_connect tie this job to another one. Open MPI does
 * it by PMIx: the first ranks of both find each other by PMIx_Publish and PMIx_Lookup, then all
 * come to PMIx_Connect, and from then on they know each other's addresses. These must not change
 * until there is an intercommunicator, of which the drain knows; the PML is told of each one.
 *
 * These calls wait in PMIx, perhaps for long, and make no progress meanwhile: this rank would not
 * come to a safe point, while the ranks that wait for it are held in theirs. So another thread
 * waits.
 */
#include "other_jobs.h"

#include "ompi_config.h"

#include "gate.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "ompi/communicator/communicator.h"
#include "ompi/mca/pml/pml.h"
#include "opal/mca/pmix/pmix.h"
#include "opal/runtime/opal_progress.h"

static struct {
    opal_pmix_base_module_connect_fn_t connect;
    opal_pmix_base_module_lookup_fn_t lookup;
    mca_pml_base_module_add_comm_fn_t add_comm;
    volatile bool connecting;
} jobs;

struct call {
    int (*function)(const struct call *call);
    opal_list_t *first, *second;
    int rc;
    bool done;
};

static void *run(void *arg)
{
    struct call *call = arg;
    call->rc = call->function(call);
    __atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* It has no limit of its own, as the MPI calls have none. */
static int run_while_progressing(struct call *call)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* signals are for the application's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, run, call);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        run(call);
        return call->rc;
    }
    while (!__atomic_load_n(&call->done, __ATOMIC_ACQUIRE)) {
        opal_progress();
        usleep(100);
    }
    pthread_join(thread, NULL);
    return call->rc;
}

static int stock_connect(const struct call *call)
{
    return jobs.connect(call->first);
}

static int stock_lookup(const struct call *call)
{
    return jobs.lookup(call->first, call->second);
}

static int connect_jobs(opal_list_t *procs)
{
    struct call call = {.function = stock_connect, .first = procs};
    gate_enter(); /* not in the midst of a switch by another thread */
    jobs.connecting = true;
    gate_leave();
    int rc = run_while_progressing(&call);
    if (rc != OPAL_SUCCESS) {
        jobs.connecting = false;
    }
    return rc;
}

static int lookup(opal_list_t *data, opal_list_t *info)
{
    struct call call = {.function = stock_lookup, .first = data, .second = info};
    return run_while_progressing(&call);
}

static int add_comm(ompi_communicator_t *comm)
{
    int rc = jobs.add_comm(comm);
    if (OMPI_COMM_IS_INTER(comm)) {
        jobs.connecting = false;
    }
    return rc;
}

bool other_jobs_are_connecting(void)
{
    return jobs.connecting;
}

void other_jobs_open(void)
{
    jobs.connect = opal_pmix.connect;
    jobs.lookup = opal_pmix.lookup;
    if (jobs.connect != NULL && jobs.lookup != NULL) {
        opal_pmix.connect = connect_jobs;
        opal_pmix.lookup = lookup;
        jobs.add_comm = mca_pml.pml_add_comm;
        mca_pml.pml_add_comm = add_comm;
    }
}
