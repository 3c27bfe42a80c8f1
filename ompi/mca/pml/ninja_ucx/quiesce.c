/*
 * Theory of operation
 *
 * From the moment at which a switch stops the application nothing makes progress but UCX, so that
 * no collective begins its next round. Then this rank
 *
 *   drains   takes its receives back from UCX: those that are unmatched are parked, the others end;
 *            sends each peer a marker, which comes after all messages; and takes all messages that
 *            UCX has unmatched to memory, until the marker of each peer that has sent any has come.
 *            So every message has been matched, or is held.
 *   settles  until all its sends are complete, as their messages are received or held, its
 * questions about synchronous ones are answered, and UCX has flushed what it still had to say.
 *
 * Then UCX has nothing of this job. In the end the parked receives are posted again, in their
 * order. They and the probes look among the messages that are held first (receive.c, held.c).
 *
 * A rank that takes the switch back says so before it sends anything else. From then on the others
 * take nothing to memory, until that rank drains again: UCX would tell the sender of a synchronous
 * message that it was received, and that sender would not ask.
 *
 * What completes meanwhile may have functions of MPI called that send: these messages are counted
 * as all others are, and the coordinator begins another round. Receives that begin meanwhile are
 * parked.
 */
#include "ninja_ucx.h"

#include <stdio.h>
#include <stdlib.h>

static void *flushing; /* UCX's request, or NULL */
static bool flushed;
static bool no_memory;
static uint64_t this_drain;
static bool pulling; /* what is unmatched is taken to memory, until release */

static void park(struct request *request, void *arg)
{
    if (request->kind == REQUEST_RECEIVE) {
        receive_park(request);
    }
}

static bool send_markers(void)
{
    bool ok = true;
    for (struct peer *peer = peers_first(); peer != NULL; peer = peer->next) {
        if (peer->met) {
            ok &= control_send(peer, CONTROL_MARKER, 0, this_drain, 0);
        }
    }
    return ok;
}

bool quiesce_begin(uint64_t turn)
{
    this_drain = turn;
    quiescing = true;
    pulling = true;
    flushed = false;
    no_memory = false;
    requests_for_each(park, NULL);
    return sync_ask() && held_pull_probed() && send_markers();
}

static bool somebody_runs_on(void)
{
    const struct peer *peer = peers_first();
    while (peer != NULL && !peer->runs_on) {
        peer = peer->next;
    }
    return peer != NULL;
}

void quiesce_attend(void)
{
    worker_progress();
    if (pulling && !somebody_runs_on()) {
        no_memory |= !held_pull();
    }
}

void quiesce_release(void)
{
    pulling = false;
}

/* --- drain --------------------------------------------------------------------------------- */

static const struct peer *who_is_missing(void)
{
    const struct peer *peer = peers_first();
    while (peer != NULL && (!peer->awaited || peer->marked >= this_drain)) {
        peer = peer->next;
    }
    return peer;
}

static void count_busy(struct request *request, void *arg)
{
    *(unsigned *)arg += request->kind == REQUEST_RECEIVE && request->in_ucx;
}

static unsigned busy_receives(void)
{
    unsigned busy = 0;
    requests_for_each(count_busy, &busy);
    return busy;
}

enum quiesce quiesce_drain(void)
{
    quiesce_attend();
    if (no_memory) {
        return QUIESCE_FAILED;
    }
    return who_is_missing() == NULL && held_arriving() == 0 && busy_receives() == 0 ? QUIESCE_DONE
                                                                                    : QUIESCE_WAITS;
}

/* --- settle -------------------------------------------------------------------------------- */

static bool all_is_sent(void)
{
    return sends_in_ucx == 0 && sync_unanswered() == 0 && held_arriving() == 0;
}

static void flush(void)
{
    const ucp_request_param_t param = {0};
    if (flushing == NULL) {
        ucs_status_ptr_t status = ucp_worker_flush_nbx(worker, &param);
        flushing = UCS_PTR_IS_PTR(status) ? status : NULL;
    } else if (ucp_request_check_status(flushing) == UCS_INPROGRESS) {
        return;
    } else {
        ucp_request_free(flushing);
        flushing = NULL;
    }
    flushed = flushing == NULL;
}

enum quiesce quiesce_settle(void)
{
    quiesce_attend();
    if (no_memory) {
        return QUIESCE_FAILED;
    }
    if (all_is_sent() && !flushed) {
        flush();
    }
    return all_is_sent() && flushed ? QUIESCE_DONE : QUIESCE_WAITS;
}

void quiesce_describe(char *text, size_t size)
{
    const struct peer *missing = who_is_missing();
    if (no_memory) {
        snprintf(text, size, "there is no memory for the messages that nobody has received yet");
    } else if (missing != NULL) {
        snprintf(text, size, "messages of rank %u have not come", missing->name.vpid);
    } else {
        snprintf(text, size,
                 "%u receives, %u sends, %u messages on their way to memory and %u questions about "
                 "synchronous sends in progress",
                 busy_receives(), sends_in_ucx, held_arriving(), sync_unanswered());
    }
}

/* --- and back ------------------------------------------------------------------------------ */

struct parked {
    struct request **requests;
    size_t n, room;
};

static void collect(struct request *request, void *arg)
{
    struct parked *parked = arg;
    if (request->kind != REQUEST_RECEIVE || !request->parked) {
        return;
    }
    if (parked->n < parked->room) {
        parked->requests[parked->n] = request;
    }
    parked->n++;
}

static int by_order(const void *left, const void *right)
{
    uint64_t a = (*(struct request *const *)left)->order;
    uint64_t b = (*(struct request *const *)right)->order;
    return a < b ? -1 : a > b;
}

static void first_of(struct request *request, void *arg)
{
    struct request **first = arg;
    if (request->kind == REQUEST_RECEIVE && request->parked &&
        (*first == NULL || request->order < (*first)->order)) {
        *first = request;
    }
}

/* Without the memory to sort them: the first one, and again. */
static void post_one_by_one(void)
{
    struct request *first;
    do {
        first = NULL;
        requests_for_each(first_of, &first);
        if (first != NULL) {
            receive_post(first);
        }
    } while (first != NULL);
}

/* A receive that is complete at once may have others begun, which are parked behind the last. */
static bool post_some(void)
{
    struct parked parked = {NULL, 0, 0};
    requests_for_each(collect, &parked);
    if (parked.n == 0) {
        return false;
    }
    parked.requests = malloc(parked.n * sizeof(struct request *));
    if (parked.requests == NULL) {
        post_one_by_one();
        return false;
    }
    parked.room = parked.n;
    parked.n = 0;
    requests_for_each(collect, &parked);
    qsort(parked.requests, parked.n, sizeof(struct request *), by_order);
    for (size_t i = 0; i < parked.n; i++) {
        receive_post(parked.requests[i]);
    }
    free(parked.requests);
    return true;
}

/* Before any message that is sent from now on. */
static void tell_that_this_runs_on(void)
{
    for (struct peer *peer = peers_first(); peer != NULL; peer = peer->next) {
        if (peer->met) {
            control_send(peer, CONTROL_RUNNING, 0, 0, 0);
        }
    }
}

void quiesce_end(void)
{
    if (pulling) {
        tell_that_this_runs_on();
        pulling = false;
    }
    while (quiescing && post_some()) {
    }
    quiescing = false;
}
