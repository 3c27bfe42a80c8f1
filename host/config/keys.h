/*
 * Reading a group of the cluster file against a table of the keys that it may have.
 */
#ifndef NINJA_KEYS_H
#define NINJA_KEYS_H

#include <libconfig.h>

#include "host/config/cluster.h"

/* A key, and the variable that its value goes to. The last one of a table has no name. */
struct key {
    const char *name;
    enum cluster_value value;
    enum cluster_need need;
    void *to;
    int min, max; /* of a number; max elements of a list */
};

/* What texts may have in braces; NULL: that is left as it is. */
struct key_names {
    const char *vm, *host, *site, *n;
};

struct key_reader {
    const char *file;
    const struct key_names *names; /* to be put in their places; NULL: texts are as they are */
    const char *driver;            /* that the file names, as soon as it is known */
    struct ninja_error *err;
};

/** Sets the error "FILE:LINE: ..." and returns false. */
bool keys_wrong(const struct key_reader *reader, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Reads a group: an unknown key, a wrong type or a missing key is an error.
 *
 * @param what  for messages, e.g. "a site"
 */
bool keys_read(const struct key_reader *reader, const config_setting_t *group,
               const struct key *keys, const char *what);

/** A new table: that one, and after its first key those of the driver, which go to its struct. */
struct key *keys_join(const struct key *keys, const struct cluster_key *more, void *own);

#endif
