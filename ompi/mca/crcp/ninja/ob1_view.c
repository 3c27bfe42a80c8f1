/*
 * Theory of operation
 *
 * Counts. For each communicator and peer ob1 keeps the sequence number of the last message sent
 * and of the next one expected; their sums over all communicators tell how much each pair of
 * ranks has exchanged, with nothing added to the path of a message. A communicator takes its
 * numbers with it when it is freed, so its share is added to a remainder then. Both ends may have
 * freed different communicators at a given moment; the sums agree all the same.
 *
 * Requests. All requests of ob1 come from two free lists, whose chunks are walked as a debugger's
 * message-queue library does. A send request that is not complete waits either for the transport
 * or for a receiver that has not matched its rendezvous header.
 *
 * Parked messages. An unmatched rendezvous is a header at the receiver (in the unexpected queue of
 * the peer, in a message that MPI_Mprobe returned, or put aside for a communicator that is not
 * made yet) and a request at the sender. A plain RNDV refers to nothing but each other's requests
 * and the BML endpoint, which the release keeps. RGET also offers registered memory for the
 * receiver to read; it is turned into RNDV by what ob1 itself does when a receiver declines RGET.
 */
#include "ob1_view.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "communicators.h"
#include "ob1_private.h"
#include "opal/align.h"
#include "ompi/mca/pml/base/base.h"
#include "ompi/proc/proc.h"
#include "ompi/runtime/params.h"
#include "ompi/runtime/mpiruntime.h"

static struct {
    struct ob1_module *ob1;
    size_t ranks;
    uint16_t *ended_sent; /* by rank: the share of communicators that were freed */
    uint16_t *ended_received;
    mca_pml_base_module_del_comm_fn_t del_comm;
} view;

size_t ob1_view_ranks(void)
{
    return view.ranks;
}

static bool is_ours(const ompi_proc_t *proc)
{
    return proc->super.proc_name.jobid == ompi_proc_local_proc->super.proc_name.jobid &&
           proc->super.proc_name.vpid < view.ranks;
}

static size_t rank_of(const ompi_proc_t *proc)
{
    return proc->super.proc_name.vpid;
}

/* --- communicators ------------------------------------------------------------------------ */

static void add_counts(const struct ob1_comm *comm, uint16_t *sent, uint16_t *received)
{
    for (size_t i = 0; i < comm->n_peers; i++) {
        const struct ob1_peer *peer = comm->peers[i];
        if (peer == NULL || !is_ours(peer->proc)) {
            continue;
        }
        if (sent != NULL) {
            sent[rank_of(peer->proc)] += (uint16_t)peer->send_sequence;
        }
        if (received != NULL) {
            received[rank_of(peer->proc)] += (uint16_t)(peer->expected_sequence - 1);
        }
    }
}

/* A communicator may end in another thread while its counts are added up. */
static pthread_mutex_t ends = PTHREAD_MUTEX_INITIALIZER;

static int del_comm_and_keep_its_counts(ompi_communicator_t *comm)
{
    pthread_mutex_lock(&ends);
    if (comm->c_pml_comm != NULL) {
        add_counts((const struct ob1_comm *)comm->c_pml_comm, view.ended_sent, view.ended_received);
    }
    int rc = view.del_comm(comm);
    pthread_mutex_unlock(&ends);
    return rc;
}

/*
 * The next communicator at or after *i that ob1 knows, or NULL. While a context id is being agreed
 * upon, its slot holds the parent communicator.
 */
static ompi_communicator_t *next_comm(int *i)
{
    int n = opal_pointer_array_get_size(&ompi_mpi_communicators);
    for (; *i < n; (*i)++) {
        ompi_communicator_t *comm = opal_pointer_array_get_item(&ompi_mpi_communicators, *i);
        if (comm != NULL && comm->c_pml_comm != NULL && (int)comm->c_contextid == *i) {
            (*i)++;
            return comm;
        }
    }
    return NULL;
}

void ob1_count_sent(uint16_t *sent)
{
    pthread_mutex_lock(&ends);
    memcpy(sent, view.ended_sent, view.ranks * sizeof(*sent));
    int i = 0;
    for (ompi_communicator_t *comm; (comm = next_comm(&i)) != NULL;) {
        add_counts((const struct ob1_comm *)comm->c_pml_comm, sent, NULL);
    }
    pthread_mutex_unlock(&ends);
}

