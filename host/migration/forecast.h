/*
 * What the policy needs to know of the VMs that move, which is measured and looked up; its choice,
 * for their drivers; and what it foresees, for plan and report.
 */
#ifndef NINJA_FORECAST_H
#define NINJA_FORECAST_H

#include "host/migration/policy.h"
#include "host/migration/survey.h"
#include "host/vmm/looks.h"

struct forecast;

/**
 * Measures what the VMs that move write; ends always, within some seconds and the time-out
 * "command". What cannot be measured is not known, which is no error.
 *
 * @param looks      at the same cluster
 * @param survey     borrowed until the forecast is freed or forecast_choose() was called
 * @param to         where each VM is to be, as in struct placement
 * @param limits     borrowed until the forecast is freed
 * @param state_dir  whose reports are read for what earlier migrations of the cluster took
 */
struct forecast *forecast_start(struct event_base *base, const struct cluster *cluster,
                                const struct looks *looks, struct survey *survey, const int *to,
                                const struct policy_limits *limits, const char *state_dir,
                                void (*done)(void *arg), void *arg);

/** Chooses, and has the VMs sent so. False with err: see policy_choose(). */
bool forecast_choose(struct forecast *forecast, struct ninja_error *err);

/** "method" of a VM in docs/report.md, borrowed, once it was chosen; NULL: the VM does not move. */
json_t *forecast_of_vm(const struct forecast *forecast, int vm);

/** NULL is allowed. */
void forecast_free(struct forecast *forecast);

#endif
