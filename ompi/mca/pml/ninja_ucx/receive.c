/*
 * A receive looks first among the messages that are held in memory, of which there are only some
 * after a switch; they came before all that UCX has. During a switch it is parked: when the switch
 * is over, all parked receives are posted in the order in which the application posted them.
 */
#include "ninja_ucx.h"

#include <string.h>

#include "ompi/constants.h"
#include "tags.h"

bool quiescing;

static uint64_t posted;

/* --- completion ---------------------------------------------------------------------------- */

static void set_status(struct request *request, ucs_status_t status, ucp_tag_t tag, size_t length)
{
    ompi_status_public_t *said = &request->ompi.req_status;
    said->_cancelled = 0;
    if (status == UCS_OK || status == UCS_ERR_MESSAGE_TRUNCATED) {
        said->MPI_SOURCE = tag_rank(tag);
        said->MPI_TAG = tag_tag(tag);
        said->_ucount = length;
        said->MPI_ERROR = status == UCS_OK ? MPI_SUCCESS : MPI_ERR_TRUNCATE;
    } else if (status == UCS_ERR_CANCELED) {
        said->_cancelled = true;
        said->MPI_ERROR = MPI_SUCCESS;
    } else {
        said->MPI_ERROR = MPI_ERR_INTERN;
        complain("a receive failed: %s", ucs_status_string(status));
    }
}

static void on_received(void *area, ucs_status_t status, const ucp_tag_recv_info_t *info, void *arg)
{
    struct request *request = arg;
    request->in_ucx = false;
    if (status == UCS_ERR_CANCELED && quiescing && !request->cancelled) {
        request->parked = true;
        return;
    }
    set_status(request, status, info->sender_tag, info->length);
    request_complete(request);
}

/* --- posting ------------------------------------------------------------------------------- */

/*
 * What UCX is told of a receive, and where the data goes to. With NO_IMM_CMPL the callback is
 * called, and told of the message, also if it is here already.
 */
static inline ucp_request_param_t
describe(struct request *request, ucp_tag_recv_nbx_callback_t done, void **begin, size_t *length)
{
    ucp_request_param_t param = {.op_attr_mask =
                                     UCP_OP_ATTR_FIELD_REQUEST | UCP_OP_ATTR_FIELD_CALLBACK |
                                     UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
                                 .request = request_area(request),
                                 .cb.recv = done,
                                 .user_data = request};
    *begin = request;
    *length = 1;
    if (!in_one_piece(request->datatype, request->count, request->buffer, begin, length)) {
        param.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
        param.datatype = scattered;
    }
    request->in_ucx = true;
    return param;
}

static inline void see_whether_it_began(struct request *request, ucs_status_ptr_t receiving,
                                        ucp_tag_t tag)
{
    if (OPAL_UNLIKELY(UCS_PTR_IS_ERR(receiving))) {
        request->in_ucx = false;
        set_status(request, UCS_PTR_STATUS(receiving), tag, 0);
        request_complete(request);
    }
}

static void give_to_ucx(struct request *request)
{
    void *begin;
    size_t length;
    ucp_request_param_t param = describe(request, on_received, &begin, &length);
    see_whether_it_began(
        request, ucp_tag_recv_nbx(worker, begin, length, request->tag, request->mask, &param), 0);
}

void receive_post(struct request *request)
{
    struct held *message =
        OPAL_UNLIKELY(held_first != NULL) ? held_find(request->tag, request->mask) : NULL;
    request->parked = false;
    if (OPAL_UNLIKELY(message != NULL)) {
        held_deliver(message, request);
    } else {
        give_to_ucx(request);
    }
}

void receive_park(struct request *request)
{
    if (request->in_ucx) {
        ucp_request_cancel(worker, request_area(request));
    }
}

static inline void start(struct request *request)
{
    request_start(request);
    request->order = ++posted;
    if (OPAL_UNLIKELY(quiescing)) {
        request->parked = true;
    } else {
        receive_post(request);
    }
}

static inline struct request *new_receive(void *buffer, size_t count, ompi_datatype_t *type,
                                          ompi_communicator_t *comm)
{
    struct request *request = request_get(REQUEST_RECEIVE);
    if (OPAL_LIKELY(request != NULL)) {
        request->buffer = buffer;
        request->count = count;
        request->datatype = type;
        request->ompi.req_mpi_object.comm = comm;
        OMPI_DATATYPE_RETAIN(type);
        if (!is_in_one_piece(type, count) && !request_can_scatter(request)) {
            ompi_request_t *gone = &request->ompi;
            ompi_request_free(&gone);
            return NULL;
        }
    }
    return request;
}