size_t ob1_count_received(uint16_t *received)
{
    pthread_mutex_lock(&ends);
    memcpy(received, view.ended_received, view.ranks * sizeof(*received));
    int i = 0;
    for (ompi_communicator_t *comm; (comm = next_comm(&i)) != NULL;) {
        add_counts((const struct ob1_comm *)comm->c_pml_comm, NULL, received);
    }
    pthread_mutex_unlock(&ends);
    return opal_list_get_size(&view.ob1->non_existing_communicator_pending);
}

/* --- requests ----------------------------------------------------------------------------- */

typedef void request_visitor(mca_pml_base_request_t *request, void *arg);

/*
 * Calls visit for each request that is in use. Chunks hold free_list_num elements (the first,
 * unless that is none) or fl_num_per_alloc, the last one perhaps less when the list is limited.
 */
static void for_each_request(opal_free_list_t *list, request_visitor *visit, void *arg)
{
    size_t stride = OPAL_ALIGN(list->fl_frag_size, list->fl_frag_alignment, size_t);
    size_t left = list->fl_num_allocated;
    size_t in_chunk =
        view.ob1->free_list_num > 0 ? (size_t)view.ob1->free_list_num : list->fl_num_per_alloc;
    opal_free_list_item_t *chunk;

    OPAL_LIST_FOREACH(chunk, &list->fl_allocations, opal_free_list_item_t)
    {
        unsigned char *p = (unsigned char *)(chunk + 1);
        p = OPAL_ALIGN_PTR(p, list->fl_frag_alignment, unsigned char *);
        for (size_t i = 0; i < in_chunk && left > 0; i++, left--, p += stride) {
            mca_pml_base_request_t *request = (mca_pml_base_request_t *)(void *)p;
            if (request->req_ompi.req_state != OMPI_REQUEST_INVALID) {
                visit(request, arg);
            }
        }
        in_chunk = list->fl_num_per_alloc;
    }
}

static void count_if_busy(mca_pml_base_request_t *request, void *arg)
{
    if (!request->req_pml_complete && request->req_ompi.req_state == OMPI_REQUEST_ACTIVE &&
        request->req_ompi.req_status.MPI_TAG != OMPI_ANY_TAG) {
        ++*(size_t *)arg;
    }
}

size_t ob1_busy_receives(void)
{
    size_t busy = 0;
    for_each_request(&mca_pml_base_recv_requests, count_if_busy, &busy);
    return busy;
}

static void count_if_active(mca_pml_base_request_t *request, void *arg)
{
    if (!request->req_pml_complete && is_ours(request->req_proc)) {
        ((uint32_t *)arg)[rank_of(request->req_proc)]++;
    }
}

void ob1_active_sends(uint32_t *active)
{
    memset(active, 0, view.ranks * sizeof(*active));
    for_each_request(&mca_pml_base_send_requests, count_if_active, active);
}

static void find_header_in_progress(mca_pml_base_request_t *request, void *arg)
{
    const struct ob1_send_request *send = (const struct ob1_send_request *)request;
    if (!request->req_pml_complete && send->state > 1) {
        *(bool *)arg = true;
    }
}

bool ob1_sending_headers(void)
{
    bool found = false;
    for_each_request(&mca_pml_base_send_requests, find_header_in_progress, &found);
    return found;
}

/* --- unmatched rendezvous ----------------------------------------------------------------- */

typedef void frag_visitor(struct ob1_frag *frag, const ompi_proc_t *sender, void *arg);

static bool is_rendezvous(const struct ob1_frag *frag)
{
    return frag->hdr.match.type == OB1_HDR_RNDV || frag->hdr.match.type == OB1_HDR_RGET;
}

static void visit_list(opal_list_t *frags, const ompi_proc_t *sender, frag_visitor *visit,
                       void *arg)
{
    struct ob1_frag *frag;
    OPAL_LIST_FOREACH(frag, frags, struct ob1_frag)
    {
        if (is_rendezvous(frag)) {
            visit(frag, sender, arg);
        }
    }
}

