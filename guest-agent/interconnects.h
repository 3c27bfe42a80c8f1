/*
 * The interconnects of this VM, as sysfs and getifaddrs(3) show them.
 */
#ifndef AGENT_INTERCONNECTS_H
#define AGENT_INTERCONNECTS_H

#include <jansson.h>
#include <stdbool.h>

/**
 * Looks at the RDMA ports and network interfaces that are there now, loopback left out.
 *
 * @param sys       the root of sysfs, "/sys"
 * @param counters  whether to read the counters, too; without them two results are equal when
 *                  nothing came, went or changed its state or addresses
 * @return a new object, as docs/protocol.md says for ninja-interconnects; not complete if there was
 *         a shortage meanwhile
 */
json_t *interconnects_scan(const char *sys, bool counters);

#endif
