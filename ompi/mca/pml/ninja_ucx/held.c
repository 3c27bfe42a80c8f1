/*
 * Messages that a switch found unmatched. They are taken from UCX to memory, in order of arrival,
 * and wait here for the receives and probes that want them. The sender of a synchronous message is
 * told when that happens.
 */
#include "ninja_ucx.h"

#include <stdlib.h>
#include <string.h>

#include "tags.h"

struct held *held_first;

static struct held **end = &held_first; /* where the next one is put */
static struct held *probed;             /* those of matched probes */
static unsigned arriving;

static void free_message(struct held *message)
{
    free(message->data);
    free(message);
}

static void free_list(struct held **list)
{
    while (*list != NULL) {
        struct held *message = *list;
        *list = message->next;
        free_message(message);
    }
}

void held_close(void)
{
    free_list(&held_first);
    free_list(&probed);
    end = &held_first;
}

struct held *held_find(ucp_tag_t tag, ucp_tag_t mask)
{
    struct held *message = held_first;
    while (message != NULL && ((message->tag ^ tag) & mask) != 0) {
        message = message->next;
    }
    return message;
}

static void unlink_from(struct held **list, struct held *message)
{
    struct held **at = list;
    while (*at != NULL && *at != message) {
        at = &(*at)->next;
    }
    if (*at == message) {
        *at = message->next;
        if (end == &message->next) {
            end = at;
        }
    }
}

/* --- to whoever wants one ------------------------------------------------------------------ */

static void tell_sender(struct held *message)
{
    struct peer *peer = message->name != 0 ? peer_of_rank(message->from) : NULL;
    if (peer != NULL && !control_send(peer, CONTROL_MATCHED, 0, 0, message->name)) {
        complain("rank %u cannot be told that its synchronous message was received: it may wait "
                 "for ever",
                 message->from);
    }
}

static void set_status(struct request *request, const struct held *message, size_t room)
{
    ompi_status_public_t *status = &request->ompi.req_status;
    status->MPI_SOURCE = tag_rank(message->tag);
    status->MPI_TAG = tag_tag(message->tag);
    status->_ucount = message->length;
    status->_cancelled = 0;
    status->MPI_ERROR = message->failed          ? MPI_ERR_INTERN
                        : message->length > room ? MPI_ERR_TRUNCATE
                                                 : MPI_SUCCESS;
}

/* The message is in no list. */
static void give(struct held *message, struct request *request)
{
    void *begin;
    size_t room = request->datatype->super.size * request->count, length;
    length = message->length < room ? message->length : room;
    if (in_one_piece(request->datatype, request->count, request->buffer, &begin, &room)) {
        if (length > 0) {
            memcpy(begin, message->data, length);
        }
    } else {
        unpack(request, message->data, length);
    }
    set_status(request, message, room);
    tell_sender(message);
    free_message(message);
    request_complete(request);
}

void held_deliver(struct held *message, struct request *request)
{
    unlink_from(&held_first, message);
    unlink_from(&probed, message);
    if (message->arriving) {
        message->wanted_by = request;
    } else {
        give(message, request);
    }
}

/* --- matched probes ------------------------------------------------------------------------ */

void held_take(struct held *message)
{
    unlink_from(&held_first, message);
    message->next = probed;
    probed = message;
}

struct held *held_in_ucx(ucp_tag_message_h in_ucx, const ucp_tag_recv_info_t *info)
{
    struct held *message = calloc(1, sizeof(*message));
    if (message != NULL) {
        message->tag = info->sender_tag;
        message->length = info->length;
        message->in_ucx = in_ucx;
        message->next = probed;
        probed = message;
    }
    return message;
}

void held_forget(struct held *message)
{
    unlink_from(&probed, message);
    free_message(message);
}

/* --- from UCX to memory -------------------------------------------------------------------- */

static void on_arrived(void *area, ucs_status_t status, const ucp_tag_recv_info_t *info, void *arg)
{
    struct held *message = arg;
    message->arriving = false;
    message->failed = status != UCS_OK;
    arriving--;
    if (message->wanted_by != NULL) {
        give(message, message->wanted_by);
    }
}

/* The memory for UCX's request lies behind the data, aligned as UCX wants it. */
static char *room_for(size_t length)
{
    return malloc(length + worker_request_size() + 64);
}

static void *area_behind(char *data, size_t length)
{
    return (void *)(((uintptr_t)data + length + worker_request_size() + 63) & ~(uintptr_t)63);
}

static void fetch(struct held *message, ucp_tag_message_h in_ucx)
{
    ucp_request_param_t param = {.op_attr_mask =
                                     UCP_OP_ATTR_FIELD_REQUEST | UCP_OP_ATTR_FIELD_CALLBACK |
                                     UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
                                 .request = area_behind(message->data, message->length),
                                 .cb.recv = on_arrived,
                                 .user_data = message};
    message->arriving = true;
    message->in_ucx = NULL;
    arriving++;
    ucs_status_ptr_t receiving =
        ucp_tag_msg_recv_nbx(worker, message->data, message->length, in_ucx, &param);
    if (UCS_PTR_IS_ERR(receiving)) {
        message->arriving = false;
        message->failed = true;
        arriving--;
    }
}

static bool pull_one(bool *found)
{
    ucp_tag_recv_info_t info;
    ucp_tag_message_h in_ucx = ucp_tag_probe_nb(worker, 0, CONTROL_TAG, 0, &info);
    *found = in_ucx != NULL;
    if (!*found) {
        return true;
    }
    struct held *message = calloc(1, sizeof(*message));
    char *data = message != NULL ? room_for(info.length) : NULL;
    if (data == NULL) {
        free(message);
        return false;
    }
    in_ucx = ucp_tag_probe_nb(worker, 0, CONTROL_TAG, 1, &info); /* the same */
    message->tag = info.sender_tag;
    message->length = info.length;
    message->data = data;
    *end = message;
    end = &message->next;
    fetch(message, in_ucx);
    return true;
}

bool held_pull(void)
{
    bool found, ok;
    do {
        ok = pull_one(&found);
    } while (ok && found);
    return ok;
}

bool held_pull_probed(void)
{
    for (struct held *message = probed; message != NULL; message = message->next) {
        if (message->in_ucx != NULL) {
            message->data = room_for(message->length);
            if (message->data == NULL) {
                return false;
            }
            fetch(message, message->in_ucx);
        }
    }
    return true;
}

unsigned held_arriving(void)
{
    return arriving;
}

struct held *held_before(ucp_tag_t tag, uint64_t later)
{
    uint64_t n = 0;
    for (struct held *message = held_first; message != NULL; message = message->next) {
        n += message->tag == tag;
    }
    if (n <= later) {
        return NULL;
    }
    struct held *message = held_find(tag, ALL_BITS);
    for (uint64_t before = n - 1 - later; before > 0; before -= message->tag == tag) {
        message = message->next;
    }
    return message;
}
