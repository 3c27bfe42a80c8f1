/*
 * The arguments of ninja-step, checked.
 */
#ifndef AGENT_STEPARGS_H
#define AGENT_STEPARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/rank_proto.h"

#define STEP_MAX_MS (24u * 3600 * 1000)

struct step_args {
    const char *job; /* borrowed from the JSON, as are tables and addresses */
    uint32_t epoch;
    uint16_t round;
    uint16_t type;
    uint32_t timeout_ms;
    /* what the step carries, see common/switch_steps.h */
    uint32_t lease_ms;
    json_t *leaving;                    /* ranges of ranks; NULL: all leave */
    char text[NINJA_RANK_MAX_TEXT + 1]; /* one list of transports, or two, a line each */
    json_t *tables;                     /* of messages sent, or held */
    const char *addresses;              /* see common/address_list.h */
};

/**
 * Takes and checks all that can be checked without knowing the job.
 *
 * @return false with an error of class BadStep
 */
bool step_args_parse(json_t *json, struct step_args *args, struct ninja_error *err);

/**
 * Checks what depends on the job's size: every rank and peer of the tables is below it.
 */
bool step_args_fit(const struct step_args *args, uint32_t size, struct ninja_error *err);

/**
 * Makes the message for one rank.
 *
 * @param pairs  room for NINJA_RANK_MAX_PAIRS pairs, which the message points into
 */
void step_args_message(const struct step_args *args, uint32_t rank, struct ninja_rank_pair *pairs,
                       struct ninja_rank_msg *msg);

/**
 * Puts the addresses into a file for the ranks, see common/addresses.h.
 *
 * @param size  ranks of the job
 * @param file  out: its descriptor
 * @return false with an error: of class BadStep, they are not those of so many ranks
 */
bool step_args_file(const struct step_args *args, uint32_t size, int *file,
                    struct ninja_error *err);

#endif
