/*
 * The clusters that clients can name: those of the cluster files that the administrator gave.
 */
#ifndef NINJAD_CLUSTERS_H
#define NINJAD_CLUSTERS_H

#include <jansson.h>

#include "common/error.h"
#include "host/config/cluster.h"
#include "ninjad/options.h"

struct clusters;

/** @param options  borrowed for the life of it */
struct clusters *clusters_new(const struct options *options);
void clusters_free(struct clusters *clusters);

/** Reads all files; of one that is wrong the name that it had stays. Logs what is wrong. */
void clusters_read(struct clusters *clusters);

/**
 * Reads the file of a cluster, as it is now.
 *
 * @param name  NULL: the only one that there is
 * @return the cluster, which the caller frees, or NULL with err: class ERR_NOT_FOUND,
 * ERR_BAD_ARGUMENT (which one is meant?) or ERR_CLUSTER_FILE
 */
struct cluster *clusters_open(const struct clusters *clusters, const char *name,
                              struct ninja_error *err);

/** A new array of their names. */
json_t *clusters_names(const struct clusters *clusters);

#endif
