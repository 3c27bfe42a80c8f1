/* What a domain writes to its memory. */
#ifndef NINJA_LIBVIRT_WRITES_H
#define NINJA_LIBVIRT_WRITES_H

#include "host/libvirt/request.h"

/** "writes-begin": has QEMU measure for "seconds"; it is answered at once. */
void writes_begin(struct request *request);

/** "writes-look": whether that is "done", and if so "mib_per_s". */
void writes_look(struct request *request);

#endif
