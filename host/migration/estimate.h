/*
 * How long a migration is going to take, from figures that are named; where there are none, there
 * is no estimate.
 */
#ifndef NINJA_ESTIMATE_H
#define NINJA_ESTIMATE_H

#include <jansson.h>

#include "host/journal/journal.h"
#include "host/migration/coordinator.h"
#include "host/vmm/looks.h"

/* What is known of the copy of a VM. */
struct copy_estimate {
    double ram, bytes;  /* of the VM, and to be sent; 0: not known */
    double bytes_per_s; /* 0: not known */
    char bytes_from[JOURNAL_ID_SIZE]; /* the migration that this is known from; empty: the RAM */
    char rate_from[80];               /* for people; empty: not known */
};

/** Reports of migrations of that cluster that arrived, latest first, as a new array. */
json_t *estimate_reports(const char *state_dir, const char *cluster);

/**
 * @param look     of the VM where it is; NULL: there is none
 * @param reports  see estimate_reports()
 */
struct copy_estimate estimate_copy(const struct vmm *vmm, const struct look *look, json_t *reports);

/**
 * A new object, as `estimate` of `plan` in docs/ninjactl-json.md.
 *
 * @param state_dir  whose reports are read for what earlier migrations of the cluster took
 */
json_t *estimate_migration(const struct cluster *cluster, const struct looks *looks,
                           struct survey *survey, const struct migration_options *options,
                           const char *state_dir);

#endif
