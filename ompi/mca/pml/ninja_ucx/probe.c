#include "ninja_ucx.h"

#include "ompi/constants.h"
#include "tags.h"

static void say(ompi_status_public_t *status, ucp_tag_t tag, size_t length)
{
    if (status != MPI_STATUS_IGNORE) {
        status->MPI_SOURCE = tag_rank(tag);
        status->MPI_TAG = tag_tag(tag);
        status->MPI_ERROR = MPI_SUCCESS;
        status->_ucount = length;
        status->_cancelled = 0;
    }
}

/* --- probes that leave the message where it is --------------------------------------------- */

static bool look(int from, int tag, ompi_communicator_t *comm, ompi_status_public_t *status)
{
    ucp_tag_t mask, wanted = tag_wanted(comm, from, tag, &mask);
    ucp_tag_recv_info_t info;
    struct held *message = held_first != NULL ? held_find(wanted, mask) : NULL;
    if (message != NULL) {
        say(status, message->tag, message->length);
        return true;
    }
    if (ucp_tag_probe_nb(worker, wanted, mask, 0, &info) == NULL) {
        return false;
    }
    say(status, info.sender_tag, info.length);
    return true;
}

static bool look_with_lock(int from, int tag, ompi_communicator_t *comm,
                           ompi_status_public_t *status)
{
    lock();
    bool found = look(from, tag, comm, status);
    unlock();
    return found;
}

/* Each failed look makes progress; a program may do nothing but probe. */
static void make_progress(void)
{
    static unsigned turn;
    worker_wait(++turn);
}

int probe_once(int from, int tag, ompi_communicator_t *comm, int *matched,
               ompi_status_public_t *status)
{
    *matched = look_with_lock(from, tag, comm, status);
    if (!*matched) {
        make_progress();
    }
    return OMPI_SUCCESS;
}

int probe(int from, int tag, ompi_communicator_t *comm, ompi_status_public_t *status)
{
    while (!look_with_lock(from, tag, comm, status)) {
        make_progress();
    }
    return OMPI_SUCCESS;
}

/* --- probes that take it ------------------------------------------------------------------- */

/* *out is NULL if there is none. False: out of memory. */
static bool take(ucp_tag_t wanted, ucp_tag_t mask, struct held **out)
{
    ucp_tag_recv_info_t info;
    *out = held_first != NULL ? held_find(wanted, mask) : NULL;
    if (*out != NULL) {
        held_take(*out);
        return true;
    }
    ucp_tag_message_h message = ucp_tag_probe_nb(worker, wanted, mask, 1, &info);
    if (message != NULL) {
        *out = held_in_ucx(message, &info);
    }
    return message == NULL || *out != NULL;
}

int probe_matched_once(int from, int tag, ompi_communicator_t *comm, int *matched,
                       ompi_message_t **message, ompi_status_public_t *status)
{
    ucp_tag_t mask, wanted = tag_wanted(comm, from, tag, &mask);
    struct held *taken = NULL;
    int rc = OMPI_SUCCESS;
    *matched = 0;
    lock();
    ompi_message_t *answer = ompi_message_alloc();
    if (answer == NULL || !take(wanted, mask, &taken)) {
        rc = OMPI_ERR_OUT_OF_RESOURCE;
    } else if (taken != NULL) {
        *matched = 1;
        answer->comm = comm;
        answer->req_ptr = taken;
        answer->peer = tag_rank(taken->tag);
        answer->count = taken->length;
        say(status, taken->tag, taken->length);
        *message = answer;
    }
    if (taken == NULL && answer != NULL) {
        ompi_message_return(answer);
    }
    unlock();
    if (rc == OMPI_SUCCESS && taken == NULL) {
        make_progress();
    }
    return rc;
}

int probe_matched(int from, int tag, ompi_communicator_t *comm, ompi_message_t **message,
                  ompi_status_public_t *status)
{
    int rc, matched;
    do {
        rc = probe_matched_once(from, tag, comm, &matched, message, status);
    } while (rc == OMPI_SUCCESS && !matched);
    return rc;
}
