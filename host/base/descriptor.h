/* Reading and writing that goes on after a signal. */
#ifndef NINJA_DESCRIPTOR_H
#define NINJA_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/types.h>

/** As read(2). */
ssize_t read_some(int fd, void *data, size_t size);

/** Writes all of it. False with errno. */
bool write_all(int fd, const void *data, size_t size);

#endif
