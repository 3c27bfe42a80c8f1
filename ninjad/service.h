/*
 * The service from its start to its end.
 */
#ifndef NINJAD_SERVICE_H
#define NINJAD_SERVICE_H

#include "ninjad/options.h"

/** Serves until SIGTERM or SIGINT. Returns an exit code of sysexits.h. */
int service_run(const struct options *options);

#endif
