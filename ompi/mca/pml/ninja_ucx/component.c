/*
 * The component is only ever chosen by its name (--mca pml ninja_ucx), which hook/ninja sets where
 * the user asked for crcp/ninja and for pml/ucx.
 */
#include "ninja_ucx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ompi/constants.h"
#include "ompi/mca/crcp/ninja/own_pml.h"
#include "ompi/mca/pml/base/base.h"
#include "ompi/mca/pml/base/pml_base_bsend.h"
#include "opal/mca/pmix/pmix.h"
#include "opal/util/output.h"
#include "tags.h"

pthread_mutex_t ninja_ucx_lock;
bool several_threads;

static int component_open(void);
static int component_close(void);
static mca_pml_base_module_t *component_init(int *priority, bool progress_threads, bool threads);
static int component_finalize(void);

__attribute__((visibility("default"))) struct own_pml_component mca_pml_ninja_ucx_component = {
    .super =
        {
            .pmlm_version =
                {
                    MCA_PML_BASE_VERSION_2_0_0,
                    .mca_component_name = NINJA_UCX_NAME,
                    .mca_component_major_version = OMPI_MAJOR_VERSION,
                    .mca_component_minor_version = OMPI_MINOR_VERSION,
                    .mca_component_release_version = OMPI_RELEASE_VERSION,
                    .mca_open_component = component_open,
                    .mca_close_component = component_close,
                },
            .pmlm_data = {MCA_BASE_METADATA_PARAM_CHECKPOINT},
            .pmlm_init = component_init,
            .pmlm_finalize = component_finalize,
        },
    .layer = &ninja_ucx_layer,
};

void complain(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    opal_output(0, "pml/%s: rank %d: %s", NINJA_UCX_NAME, (int)OMPI_PROC_MY_NAME->vpid, text);
}

/* --- the PML's functions that do little ---------------------------------------------------- */

static int add_comm(ompi_communicator_t *comm)
{
    if (comm->c_remote_group->grp_proc_count > 1 << RANK_BITS) {
        complain("communicators of more than %d processes are not supported", 1 << RANK_BITS);
        return OMPI_ERR_NOT_SUPPORTED;
    }
    return OMPI_SUCCESS;
}

static int del_comm(ompi_communicator_t *comm)
{
    return OMPI_SUCCESS;
}

static int enable(bool on)
{
    return OMPI_SUCCESS;
}

static int dump(ompi_communicator_t *comm, int verbose)
{
    return OMPI_SUCCESS;
}

static int ft_event(int state)
{
    return OMPI_ERR_NOT_SUPPORTED;
}

static int start(size_t n, ompi_request_t **requests)
{
    int rc = OMPI_SUCCESS;
    for (size_t i = 0; i < n && rc == OMPI_SUCCESS; i++) {
        struct request *request = (struct request *)requests[i];
        if (request == NULL || request->ompi.req_type != OMPI_REQUEST_PML) {
            continue;
        }
        rc = request->kind == REQUEST_SEND ? send_restart(request) : receive_restart(request);
    }
    return rc;
}

static mca_pml_base_module_t module = {
    .pml_add_procs = peers_add,
    .pml_del_procs = peers_remove,
    .pml_enable = enable,
    .pml_progress = worker_progress_function,
    .pml_add_comm = add_comm,
    .pml_del_comm = del_comm,
    .pml_irecv_init = receive_init,
    .pml_irecv = receive_begin,
    .pml_recv = receive_blocking,
    .pml_isend_init = send_init,
    .pml_isend = send_begin,
    .pml_send = send_blocking,
    .pml_iprobe = probe_once,
    .pml_probe = probe,
    .pml_start = start,
    .pml_improbe = probe_matched_once,
    .pml_mprobe = probe_matched,
    .pml_imrecv = receive_matched,
    .pml_mrecv = receive_matched_blocking,
    .pml_dump = dump,
    .pml_ft_event = ft_event,
    .pml_max_contextid = (UINT32_C(1) << CONTEXT_BITS) - 1,
    .pml_max_tag = (1 << (TAG_BITS - 1)) - 1,
};

/* --- the component's life ------------------------------------------------------------------ */

static bool is_asked_for(void)
{
    const char *names = ompi_pml_base_framework.framework_selection;
    return names != NULL && names[0] != '^' && strstr(names, NINJA_UCX_NAME) != NULL;
}

static int component_open(void)
{
    return is_asked_for() ? OMPI_SUCCESS : OMPI_ERR_NOT_AVAILABLE;
}

static int component_close(void)
{
    return OMPI_SUCCESS;
}

static bool publish_address(void)
{
    size_t size;
    void *address = worker_address(&size);
    bool ok = address != NULL && peers_publish(address, size);
    free(address);
    return ok;
}

static void close_all(void)
{
    control_close();
    peers_close();
    held_close();
    requests_close();
    datatypes_close();
}

static bool open_all(char *why, size_t size)
{
    static const struct choice as_the_environment_says;
    if (!worker_open(&as_the_environment_says, why, size)) {
        return false;
    }
    snprintf(why, size, "out of memory");
    if (requests_open() && datatypes_open() && peers_open() && control_open() &&
        publish_address()) {
        return true;
    }
    close_all();
    return false;
}

static mca_pml_base_module_t *component_init(int *priority, bool progress_threads, bool threads)
{
    char why[256];
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ninja_ucx_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    if (!open_all(why, sizeof(why))) {
        complain("UCX cannot be used: %s", why);
        return NULL;
    }
    several_threads = threads;
    mca_pml_base_bsend_init(threads);
    *priority = 100; /* among those that the user named */
    return &module;
}

static int component_finalize(void)
{
    mca_pml_base_bsend_fini();
    close_all();
    return OMPI_SUCCESS;
}
