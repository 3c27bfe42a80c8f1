/*
 * What `ninjactl check` finds: a list of items, each of which is there or is missing. A migration
 * cannot be without a required one.
 */
#ifndef NINJA_CHECKS_H
#define NINJA_CHECKS_H

#include <jansson.h>
#include <stdbool.h>

#include "host/ctl/ninjactl.h"
#include "host/vmm/looks.h"

enum need {
    REQUIRED,
    OPTIONAL,
};

struct checks {
    const struct args *args;
    struct session *session;
    const struct looks *looks;
    json_t *list;
    int missing, notes; /* required and optional items that are not there */
};

/** @param item  a word for programs; about: a VM, a site, "host" or "jobs" */
void check_ok(struct checks *checks, const char *item, const char *about, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** @param mend  what to do */
void check_miss(struct checks *checks, enum need need, const char *item, const char *about,
                const char *mend, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* The groups of items: check_host.c, check_guest.c, check_site.c. */
void check_host(struct checks *checks);
void check_guest(struct checks *checks, int vm);
void check_jobs(struct checks *checks);
void check_site(struct checks *checks, int site);

#endif
