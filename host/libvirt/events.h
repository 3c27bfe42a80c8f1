/* What libvirt tells unasked of the domains of a host, as events of ours. */
#ifndef NINJA_LIBVIRT_EVENTS_H
#define NINJA_LIBVIRT_EVENTS_H

#include <libvirt/libvirt.h>
#include <stdbool.h>

/** @param host  its name; borrowed for ever. False: libvirt's last error says why. */
bool events_register(virConnectPtr conn, const char *host);

#endif
