/*
 * The migration URI at which a VM is received.
 */
#ifndef NINJA_RECEIVE_ADDRESS_H
#define NINJA_RECEIVE_ADDRESS_H

#include "common/error.h"

/**
 * Looks whether QEMU could connect there, as far as that can be told without connecting: the form
 * is known, a host's name resolves, a port is one, a directory is there.
 *
 * @return false with err: class ERR_ADDRESS: it cannot work; ERR_UNKNOWN: it is of a kind that has
 * not been tried
 */
bool receive_address_check(const char *uri, struct ninja_error *err);

#endif
