/*
 * Whether a pre-copy makes headway. Each pass sends what was written in the pass before; where a VM
 * writes as fast as the network sends, a pass has no less to send than the one before, and the copy
 * would never end.
 */
#ifndef NINJA_HEADWAY_H
#define NINJA_HEADWAY_H

#include <stdbool.h>
#include <stdint.h>

struct headway {
    int64_t pass;    /* that was seen last; 0: none */
    int64_t to_send; /* bytes, when it was first seen */
    int stuck;       /* passes on end that had hardly less to send than the one before */
};

/** Forgets all; a copy begins. */
void headway_begin(struct headway *headway);

/**
 * Takes a look at a copy, and counts in `stuck`.
 *
 * @param pass       which one is under way, from 1
 * @param remaining  bytes that this pass has still to send
 */
void headway_look(struct headway *headway, int64_t pass, int64_t remaining);

#endif
