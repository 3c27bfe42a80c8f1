/*
 * A send that UCX completes at once needs no request of MPI's; most short ones do. The memory for
 * UCX's request is offered with each send, and used only if it does not.
 */
#include "ninja_ucx.h"

#include <alloca.h>

#include "ompi/constants.h"
#include "ompi/mca/pml/base/pml_base_bsend.h"
#include "tags.h"

#define BEGUN_WITH_MEMORY                                                                          \
    (UCP_OP_ATTR_FIELD_REQUEST | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA)

static inline void count_message(struct peer *peer, ucp_tag_t tag)
{
    peer->sent++;
    peer->met = true;
    if (OPAL_UNLIKELY(peer->syncs > 0)) {
        sync_count(peer, tag);
    }
}

static int failed(ucs_status_t status)
{
    complain("a send failed: %s", ucs_status_string(status));
    return OMPI_ERROR;
}

static inline void start(struct request *request)
{
    request_start(request);
    request->ompi.req_status.MPI_ERROR = MPI_SUCCESS;
    request->ompi.req_status._cancelled = 0;
}

/* --- nonblocking --------------------------------------------------------------------------- */

static void on_sent(void *area, ucs_status_t status, void *arg)
{
    struct request *request = arg;
    sends_in_ucx--;
    request->in_ucx = false;
    if (request->copy != NULL) { /* MPI has seen it complete */
        mca_pml_base_bsend_request_free(request->copy);
        request->copy = NULL;
        request_put(request);
        return;
    }
    request->ompi.req_status.MPI_ERROR = status == UCS_OK ? MPI_SUCCESS : failed(status);
    if (request->mode == MCA_PML_BASE_SEND_SYNCHRONOUS) {
        sync_taken(request);
    } else {
        request_complete(request);
    }
}

/*
 * Gives it to UCX. Data in one piece is told by begin and length, other data lies where the request
 * says.
 *
 * @return 0: it is complete; 1: it will be; or MPI's error
 */
static inline int give_to_ucx(struct request *request, struct peer *peer, ucp_tag_t tag,
                              void *begin, size_t length)
{
    ucp_request_param_t param = {.op_attr_mask = BEGUN_WITH_MEMORY,
                                 .request = request_area(request),
                                 .cb.send = on_sent,
                                 .user_data = request};
    if (begin == request) {
        param.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
        param.datatype = scattered;
    }
    ucs_status_ptr_t sent = request->mode == MCA_PML_BASE_SEND_SYNCHRONOUS
                                ? ucp_tag_send_sync_nbx(peer->endpoint, begin, length, tag, &param)
                                : ucp_tag_send_nbx(peer->endpoint, begin, length, tag, &param);
    if (sent == NULL) {
        return 0;
    }
    if (UCS_PTR_IS_ERR(sent)) {
        return failed(UCS_PTR_STATUS(sent));
    }
    request->in_ucx = true;
    sends_in_ucx++;
    return 1;
}

/* Starts a request in which all is said. */
static int start_send(struct request *request, struct peer *peer, ucp_tag_t tag)
{
    void *begin = request;
    size_t length = 1;
    bool synchronous = request->mode == MCA_PML_BASE_SEND_SYNCHRONOUS;
    start(request);
    request->peer = peer;
    request->tag = tag;
    count_message(peer, tag);
    if (synchronous && !sync_begin(request)) {
        request->active = false;
        return OMPI_ERR_OUT_OF_RESOURCE;
    }
    in_one_piece(request->datatype, request->count, request->buffer, &begin, &length);
    int rc = give_to_ucx(request, peer, tag, begin, length);
    if (rc == 0 && synchronous) {
        sync_taken(request);
    } else if (rc == 0) {
        request_complete(request);
    } else if (rc < 0) {
        request->active = false;
    }
    return rc < 0 ? rc : OMPI_SUCCESS;
}

static bool say_all(struct request *request, const void *buffer, size_t count,
                    ompi_datatype_t *type, mca_pml_base_send_mode_t mode, ompi_communicator_t *comm)
{
    request->buffer = (void *)(uintptr_t)buffer;
    request->count = count;
    request->datatype = type;
    request->mode = mode;
    request->comm = comm;
    request->copy = NULL;
    request->ompi.req_mpi_object.comm = comm;
    OMPI_DATATYPE_RETAIN(type);
    return is_in_one_piece(type, count) || request_can_scatter(request);
}

