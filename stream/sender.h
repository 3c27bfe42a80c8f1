/*
 * What makes the memory that QEMUs write smaller before it is sent; one for all channels, so that a
 * page that two VMs have is sent once. It spends CPU only as far as the link is what holds up.
 */
#ifndef NINJA_STREAM_SENDER_H
#define NINJA_STREAM_SENDER_H

#include "stream/batch.h"
#include "stream/session.h"

struct sender;

/** @param pages  that are remembered; the receiver's store has to have as many */
struct sender *sender_new(struct link *link, uint32_t pages);

/** Sends a batch of a VM and begins it anew; waits as long as the link is full. False: it is over.
 */
bool sender_send(struct sender *sender, struct batch *batch, uint16_t channel, int vm);

/** Adds what was sent of a VM to the counters. */
void sender_count(struct sender *sender, int vm, struct batch_counters *counters);

#endif
