/*
 * The life of the component in a process, and its safe point: a low-priority callback of MPI's
 * progress engine, which is called when the application is inside MPI and waits, and not from
 * within another callback's work. With MPI_THREAD_MULTIPLE one of the threads that wait comes to
 * it, or the lookout, and shuts the others out (calls.c).
 *
 * A job of one rank need never come to it: its messages go to itself, and all its calls complete at
 * once, without progress; or it computes, and calls nothing. As it waits for nobody, and nobody
 * waits for it, the lookout serves it, as it would with MPI_THREAD_MULTIPLE. For that Open MPI is
 * told, at the end of MPI_Init, that there are several threads.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <unistd.h>

#include "common/clock.h"
#include "ompi/constants.h"
#include "ompi/mca/pml/base/base.h"
#include "ompi/mca/rte/rte.h"
#include "ompi/runtime/mpiruntime.h"
#include "opal/mca/btl-hooks/gate.h"
#include "opal/mca/btl-hooks/other_jobs.h"
#include "opal/threads/mutex.h"
#include "opal/runtime/opal_progress.h"
#include "transport_layer.h"

static volatile bool called;
static bool serving; /* by one thread */
static bool active;
static const struct transport_layer *layer; /* that of the job's PML */

bool ninja_module_serve(void)
{
    if (gate_is_inside() || __atomic_exchange_n(&serving, true, __ATOMIC_ACQUIRE)) {
        return false;
    }
    called = false;
    steps_serve();
    agent_link_watch();
    __atomic_store_n(&serving, false, __ATOMIC_RELEASE);
    return true;
}

void ninja_module_call(void)
{
    called = true;
}

bool ninja_module_is_called(void)
{
    return called;
}

int ninja_module_safe_point(void)
{
    if (called) {
        ninja_module_serve();
    }
    return 0;
}

/* Whether the lookout's thread may be inside MPI beside the application's. */
static bool has_helper(void)
{
    return ompi_process_info.num_procs == 1 ||
           (ninja_params.helper_thread && ompi_mpi_thread_multiple);
}

/* Builds the gate if several threads may be inside MPI. */
static bool gate_threads(char *why, size_t size)
{
    if (!ompi_mpi_thread_multiple && !has_helper()) {
        return true;
    }
    opal_set_using_threads(true);
    return calls_gate(layer, why, size);
}

static bool start(char *why, size_t size)
{
    layer = transport_layer_of(mca_pml_base_selected_component.pmlm_version.mca_component_name);
    if (layer == NULL) {
        snprintf(why, size,
                 "the job uses a PML that cannot be moved; start it with --mca pml ob1 or --mca "
                 "pml ucx");
        return false;
    }
    if (!layer->start(why, size)) {
        return false;
    }
    other_jobs_open();
    steps_open(layer);
    if (!gate_threads(why, size) || !watchdog_open(why, size) ||
        !lookout_open(has_helper(), why, size)) {
        watchdog_close();
        steps_close();
        layer->end();
        return false;
    }
    return true;
}

/* For tests: waits until the first stop has come and has been acted on. */
static void hold(void)
{
    const int64_t end = now_ms() + (int64_t)ninja_params.hold * 1000;
    while (steps_member()->epoch == 0 && agent_link_is_up() && now_ms() < end) {
        opal_progress(); /* which leads to the safe point */
        usleep(100);
    }
}

/* Never fails: a job that cannot be migrated still runs. */
int ninja_module_init(void)
{
    char why[256];
    if (!start(why, sizeof(why))) {
        ninja_warn("%s. The job runs, but cannot be migrated.", why);
        return OMPI_SUCCESS;
    }
    if (ninja_params.helper_thread && !has_helper()) {
        ninja_warn("no helper thread: it needs MPI_THREAD_MULTIPLE (mpirun -x "
                   "OMPI_MPI_THREAD_LEVEL=3). The job runs on without.");
    }
    active = true;
    agent_link_open(steps_member());
    opal_progress_register_lp(ninja_module_safe_point);
    agent_link_watch();
    hold();
    return OMPI_SUCCESS;
}

int ninja_module_finalize(void)
{
    if (!active) {
        return OMPI_SUCCESS;
    }
    active = false;
    lookout_close();
    opal_progress_unregister(ninja_module_safe_point);
    steps_finish();
    agent_link_close();
    watchdog_close();
    steps_close();
    layer->end();
    return OMPI_SUCCESS;
}
