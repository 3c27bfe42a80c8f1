/*
 * The agent's channel: a stream of libvirt's, which leads to the guest from any host, as a UNIX
 * socket that the coordinator names and connects to, as it does to one of QEMU's.
 *
 * One client is let in. When either end closes, so does the other, and an event says so.
 */
#ifndef NINJA_LIBVIRT_CHANNEL_H
#define NINJA_LIBVIRT_CHANNEL_H

#include "host/libvirt/request.h"

/** "channel-open": answers when the socket can be connected to. */
void channel_open(struct request *request);

#endif
