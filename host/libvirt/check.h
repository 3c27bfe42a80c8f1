/* What would be in the way of a migration, asked of both hosts, before anything is touched. */
#ifndef NINJA_LIBVIRT_CHECK_H
#define NINJA_LIBVIRT_CHECK_H

#include "host/libvirt/request.h"

/** "migrate-check": from `host` to the host at the URI "to", which is the coordinator's own of it.
 */
void check_migration(struct request *request);

#endif
