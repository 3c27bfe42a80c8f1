/*
 * Brings this rank to where none of its messages is on the way any more.
 *
 * To be called at the safe point only. The tables are those of struct transport_layer.
 */
#ifndef NINJA_OB1_DRAIN_H
#define NINJA_OB1_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rank_proto.h"

/** After ob1_view_open(). False: out of memory. */
bool ob1_drain_open(void);
void ob1_drain_close(void);

/** Begins a drain: the counts that the peers sent. */
void ob1_drain_expect(const struct ninja_rank_pair *sent, uint32_t n);
/** Begins the second part: the unmatched rendezvous that the peers hold. */
void ob1_drain_settle(const struct ninja_rank_pair *held, uint32_t n);
/** Makes progress once. True when the part that was begun has been reached and is stable. */
bool ob1_drain_step(void);
/** Says what the drain still waits for. */
void ob1_drain_describe(char *text, size_t size);

/** Tables for the reports: messages sent to each peer; unmatched rendezvous of each. */
struct ninja_rank_pair *ob1_drain_sent(uint32_t *n);
struct ninja_rank_pair *ob1_drain_held(uint32_t *n);
/** By rank, whether it and this one have ever exchanged messages. Borrowed until the next call. */
const bool *ob1_drain_peers(size_t *n);

#endif
