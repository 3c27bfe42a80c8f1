/*
 * The MPI jobs of a cluster, as all agents together see them.
 */
#ifndef NINJA_JOBS_H
#define NINJA_JOBS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#include "common/error.h"
#include "host/agent/agent_client.h"

#define JOBS_MAX           1024
#define JOBS_MAX_RANKS     100000 /* of a job */
#define JOBS_MAX_ALL_RANKS 200000 /* of all jobs: room is made for what an agent says of a size */
#define JOBS_MAX_NAME      255
#define JOBS_MAX_UNMANAGED 20000

struct job_rank {
    int vm; /* index of its agent; -1: no agent knows it */
    int pid;
    char state[16];
    char version[24];   /* of its component; empty: not known */
    json_t *transports; /* NULL: not reported yet */
    bool reported;      /* for the step in progress */
};

struct job {
    char name[JOBS_MAX_NAME + 1];
    int size;
    struct job_rank *ranks; /* size of them */
    uint32_t epoch;         /* the highest that a rank took part in, or an agent gave */
    bool finalizing;
};

/* A process that holds a bypass device and is no rank of a job that can be switched. */
struct unmanaged {
    int vm, pid;
    char command[64];
    char job[JOBS_MAX_NAME + 1]; /* empty: not of an MPI job */
    char open[64];               /* the first thing that it holds */
};

struct jobs {
    struct job *jobs;
    int n, n_ranks; /* n_ranks: of all jobs, whether or not an agent knows them */
    struct unmanaged *unmanaged;
    int n_unmanaged;
    bool returning; /* an agent was started again, and its ranks may not be back */
};

void jobs_free(struct jobs *jobs);

/** A new array, as in the report: name, size, epoch, ranks with VM, pid, state and transports. */
json_t *jobs_to_json(const struct jobs *jobs, struct agent *const *agents);

/**
 * Adds what one agent answered to ninja-jobs.
 *
 * @return false with err: class ERR_PROTOCOL, or ERR_REFUSED if two VMs claim the same rank
 */
bool jobs_add(struct jobs *jobs, int vm, json_t *answer, struct ninja_error *err);

/** How many ranks of the job that agent knows. */
int jobs_ranks_in(const struct jobs *jobs, const char *job, int vm);

/** Whether no rank is known to be anything but RUNNING: no switch of it is going on. */
bool job_is_running(const struct job *job);
/** Whether a rank has let go of transports and has no others that are known to work. */
bool job_has_released(const struct job *job);

/**
 * False with err (class ERR_NOT_READY) naming the job if one has ranks missing, or is finalizing
 * and not in the middle of a switch.
 */
bool jobs_are_complete(const struct jobs *jobs, struct ninja_error *err);

/**
 * False with err (class ERR_REFUSED) naming process and job if one holds a device.
 *
 * @param in_vm  only in VMs for which this is true; NULL: in any
 */
bool jobs_none_unmanaged(const struct jobs *jobs, const bool *in_vm, struct agent *const *agents,
                         struct ninja_error *err);

struct jobs_query;

struct jobs_query_options {
    int command_ms;           /* for one answer */
    int wait_ms;              /* until every job is complete; 0: take them as they are */
    const bool *unmanaged_in; /* as in_vm of jobs_none_unmanaged(); NULL: do not care. Borrowed. */
    const bool *of_vms;       /* leave out jobs that run, and have no ranks there; NULL: none */
};

/** @param jobs  taken over by the callee; NULL with err set */
typedef void (*jobs_done)(void *arg, struct jobs *jobs, const struct ninja_error *err);

/**
 * Asks all agents for their jobs, again and again until they are complete.
 *
 * @param agents  borrowed until `done` was called or the query freed
 */
struct jobs_query *jobs_query_start(struct event_base *base, struct agent *const *agents, int n,
                                    const struct jobs_query_options *options, jobs_done done,
                                    void *arg);

/** Forgets about it; may be called in `done`, and must be called after it. NULL is allowed. */
void jobs_query_free(struct jobs_query *query);

#endif
