/*
 * A look at the whole cluster: where each VM runs, whether its agent answers, what interconnects
 * it has, and which jobs there are. Nothing is changed. check, plan and status show it; a
 * migration and a switch begin with it, and use its drivers and agents to their end.
 */
#ifndef NINJA_SURVEY_H
#define NINJA_SURVEY_H

#include "host/agent/agent_client.h"
#include "host/agent/jobs.h"
#include "host/journal/record.h"
#include "host/vmm/driver.h"

struct survey_vm {
    struct vmm *vmm;
    struct ninja_error vmm_err; /* why it was not located */
    struct agent *agent;
    struct ninja_error agent_err; /* why its agent cannot be used */
    json_t *interconnects;        /* the answer of ninja-interconnects; NULL with agent_err */
};

struct survey;

/**
 * Begins a survey. It always ends, within the time-outs connect and command.
 *
 * @param interrupted  NULL, or the migration that is to be taken on: its VMs are adopted
 */
struct survey *survey_start(struct event_base *base, const struct cluster *cluster,
                            const struct record *interrupted, void (*done)(void *arg), void *arg);

/** The same before a restart: every VM must be nowhere, and no agent is asked. */
struct survey *survey_start_nowhere(struct event_base *base, const struct cluster *cluster,
                                    void (*done)(void *arg), void *arg);

/** One for each VM of the cluster. */
struct survey_vm *survey_vms(struct survey *survey);

/** Jobs of all agents that answered. */
const struct jobs *survey_jobs(const struct survey *survey);

/** All agents, in the order of VMs. */
struct agent *const *survey_agents(const struct survey *survey);

/** False with err if a VM was not located or its agent does not answer. */
bool survey_is_complete(struct survey *survey, struct ninja_error *err);

/** A new object for --json. */
json_t *survey_to_json(struct survey *survey);

/** Frees the drivers and agents too. NULL is allowed. */
void survey_free(struct survey *survey);

#endif