struct visit {
    frag_visitor *visit;
    void *arg;
};

/* A message that a matched probe returned and no receive has taken. */
static void visit_probed(mca_pml_base_request_t *request, void *arg)
{
    struct visit *v = arg;
    bool probe =
        request->req_type == MCA_PML_REQUEST_MPROBE || request->req_type == MCA_PML_REQUEST_IMPROBE;
    struct ob1_frag *frag = request->req_addr;
    if (probe && REQUEST_COMPLETE(&request->req_ompi) && frag != NULL && is_rendezvous(frag)) {
        v->visit(frag, request->req_proc, v->arg);
    }
}

/* All rendezvous headers here; sender is NULL where it is not known. */
static void for_each_held(frag_visitor *visit, void *arg)
{
    int i = 0;
    pthread_mutex_lock(&ends);
    for (ompi_communicator_t *c; (c = next_comm(&i)) != NULL;) {
        struct ob1_comm *comm = (struct ob1_comm *)c->c_pml_comm;
        OPAL_THREAD_LOCK(&comm->matching_lock); /* a message may be delivered in the event loop */
        for (size_t p = 0; p < comm->n_peers; p++) {
            if (comm->peers[p] != NULL) {
                visit_list(&comm->peers[p]->unexpected_frags, comm->peers[p]->proc, visit, arg);
            }
        }
        OPAL_THREAD_UNLOCK(&comm->matching_lock);
    }
    pthread_mutex_unlock(&ends);
    visit_list(&view.ob1->non_existing_communicator_pending, NULL, visit, arg);
    struct visit v = {visit, arg};
    for_each_request(&mca_pml_base_recv_requests, visit_probed, &v);
}

struct held {
    uint32_t *by_rank;
    bool all_known;
};

static void count_held(struct ob1_frag *frag, const ompi_proc_t *sender, void *arg)
{
    struct held *held = arg;
    if (sender == NULL) {
        held->all_known = false;
    } else if (is_ours(sender)) {
        held->by_rank[rank_of(sender)]++;
    }
}

bool ob1_held_rendezvous(uint32_t *by_rank)
{
    struct held held = {by_rank, true};
    memset(by_rank, 0, view.ranks * sizeof(*by_rank));
    for_each_held(count_held, &held);
    return held.all_known;
}

/* Cuts the packet down to its RNDV header; what follows names memory of the old transport. */
static void make_rndv(struct ob1_frag *frag)
{
    struct ob1_rndv_hdr *packet = frag->segments[0].seg_addr.pval;
    if (frag->segments[0].seg_len > view.ob1->unexpected_limit) {
        /* ob1 takes a short packet to lie in the fragment itself when it frees it */
        memcpy(frag->addr, packet, sizeof(*packet));
        view.ob1->allocator->alc_free(view.ob1->allocator, frag->buffers[0].addr);
        packet = (struct ob1_rndv_hdr *)(void *)frag->addr;
        frag->segments[0].seg_addr.pval = packet;
    }
    frag->segments[0].seg_len = sizeof(*packet);
    packet->match.type = frag->hdr.match.type = OB1_HDR_RNDV;
}

static void park_header(struct ob1_frag *frag, const ompi_proc_t *sender, void *arg)
{
    if (frag->hdr.match.type == OB1_HDR_RGET) {
        make_rndv(frag);
    }
    /* ob1 reads the copy of the packet when it matches, and hdr when it orders */
    struct ob1_match_hdr *packet = frag->segments[0].seg_addr.pval;
    packet->flags &= (uint8_t)~OB1_HDR_FLAG_PIN;
    frag->hdr.match.flags &= (uint8_t)~OB1_HDR_FLAG_PIN;
    frag->btl = NULL;
}

static void drop_registrations(struct ob1_send_request *send)
{
    for (uint32_t i = 0; i < send->rdma_cnt; i++) {
        if (send->rdma[i].registration != NULL) {
            mca_bml_base_deregister_mem(send->rdma[i].bml_btl, send->rdma[i].registration);
            send->rdma[i].registration = NULL;
        }
    }
    send->rdma_cnt = 0;
}

