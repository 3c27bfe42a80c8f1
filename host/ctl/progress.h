/*
 * How the VMs of a migration are getting on: on a terminal a block of lines that is drawn again and
 * again, elsewhere a line now and then; and always as JSON lines in the migration's directory.
 */
#ifndef NINJA_PROGRESS_H
#define NINJA_PROGRESS_H

#include "host/migration/coordinator.h"

struct progress;

/**
 * Shows it on standard error, until it is freed.
 *
 * @param dir      of the migration; it gets the file "progress"
 * @param colours  whether a terminal may get some; NO_COLOR forbids them all the same
 */
struct progress *progress_start(struct event_base *base, const struct migration *migration,
                                int n_vms, const char *dir, bool colours);

/** A state or stage began. NULL is allowed. */
void progress_changed(struct progress *progress);

/** NULL is allowed. */
void progress_free(struct progress *progress);

#endif
