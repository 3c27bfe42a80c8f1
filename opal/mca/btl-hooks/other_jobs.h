/* How this job is connected to others (MPI_Comm_spawn, MPI_Comm_accept, MPI_Comm_connect). */
#ifndef NINJA_OTHER_JOBS_H
#define NINJA_OTHER_JOBS_H

#include <stdbool.h>

/** Follows it from now on, until the process ends. Called when a PML has been selected. */
void other_jobs_open(void);

/**
 * Whether this job is being connected to another one: until there is a communicator, the drain does
 * not know of the other job. Nothing must be released meanwhile.
 */
bool other_jobs_are_connecting(void);

#endif
