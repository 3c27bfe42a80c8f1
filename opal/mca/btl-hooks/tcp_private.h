/*
 * The parts of btl/tcp that its developer headers leave out.
 *
 * Source: opal/mca/btl/tcp of Open MPI 4.1; these layouts are the same in 4.1.0 to 4.1.8, and
 * ob1_view_open() refuses to work with any other version. They are declared here under names of our
 * own, up to the last member that is used.
 */
#ifndef NINJA_TCP_PRIVATE_H
#define NINJA_TCP_PRIVATE_H

#include "opal_config.h"

#include "opal/class/opal_list.h"

/* btl_tcp_endpoint.h: the connection of a module to a process */
struct tcp_endpoint {
    opal_list_item_t super;
    void *btl, *proc, *address;
    int sd;      /* or -1 */
    int sd_next; /* accepted, and to be taken from a timer that is pending; or -1 */
};

#endif
