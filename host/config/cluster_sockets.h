/*
 * The sockets of a cluster file, each of which serves one VM.
 */
#ifndef NINJA_CLUSTER_SOCKETS_H
#define NINJA_CLUSTER_SOCKETS_H

#include "host/config/cluster.h"

/**
 * Looks for a socket that is used twice, however its path is written; what the driver says may
 * stay a VM's own at several sites.
 *
 * @return the line of its second use, with err; 0: there is none
 */
int cluster_sockets_check(const struct cluster *cluster, struct ninja_error *err);

#endif
