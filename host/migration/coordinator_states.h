/*
 * What a migration keeps in mind beside its state: small machines, each with what may follow what.
 */
#ifndef NINJA_COORDINATOR_STATES_H
#define NINJA_COORDINATOR_STATES_H

#include "common/stages.h"

/* How far it got, and whether it leads on or back. */
enum course {
    COURSE_ASKED,     /* nothing was done yet */
    COURSE_ANNOUNCED, /* the hooks of its beginning are run, but no step is begun */
    COURSE_FORWARD,   /* a step was begun */
    COURSE_BACK,      /* it failed: what was begun is taken back */
    COURSE_REFUSED,   /* it ends before a step was begun */
    COURSE_LED_ON,    /* it ends, and nothing was taken back */
    COURSE_LED_BACK,  /* it ends, and what was begun was taken back */
    COURSE_SUSPENDED, /* it ends for now: a VM is split, and all is left as it is */
    COURSES,
};

/* The copies that go on at once. */
enum round {
    ROUND_NONE,
    ROUND_GOES_ON,
    ROUND_CANCELLED, /* those that did not arrive are being taken back */
    ROUND_SPLIT,     /* a VM stands still between both sides: the others end, and nothing follows */
    ROUNDS,
};

/* What was done with the jobs. */
enum jobs_state {
    JOBS_AS_BEFORE,
    JOBS_ON_STANDBY, /* they run on their standby transports */
    JOBS_HELD,       /* their ranks wait, without transports; the switch goes on later */
    JOBS_UNKNOWN,    /* another coordinator did something with them */
    JOBS_ON_BEST,    /* they were told to choose the best transports */
    JOBS_STATES,
};

/* What is done with a VM. How far it is on its way, its driver knows. */
enum way {
    WAY_STAYS,     /* it was at the destination already, and nothing of it is copied */
    WAY_MOVES,     /* it is to move, or has moved */
    WAY_COPYING,   /* its part of the copy step goes on */
    WAY_UNDECIDED, /* nobody knows at which side it is to run: nothing of it is touched any more */
    WAYS,
};

/* What was done with the device of a VM. */
enum device_state {
    DEVICE_AS_BEFORE,
    DEVICE_DETACHED, /* the detach scripts were run */
    DEVICE_PLUGGED,  /* it was given one, or that was tried */
    DEVICE_ATTACHED, /* the attach scripts were run, after the move or the rollback */
    DEVICE_STATES,
};

#define STAGE_NUMBER(stage, name) STAGE_##stage,

/* What is timed for each VM. */
enum stage { STAGE_NONE, NINJA_EACH_STAGE(STAGE_NUMBER) STAGES };

#endif
