/*
 * Processes that this one exchanges messages with. They are connected with the first message. Those
 * of this job are found by their rank, and stay for as long as MPI runs, as persistent requests
 * point to them; those of other jobs are in a list until MPI forgets them.
 *
 * The address of a process is the one that it published in MPI_Init, until a switch has brought
 * those of all ranks.
 */
#include "ninja_ucx.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "ompi/constants.h"
#include "ompi/mca/crcp/ninja/own_pml.h"
#include "ompi/mca/pml/base/base.h"
#include "ompi/mca/rte/rte.h"
#include "ompi/runtime/mpiruntime.h"
#include "opal/mca/pmix/pmix.h"
#include "opal/runtime/opal_progress.h"

#define CLOSE_MS 5000 /* that an endpoint has to end in MPI_Finalize */

extern struct own_pml_component mca_pml_ninja_ucx_component;

static struct {
    struct peer **by_rank;
    size_t ranks;
    struct peer *first;
    struct ninja_addresses addresses; /* of a switch; no map: as published in MPI_Init */
} peers;

bool peers_open(void)
{
    peers.ranks = ompi_process_info.num_procs;
    peers.by_rank = calloc(peers.ranks, sizeof(struct peer *));
    return peers.by_rank != NULL;
}

void peers_close(void)
{
    while (peers.first != NULL) {
        struct peer *peer = peers.first;
        peers.first = peer->next;
        free(peer);
    }
    free(peers.by_rank);
    peers.by_rank = NULL;
    ninja_addresses_unmap(&peers.addresses);
}

struct peer *peers_first(void)
{
    return peers.first;
}

/* --- finding them -------------------------------------------------------------------------- */

static bool is_of_this_job(const opal_process_name_t *name)
{
    return name->jobid == OMPI_PROC_MY_NAME->jobid && name->vpid < peers.ranks;
}

static struct peer *find(const opal_process_name_t *name)
{
    if (is_of_this_job(name)) {
        return peers.by_rank[name->vpid];
    }
    struct peer *peer = peers.first;
    while (peer != NULL && (peer->name.jobid != name->jobid || peer->name.vpid != name->vpid)) {
        peer = peer->next;
    }
    return peer;
}

static struct peer *find_or_make(const opal_process_name_t *name)
{
    struct peer *peer = find(name);
    if (peer == NULL && (peer = calloc(1, sizeof(*peer))) != NULL) {
        peer->name = *name;
        peer->next = peers.first;
        peers.first = peer;
        if (is_of_this_job(name)) {
            peers.by_rank[name->vpid] = peer;
        }
    }
    return peer;
}

struct peer *peer_of_rank(uint32_t rank)
{
    const opal_process_name_t name = {OMPI_PROC_MY_NAME->jobid, rank};
    return rank < peers.ranks ? find_or_make(&name) : NULL;
}

/* --- addresses ----------------------------------------------------------------------------- */

bool peers_publish(const void *address, size_t size)
{
    int rc;
    OPAL_MODEX_SEND(rc, OPAL_PMIX_GLOBAL, &mca_pml_ninja_ucx_component.super.pmlm_version,
                    (void *)(uintptr_t)address, size);
    return rc == OMPI_SUCCESS;
}

void peers_take_addresses(struct ninja_addresses *addresses)
{
    size_t size;
    const void *ours = ninja_addresses_of(addresses, OMPI_PROC_MY_NAME->vpid, &size);
    peers_publish(ours, size); /* for other jobs, which ask PMIx */
    opal_pmix.commit();
    ninja_addresses_unmap(&peers.addresses);
    peers.addresses = *addresses;
    *addresses = (struct ninja_addresses){0};
}

/* --- connecting ---------------------------------------------------------------------------- */

static bool connect_to(struct peer *peer, const void *address, size_t length, char *why,
                       size_t size)
{
    ucp_ep_params_t params = {.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS};
    params.address = worker_address_of(address, length, why, size);
    if (params.address == NULL) {
        return false;
    }
    ucs_status_t status = ucp_ep_create(worker, &params, &peer->endpoint);
    if (status != UCS_OK) {
        peer->endpoint = NULL;
        snprintf(why, size, "%s", ucs_status_string(status));
    }
    return status == UCS_OK;
}

