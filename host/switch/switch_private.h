/*
 * Inside a switch: what it is at, and what switch.c (from step to step), switch_reselect.c (the
 * lists of transports), switch_steps.c (one step: giving it and taking the reports),
 * switch_addresses.c (those of the ranks), switch_parts.c (the jobs, VM by VM) and switch_state.c
 * (what may follow what) need of each other.
 */
#ifndef NINJA_SWITCH_PRIVATE_H
#define NINJA_SWITCH_PRIVATE_H

#include "common/switch_steps.h"
#include "host/base/timer.h"
#include "host/switch/counts.h"
#include "host/switch/switch.h"

/* The lease is so much longer than the quiesce, for release to be given within it. */
#define LEASE_SLACK_MS 5000

/* What a switch is at. Those up to SW_JOBLESS have released nothing in this attempt. */
enum switch_state {
    SW_LOOKING,     /* asks the agents for their jobs */
    SW_QUIESCING,   /* stop, drain, settle */
    SW_TAKING_BACK, /* resume, of a quiesce whose coordinator ended */
    SW_GIVING_UP,   /* resume, of a quiesce that failed */
    SW_PAUSING,     /* until the next attempt */
    SW_JOBLESS,     /* there is no job, and switch_continue() is waited for all the same */
    SW_RELEASING,
    SW_RELEASING_AGAIN,
    SW_HELD,        /* until switch_continue() */
    SW_RESELECTING, /* open, connect, verify, with one list after the other */
    SW_RESUMING,
    SW_ENDED,
    SW_STATES,
};

/* What a part is at in the step that was given last. */
enum part_state {
    PART_IDLE,          /* it was not given the step, or reported, or is not waited for any more */
    PART_GIVEN,         /* its agent has not answered yet */
    PART_ACCEPTED,      /* its agent has the step, and will report */
    PART_WITHOUT_RANKS, /* its agent was started again, and the ranks are not back */
    PART_GONE,          /* the job has ended */
    PART_STATES,
};

/* The ranks of one job in one VM. */
struct part {
    struct transport_switch *sw;
    int job, vm;
    const int *ranks; /* n_ranks of them, ascending; a piece of the job's by_vm */
    int n_ranks;
    enum part_state state;
    /* the agent that knew of the ranks, or does again */
    char instance[AGENT_INSTANCE_SIZE];
    int64_t back_by; /* when ranks that another agent lost have to be back; 0: none were lost */
    struct event *again;
};

/* What listens to the agent of a VM. */
struct switched_vm {
    struct transport_switch *sw;
    struct part *parts; /* of this VM: a piece of all parts */
    int n_parts;
};

/* Of one rank, as it reported them; none: size 0. */
struct addresses {
    uint8_t *bytes;
    uint32_t size;
};

struct switched_job {
    struct job *job;
    uint32_t epoch; /* of this attempt; each job has epochs of its own */
    int *by_vm;     /* all ranks that are in a VM, by it */
    struct counts *sent, *held;
    struct addresses *addresses;    /* by rank, of the last `open` */
    json_t *address_list;           /* the text with all of them; NULL: not made yet */
    int64_t (*micros)[NINJA_STEPS]; /* by rank: how long it took for each step, in all rounds */
    bool changed, quiet;
    bool stuck; /* after `release`: no transports work for it, so it must not resume */
};

struct transport_switch {
    struct event_base *base;
    struct agent *const *agents;
    int n;
    struct switch_options options;
    char *release, *reselect;
    char *wanted;       /* the first list that was tried; NULL: none yet */
    size_t n_fallbacks; /* that were tried after it */
    int64_t retry_end;  /* until when all lists are tried again; 0: none has failed yet */
    const struct switch_handler *handler;
    void *arg;

    struct jobs_query *query;
    struct jobs *jobs;
    struct switched_job *switched; /* jobs->n of them */
    struct part *parts;            /* by VM */
    int n_parts;
    int n_awaited;           /* parts for which switch_part_is_awaited() */
    struct switched_vm *vms; /* n of them */

