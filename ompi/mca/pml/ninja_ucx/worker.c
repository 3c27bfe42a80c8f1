/*
 * UCX gives a device back only when the whole worker and the whole context are gone: so these are
 * what a switch destroys and makes anew. An address that is told to others begins with the version
 * of UCX, as the rest of it means something to that version only.
 */
#include "ninja_ucx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opal/runtime/opal_progress.h"

#define ENVIRONMENT_PREFIX "MPI" /* as that of Open MPI's own component: UCX_MPI_* */
#define ALIGNMENT          64    /* of a request */

ucp_worker_h worker;
static ucp_context_h context;
static size_t request_size; /* 0: not known yet */

static bool configure(ucp_config_t *config, const char *name, const char *value, char *why,
                      size_t size)
{
    ucs_status_t status = value != NULL ? ucp_config_modify(config, name, value) : UCS_OK;
    if (status != UCS_OK) {
        snprintf(why, size, "UCX does not take %s=%s: %s", name, value, ucs_status_string(status));
    }
    return status == UCS_OK;
}

static bool context_open(const struct choice *choice, char *why, size_t size)
{
    ucp_config_t *config;
    ucp_params_t params = {.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_REQUEST_SIZE |
                                         UCP_PARAM_FIELD_MT_WORKERS_SHARED |
                                         UCP_PARAM_FIELD_ESTIMATED_NUM_EPS |
                                         UCP_PARAM_FIELD_ESTIMATED_NUM_PPN,
                           .features = UCP_FEATURE_TAG,
                           .request_size = 0,
                           .mt_workers_shared = 0,
                           .estimated_num_eps = ompi_process_info.num_procs,
                           .estimated_num_ppn = (size_t)ompi_process_info.num_local_peers + 1};
    ucs_status_t status = ucp_config_read(ENVIRONMENT_PREFIX, NULL, &config);
    if (status != UCS_OK) {
        snprintf(why, size, "UCX cannot read its settings: %s", ucs_status_string(status));
        return false;
    }
    bool ok = configure(config, "TLS", choice->transports, why, size) &&
              configure(config, "NET_DEVICES", choice->devices, why, size);
    if (ok) {
        status = ucp_init(&params, config, &context);
        if (status != UCS_OK) {
            context = NULL;
            snprintf(why, size, "UCX finds no device for the transports \"%s\"%s%s: %s",
                     choice->transports != NULL ? choice->transports : "all",
                     choice->devices != NULL ? " on " : "",
                     choice->devices != NULL ? choice->devices : "", ucs_status_string(status));
        }
    }
    ucp_config_release(config);
    return ok && status == UCS_OK;
}

/* What the first context needed is the room that all requests have. */
static bool request_fits(char *why, size_t size)
{
    ucp_context_attr_t attr = {.field_mask = UCP_ATTR_FIELD_REQUEST_SIZE};
    ucs_status_t status = ucp_context_query(context, &attr);
    if (status == UCS_OK && request_size == 0) {
        request_size = (attr.request_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    if (status != UCS_OK || attr.request_size > request_size) {
        snprintf(why, size, "UCX needs %zu bytes in a request, and there are %zu",
                 attr.request_size, request_size);
        return false;
    }
    return true;
}

bool worker_open(const struct choice *choice, char *why, size_t size)
{
    ucp_worker_params_t params = {.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
                                  .thread_mode = UCS_THREAD_MODE_SERIALIZED};
    if (!context_open(choice, why, size)) {
        return false;
    }
    ucs_status_t status = ucp_worker_create(context, &params, &worker);
    if (status != UCS_OK) {
        worker = NULL;
        snprintf(why, size, "UCX opens no transports: %s", ucs_status_string(status));
    }
    if (status != UCS_OK || !request_fits(why, size)) {
        worker_close();
        return false;
    }
    return true;
}

void worker_close(void)
{
    if (worker != NULL) {
        ucp_worker_destroy(worker);
        worker = NULL;
    }
    if (context != NULL) {
        ucp_cleanup(context);
        context = NULL;
    }
}

size_t worker_request_size(void)
{
    return request_size;
}

/* --- addresses ----------------------------------------------------------------------------- */

struct version {
    unsigned major, minor, release;
};

static struct version version_here(void)
{
    struct version version;
    ucp_get_version(&version.major, &version.minor, &version.release);
    return version;
}

void *worker_address(size_t *size)
{
    const struct version version = version_here();
    ucp_address_t *address;
    size_t length;
    if (ucp_worker_get_address(worker, &address, &length) != UCS_OK) {
        return NULL;
    }
    char *copy = malloc(sizeof(version) + length);
    if (copy != NULL) {
        memcpy(copy, &version, sizeof(version));
        memcpy(copy + sizeof(version), address, length);
        *size = sizeof(version) + length;
    }
    ucp_worker_release_address(worker, address);
    return copy;
}

const ucp_address_t *worker_address_of(const void *address, size_t size, char *why, size_t why_size)
{
    const struct version here = version_here();
    struct version there;
    if (size <= sizeof(there)) {
        snprintf(why, why_size, "it has no address");
        return NULL;
    }
    memcpy(&there, address, sizeof(there));
    if (memcmp(&there, &here, sizeof(here)) != 0) {
        snprintf(why, why_size, "it has UCX %u.%u.%u, and this rank %u.%u.%u", there.major,
                 there.minor, there.release, here.major, here.minor, here.release);
        return NULL;
    }
    return (const ucp_address_t *)((const char *)address + sizeof(there));
}

/* --- progress ------------------------------------------------------------------------------ */

int worker_progress(void)
{
    if (OPAL_UNLIKELY(worker == NULL)) {
        return 0;
    }
    int events = (int)ucp_worker_progress(worker);
    if (OPAL_UNLIKELY(control_inbox != NULL)) {
        control_handle();
    }
    return events;
}

int worker_progress_function(void)
{
    if (OPAL_LIKELY(!several_threads)) {
        return worker_progress();
    }
    if (pthread_mutex_trylock(&ninja_ucx_lock) != 0) {
        return 0;
    }
    int events = worker_progress();
    pthread_mutex_unlock(&ninja_ucx_lock);
    return events;
}

#define TURNS_WITHOUT_MPI 100 /* MPI's own progress looks at much more than UCX */

/* Where ranks share processors, MPI's progress gives ours to the others. */
void worker_wait(unsigned turn)
{
    if (turn % TURNS_WITHOUT_MPI == 0 || opal_progress_yield_when_idle) {
        opal_progress();
    } else {
        worker_progress_function();
    }
}
