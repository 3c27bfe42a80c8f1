/*
 * A migration: a thread and a connection of its own, so that nothing waits behind it, and a second
 * thread that tells how far it is.
 */
#ifndef NINJA_LIBVIRT_JOB_H
#define NINJA_LIBVIRT_JOB_H

#include "host/libvirt/request.h"

/** "migrate": answers when all is copied; the VM is then stopped here, and paused at the
 * destination, unless it has changed sides in the middle of the copy. */
void job_migrate(struct request *request);

/** "migrate-post-copy": has it change sides, by the control connection. */
void job_change_sides(struct request *request);

/** "migrate-abort": by the control connection. The request "migrate" ends with an error. */
void job_abort(struct request *request);

#endif
