/*
 * A scripted agent with its ranks: it does what docs/protocol.md says, except where a test sets
 * one of its knobs.
 */
#ifndef NINJA_FAKE_AGENT_H
#define NINJA_FAKE_AGENT_H

#include "tests/unit/fake_peer.h"

#define FAKE_VERSION    "0.0.1" /* of the ranks' component */
#define FAKE_MAX_RANKS  8
#define FAKE_MAX_EVENTS 300

/* A job as all its ranks have it; shared by the agents. */
struct fake_job {
    const char *name;
    int size;
    int epoch;
    int sent[FAKE_MAX_RANKS][FAKE_MAX_RANKS]; /* by sender, to peer */
    int held[FAKE_MAX_RANKS][FAKE_MAX_RANKS]; /* by holder, of sender */
    const char *state[FAKE_MAX_RANKS];
    char transports[FAKE_MAX_RANKS][32];
    int told[FAKE_MAX_RANKS][FAKE_MAX_RANKS]; /* of sent, with the last report */
    int opens[FAKE_MAX_RANKS];                /* by rank, how often it opened transports */

    /* knobs */
    int drains_with_new_send; /* so many drains are followed by one more message of rank 1 to 2 */
    int silent_stops;         /* so many stops are not reported by the agent of rank 0 */
    int refusing_rank;        /* refuses stop; -1: none */
    int failing_rank;         /* fails the step failing_step */
    const char *failing_step; /* NULL: none */
    int failures;             /* how many times; 1 at the beginning */
    int forgetful_rank;       /* says of its first counts that they are those of before; -1: none */
    int malformed_rank;       /* reports addresses that are not base64; -1: none */
    int had_epoch;            /* ranks and agents differ: the agents refuse all up to this one */
    bool tells_epoch;         /* ... and say so in ninja-jobs */
    int stood_ms;             /* what the agents say of each rank in resume; -1: nothing */
};

struct fake_agent {
    struct event_base *base;
    struct fake_peer *peer;
    const char *name;
    struct fake_job *job; /* NULL: no job */
    int ranks[FAKE_MAX_RANKS], n_ranks;
    json_t *interconnects;
    json_t *unmanaged;
    json_t *events[FAKE_MAX_EVENTS];
    int seq;
    char instance[32];
    bool unknown;    /* the host must say hello first */
    int64_t back_at; /* ms of the monotonic clock; -1: never */

    /* knobs */
    int protocol;                /* what it speaks: ours */
    bool deaf;                   /* answers nothing */
    const char *detach_error;    /* the detach scripts fail with that */
    json_t *users;               /* processes that still hold the device; NULL: none */
    bool rdma_after_attach;      /* an RDMA port comes with ninja-attach */
    const char *restart_at;      /* it is started again when it is given that step; NULL: not */
    int away_ms;                 /* ... and for so long no rank has come back to it; -1: for ever */
    bool accepts_before;         /* ... when it has accepted it */
    bool behind_port;            /* ... and its host stays connected to QEMU */
    bool forgets;                /* knows no job from then on, but was not started again */
    const char *forged_job;      /* says of two ranks of this one too that each step failed */
    bool repeats_first_rank;     /* says of all ranks what it says of the first one */
    const char *deaf_at;         /* is deaf from that step on */
    const char *loses_events_at; /* it accepts that step, and loses the channel and its events */
    bool lost_events;
    int hang_up_before_reply; /* so many commands are lost with the connection */
};

void fake_agent_init(struct fake_agent *agent, struct event_base *base, const char *name);
void fake_agent_listen(struct fake_agent *agent, const char *path);
/* The VM moved: the channel breaks and is at another socket. */
void fake_agent_move(struct fake_agent *agent, const char *path);
void fake_agent_event(struct fake_agent *agent, const char *name, json_t *data);
void fake_agent_add_ranks(struct fake_agent *agent, struct fake_job *job, int first, int n);
void fake_agent_clear(struct fake_agent *agent);

void fake_job_init(struct fake_job *job, const char *name, int size);

#endif