static bool connect_by_modex(struct peer *peer, char *why, size_t size)
{
    uint8_t *address = NULL;
    size_t length;
    int rc;
    OPAL_MODEX_RECV(rc, &mca_pml_ninja_ucx_component.super.pmlm_version, &peer->name,
                    (void **)&address, &length);
    if (rc != OMPI_SUCCESS) {
        snprintf(why, size, "it has published no address");
        return false;
    }
    bool ok = connect_to(peer, address, length, why, size);
    free(address);
    return ok;
}

bool peer_reach(struct peer *peer, char *why, size_t size)
{
    if (peer->endpoint != NULL) {
        return true;
    }
    if (peers.addresses.map != NULL && is_of_this_job(&peer->name)) {
        size_t length;
        const void *address = ninja_addresses_of(&peers.addresses, peer->name.vpid, &length);
        return connect_to(peer, address, length, why, size);
    }
    return connect_by_modex(peer, why, size);
}

struct peer *peer_connect(ompi_proc_t *proc)
{
    char why[256] = "out of memory";
    struct peer *peer = find_or_make(&proc->super.proc_name);
    if (peer == NULL || !peer_reach(peer, why, sizeof(why))) {
        complain("rank %u cannot be reached: %s", proc->super.proc_name.vpid, why);
        return NULL;
    }
    proc->proc_endpoints[OMPI_PROC_ENDPOINT_TAG_PML] = peer;
    return peer;
}

void peers_forget_endpoints(void)
{
    for (struct peer *peer = peers.first; peer != NULL; peer = peer->next) {
        peer->endpoint = NULL;
        peer->verified = false;
    }
}

/* --- what MPI tells of processes ----------------------------------------------------------- */

int peers_add(ompi_proc_t **procs, size_t n)
{
    return mca_pml_base_pml_check_selected(NINJA_UCX_NAME, procs, n);
}

static void *begin_to_close(struct peer *peer)
{
    ucp_request_param_t param = {.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS, .flags = 0};
    void *closing =
        peer->endpoint != NULL && worker != NULL ? ucp_ep_close_nbx(peer->endpoint, &param) : NULL;
    peer->endpoint = NULL;
    return UCS_PTR_IS_PTR(closing) ? closing : NULL;
}

static void end_closing(void *closing, int64_t until_ms)
{
    if (closing != NULL) {
        while (ucp_request_check_status(closing) == UCS_INPROGRESS && now_ms() < until_ms) {
            worker_progress();
        }
        ucp_request_free(closing);
    }
}

static void on_fence(int status, void *arg)
{
    __atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
}

/* No rank closes its worker while another one may still have something to send to it. */
static void wait_for_all_ranks(void)
{
    static bool all_are_here;
    const int64_t until_ms = now_ms() + CLOSE_MS;
    if (opal_pmix.fence_nb == NULL ||
        opal_pmix.fence_nb(NULL, 0, on_fence, &all_are_here) != OPAL_SUCCESS) {
        return;
    }
    while (!__atomic_load_n(&all_are_here, __ATOMIC_ACQUIRE) && now_ms() < until_ms) {
        worker_progress();
        usleep(50);
    }
}

static void remove_one(ompi_proc_t *proc)
{
    struct peer *peer = find(&proc->super.proc_name);
    if (peer != NULL) {
        end_closing(begin_to_close(peer), now_ms() + CLOSE_MS);
    }
    proc->proc_endpoints[OMPI_PROC_ENDPOINT_TAG_PML] = NULL;
}

int peers_remove(ompi_proc_t **procs, size_t n)
{
    lock();
    for (size_t i = 0; i < n; i++) {
        remove_one(procs[i]);
    }
    if (ompi_mpi_state >= OMPI_MPI_STATE_FINALIZE_STARTED) {
        wait_for_all_ranks();
    }
    unlock();
    return OMPI_SUCCESS;
}
