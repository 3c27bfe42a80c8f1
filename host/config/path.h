/*
 * The path that the memory of a VM takes: a stream with two ends. The receiver listens at one of
 * them, and the source connects to the other. Both are URIs as QEMU has them. With the key
 * "receive" of the cluster file they are the same; they differ where something stands between the
 * two QEMUs, or where the source must call the receiver by another name than the one at which it
 * listens.
 */
#ifndef NINJA_PATH_H
#define NINJA_PATH_H

#include "common/error.h"

struct path {
    char *listen;  /* NULL: there is no path yet */
    char *connect; /* the same */
};

/** Copies both ends, in place of those that it had. */
void path_set(struct path *path, const char *listen, const char *connect);

/** Frees the ends. */
void path_clear(struct path *path);

/**
 * Looks whether QEMU could listen at the one end and connect to the other, as far as that can be
 * told without doing it: the form is known, a host's name resolves, a port is one, a directory is
 * there.
 *
 * @return false with err: class ERR_ADDRESS: it cannot work; ERR_UNKNOWN: it is of a kind that has
 * not been tried
 */
bool path_check(const struct path *path, struct ninja_error *err);

#endif
