/*
 * Theory of operation
 *
 * This is what the folder has to know of btl/tcp in particular, as TCP leaves traces where other
 * transports leave none:
 *
 * Several nodes may have the same address (each container engine gives it to its bridge), and a
 * connection to it then ends on the own node, at whichever rank happens to listen there. So an
 * address that this node has is taken out of what processes of other nodes publish, and the
 * interface that has it is not used. If this node has all of a process's addresses, the two nodes
 * are one machine by several names, and all is well.
 *
 * The side that closes a connection first keeps its port in TIME_WAIT for a minute, in which
 * btl/tcp cannot listen on that port. So the side that has connected hangs up first, from a port of
 * the kernel's choice, and the side that has accepted waits for it.
 *
 * btl/tcp takes an accepted connection from a timer, which it does not delete with the endpoint. So
 * the timers are let run before endpoints go.
 */
#include "internal.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "evidence.h"
#include "gate.h"
#include "opal/util/argv.h"
#include "tcp_private.h"

/* The time for all peers to hang up; all ranks are told to let go at the same time. */
#define HANG_UP_MS 2000

/* Each pass runs the timers that are due; a new one may come with each connection. */
#define MAX_PASSES 1000

static bool is_tcp(const mca_btl_base_module_t *btl)
{
    return strcmp(btl_name(btl), "tcp") == 0;
}

static const struct tcp_endpoint *connection_of(const mca_bml_base_btl_t *by)
{
    return is_tcp(by->btl) ? (const struct tcp_endpoint *)by->btl_endpoint : NULL;
}

bool tcp_interface(const mca_btl_base_module_t *btl, char name[IF_NAMESIZE])
{
    return is_tcp(btl) && if_indextoname(((const struct tcp_module *)btl)->ifkindex, name) != NULL;
}

/* --- addresses ---------------------------------------------------------------------------- */

static struct ifaddrs *own; /* the addresses of this node, when peers were connected last */

/* The interfaces of this node that have an address which another node has, too. */
static char **shared;

static bool has_address(const struct ifaddrs *ifa, const struct tcp_address *address)
{
    const struct sockaddr *here = ifa->ifa_addr;
    if (here == NULL) {
        return false;
    }
    if (here->sa_family == AF_INET) {
        return address->family == TCP_ADDRESS_INET &&
               memcmp(&((const struct sockaddr_in *)here)->sin_addr, &address->inet,
                      sizeof(struct in_addr)) == 0;
    }
    return here->sa_family == AF_INET6 && address->family == TCP_ADDRESS_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)here)->sin6_addr, &address->inet,
                  sizeof(struct in6_addr)) == 0;
}

static const struct ifaddrs *owner_of(const struct tcp_address *address)
{
    const struct ifaddrs *all = own;
    while (all != NULL && !has_address(all, address)) {
        all = all->ifa_next;
    }
    return all;
}

/* Returns the bytes left. The data may have any alignment. */
static uint32_t drop(uint8_t *data, uint32_t size)
{
    struct tcp_address address;
    uint32_t kept = 0;
    for (uint32_t at = 0; at < size; at += (uint32_t)sizeof(address)) {
        memcpy(&address, data + at, sizeof(address));
        const struct ifaddrs *owner = owner_of(&address);
        if (owner != NULL) {
            opal_argv_append_unique_nosize(&shared, owner->ifa_name, false);
        } else {
            memmove(data + kept, data + at, sizeof(address));
            kept += (uint32_t)sizeof(address);
        }
    }
    return kept;
}

static bool are_all_own(const uint8_t *data, uint32_t size)
{
    struct tcp_address address;
    bool all = true;
    for (uint32_t at = 0; all && at < size; at += (uint32_t)sizeof(address)) {
        memcpy(&address, data + at, sizeof(address));
        all = owner_of(&address) != NULL;
    }
    return all;
}

