/*
 * The parts of the service, as they know each other.
 */
#ifndef NINJAD_NINJAD_H
#define NINJAD_NINJAD_H

#include <event2/event.h>

#include "ninjad/options.h"

/* The version of the API, docs/api.md: grows when something changes its meaning or goes. */
#define API_VERSION 1

struct ninjad {
    const struct options *options;
    struct event_base *base;
    struct clusters *clusters;
    struct past *past;
    struct calls *calls;
    struct metrics *metrics;
    struct server *server;      /* NULL: nobody can connect */
    struct event *follow_timer; /* NULL: nobody follows a migration */
    struct event *house_timer;
};

/** Something changed that metrics and the status tell. */
void ninjad_changed(struct ninjad *ninjad);

#endif
