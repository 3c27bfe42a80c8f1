/* What libvirt says of a failure, as an error of ours. */
#ifndef NINJA_LIBVIRT_FAILURE_H
#define NINJA_LIBVIRT_FAILURE_H

#include "common/error.h"

/**
 * Takes the last error of libvirt in this thread.
 *
 * @param next  what to do now, as a sentence
 * @return false
 */
bool failure_take(struct ninja_error *err, const char *next);

/** Has libvirt write nothing to standard error by itself. */
void failure_keep_quiet(void);

#endif
