/*
 * Which ranks leave in the switch that is going on. The others stay: two that stay keep the
 * transports between them, and only pairs with a rank that leaves get others.
 */
#ifndef NINJA_LEAVING_H
#define NINJA_LEAVING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rank_proto.h"

/**
 * Sets it for the switch that begins.
 *
 * @param ranges  n of (first rank, how many); none: all ranks leave
 * @param ranks   of the job
 * @return false: out of memory; nothing has changed then
 */
bool leaving_set(const struct ninja_rank_pair *ranges, uint32_t n, uint32_t ranks);
/** No switch is going on: from here on all ranks leave, as long as nothing else is set. */
void leaving_forget(void);

bool leaving_is(uint32_t rank);
/** Whether this rank and that one are such a pair. */
bool leaving_concerns(uint32_t rank);

#endif
