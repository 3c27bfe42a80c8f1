/*
 * The MPI jobs with ranks in this VM.
 *
 * A job appears with its first rank and goes with its last. Connections are of ranks.c; what the
 * coordinator asks of a job is in steps.c.
 */
#ifndef AGENT_JOBS_H
#define AGENT_JOBS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/rank_proto.h"
#include "guest-agent/events.h"

/* How many there may be in all, and of one user, so that no user takes the room of all others. */
#define JOBS_MAX            1024
#define JOBS_MAX_USER       768
#define JOBS_MAX_RANKS      3072
#define JOBS_MAX_RANKS_USER 2304
#define JOB_NAME_MAX        256
/* Bytes of the reports that are kept as JSON. More would not fit into a line by far. */
#define JOBS_MAX_REPORTS (128u * 1024 * 1024)
/* Of a rank, and bytes of their names: what all ranks say has to fit into the answer to ninja-jobs.
 */
#define JOBS_MAX_TRANSPORTS      16
#define JOBS_MAX_TRANSPORT_NAMES 512

struct jobs;
struct rank_conn;

#define JOB_STEP_PHASE(step, name) JOB_##step,

/* How far the epoch of a job is, by the last step that was given. */
enum job_phase {
    JOB_IDLE,    /* no epoch in progress: none yet, or the last one was resumed */
    JOB_UNKNOWN, /* ranks say that they are in one, given by an earlier life of the agent */
    /* each step: JOB_STOP to JOB_RESUME */
    NINJA_EACH_STEP(JOB_STEP_PHASE) JOB_PHASES,
};

/* One rank. conn NULL: it was lost in an epoch, and is kept until that ends. */
#define RANK_VERSION_MAX 24

struct rank {
    TAILQ_ENTRY(rank) entry;
    struct job *job;
    struct rank_conn *conn;
    uint32_t number;
    pid_t pid;
    char version[RANK_VERSION_MAX]; /* of its component; empty: it did not say */
    enum ninja_rank_state state;
    uint32_t epoch;      /* the last one that it took part in */
    json_t *transports;  /* of its last connect, or NULL */
    uint64_t told;       /* a digest of the counts that its last report had */
    uint32_t told_epoch; /* ... in this epoch */
    bool has_told;
    int64_t stopped_ms; /* when it was seen to be at rest; 0: it is not, or nobody saw it */
    bool member;        /* takes part in the epoch in progress */
    bool owes;          /* a report for the step in progress */
    bool leaving;       /* said BYE */
    bool may_leave;     /* was told BYE_OK */
};

/* The step that was given last. */
struct step {
    uint16_t type; /* 0: none yet */
    uint16_t round;
    uint32_t epoch;
    bool in_progress, replay;
    json_t *reports;     /* array, as in NINJA_STEP */
    size_t reports_size; /* about so many bytes */
    struct event *timer;
};

struct job {
    TAILQ_ENTRY(job) entry;
    struct jobs *jobs;
    char name[JOB_NAME_MAX];
    uid_t uid;
    uint32_t size;
    uint32_t epoch; /* the highest seen */
    enum job_phase phase;
    bool finalizing;
    TAILQ_HEAD(job_ranks, rank) ranks;
    struct step step;
    uint32_t lease_ms;    /* of the last stop */
    struct event *lease;  /* ends an epoch that the ranks leave by themselves */
    struct event *notify; /* gathers ranks that come or go together into one event */
};

/** @return NULL when out of memory; free with jobs_free() after the rank server */
struct jobs *jobs_new(struct event_base *base, struct events *events);
void jobs_free(struct jobs *jobs);

/** @return the job of that name, or NULL */
struct job *jobs_find(struct jobs *jobs, const char *name);

/** The value of "jobs" in ninja-jobs, a new reference. */
json_t *jobs_json(struct jobs *jobs);

/** Whether that process is a connected rank. */
bool jobs_has_pid(struct jobs *jobs, pid_t pid);

/**
 * A process said HELLO.
 *
 * @param why  out: the reason of a refusal
 * @return its rank, which holds @p conn from now on; NULL: refused
 */
struct rank *jobs_hello(struct jobs *jobs, struct rank_conn *conn, pid_t pid, uid_t uid,
                        const struct ninja_rank_msg *msg, char *why, size_t why_size);

/**
 * A rank sent another message.
 *
 * @return NULL, or what is wrong with it; its connection is to be ended then
 */
const char *jobs_message(struct rank *rank, const struct ninja_rank_msg *msg);

/** A rank's connection has ended; frees the rank, and the job with its last one. */
void jobs_rank_gone(struct rank *rank);

/* For steps.c. */

struct events *jobs_events(struct jobs *jobs);
/** Takes room for a report of the job's step, in bytes; false: too much is taken already. */
bool job_reserve_report(struct job *job, size_t size);
/** Gives back what all reports of the job's step took. */
void job_release_reports(struct job *job);
void rank_set_state(struct rank *rank, enum ninja_rank_state state);
/** Sets the phase; JOB_IDLE ends the epoch: lost ranks are forgotten, leaving ones may go. */
void job_set_phase(struct job *job, enum job_phase phase);
const char *job_phase_name(enum job_phase phase);

#endif