/* A copy in the buffer that the application has attached goes out in its place. */
static int send_copy(const void *buffer, size_t count, ompi_datatype_t *type, struct peer *peer,
                     ucp_tag_t tag)
{
    struct request *request = request_get(REQUEST_SEND);
    size_t length = type->super.size * count;
    if (request == NULL) {
        return OMPI_ERR_OUT_OF_RESOURCE;
    }
    request->mode = MCA_PML_BASE_SEND_BUFFERED;
    request->copy = length > 0 ? mca_pml_base_bsend_request_alloc_buf(length) : NULL;
    if (length > 0 && request->copy == NULL) {
        request_put(request);
        return MPI_ERR_BUFFER;
    }
    if (length > 0) {
        pack(buffer, count, type, request->copy, length);
    }
    count_message(peer, tag);
    int rc = give_to_ucx(request, peer, tag, request->copy, length);
    if (rc <= 0) {
        if (request->copy != NULL) {
            mca_pml_base_bsend_request_free(request->copy);
            request->copy = NULL;
        }
        request_put(request);
    }
    return rc < 0 ? rc : OMPI_SUCCESS;
}

static int begin_general(const void *buffer, size_t count, ompi_datatype_t *type, struct peer *peer,
                         ucp_tag_t tag, mca_pml_base_send_mode_t mode, ompi_communicator_t *comm,
                         ompi_request_t **out)
{
    if (mode == MCA_PML_BASE_SEND_BUFFERED) {
        *out = &request_done;
        return send_copy(buffer, count, type, peer, tag);
    }
    struct request *request = request_get(REQUEST_SEND);
    if (request == NULL) {
        return OMPI_ERR_OUT_OF_RESOURCE;
    }
    if (!say_all(request, buffer, count, type, mode, comm)) {
        *out = &request->ompi;
        ompi_request_free(out);
        return OMPI_ERR_OUT_OF_RESOURCE;
    }
    *out = &request->ompi;
    return start_send(request, peer, tag);
}

static inline bool is_plain(mca_pml_base_send_mode_t mode)
{
    return mode != MCA_PML_BASE_SEND_SYNCHRONOUS && mode != MCA_PML_BASE_SEND_BUFFERED;
}

static inline int begin_plain(void *begin, size_t length, struct peer *peer, ucp_tag_t tag,
                              ompi_communicator_t *comm, ompi_request_t **out)
{
    struct request *request = request_offer();
    if (OPAL_UNLIKELY(request == NULL)) {
        return OMPI_ERR_OUT_OF_RESOURCE;
    }
    request->mode = MCA_PML_BASE_SEND_STANDARD;
    request->copy = NULL;
    count_message(peer, tag);
    int rc = give_to_ucx(request, peer, tag, begin, length);
    if (rc == 1) {
        request_take(request, REQUEST_SEND);
        start(request);
        request->peer = peer;
        request->comm = comm;
        request->ompi.req_mpi_object.comm = comm;
        *out = &request->ompi;
        return OMPI_SUCCESS;
    }
    request_decline(request);
    *out = &request_done;
    return rc;
}

int send_begin(const void *buffer, size_t count, ompi_datatype_t *type, int to, int tag,
               mca_pml_base_send_mode_t mode, ompi_communicator_t *comm, ompi_request_t **out)
{
    void *begin;
    size_t length;
    int rc = OMPI_ERR_UNREACH;
    lock();
    struct peer *peer = peer_of(comm, to);
    if (OPAL_LIKELY(peer != NULL)) {
        ucp_tag_t with = tag_of(comm->c_contextid, comm->c_my_rank, tag);
        rc = is_plain(mode) && in_one_piece(type, count, buffer, &begin, &length)
                 ? begin_plain(begin, length, peer, with, comm, out)
                 : begin_general(buffer, count, type, peer, with, mode, comm, out);
    }
    unlock();
    return rc;
}

/* --- blocking ------------------------------------------------------------------------------ */

struct blocking {
    volatile bool done;
    ucs_status_t status;
};

static void on_blocking_sent(void *area, ucs_status_t status, void *arg)
{
    struct blocking *send = arg;
    sends_in_ucx--;
    send->status = status;
    send->done = true;
}

