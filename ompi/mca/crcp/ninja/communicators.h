/* What layers ask of a communicator. In a header, as each component has functions of its own. */
#ifndef NINJA_COMMUNICATORS_H
#define NINJA_COMMUNICATORS_H

#include "ompi_config.h"

#include <stdbool.h>
#include <stdio.h>

#include "ompi/communicator/communicator.h"
#include "ompi/group/group.h"
#include "ompi/proc/proc.h"

static inline bool group_has_another_job(ompi_group_t *group)
{
    for (int i = 0; group != NULL && i < ompi_group_size(group); i++) {
        if (ompi_group_get_proc_name(group, i).jobid != OMPI_PROC_MY_NAME->jobid) {
            return true;
        }
    }
    return false;
}

/**
 * Whether a message of it may go to another job, also if none has gone there yet: that job has
 * learned our addresses, and does not learn new ones. `why` then says so.
 */
static inline bool reaches_another_job(const ompi_communicator_t *comm, char *why, size_t size)
{
    if (!group_has_another_job(comm->c_local_group) &&
        !group_has_another_job(comm->c_remote_group)) {
        return false;
    }
    snprintf(why, size,
             "communicator \"%s\" reaches another job (MPI_Comm_spawn or "
             "MPI_Comm_connect), which is not supported",
             comm->c_name);
    return true;
}

#endif
