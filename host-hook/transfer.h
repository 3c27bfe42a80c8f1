/*
 * How the memory of VMs is to be sent, as the cluster file and the command line said it, on its way
 * through the journal: whoever takes a migration on goes on as it was begun.
 */
#ifndef NINJA_TRANSFER_H
#define NINJA_TRANSFER_H

#include <jansson.h>

#include "host-hook/cluster.h"

/** A new object. */
json_t *transfer_to_json(const struct cluster *cluster);

/** Takes over what is there and makes sense; NULL is nothing. */
void transfer_from_json(struct cluster *cluster, const json_t *json);

#endif
