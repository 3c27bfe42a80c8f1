/*
 * For the agent's tests: a job of which two ranks are fake ones, and the steps that a fake host
 * gives.
 */
#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include "agent_fixture.h"

/* Further arguments of a step. */
#define LEASE            ",\"lease-ms\":60000"
#define NO_TABLES        ",\"tables\":{}"
#define TRANSPORTS(list) ",\"transports\":\"" list "\""
/* A, AB, ABC, ABCD */
/* "A", "AB", "ABC" and "ABCD". */
#define ADDRESSES ",\"addresses\":\"AAAAGnicY2BgYGRgYGACYmYgZnEEEk4MDM4MLgAF0wEV\""

/* A host that greeted and a job J with two ranks of four. */
struct pair {
    struct host host;
    int rank[2];
};

void start_pair(struct fixture *f, struct pair *p);
void end_pair(struct pair *p);

/** Gives a step to J with 20 seconds of time; @p more are further arguments, with a comma. */
void step(struct host *host, uint32_t epoch, uint32_t round, const char *name, const char *more);
/** As step(), and expects an error of that class; its text must hold @p words. */
void step_refused(struct host *host, const char *class, const char *words, uint32_t epoch,
                  uint32_t round, const char *name, const char *more);

/** The reports of the next NINJA_STEP, which must be of that step. A new reference. */
json_t *reports(struct host *host, const char *name, uint32_t epoch, uint32_t round);
void expect_status(json_t *list, uint32_t rank, const char *status);
/** Waits for the event, and expects that status of each of n ranks. */
void expect_step(struct host *host, const char *name, uint32_t epoch, uint32_t round, uint32_t n,
                 const char *status);

/** The only job of ninja-jobs, borrowed from the answer, a new reference. */
json_t *the_job(struct host *host, json_t **answer);
void expect_state(struct host *host, uint32_t rank, const char *rank_state, uint32_t epoch);
void expect_jobs_event(struct host *host, const char *change, int local);

/** Takes a step on n ranks and reports ok for each. */
void all_do(int *ranks, int n, uint16_t type, uint32_t epoch, uint16_t round);
/** Gives stop, drain and settle of an epoch, which both ranks do. */
void make_quiet(struct pair *p, uint32_t epoch);
void end_epoch(struct pair *p, uint32_t epoch);

#endif
