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

#include <netinet/in.h>

#include "opal/class/opal_list.h"
#include "opal/mca/btl/btl.h"

/* btl_tcp.h: a module is an interface (or one of several links on it) */
struct tcp_module {
    mca_btl_base_module_t super;
    uint16_t ifkindex;
};

/* btl_tcp_addr.h: what is published is an array of these */
struct tcp_address {
    struct in6_addr inet; /* an IPv4 address is in its first bytes */
    in_port_t port;
    uint16_t ifkindex;
    unsigned short in_use;
    uint8_t family;
};
enum { TCP_ADDRESS_INET = 0, TCP_ADDRESS_INET6 = 1 };

/* btl_tcp_endpoint.h: the connection of a module to a process */
struct tcp_endpoint {
    opal_list_item_t super;
    void *btl, *proc, *address;
    int sd;      /* or -1 */
    int sd_next; /* accepted, and to be taken from a timer that is pending; or -1 */
};

#endif