/*
 * UCX's request lies on the stack, as nobody but this call needs it. UCX may rather copy than wait
 * for the receiver, as this call waits.
 */
static int send_plain(void *begin, size_t length, struct peer *peer, ucp_tag_t tag)
{
    struct blocking send = {false, UCS_OK};
    ucp_request_param_t param = {.op_attr_mask = BEGUN_WITH_MEMORY | UCP_OP_ATTR_FLAG_FAST_CMPL,
                                 .cb.send = on_blocking_sent,
                                 .user_data = &send};
    char *memory = alloca(worker_request_size() + 64);
    param.request = (void *)(((uintptr_t)memory + worker_request_size() + 63) & ~(uintptr_t)63);
    count_message(peer, tag);
    ucs_status_ptr_t sent = ucp_tag_send_nbx(peer->endpoint, begin, length, tag, &param);
    if (OPAL_LIKELY(sent == NULL)) {
        unlock();
        return OMPI_SUCCESS;
    }
    if (UCS_PTR_IS_ERR(sent)) {
        unlock();
        return failed(UCS_PTR_STATUS(sent));
    }
    sends_in_ucx++;
    unlock();
    for (unsigned turn = 1; !send.done; turn++) {
        worker_wait(turn);
    }
    lock(); /* the thread that made the progress may still be in UCX, and look at the memory */
    unlock();
    return send.status == UCS_OK ? OMPI_SUCCESS : failed(send.status);
}

static int send_by_request(const void *buffer, size_t count, ompi_datatype_t *type, int to, int tag,
                           mca_pml_base_send_mode_t mode, ompi_communicator_t *comm)
{
    ompi_request_t *request;
    int rc = send_begin(buffer, count, type, to, tag, mode, comm, &request);
    if (rc == OMPI_SUCCESS) {
        for (unsigned turn = 1; !REQUEST_COMPLETE(request); turn++) {
            worker_wait(turn);
        }
        rc = request->req_status.MPI_ERROR;
        ompi_request_free(&request);
    }
    return rc;
}

int send_blocking(const void *buffer, size_t count, ompi_datatype_t *type, int to, int tag,
                  mca_pml_base_send_mode_t mode, ompi_communicator_t *comm)
{
    void *begin;
    size_t length;
    if (!is_plain(mode) || !in_one_piece(type, count, buffer, &begin, &length)) {
        return send_by_request(buffer, count, type, to, tag, mode, comm);
    }
    lock();
    struct peer *peer = peer_of(comm, to);
    if (OPAL_UNLIKELY(peer == NULL)) {
        unlock();
        return OMPI_ERR_UNREACH;
    }
    return send_plain(begin, length, peer, tag_of(comm->c_contextid, comm->c_my_rank, tag));
}

/* --- persistent ---------------------------------------------------------------------------- */

int send_init(const void *buffer, size_t count, ompi_datatype_t *type, int to, int tag,
              mca_pml_base_send_mode_t mode, ompi_communicator_t *comm, ompi_request_t **out)
{
    lock();
    struct request *request = request_get(REQUEST_SEND);
    bool ok = request != NULL;
    if (ok) {
        OMPI_REQUEST_INIT(&request->ompi, true);
        ok = say_all(request, buffer, count, type, mode, comm);
        request->rank = to;
        request->mpi_tag = tag;
        *out = &request->ompi;
    }
    unlock();
    return ok ? OMPI_SUCCESS : OMPI_ERR_OUT_OF_RESOURCE;
}

static int restart_copy(struct request *request, struct peer *peer, ucp_tag_t tag)
{
    start(request);
    int rc = send_copy(request->buffer, request->count, request->datatype, peer, tag);
    request_complete(request);
    return rc;
}

int send_restart(struct request *request)
{
    int rc = OMPI_ERR_UNREACH;
    ompi_communicator_t *comm = request->comm;
    lock();
    struct peer *peer = peer_of(comm, request->rank);
    if (peer != NULL) {
        ucp_tag_t tag = tag_of(comm->c_contextid, comm->c_my_rank, request->mpi_tag);
        rc = request->mode == MCA_PML_BASE_SEND_BUFFERED ? restart_copy(request, peer, tag)
                                                         : start_send(request, peer, tag);
    }
    unlock();
    return rc;
}
