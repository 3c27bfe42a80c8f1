/*
 * The steps of a switch, as the coordinator gives them to a job's ranks in this VM.
 */
#ifndef AGENT_STEPS_H
#define AGENT_STEPS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "guest-agent/jobs.h"

/**
 * ninja-step: gives a step to the ranks, or repeats its result.
 *
 * @param args  the command's arguments, borrowed
 * @return false with an error of a class that docs/protocol.md names
 */
bool steps_give(struct jobs *jobs, json_t *args, struct ninja_error *err);

/** A rank's report. Returns NULL, or what is wrong with it. */
const char *steps_report(struct rank *rank, const struct ninja_rank_msg *msg);

/** The rank's connection has ended (its conn is NULL already). */
void steps_rank_lost(struct rank *rank);

/** Ends the step in progress with the reports that are there, and its epoch: the job ends. */
void steps_end_now(struct job *job);

/** For jobs.c: the step's part of a job. */
bool steps_init(struct job *job, struct event_base *base);
void steps_clear(struct job *job);

#endif
