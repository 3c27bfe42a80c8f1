/*
 * The administrator's hook scripts: docs/hooks.md.
 */
#ifndef NINJA_HOOKS_H
#define NINJA_HOOKS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/* "version" of what a script reads; grows when a key changes its meaning or goes. */
#define HOOKS_JSON_VERSION 1

#define HOOKS_MAX_STAGE 32

/* Where they are. */
struct hooks {
    const char *dir; /* NULL: none are run */
    int timeout_ms;  /* for one script at one stage */
};

/* One stage, as scripts are told of it. */
struct hooks_stage {
    const char *name;
    bool may_veto;
    const char *const (*env)[2]; /* names and values; NINJA_STAGE and NINJA_MAY_VETO are added */
    size_t n_env;
    json_t *input; /* borrowed; "version", "stage" and "may_veto" are added */
};

struct hooks_handler {
    /* A script failed. If the stage may be vetoed, it is the last one. err: class ERR_HOOK */
    void (*failed)(void *arg, const struct ninja_error *err);
    void (*done)(void *arg); /* the end, from the event loop; the run may be freed in it */
};

struct hooks_run;

/**
 * Runs all scripts, one after the other, in the order of their names.
 *
 * @param hooks    borrowed until the run is freed, as is the handler; NULL: none
 * @param stage    copied
 * @return NULL if there is nothing to run: then nothing is called
 */
struct hooks_run *hooks_start(struct event_base *base, const struct hooks *hooks,
                              const struct hooks_stage *stage, const struct hooks_handler *handler,
                              void *arg);

/** Ends the script that runs, and leaves out the others; `done` follows, but not `failed`. */
void hooks_stop(struct hooks_run *run);

/** Kills what runs; nothing is called any more. NULL is allowed. */
void hooks_free(struct hooks_run *run);

/**
 * The scripts that there are, as a new array of "name" and "problem": why it would not be run, or
 * empty.
 *
 * @return false with err, class ERR_HOOK: the directory itself is not as it must be
 */
bool hooks_list(const struct hooks *hooks, json_t **list, struct ninja_error *err);

#endif