uint32_t tcp_drop_own_addresses(uint8_t *data, uint32_t size)
{
    if (size % sizeof(struct tcp_address) != 0 || are_all_own(data, size)) {
        return size;
    }
    return drop(data, size);
}

bool tcp_is_shared(const mca_btl_base_module_t *btl)
{
    char name[IF_NAMESIZE];
    bool found = false;
    if (shared != NULL && tcp_interface(btl, name)) {
        for (char **one = shared; !found && *one != NULL; one++) {
            found = strcmp(*one, name) == 0;
        }
    }
    return found;
}

/* They are kept to the very end: MPI_Finalize may still make a first contact. */
void tcp_read_own_addresses(void)
{
    opal_argv_free(shared);
    shared = NULL;
    freeifaddrs(own);
    if (getifaddrs(&own) != 0) {
        own = NULL;
    }
}

/* --- connections -------------------------------------------------------------------------- */

static void note_pending(mca_bml_base_btl_t *by, void *arg)
{
    const struct tcp_endpoint *connection = connection_of(by);
    *(bool *)arg |= connection != NULL && connection->sd_next >= 0;
}

static void end_accepts(void)
{
    bool pending = true;
    for (int pass = 0; pending && pass < MAX_PASSES; pass++) {
        pending = false;
        endpoints_for_each_leaving(note_pending, &pending);
        if (pending) {
            gate_run_events();
        }
    }
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t len = sizeof(listening);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening != 0;
}

/* In network byte order; 0: it is no socket of the Internet. */
static in_port_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &len);
    if (address.ss_family == AF_INET) {
        return ((struct sockaddr_in *)&address)->sin_port;
    }
    return address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port : 0;
}

struct hang_up {
    in_port_t listening[8]; /* the ports on which this process listens */
    size_t n_listening;
    struct pollfd *accepted;
    size_t n_accepted;
};

static void note_listening(int fd, const char *target, void *arg)
{
    struct hang_up *all = arg;
    if (is_listening(fd) && all->n_listening < sizeof(all->listening) / sizeof(in_port_t)) {
        all->listening[all->n_listening++] = port_of(fd);
    }
}

/* An accepted connection has the port of the listener. */
static bool is_accepted(const struct hang_up *all, int fd)
{
    in_port_t port = port_of(fd);
    for (size_t i = 0; i < all->n_listening; i++) {
        if (port != 0 && all->listening[i] == port) {
            return true;
        }
    }
    return false;
}

static bool is_established(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_state == TCP_ESTABLISHED;
}

static void hang_up_or_wait(mca_bml_base_btl_t *by, void *arg)
{
    struct hang_up *all = arg;
    const struct tcp_endpoint *connection = connection_of(by);
    if (connection == NULL || connection->sd < 0 || !is_established(connection->sd)) {
        return;
    }
    if (!is_accepted(all, connection->sd)) {
        shutdown(connection->sd, SHUT_WR);
        return;
    }
    struct pollfd *more = realloc(all->accepted, (all->n_accepted + 1) * sizeof(*all->accepted));
    if (more != NULL) {
        all->accepted = more;
        all->accepted[all->n_accepted++] = (struct pollfd){connection->sd, POLLRDHUP, 0};
    }
}

static void wait_for_all(struct pollfd *fds, size_t n)
{
    const int64_t end = now_ms() + HANG_UP_MS;
    size_t open = n;
    while (open > 0 && now_ms() < end && poll(fds, n, (int)(end - now_ms())) != 0) {
        open = 0;
        for (size_t i = 0; i < n; i++) {
            if (fds[i].revents != 0) {
                fds[i].fd = -1; /* poll(2) overlooks it */
            }
            open += fds[i].fd >= 0;
        }
    }
}

void tcp_hang_up(void)
{
    struct hang_up all = {0};
    end_accepts();
    evidence_for_each_descriptor(note_listening, &all);
    endpoints_for_each_leaving(hang_up_or_wait, &all);
    wait_for_all(all.accepted, all.n_accepted);
    free(all.accepted);
}
