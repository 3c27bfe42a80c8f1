/*
 * How long a migration is going to take, from figures that are named; where there are none, there
 * is no estimate.
 */
#ifndef NINJA_ESTIMATE_H
#define NINJA_ESTIMATE_H

#include <jansson.h>

#include "host/migration/coordinator.h"
#include "host/vmm/looks.h"

/**
 * A new object, as `estimate` of `plan` in docs/ninjactl-json.md.
 *
 * @param state_dir  whose reports are read for what earlier migrations of the cluster took
 */
json_t *estimate_migration(const struct cluster *cluster, const struct looks *looks,
                           struct survey *survey, const struct migration_options *options,
                           const char *state_dir);

#endif
