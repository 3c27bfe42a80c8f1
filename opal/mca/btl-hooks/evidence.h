/* What this process holds of VMM-bypass devices, by its own descriptors and mappings. */
#ifndef NINJA_EVIDENCE_H
#define NINJA_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Looks for descriptors and mappings of VMM-bypass devices that this process still holds.
 *
 * @param text  filled with a line for each
 * @return how many there are
 */
size_t evidence_open_devices(char *text, size_t size);

/** The RDMA devices that this process has open, to be freed with opal_argv_free(). */
char **evidence_devices(void);

/**
 * Visits each open descriptor with what it is open on.
 *
 * @return false, with errno: they cannot be listed
 */
bool evidence_for_each_descriptor(void (*visit)(int fd, const char *target, void *arg), void *arg);

#endif
