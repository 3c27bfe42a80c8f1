/*
 * A rank as the protocol with the agent sees it (common/rank_proto.h): its state, the step that it
 * was given last, and the report of that. It knows what may follow what, and answers what is given
 * again or comes too late; what a step does is its owner's.
 */
#ifndef NINJA_MEMBER_H
#define NINJA_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rank_proto.h"

/** What member and link say; level: 0 what a user must see, 1 what he should know, 10 each change
 * of a state, 20 each message. */
typedef void rank_say(void *arg, int level, const char *text);

struct member {
    enum ninja_rank_state state;
    uint32_t epoch;
    uint16_t round;
    uint16_t step;     /* the type of the last one; 0: none, or it is forgotten */
    bool owes;         /* a report of it */
    uint32_t lease_ms; /* of the last stop; 0: none */
    int64_t heard_us;  /* from the agent, last */
    int64_t began_us;
    struct ninja_rank_msg report; /* the last one */
    rank_say *say;
    void (*changed)(void *arg, enum ninja_rank_state to); /* after each change of the state */
    void *arg;
};

/** RUNNING, in no epoch. The callbacks may be NULL. */
void member_init(struct member *member, rank_say *say,
                 void (*changed)(void *arg, enum ninja_rank_state to), void *arg);
void member_clear(struct member *member);

/**
 * Takes a step that came.
 *
 * @param answer  out: what is to be sent at once, borrowed from the member; type 0: nothing
 * @return true: it is to be done, and then reported; what was underway is given up
 */
bool member_take(struct member *member, const struct ninja_rank_msg *msg,
                 struct ninja_rank_msg *answer);

/**
 * Keeps the report of the step that was given last. If it is OK the state is the step's from now
 * on.
 *
 * @param content  tables and addresses, which are taken over, and a text, which is copied
 * @return the report, to be sent; borrowed
 */
const struct ninja_rank_msg *member_report(struct member *member, enum ninja_rank_status status,
                                           struct ninja_rank_msg content);

/** A change that no report makes. One that is not legal ends the process. */
void member_set_state(struct member *member, enum ninja_rank_state to);

/** How long the agent may be silent until the member runs on by itself, in ms; 0: for ever. */
int64_t member_patience_ms(const struct member *member);
/** Whether it was silent for so long. */
bool member_is_forgotten(const struct member *member);
/** Runs on by itself: a step that is repeated is not answered as if this had not happened. */
void member_run_on(struct member *member);

#endif
