/*
 * How the memory of VMs is to be sent, as the cluster file and the command line said it, on its way
 * through the journal: whoever takes a migration on goes on as it was begun.
 */
#ifndef NINJA_TRANSFER_H
#define NINJA_TRANSFER_H

#include <jansson.h>
#include <stddef.h>

#include "host/config/cluster.h"

/* A number of that, with its name in the cluster file and on the command line. */
struct transfer_number {
    const char *key;
    size_t offset; /* in struct cluster */
    int min, max;
    bool may_be_unset; /* -1 is a value, too, which nobody can give */
};

/* The last one has no key. */
extern const struct transfer_number transfer_numbers[];

/** The one of that key, which must be there. */
const struct transfer_number *transfer_number(const char *key);

int *transfer_value(struct cluster *cluster, const struct transfer_number *number);

/** A new object. */
json_t *transfer_to_json(const struct cluster *cluster);

/** Takes over what is there and makes sense; NULL is nothing. */
void transfer_from_json(struct cluster *cluster, const json_t *json);

#endif
