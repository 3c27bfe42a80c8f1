/*
 * A command of ninjactl in a process of its own: what it prints is taken, with a limit in time and
 * size, and so is its error (docs/ninjactl-json.md). It is its own session, so nothing that becomes
 * of this process reaches it.
 */
#ifndef NINJAD_WORKER_H
#define NINJAD_WORKER_H

#include <event2/event.h>

#include "common/error.h"

#define WORKER_MAX_OUTPUT (4u * 1024 * 1024) /* of what it prints */
#define WORKER_MAX_ERROR  8192               /* of its error; what comes after that is dropped */

struct worker;

enum worker_kind {
    WORKER_LOOKS,   /* changes nothing: it is killed when its time is over, or nobody wants it */
    WORKER_BEGINS,  /* has begun nothing until it ends: it is killed when its time is over */
    WORKER_CHANGES, /* is sent SIGTERM when its time is over: it takes back what it did, and ends */
};

struct worker_result {
    int code;           /* exit code; -1: a signal ended it */
    bool late;          /* its time was over */
    bool too_much;      /* it printed more than WORKER_MAX_OUTPUT, and was killed */
    const char *output; /* with a NUL after it */
    size_t length;      /* of output */
    const char *error;  /* what it wrote to NINJA_ERROR_FD, with a NUL after it */
};

/** result: for the call. The worker is to be freed, in the call or later. */
typedef void (*worker_done)(void *arg, const struct worker_result *result);

/**
 * Starts a program.
 *
 * @param argv  argv[0] is the path of the program
 * @return NULL with err (class ERR_FAILED): it cannot be started
 */
struct worker *worker_start(struct event_base *base, char *const argv[], int timeout_ms,
                            enum worker_kind kind, worker_done done, void *arg,
                            struct ninja_error *err);

/** Kills one that still runs and only looks, otherwise leaves it to itself. NULL is allowed. */
void worker_free(struct worker *worker);

#endif
