/*
 * Theory of operation
 *
 * The drain brings this rank to where nothing of its messages is on the way. It makes progress as
 * MPI itself would, and stops when what it counts agrees with what the peers counted:
 *
 *   drain    every header that the peers sent has arrived, and every receive that was matched is
 *            complete;
 *   settle   the only sends that are not complete are those that a peer holds unmatched.
 *
 * Receives that are posted and unmatched stay so, and unmatched headers stay in ob1's queues.
 * Progress may start new sends, as a nonblocking collective does that goes on to its next round.
 * They are counted like all others, and the coordinator asks for another round when counts have
 * changed. As counts are modulo 2^16, and as a collective starts its next round only when it is
 * polled, agreement has to last for a while of further progress before it is believed.
 */
#include "ompi_config.h"

#include "ob1_drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "ob1_view.h"
#include "opal/runtime/opal_progress.h"

#define STABLE_CALLS        20 /* the event loop and the rarer callbacks run every 8th call */
#define STABLE_MICROSECONDS 500

static struct {
    size_t ranks;
    uint16_t *expected; /* by rank: messages that it sent to us */
    uint16_t *received;
    uint16_t *sent;
    uint32_t *held; /* by rank: our unmatched rendezvous that it holds */
    uint32_t *active;
    bool *peers;
    bool settling;
    unsigned stable; /* progress calls for which the goal has been reached */
    int64_t stable_since_us;
} drain;

bool ob1_drain_open(void)
{
    drain.ranks = ob1_view_ranks();
    drain.expected = calloc(drain.ranks, sizeof(*drain.expected));
    drain.received = calloc(drain.ranks, sizeof(*drain.received));
    drain.sent = calloc(drain.ranks, sizeof(*drain.sent));
    drain.held = calloc(drain.ranks, sizeof(*drain.held));
    drain.active = calloc(drain.ranks, sizeof(*drain.active));
    drain.peers = calloc(drain.ranks, sizeof(*drain.peers));
    return drain.expected != NULL && drain.received != NULL && drain.sent != NULL &&
           drain.held != NULL && drain.active != NULL && drain.peers != NULL;
}

void ob1_drain_close(void)
{
    free(drain.expected);
    free(drain.received);
    free(drain.sent);
    free(drain.held);
    free(drain.active);
    free(drain.peers);
    memset(&drain, 0, sizeof(drain));
}

void ob1_drain_expect(const struct ninja_rank_pair *sent, uint32_t n)
{
    memset(drain.expected, 0, drain.ranks * sizeof(*drain.expected));
    for (uint32_t i = 0; i < n; i++) {
        if (sent[i].peer < drain.ranks) {
            drain.expected[sent[i].peer] = (uint16_t)sent[i].value;
        }
    }
    drain.settling = false;
    drain.stable = 0;
}

void ob1_drain_settle(const struct ninja_rank_pair *held, uint32_t n)
{
    memset(drain.held, 0, drain.ranks * sizeof(*drain.held));
    for (uint32_t i = 0; i < n; i++) {
        if (held[i].peer < drain.ranks) {
            drain.held[held[i].peer] = held[i].value;
        }
    }
    drain.settling = true;
    drain.stable = 0;
}

/*
 * Headers for communicators that do not exist here yet are counted for no rank, so these must
 * account for all that is missing. More than expected may have come: the sender will report it.
 */
static bool all_headers_arrived(void)
{
    size_t missing = 0;
    size_t unattributed = ob1_count_received(drain.received);
    for (size_t i = 0; i < drain.ranks; i++) {
        int16_t difference = (int16_t)(uint16_t)(drain.expected[i] - drain.received[i]);
        if (difference > 0) {
            missing += (size_t)difference;
        }
    }
    return missing <= unattributed;
}

static bool all_sends_are_held(void)
{
    ob1_active_sends(drain.active);
    return memcmp(drain.active, drain.held, drain.ranks * sizeof(*drain.active)) == 0 &&
           !ob1_sending_headers();
}

static bool goal_reached(void)
{
    return all_headers_arrived() && ob1_busy_receives() == 0 &&
           (!drain.settling || all_sends_are_held());
}

static bool lasted_long_enough(void)
{
    return drain.stable >= STABLE_CALLS && now_us() - drain.stable_since_us >= STABLE_MICROSECONDS;
}

bool ob1_drain_step(void)
{
    opal_progress();
    if (!goal_reached()) {
        drain.stable = 0;
        return false;
    }
    if (drain.stable++ == 0) {
        drain.stable_since_us = now_us();
    }
    return lasted_long_enough() && ob1_held_rendezvous(drain.active);
}

void ob1_drain_describe(char *text, size_t size)
{
    size_t unattributed = ob1_count_received(drain.received);
    size_t busy = ob1_busy_receives();
    int missing = 0, from = -1, excess = 0;
    for (size_t i = 0; i < drain.ranks; i++) {
        int16_t difference = (int16_t)(uint16_t)(drain.expected[i] - drain.received[i]);
        missing += difference > 0 ? difference : 0;
        from = difference > 0 ? (int)i : from;
    }
    ob1_active_sends(drain.active);
    for (size_t i = 0; drain.settling && i < drain.ranks; i++) {
        excess += (int)(drain.active[i] - drain.held[i]);
    }
    snprintf(text, size,
             "%d messages missing (from rank %d), %zu for communicators not made here yet%s, %zu "
             "receives and %d sends in progress",
             missing, from, unattributed,
             ob1_held_rendezvous(drain.active) ? "" : " with rendezvous among them", busy, excess);
}

static uint32_t sent_to(size_t rank)
{
    return drain.sent[rank];
}

static uint32_t held_of(size_t rank)
{
    return drain.active[rank];
}

/* The table of these numbers, without those that are zero. */
static struct ninja_rank_pair *pairs_of(uint32_t (*number)(size_t rank), uint32_t *n)
{
    struct ninja_rank_pair *pairs = drain.ranks > 0 ? malloc(drain.ranks * sizeof(*pairs)) : NULL;
    *n = 0;
    for (size_t i = 0; pairs != NULL && i < drain.ranks; i++) {
        if (number(i) != 0) {
            pairs[(*n)++] = (struct ninja_rank_pair){(uint32_t)i, number(i)};
        }
    }
    return pairs;
}

struct ninja_rank_pair *ob1_drain_sent(uint32_t *n)
{
    ob1_count_sent(drain.sent);
    return pairs_of(sent_to, n);
}

struct ninja_rank_pair *ob1_drain_held(uint32_t *n)
{
    ob1_held_rendezvous(drain.active);
    return pairs_of(held_of, n);
}

const bool *ob1_drain_peers(size_t *n)
{
    ob1_count_sent(drain.sent);
    ob1_count_received(drain.received);
    for (size_t i = 0; i < drain.ranks; i++) {
        drain.peers[i] = drain.sent[i] != 0 || drain.received[i] != 0;
    }
    *n = drain.ranks;
    return drain.peers;
}
