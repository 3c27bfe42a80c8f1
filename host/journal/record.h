/*
 * What the journal says of a migration whose coordinator ended before the migration did.
 */
#ifndef NINJA_RECORD_H
#define NINJA_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "host/config/cluster.h"
#include "host/journal/journal.h"

struct record_vm {
    int from; /* site at which it was at the beginning */
    int to;   /* as in struct placement */
    bool moves;
    bool had_device;
    bool ran_there; /* it was seen to run at the destination */
    json_t *transfer; /* its own, see transfer.h; NULL: as that of all */
    json_t *method;   /* why so, of the report; NULL: nobody chose that */

    /* Which it had or was to get, of those that are there; NULL: the journal does not say. */
    const struct cluster_device *leaves, *gets;
};

struct record {
    char id[40];
    char state[24]; /* the last one that was entered */
    char step[24];  /* the last one that was begun */
    bool unplugs;   /* guests were asked to let go of devices, and no copy was begun after that */
    char began[40];
    char key[JOURNAL_MAX_KEY + 1]; /* empty: none */
    char *asked;                   /* the words that it was asked for with; NULL: not known */
    char to[CLUSTER_MAX_NAME + 1]; /* as placement_name() */
    char operation[16];            /* the name of its hooks, as "migrate" */
    char checkpoint[4096];         /* path; empty: it has to do with none */
    bool paused;
    json_t *transfer;      /* see transfer.h; NULL: nothing is said of it */
    struct record_vm *vms; /* in the cluster's order */
    int n_vms;
};

/**
 * Looks for a migration of that cluster which was begun and has no outcome.
 *
 * @param id      NULL: the last one
 * @param record  out: free with record_clear()
 * @return false with err: class ERR_NOTHING_INTERRUPTED if there is none; ERR_ENDED if the one with
 * that ID has an outcome; ERR_STATE if a journal cannot be read or does not agree with the cluster
 * file
 */
bool record_find(const char *state_dir, const struct cluster *cluster, const char *id,
                 struct record *record, struct ninja_error *err);

void record_clear(struct record *record);

#endif
