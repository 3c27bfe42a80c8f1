/*
 * How the memory of a VM is sent. Each VM has its own; it begins as the cluster file and the
 * command line say it. It goes into the journal, so that whoever takes a migration on goes on as it
 * was begun.
 */
#ifndef NINJA_TRANSFER_H
#define NINJA_TRANSFER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define TRANSFER_MAX_PARALLEL  64
#define TRANSFER_MAX_BANDWIDTH 1000000 /* MiB/s */
#define TRANSFER_MAX_DOWNTIME  2000000 /* ms; QEMU's own limit */
#define TRANSFER_PARALLEL      2       /* where it is compressed, and nothing else was said */
#define TRANSFER_IF_STUCK      2       /* where that is wanted, and nothing else was said */

/* What goes over several connections can be compressed. */
enum compress {
    COMPRESS_NONE,
    COMPRESS_ZLIB,
    COMPRESS_ZSTD,
};

struct transfer {
    int bandwidth_mib; /* 0: no limit */
    int downtime_limit_ms;
    int parallel; /* connections for one VM; 0: one, as QEMU does it by default */
    enum compress compress;
    int post_copy_after;         /* passes over the memory; -1: however many there are */
    int post_copy_if_stuck;      /* passes on end that were of no use; -1: the same */
    int post_copy_bandwidth_mib; /* of what follows then; 0: no limit */
};

/* Where nothing is said. */
#define TRANSFER_DEFAULT                                                                           \
    (struct transfer)                                                                              \
    {                                                                                              \
        .downtime_limit_ms = 300, .post_copy_after = -1, .post_copy_if_stuck = -1                  \
    }

/* A number of it, with its name in the cluster file and on the command line. */
struct transfer_number {
    const char *key;
    size_t offset; /* in struct transfer */
    int min, max;
    bool may_be_unset; /* -1 is a value, too, which nobody can give */
};

#define TRANSFER_NUMBERS 6

/* The last one has no key. */
extern const struct transfer_number transfer_numbers[TRANSFER_NUMBERS + 1];

/** The one of that key, which must be there. */
const struct transfer_number *transfer_number(const char *key);

int *transfer_value(struct transfer *transfer, const struct transfer_number *number);

/** Sets what to compress with: none, zlib or zstd. */
bool transfer_set_compress(struct transfer *transfer, const char *method, struct ninja_error *err);

/** QEMU's name for it. */
const char *compress_name(enum compress compress);

/** Whether the VM may change sides before all of its memory was sent. */
bool transfer_has_post_copy(const struct transfer *transfer);

/** Completes it, and checks that its parts go together. False with err: class ERR_USAGE. */
bool transfer_check(struct transfer *transfer, struct ninja_error *err);

/** A new object. */
json_t *transfer_to_json(const struct transfer *transfer);

/** Takes over what is there and makes sense; NULL is nothing. */
void transfer_from_json(struct transfer *transfer, const json_t *json);

#endif
