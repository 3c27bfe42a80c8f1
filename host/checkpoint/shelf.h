/*
 * All checkpoints of a directory.
 */
#ifndef NINJA_SHELF_H
#define NINJA_SHELF_H

#include <jansson.h>

#include "common/error.h"

/** A new array of {"name", "state", ...}, as docs/ninjactl-json.md has it; NULL with err. */
json_t *checkpoint_list(const char *dir, struct ninja_error *err);

/**
 * Removes those of a cluster that are older than its newest ones that are complete, and those that
 * were interrupted. What is in use, or of whose manifest nothing can be told, is left.
 *
 * @param n    how many complete ones stay at least; from 1
 * @param err  set: the list could not be made, or one that was to be removed could not be
 * @return the names of those that were removed, a new array
 */
json_t *checkpoint_keep(const char *dir, const char *cluster, int n, struct ninja_error *err);

#endif
