/*
 * The agent's parts without its sockets' names: for targets that speak to it. Made anew for each
 * input, so that an input does the same each time.
 */
#ifndef FUZZ_AGENT_BENCH_H
#define FUZZ_AGENT_BENCH_H

#include "guest-agent/agent.h"

struct bench {
    struct agent agent;
    struct channel *channel; /* the agent's end of the host's */
    int host;                /* ours */
};

void bench_begin(struct bench *bench);
void bench_end(struct bench *bench);

/** Lets the agent do all that it can do now, and checks what it writes to the host. */
void bench_run(struct bench *bench);

/** A new connection to the socket of the ranks. */
int bench_connect_rank(struct bench *bench);

/** The same, which says hello as a rank of the job "J" of two ranks. */
int bench_join_rank(struct bench *bench, uint32_t rank);

/** Takes what the agent sent to a rank and forgets it. */
void bench_drain_rank(int fd);

#endif