int receive_begin(void *buffer, size_t count, ompi_datatype_t *type, int from, int tag,
                  ompi_communicator_t *comm, ompi_request_t **out)
{
    lock();
    struct request *request = new_receive(buffer, count, type, comm);
    if (OPAL_LIKELY(request != NULL)) {
        request->tag = tag_wanted(comm, from, tag, &request->mask);
        *out = &request->ompi;
        start(request);
    }
    unlock();
    return request != NULL ? OMPI_SUCCESS : OMPI_ERR_OUT_OF_RESOURCE;
}

static int wait_for(ompi_request_t *request, ompi_status_public_t *status)
{
    for (unsigned turn = 1; !REQUEST_COMPLETE(request); turn++) {
        worker_wait(turn);
    }
    int rc = request->req_status.MPI_ERROR;
    if (status != MPI_STATUS_IGNORE) {
        OMPI_COPY_STATUS(status, request->req_status, false);
    }
    ompi_request_free(&request);
    return rc;
}

int receive_blocking(void *buffer, size_t count, ompi_datatype_t *type, int from, int tag,
                     ompi_communicator_t *comm, ompi_status_public_t *status)
{
    ompi_request_t *request;
    int rc = receive_begin(buffer, count, type, from, tag, comm, &request);
    return rc == OMPI_SUCCESS ? wait_for(request, status) : rc;
}

/* --- persistent ---------------------------------------------------------------------------- */

int receive_init(void *buffer, size_t count, ompi_datatype_t *type, int from, int tag,
                 ompi_communicator_t *comm, ompi_request_t **out)
{
    lock();
    struct request *request = new_receive(buffer, count, type, comm);
    if (request != NULL) {
        OMPI_REQUEST_INIT(&request->ompi, true);
        request->tag = tag_wanted(comm, from, tag, &request->mask);
        *out = &request->ompi;
    }
    unlock();
    return request != NULL ? OMPI_SUCCESS : OMPI_ERR_OUT_OF_RESOURCE;
}

int receive_restart(struct request *request)
{
    lock();
    start(request);
    unlock();
    return OMPI_SUCCESS;
}

/* --- what a probe has matched -------------------------------------------------------------- */

static void on_matched_received(void *area, ucs_status_t status, const ucp_tag_recv_info_t *info,
                                void *arg)
{
    struct request *request = arg;
    request->in_ucx = false;
    set_status(request, status, request->tag, info->length);
    request_complete(request);
}

static void take_from_ucx(struct request *request, ucp_tag_message_h message)
{
    void *begin;
    size_t length;
    ucp_request_param_t param = describe(request, on_matched_received, &begin, &length);
    see_whether_it_began(request, ucp_tag_msg_recv_nbx(worker, begin, length, message, &param),
                         request->tag);
}

int receive_matched(void *buffer, size_t count, ompi_datatype_t *type, ompi_message_t **message,
                    ompi_request_t **out)
{
    struct held *matched = (*message)->req_ptr;
    lock();
    struct request *request = new_receive(buffer, count, type, (*message)->comm);
    if (request != NULL) {
        *out = &request->ompi;
        request_start(request);
        request->order = ++posted;
        request->tag = matched->tag;
        if (matched->in_ucx != NULL) {
            ucp_tag_message_h in_ucx = matched->in_ucx;
            held_forget(matched);
            take_from_ucx(request, in_ucx);
        } else {
            held_deliver(matched, request);
        }
        ompi_message_return(*message);
        *message = MPI_MESSAGE_NULL;
    }
    unlock();
    return request != NULL ? OMPI_SUCCESS : OMPI_ERR_OUT_OF_RESOURCE;
}

int receive_matched_blocking(void *buffer, size_t count, ompi_datatype_t *type,
                             ompi_message_t **message, ompi_status_public_t *status)
{
    ompi_request_t *request;
    int rc = receive_matched(buffer, count, type, message, &request);
    return rc == OMPI_SUCCESS ? wait_for(request, status) : rc;
}
