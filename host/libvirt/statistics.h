/* The statistics of a domain's job, by libvirt's own names of them. */
#ifndef NINJA_LIBVIRT_STATISTICS_H
#define NINJA_LIBVIRT_STATISTICS_H

#include <jansson.h>
#include <libvirt/libvirt.h>

/** All of them that are numbers or texts. A new object, or NULL. */
json_t *statistics_json(virTypedParameterPtr params, int count);

#endif