static void park_send(mca_pml_base_request_t *request, void *arg)
{
    struct ob1_send_request *send = (struct ob1_send_request *)request;
    if (request->req_pml_complete) {
        return;
    }
    if (send->rdma_frag != NULL) {
        if (send->rdma_frag->local_handle != NULL) {
            mca_bml_base_deregister_mem(send->rdma_frag->rdma_bml, send->rdma_frag->local_handle);
            send->rdma_frag->local_handle = NULL;
        }
        opal_free_list_return(&view.ob1->rdma_frags, &send->rdma_frag->super);
        send->rdma_frag = NULL;
        send->state = 1; /* a RNDV whose header is out and whose ACK is to come */
    }
    drop_registrations(send);
}

void ob1_park(void)
{
    for_each_request(&mca_pml_base_send_requests, park_send, NULL);
    for_each_held(park_header, NULL);
}

/* --- can it work? ------------------------------------------------------------------------- */

static bool communicator_can_move(ompi_communicator_t *comm, char *why, size_t size)
{
    if (OMPI_COMM_CHECK_ASSERT_ALLOW_OVERTAKE(comm)) {
        snprintf(why, size,
                 "communicator \"%s\" allows overtaking (mpi_assert_allow_overtaking), so its "
                 "messages are not numbered",
                 comm->c_name);
        return false;
    }
    return !reaches_another_job(comm, why, size);
}

bool ob1_can_drain(char *why, size_t size)
{
    int i = 0;
    for (ompi_communicator_t *comm; (comm = next_comm(&i)) != NULL;) {
        if (!communicator_can_move(comm, why, size)) {
            return false;
        }
    }
    return true;
}

/* --- opening ------------------------------------------------------------------------------ */

static struct ob1_module *find_ob1(void)
{
    Dl_info where;
    if (dladdr((void *)(uintptr_t)mca_pml.pml_send, &where) == 0) {
        return NULL;
    }
    void *dso = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (dso == NULL) {
        return NULL;
    }
    struct ob1_module *ob1 = dlsym(dso, "mca_pml_ob1");
    dlclose(dso); /* MPI itself keeps it loaded */
    return ob1;
}

/* What ob1 wrote down when it made its lists must agree with the layouts that we assume. */
static bool layouts_agree(const struct ob1_module *ob1)
{
    return ob1->super.pml_send == mca_pml.pml_send && ob1->enabled &&
           ob1->unexpected_limit >= sizeof(struct ob1_rndv_hdr) &&
           mca_pml_base_send_requests.fl_frag_size ==
               sizeof(struct ob1_send_request) +
                   (size_t)ob1->max_rdma_per_request * sizeof(struct ob1_com_btl) &&
           ob1->recv_frags.fl_frag_size == sizeof(struct ob1_frag) + ob1->unexpected_limit &&
           ob1->rdma_frags.fl_frag_size == sizeof(struct ob1_rdma_frag);
}

const char *ob1_view_open(size_t ranks)
{
    const mca_base_component_t *pml = &mca_pml_base_selected_component.pmlm_version;
    if (pml->mca_component_major_version != 4 || pml->mca_component_minor_version != 1) {
        return "the MPI library is not Open MPI 4.1";
    }
    view.ob1 = find_ob1();
    if (view.ob1 == NULL) {
        return "pml/ob1 hides its state (a build with symbol visibility)";
    }
    if (!layouts_agree(view.ob1)) {
        return "pml/ob1 has another layout than that of Open MPI 4.1";
    }
    view.ended_sent = calloc(ranks, sizeof(*view.ended_sent));
    view.ended_received = calloc(ranks, sizeof(*view.ended_received));
    if (view.ended_sent == NULL || view.ended_received == NULL) {
        ob1_view_close();
        return "out of memory";
    }
    view.ranks = ranks;
    view.del_comm = mca_pml.pml_del_comm;
    mca_pml.pml_del_comm = del_comm_and_keep_its_counts;
    return NULL;
}

void ob1_view_close(void)
{
    if (view.del_comm != NULL) {
        mca_pml.pml_del_comm = view.del_comm;
        view.del_comm = NULL;
    }
    free(view.ended_sent);
    free(view.ended_received);
    view.ended_sent = view.ended_received = NULL;
    view.ob1 = NULL;
    view.ranks = 0;
}
