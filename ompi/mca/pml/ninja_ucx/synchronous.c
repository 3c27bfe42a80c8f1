/*
 * A switch takes a message from UCX that nobody has received, and UCX then tells its sender that it
 * was received. If it was a synchronous one, that must not reach the application, and the receiver
 * cannot see by the message of which kind it was. So the sender asks: was the message with this
 * tag, which so many others with the same tag have followed, received? As messages with one tag are
 * received in their order, the receiver finds it by counting from the end of those that it holds.
 *
 *   NONE   -> ASKED       the question is out; what UCX says is kept back
 *   ASKED  -> NONE        the answer: not held, so what UCX says is true
 *   ASKED  -> HELD        the answer: it is held; its receiver will tell when it is matched
 *   HELD   -> complete
 *
 * Messages are counted by tag only for a peer to which a synchronous send is active, and only those
 * with the tag of one. A message that a matched probe has taken counts as received.
 */
#include "ninja_ucx.h"

#include <stdlib.h>

#include "opal/class/opal_hash_table.h"
#include "tags.h"

/* How many messages with one tag went to a peer since a synchronous one among them is active. */
struct count {
    unsigned syncs;
    uint64_t messages;
};

static uint64_t names;
static unsigned unanswered;

static struct count *count_of(struct peer *peer, ucp_tag_t tag)
{
    struct count *count = NULL;
    if (peer->counts != NULL) {
        opal_hash_table_get_value_uint64(peer->counts, tag, (void **)&count);
    }
    return count;
}

void sync_count(struct peer *peer, ucp_tag_t tag)
{
    struct count *count = count_of(peer, tag);
    if (count != NULL) {
        count->messages++;
    }
}

static struct count *begin_count(struct peer *peer, ucp_tag_t tag)
{
    if (peer->counts == NULL) {
        peer->counts = OBJ_NEW(opal_hash_table_t);
        opal_hash_table_init(peer->counts, 16);
    }
    struct count *count = calloc(1, sizeof(*count));
    if (count != NULL &&
        opal_hash_table_set_value_uint64(peer->counts, tag, count) != OPAL_SUCCESS) {
        free(count);
        count = NULL;
    }
    if (count != NULL) {
        count->messages = 1;
    }
    return count;
}

/* Its message has been counted, if others with its tag are. */
bool sync_begin(struct request *request)
{
    struct peer *peer = request->peer;
    struct count *count = count_of(peer, request->tag);
    if (count == NULL && (count = begin_count(peer, request->tag)) == NULL) {
        return false;
    }
    count->syncs++;
    peer->syncs++;
    request->number = count->messages;
    request->order = ++names;
    request->taken = false;
    request->verdict = VERDICT_NONE;
    return true;
}

static void stop_counting(struct request *request)
{
    struct peer *peer = request->peer;
    struct count *count = count_of(peer, request->tag);
    if (--count->syncs == 0) {
        opal_hash_table_remove_value_uint64(peer->counts, request->tag);
        free(count);
    }
    if (--peer->syncs == 0) {
        OBJ_RELEASE(peer->counts);
        peer->counts = NULL;
    }
}

void sync_taken(struct request *request)
{
    request->taken = true;
    if (request->verdict == VERDICT_NONE) {
        stop_counting(request);
        request_complete(request);
    }
}

/* --- the sender's side --------------------------------------------------------------------- */

static void ask(struct request *request, void *arg)
{
    bool *ok = arg;
    if (request->kind != REQUEST_SEND || request->mode != MCA_PML_BASE_SEND_SYNCHRONOUS ||
        request->verdict != VERDICT_NONE || request->taken) {
        return;
    }
    uint64_t later = count_of(request->peer, request->tag)->messages - request->number;
    request->verdict = VERDICT_ASKED;
    unanswered++;
    *ok &= control_send(request->peer, CONTROL_QUESTION, request->tag, later, request->order);
}

bool sync_ask(void)
{
    bool ok = true;
    requests_for_each(ask, &ok);
    return ok;
}

unsigned sync_unanswered(void)
{
    return unanswered;
}

struct by_name {
    uint64_t name;
    struct request *request;
};

static void note_if_named(struct request *request, void *arg)
{
    struct by_name *wanted = arg;
    if (request->kind == REQUEST_SEND && request->mode == MCA_PML_BASE_SEND_SYNCHRONOUS &&
        request->verdict != VERDICT_NONE && request->order == wanted->name) {
        wanted->request = request;
    }
}

static struct request *find(uint64_t name)
{
    struct by_name wanted = {name, NULL};
    requests_for_each(note_if_named, &wanted);
    return wanted.request;
}

void sync_handle_answer(uint64_t name, bool held)
{
    struct request *request = find(name);
    if (request == NULL || request->verdict != VERDICT_ASKED) {
        return;
    }
    unanswered--;
    request->verdict = held ? VERDICT_HELD : VERDICT_NONE;
    if (!held && request->taken) {
        sync_taken(request);
    }
}

void sync_handle_match(uint64_t name)
{
    struct request *request = find(name);
    if (request != NULL) {
        unanswered -= request->verdict == VERDICT_ASKED;
        request->verdict = VERDICT_NONE;
        if (request->taken) {
            sync_taken(request);
        }
    }
}

/* --- the receiver's side ------------------------------------------------------------------- */

void sync_handle_question(uint32_t from, ucp_tag_t tag, uint64_t later, uint64_t name)
{
    struct peer *peer = peer_of_rank(from);
    bool pulled = held_pull();
    struct held *message = held_before(tag, later);
    if (message != NULL) {
        message->from = from;
        message->name = name;
    }
    if (peer == NULL || !pulled ||
        !control_send(peer, message != NULL ? CONTROL_HELD : CONTROL_NOT_HELD, 0, 0, name)) {
        complain("out of memory: a synchronous send of rank %u may wait for ever", from);
    }
}
