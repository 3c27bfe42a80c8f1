/*
 * The steps of a switch, and the states through which they take a rank: the one table of both.
 *
 * A step has a line in NINJA_EACH_STEP, which gives it its place, its name and its number on the
 * wire, and a row in switch_steps.c, which says when it may come, what it does to a rank and what
 * it carries. Coordinator, agents and ranks go by these rows. What the steps are for is in
 * docs/protocol.md, section 1; how to add one is in docs/architecture.md.
 */
#ifndef NINJA_SWITCH_STEPS_H
#define NINJA_SWITCH_STEPS_H

#include <stdbool.h>

/* Of each message between rank and agent: "NJR4", where the 4 is the version of their protocol. The
 * numbers of steps and states are on the wire, so another order of them needs another version. */
#define NINJA_RANK_MAGIC 0x34524a4eu

/* In the order of a switch, which is also that of their numbers in messages of ranks. */
#define NINJA_EACH_RANK_STATE(X)                                                                   \
    X(RUNNING)                                                                                     \
    X(QUIESCING)                                                                                   \
    X(QUIET)                                                                                       \
    X(RELEASED)                                                                                    \
    X(OPENED)    /* it has transports, but no addresses for them */                                \
    X(CONNECTED) /* it has both */                                                                 \
    X(READY)     /* it has both, and they work */

/* In the order of a switch, which is also that of their numbers in messages to ranks. */
#define NINJA_EACH_STEP(X)                                                                         \
    X(STOP, "stop")                                                                                \
    X(DRAIN, "drain")                                                                              \
    X(SETTLE, "settle")                                                                            \
    X(RELEASE, "release")                                                                          \
    X(OPEN, "open")                                                                                \
    X(CONNECT, "connect")                                                                          \
    X(VERIFY, "verify")                                                                            \
    X(RESUME, "resume")

#define NINJA_STATE_NUMBER(state)     NINJA_RANK_##state,
#define NINJA_STEP_NUMBER(step, name) NINJA_STEP_##step,

enum ninja_rank_state { NINJA_EACH_RANK_STATE(NINJA_STATE_NUMBER) NINJA_RANK_STATES };
enum ninja_step { NINJA_EACH_STEP(NINJA_STEP_NUMBER) NINJA_STEPS };

/* The parts of a switch. A failure is dealt with, and time is measured out, by part. */
enum ninja_step_part {
    NINJA_PART_QUIESCE,  /* under a lease, and `resume` takes all of it back */
    NINJA_PART_RELEASE,  /* nothing is taken back from here on */
    NINJA_PART_RESELECT, /* all of its steps are done again with each list of transports */
    NINJA_PART_RESUME,
};

/* What a step's message to a rank holds, see struct ninja_rank_msg. */
enum ninja_step_carries {
    NINJA_CARRIES_NOTHING,
    NINJA_CARRIES_LEASE,     /* arg: a lease in ms (see docs/protocol.md); text: the lists that
                                RELEASE and OPEN are going to bring, "RELEASE\nOPEN", or empty: not
                                known yet; a: the ranks that leave, pairs of (first of them, how
                                many); none: all leave */
    NINJA_CARRIES_SENT,      /* a: messages that each peer has sent to this rank, modulo 2^16 */
    NINJA_CARRIES_HELD,      /* b: unmatched rendezvous that each peer holds from this rank */
    NINJA_CARRIES_LIST,      /* text: a list of transports, see rank_proto.h */
    NINJA_CARRIES_ADDRESSES, /* descriptor: those of all ranks, see common/addresses.h */
    NINJA_CARRIES_LIMIT,     /* arg: ms after which the rank gives up and says what is missing */
};

/* What a rank's report of the step holds, bit by bit. Any report may have a text. */
enum ninja_step_reports {
    NINJA_REPORTS_SENT = 1,       /* a: messages sent to each peer so far, modulo 2^16 */
    NINJA_REPORTS_HELD = 2,       /* b: unmatched rendezvous held for each sender */
    NINJA_REPORTS_ADDRESSES = 4,  /* addresses: by which others reach this rank */
    NINJA_REPORTS_TRANSPORTS = 8, /* a: one pair (index, number of peers reached) a transport, text:
                                     the transports' names in the same order, comma-separated */
};

struct ninja_switch_step {
    enum ninja_step_part part;
    unsigned from;            /* bits of the states in which a rank takes it */
    enum ninja_rank_state to; /* of a rank that did it */
    unsigned after;           /* bits of the steps that it may follow in the same epoch */
    unsigned begins_after;    /* ... in which it may begin a new epoch; 0: it begins none */
    bool interrupts;          /* it may come while another step of its epoch is in progress */
    enum ninja_step_carries carries;
    unsigned reports; /* enum ninja_step_reports */
};

extern const struct ninja_switch_step ninja_switch_steps[NINJA_STEPS];

/** The name of a step on the wire and in reports, "stop", "drain", ...; "?" if there is none. */
const char *ninja_step_name(unsigned step);
/** NINJA_STEPS: there is none with that name. */
enum ninja_step ninja_step_from_name(const char *name);
/** "stop, drain, ...": all of them, for messages. */
const char *ninja_step_names(void);

/** "RUNNING", "QUIESCING", ...; "?" if there is none. */
const char *ninja_rank_state_name(unsigned state);
/** NINJA_RANK_STATES: there is none with that name. */
enum ninja_rank_state ninja_rank_state_from_name(const char *name);

/** Whether a rank in that state takes the step. */
static inline bool ninja_step_may_come(enum ninja_step step, enum ninja_rank_state state)
{
    return (ninja_switch_steps[step].from & (1u << state)) != 0;
}

#endif