    enum ninja_step step;
    int round, attempt, n_stale;
    uint32_t given_epochs; /* of every job */
    uint32_t epoch;        /* the highest, for the report */
    enum switch_state state;
    bool aborted;      /* somebody wants it to end early */
    bool step_failed;  /* a part failed, or was silent, in the step that was given last */
    bool has_released; /* in any attempt */
    bool left_out;     /* a job that runs has no part in what is taken over */
    bool ranks_run;    /* all were found running, or were given `resume` and said that they do */
    struct ninja_error err;
    struct json_traffic traffic_before;
    int64_t budget_end, lease_end, step_began;
    int64_t stopped_at;    /* before the first rank can have been stopped */
    int64_t at_rest_since; /* of the first rank that was at rest, as `resume` found */
    json_int_t step_micros;
    struct event *deadline, *next;
    json_t *steps, *given_up;
    json_t *dropped; /* what carries nothing, by the ranks' own words */
    int64_t stall_ms;
    int64_t stopped_at_us; /* wall clock; 0: this attempt stopped nobody */
};

/** The row of the step that was given last. */
static inline const struct ninja_switch_step *switch_step(const struct transport_switch *sw)
{
    return &ninja_switch_steps[sw->step];
}

/** Whether nothing is lost if that step fails: `resume` takes it back. */
static inline bool switch_is_quiescing(const struct transport_switch *sw)
{
    return switch_step(sw)->part == NINJA_PART_QUIESCE;
}

/* switch_state.c */

/** Takes it to a state that may follow, and tells who began it. */
void switch_set_state(struct transport_switch *sw, enum switch_state to);
bool switch_state_may_follow(enum switch_state from, enum switch_state to);
/** Whether it can end now with nothing released. */
bool switch_is_abortable(const struct transport_switch *sw);

void switch_set_part(struct part *part, enum part_state to);
/** It is not waited for any more, whatever its agent still says. */
void switch_leave_part(struct part *part);
bool switch_part_may_follow(enum part_state from, enum part_state to);

/** Whether the step goes on until this part is heard of. */
static inline bool switch_part_is_awaited(const struct part *part)
{
    return part->state != PART_IDLE && part->state != PART_GONE;
}

/* switch_steps.c */

/** Gives a step to every agent that has ranks of a job; switch_step_over() follows. */
void switch_start_step(struct transport_switch *sw, enum ninja_step step);
/** For agent_listen(); arg is the struct switched_vm. */
void switch_on_event(void *arg, struct agent *agent, const char *name, json_t *data);
/** Whether a rank is in one of the VMs whose ranks leave. */
bool switch_leaves(const struct transport_switch *sw, const struct job *job, int rank);

/* switch_addresses.c */

/** Takes what a rank's report says of its addresses, if the step is to; false with err. */
bool switch_take_addresses(struct part *part, int rank, json_t *report, struct ninja_error *err);
/** After `open`: makes the lists for `connect`; false with err, class ERR_REFUSED: one is too long.
 */
bool switch_make_address_lists(struct transport_switch *sw, struct ninja_error *err);
void switch_forget_addresses(struct switched_job *job);

/* switch_parts.c */

/** Makes what is kept of each job that was found, and the parts. */
void switch_make_parts(struct transport_switch *sw, enum ninja_step begin_with);
/** Frees the jobs, and what was made of them. */
void switch_forget_jobs(struct transport_switch *sw);
/* switch.c */

/** All parts reported, or one failed where one is enough to know how it ends. */
void switch_step_over(struct transport_switch *sw);
/** Resumes what was stopped, and tries again or ends. */
void switch_give_up_attempt(struct transport_switch *sw);

/* switch_reselect.c */

/* The list that means what the ranks used before `release`. */
#define SWITCH_PREVIOUS "@previous"

/** The list to choose from. */
void switch_set_reselect(struct transport_switch *sw, const char *list);
/** Goes on with `open`. */
void switch_begin_reselect(struct transport_switch *sw);
/** After `open`, `connect` or `verify`. */
void switch_after_reselect(struct transport_switch *sw);

/* switch_report.c */

/** When this attempt stopped the ranks, by the report's clock; null: it stopped nobody. */
json_t *switch_stall_start(const struct transport_switch *sw);

/** What was said to all agents so far, and by them. */
struct json_traffic switch_traffic(const struct transport_switch *sw);

#endif
