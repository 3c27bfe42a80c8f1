/*
 * Who is at a checkpoint. The file "lock" is the first one in its directory. It names the cluster,
 * and is locked by the one who writes or removes the checkpoint, or by all who read it; the kernel
 * takes the lock from a process that ended. Checkpoints of earlier versions have no such file.
 */
#ifndef NINJA_CHECKPOINT_LOCK_H
#define NINJA_CHECKPOINT_LOCK_H

#include <stdbool.h>

#include "common/error.h"

#define LOCK_FILE "lock"

/**
 * Makes the file in the directory of a new checkpoint, and locks it.
 *
 * @return a descriptor, to be closed; -1 with err, class ERR_IO
 */
int lock_make(const char *dir, const char *cluster, struct ninja_error *err);

/**
 * Locks it beside others who read.
 *
 * @param lock  out: a descriptor, to be closed; -1: there is no such file
 * @return false with err: class ERR_BUSY, or ERR_IO
 */
bool lock_to_read(const char *dir, int *lock, struct ninja_error *err);

/** Locks it alone; as above, but the file is made if it is missing. */
bool lock_to_change(const char *dir, int *lock, struct ninja_error *err);

/** Whether somebody has locked it. */
bool lock_is_held(const char *dir);

/** The cluster that the file names; to be freed. NULL: none. */
char *lock_cluster(const char *dir);

#endif
