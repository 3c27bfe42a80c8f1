/*
 * What ranks tell each other beside messages has one tag of its own, for which one receive is
 * posted as long as there is a worker: it is in nobody's way, as UCX finds it by that tag. What
 * arrives is kept until UCX is done with its progress, and handled then.
 */
#include "ninja_ucx.h"

#include <stdlib.h>

#include "tags.h"

struct told {
    uint32_t kind, from;
    uint64_t tag, number, name;
};

struct letter {
    struct letter *next, **link; /* among those that are being sent; or next in the inbox */
    struct told told;
    char space[]; /* for UCX's request, which lies before area */
};

void *control_inbox;

static struct letter **inbox_end;
static struct letter *receiving; /* into it */
static struct letter *sending;

static struct letter *new_letter(void)
{
    return calloc(1, sizeof(struct letter) + worker_request_size() + 64);
}

static void *area_of(struct letter *letter)
{
    return (void *)(((uintptr_t)letter->space + worker_request_size() + 63) & ~(uintptr_t)63);
}

/* The callback is still to be named. */
static ucp_request_param_t describe(struct letter *letter)
{
    return (ucp_request_param_t){.op_attr_mask = UCP_OP_ATTR_FIELD_REQUEST |
                                                 UCP_OP_ATTR_FIELD_CALLBACK |
                                                 UCP_OP_ATTR_FIELD_USER_DATA,
                                 .request = area_of(letter),
                                 .user_data = letter};
}

static void begin_sending(struct letter *letter)
{
    letter->next = sending;
    letter->link = &sending;
    if (sending != NULL) {
        sending->link = &letter->next;
    }
    sending = letter;
    sends_in_ucx++;
}

static void end_sending(struct letter *letter)
{
    *letter->link = letter->next;
    if (letter->next != NULL) {
        letter->next->link = letter->link;
    }
    sends_in_ucx--;
    free(letter);
}

/* --- receiving ----------------------------------------------------------------------------- */

static void receive_next(void);

static void put_in_inbox(struct letter *letter)
{
    if (control_inbox == NULL) {
        inbox_end = (struct letter **)&control_inbox;
    }
    letter->next = NULL;
    *inbox_end = letter;
    inbox_end = &letter->next;
}

/* What must be known before anything that arrived after it is looked at. */
static void note_at_once(const struct told *told)
{
    if (told->kind == CONTROL_RUNNING || told->kind == CONTROL_MARKER) {
        struct peer *peer = peer_of_rank(told->from);
        if (peer != NULL) {
            peer->runs_on = told->kind == CONTROL_RUNNING;
        }
    }
}

static void on_told(void *area, ucs_status_t status, const ucp_tag_recv_info_t *info, void *arg)
{
    struct letter *letter = arg;
    receiving = NULL;
    if (status == UCS_ERR_CANCELED) {
        free(letter);
        return;
    }
    note_at_once(&letter->told);
    put_in_inbox(letter);
}

static bool receive_one(void)
{
    receiving = new_letter();
    if (receiving == NULL) {
        return false;
    }
    ucp_request_param_t param = describe(receiving);
    param.cb.recv = on_told;
    ucs_status_ptr_t status = ucp_tag_recv_nbx(worker, &receiving->told, sizeof(receiving->told),
                                               CONTROL_TAG, ALL_BITS, &param);
    if (status == NULL) {
        note_at_once(&receiving->told);
        put_in_inbox(receiving);
        receiving = NULL;
    } else if (UCS_PTR_IS_ERR(status)) {
        free(receiving);
        receiving = NULL;
        return false;
    }
    return true;
}

static void receive_next(void)
{
    while (receiving == NULL && receive_one()) {
    }
}

bool control_open(void)
{
    receive_next();
    return receiving != NULL;
}

void control_close(void)
{
    if (receiving != NULL && worker != NULL) {
        ucp_request_cancel(worker, area_of(receiving));
    }
    worker_close();
    free(receiving);
    receiving = NULL;
    while (sending != NULL) {
        end_sending(sending);
    }
    while (control_inbox != NULL) {
        struct letter *letter = control_inbox;
        control_inbox = letter->next;
        free(letter);
    }
}

static void handle(const struct told *told)
{
    struct peer *peer = peer_of_rank(told->from);
    if (peer == NULL) {
        return;
    }
    switch (told->kind) {
    case CONTROL_MARKER:
        peer->marked = told->number;
        peer->met = true;
        break;
    case CONTROL_QUESTION:
        sync_handle_question(told->from, told->tag, told->number, told->name);
        break;
    case CONTROL_HELD:
    case CONTROL_NOT_HELD:
        sync_handle_answer(told->name, told->kind == CONTROL_HELD);
        break;
    case CONTROL_MATCHED:
        sync_handle_match(told->name);
        break;
    case CONTROL_VERIFY:
        peer->verified = true;
        break;
    case CONTROL_RUNNING:
        break; /* noted */
    }
}

void control_handle(void)
{
    while (control_inbox != NULL) {
        struct letter *letter = control_inbox;
        control_inbox = letter->next;
        handle(&letter->told);
        free(letter);
        receive_next();
    }
}

/* --- sending ------------------------------------------------------------------------------- */

static void on_sent(void *area, ucs_status_t status, void *arg)
{
    end_sending(arg);
}

bool control_send(struct peer *peer, enum control_kind kind, ucp_tag_t tag, uint64_t number,
                  uint64_t name)
{
    char why[256];
    struct letter *letter = new_letter();
    if (letter == NULL || !peer_reach(peer, why, sizeof(why))) {
        free(letter);
        return false;
    }
    letter->told = (struct told){kind, OMPI_PROC_MY_NAME->vpid, tag, number, name};
    ucp_request_param_t param = describe(letter);
    param.cb.send = on_sent;
    ucs_status_ptr_t status =
        ucp_tag_send_nbx(peer->endpoint, &letter->told, sizeof(letter->told), CONTROL_TAG, &param);
    if (status == NULL || UCS_PTR_IS_ERR(status)) {
        free(letter);
        return status == NULL;
    }
    begin_sending(letter);
    return true;
}
