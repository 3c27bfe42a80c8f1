/*
 * The migrations of a state directory, those that run and those that were interrupted too; and
 * following one while it runs.
 */
#ifndef NINJA_HISTORY_H
#define NINJA_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/**
 * What is known of one migration, from its report, or from its journal while it has none.
 *
 * @return a new object with the keys that docs/ninjactl-json.md gives for `list`, or NULL with err
 *         (class ERR_STATE)
 */
json_t *history_entry(const char *state_dir, const char *id, struct ninja_error *err);

/**
 * A new array of such objects, oldest first. Those whose journal is empty are left out.
 *
 * @param last  so many of the latest at most; 0: all
 */
json_t *history_list(const char *state_dir, int last, struct ninja_error *err);

/**
 * Finds the migration that is meant.
 *
 * @param word  as on the command line; NULL: the latest
 * @param id    out: JOURNAL_ID_SIZE bytes
 */
bool history_find(const char *state_dir, const char *word, char *id, struct ninja_error *err);

/**
 * Finds the migration of a cluster that runs now. None may run though the cluster's lock is held:
 * by a switch.
 *
 * @param id  out: JOURNAL_ID_SIZE bytes
 */
bool history_find_running(const char *state_dir, const char *cluster, char *id);

/** Finds the migration that was begun with that key. */
bool history_find_key(const char *state_dir, const char *key, char *id);

/**
 * Of a cluster only the latest can run: "running" in an older entry becomes "interrupted".
 *
 * @param list  as history_list() makes it, which has done so
 */
void history_only_one_runs(json_t *list);

/** Milliseconds since 1970 of a time as in a report; -1: it is none. */
int64_t history_time_ms(const char *text);

/* ---- a file that grows by lines ---- */

struct follow;

/** The file need not be there yet. */
struct follow *follow_new(const char *state_dir, const char *id, const char *file);

/**
 * The next line that is whole, as a new JSON object; NULL: there is none yet. Lines that are no
 * object are passed over.
 */
json_t *follow_next(struct follow *follow);

/** NULL is allowed. */
void follow_free(struct follow *follow);

/**
 * How long the migration of a report took: by a clock that nobody sets, but for one that was taken
 * on, whose first coordinator had another one: that is from its beginning to its end by the wall
 * clock.
 *
 * @return milliseconds, or -1: the report does not tell
 */
int64_t history_duration_ms(json_t *report);

#endif
