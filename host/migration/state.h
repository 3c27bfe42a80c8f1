/*
 * The states of a migration, which may follow which, and when each was entered.
 */
#ifndef NINJA_STATE_H
#define NINJA_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum migration_state {
    STATE_PLANNED,   /* checked; receivers are being prepared; the job is untouched */
    STATE_QUIESCING, /* ranks come to rest; can be taken back at any time */
    STATE_RELEASING, /* ranks let go of transports; a reselect must follow */
    STATE_DETACHING, /* devices are taken from the VMs */
    STATE_COPYING,   /* memory moves; ends at the point of no return */
    STATE_ATTACHING, /* VMs are at the destination and get what it has */
    STATE_RESUMING,  /* ranks choose transports and run */
    STATE_DONE,
    STATE_ROLLING_BACK,   /* all that was done is taken back, where the VMs are */
    STATE_FAILED,         /* it is rolled back, or nothing had been done */
    STATE_NEEDS_OPERATOR, /* what is to become of a VM or a job, only a person can decide */
    STATES,
};

#define STATE_LOG_MAX 64

struct state_machine {
    enum migration_state state;
    struct {
        enum migration_state state;
        int64_t entered_ms; /* since the machine began */
    } log[STATE_LOG_MAX];
    int n;
    int64_t began_ms; /* now_ms() */
    int64_t ended_ms; /* since it began; -1: not in a last state yet */

    /* Called before a state is taken up. NULL: nobody wants to know. */
    void (*on_change)(void *arg, enum migration_state from, enum migration_state to);
    void *arg;
};

/** Begins in PLANNED, without calling on_change. */
void state_begin(struct state_machine *machine,
                 void (*on_change)(void *arg, enum migration_state from, enum migration_state to),
                 void *arg);

bool state_may_follow(enum migration_state from, enum migration_state to);

/** Whether it is in that state, or has been. */
bool state_was(const struct state_machine *machine, enum migration_state state);

/** Enters a state and logs `old -> new`; the one it is in is left alone. Aborts if not legal. */
void state_set(struct state_machine *machine, enum migration_state to);

const char *state_name(enum migration_state state);

/** For the report: [{"state", "start_ms", "ms"}, ...]. */
json_t *state_to_json(const struct state_machine *machine);

#endif
