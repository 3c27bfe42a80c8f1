/*
 * What the drain reads and changes inside pml/ob1: message counts, requests, unmatched headers.
 *
 * Tables are indexed by rank in the job and have ob1_view_ranks() entries. Nothing here makes
 * progress or sends anything. All of it is to be called at the safe point only.
 */
#ifndef NINJA_OB1_VIEW_H
#define NINJA_OB1_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Finds ob1 and begins to follow communicators as they end (a control path, not a message path).
 *
 * @param ranks  size of the job
 * @return NULL, or why this MPI library cannot be worked with (a constant string)
 */
const char *ob1_view_open(size_t ranks);
void ob1_view_close(void);
size_t ob1_view_ranks(void);

/**
 * Says whether a drain can work at all now.
 *
 * @param why  filled with the reason, naming the communicator
 */
bool ob1_can_drain(char *why, size_t size);

/** Messages sent to each rank since MPI_Init, modulo 2^16. */
void ob1_count_sent(uint16_t *sent);

/**
 * Messages whose header arrived from each rank since MPI_Init, modulo 2^16.
 *
 * @return headers that arrived for communicators which do not exist here yet, and are therefore
 *         counted for no rank
 */
size_t ob1_count_received(uint16_t *received);

/** Receives that are matched and not complete. */
size_t ob1_busy_receives(void);

/** Send requests to each rank that are not complete. */
void ob1_active_sends(uint32_t *active);

/**
 * Rendezvous headers from each rank that are not matched.
 *
 * @return false if one is for a communicator that does not exist here yet: its sender is unknown
 */
bool ob1_held_rendezvous(uint32_t *held);

/** Whether this rank is still sending the header of one of its rendezvous. */
bool ob1_sending_headers(void);

/**
 * Takes from unmatched rendezvous, at both ends, all that belongs to the transport: memory
 * registrations, and the RGET protocol, which becomes a plain RNDV that copies.
 */
void ob1_park(void);

#endif
