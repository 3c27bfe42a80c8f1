/*
 * The migrations of the state directory, as `list` shows them, kept in memory: what has ended does
 * not change, and is read once.
 */
#ifndef NINJAD_PAST_H
#define NINJAD_PAST_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

enum past_outcome {
    PAST_DONE,
    PAST_DEGRADED,
    PAST_REFUSED,
    PAST_ROLLED_BACK,
    PAST_OPERATOR, /* it can be resumed, and be running again */
    PAST_RUNNING,
    PAST_INTERRUPTED,
    PAST_UNKNOWN,
    PAST_OUTCOMES,
};

struct past;

/** @param state_dir  borrowed for the life of it */
struct past *past_new(const char *state_dir);
void past_free(struct past *past);

/** Looks at what is new, and at what had not ended. False with err (class ERR_STATE). */
bool past_refresh(struct past *past, struct ninja_error *err);

/**
 * A new array of entries, oldest first.
 *
 * @param cluster  NULL: of all
 * @param last     so many of the latest at most
 */
json_t *past_list(const struct past *past, const char *cluster, int last);

/** The entry of that ID, borrowed; NULL: there is none. */
json_t *past_find(const struct past *past, const char *id);

/** The entry of the migration that was begun with that key, borrowed; NULL: there is none. */
json_t *past_find_key(const struct past *past, const char *key);

/** The latest of a cluster (NULL: of all), borrowed; NULL: there is none. */
json_t *past_latest(const struct past *past, const char *cluster);

/**
 * The next one that was interrupted or needs an operator, and that this has not given before;
 * borrowed. NULL: there is none.
 */
json_t *past_next_stuck(struct past *past);

/** How many migrations have that outcome. Those whose directory was removed since are counted on.
 */
int past_count(const struct past *past, enum past_outcome outcome);

/** Bytes that its VMs sent; -1: it has not ended, or that is not known. */
int64_t past_bytes(const struct past *past, const char *id);

/** As in an entry. */
const char *past_outcome_name(enum past_outcome outcome);
enum past_outcome past_outcome_of(json_t *entry);

#endif
