/*
 * A switch of the transports of all jobs: docs/protocol.md, section 1.
 *
 * All jobs are switched together: none releases anything before all are quiet, so a refusal by
 * one leaves all untouched. Whatever happens, every rank that was stopped is given `resume`, and
 * after a release other transports before it.
 */
#ifndef NINJA_SWITCH_H
#define NINJA_SWITCH_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "host/agent/agent_client.h"
#include "host/agent/jobs.h"
#include "host/config/cluster.h"

struct transport_switch;

enum switch_phase {
    SWITCH_QUIESCING = 1, /* again for each attempt */
    SWITCH_RELEASING,
    SWITCH_RESELECTING,
    SWITCH_RESUMING,
};

struct switch_options {
    const struct cluster *cluster; /* for time-outs and attempts */
    const char *release;           /* transports to let go, as in common/rank_proto.h; copied */
    const char *reselect;          /* transports to choose from; copied */
    const bool *leaving;           /* by VM: whether its ranks leave what they are on; pairs of
                                      others keep it. NULL: all leave. Borrowed */
    const bool *unmanaged_in;      /* as in struct jobs_query_options */
    bool hold;                     /* stay released until switch_continue() */
    int64_t since_ms;              /* now_ms(), from which the times in its report count */
};

struct switch_handler {
    /* Before the step's commands are sent. NULL: not interested. */
    void (*phase)(void *arg, enum switch_phase phase);
    /* Only with `hold`: all jobs have released, or there is no job. */
    void (*held)(void *arg);
    /*
     * The end, with all ranks running if it is not the last of these. err is NULL, or class
     *   ERR_REFUSED, ERR_NOT_READY: nothing was released; a rank or a process does not allow it
     *   ERR_TIMEOUT, ERR_LOST, ...: nothing was released; all attempts were given up
     *   ERR_RELEASE, ERR_RESELECT: something was released; other transports were chosen then
     *   ERR_RESUME: a rank did not say that it runs again, or no transports work for a job
     */
    void (*done)(void *arg, const struct ninja_error *err);
};

/**
 * Begins with finding the jobs; without any it ends well at once.
 *
 * @param agents   n of them, borrowed until the switch is freed
 * @param handler  borrowed until then
 */
struct transport_switch *switch_start(struct event_base *base, struct agent *const *agents, int n,
                                      const struct switch_options *options,
                                      const struct switch_handler *handler, void *arg);

/** After `held`: chooses transports and resumes. reselect: NULL for that of the options. */
void switch_continue(struct transport_switch *sw, const char *reselect);

/**
 * Gives up, if nothing was released yet, and ends with class ERR_ABORTED; otherwise `held` is not
 * called any more, and the switch goes on to its end.
 */
void switch_abort(struct transport_switch *sw);

/** Whether any rank was told to release. */
bool switch_has_released(const struct transport_switch *sw);

/**
 * Whether the ranks are known to have run at some time of it, or after it. False: it did not find
 * out what they are at, or could not take over what another coordinator had begun.
 */
bool switch_left_ranks_running(const struct transport_switch *sw);

/** How many jobs it found. */
int switch_jobs(const struct transport_switch *sw);

/** A new object for the report: attempts, rounds, steps, stall_ms, jobs. */
json_t *switch_report(const struct transport_switch *sw);

/** NULL is allowed. */
void switch_free(struct transport_switch *sw);

#endif
