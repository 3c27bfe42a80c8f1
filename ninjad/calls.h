/*
 * A request of a client, from when it was understood until it is answered.
 *
 * Most are answered at once. The others are queued until their cluster is free and there is a
 * worker to be had (work.c), or follow a migration (follow.c).
 */
#ifndef NINJAD_CALLS_H
#define NINJAD_CALLS_H

#include <jansson.h>
#include <sys/queue.h>

#include "host/config/cluster.h"
#include "host/journal/journal.h"
#include "ninjad/arguments.h"
#include "ninjad/client.h"
#include "ninjad/ninjad.h"
#include "ninjad/worker.h"

/* Requests that are not answered yet: of one client, of one user (but root), of all. */
#define CALLS_MAX_CLIENT 16
#define CALLS_MAX_USER   64
#define CALLS_MAX        256

struct call;

/** Returns the answer, a new reference; or NULL with an error; or NULL without: it comes later. */
typedef json_t *command_fn(struct call *call, struct ninja_error *err);

enum command_flag {
    TRUSTED = 1,  /* not for those who may only look */
    WORKS = 2,    /* ninjactl does it; told in the log */
    DETACHES = 4, /* ... and leaves it running in the background */
    URGENT = 8,   /* ... and does not wait for others to end */
};

struct command {
    const char *name;
    command_fn *run;
    int flags;
    const struct argument *arguments;
    enum worker_kind kind;
    int limit_s; /* of the worker */
};

enum call_state {
    CALL_NEW,
    CALL_QUEUED,  /* for a worker */
    CALL_WORKS,   /* has one */
    CALL_JOINED,  /* to another one with the same key, and gets the same answer */
    CALL_FOLLOWS, /* a migration */
    CALL_STATES,
};

struct call {
    TAILQ_ENTRY(call) entry;
    struct ninjad *ninjad;
    const struct command *command;
    struct client *client; /* NULL: it left, and nobody gets the answer */
    struct client_peer peer;
    json_t *id;   /* NULL: none was given */
    json_t *args; /* NULL: the same */
    enum call_state state;
    struct cluster *cluster;         /* NULL: none is needed */
    char migration[JOURNAL_ID_SIZE]; /* empty: none is meant */
    struct worker *worker;
    struct event *timer; /* of CALL_QUEUED */
    struct watch *watch; /* of CALL_FOLLOWS */
    int64_t until_ms;    /* of CALL_FOLLOWS; -1: to the end */
};

TAILQ_HEAD(call_list, call);

struct calls;

struct calls *calls_new(struct ninjad *ninjad);
/** Ends those that may be ended; what the others do goes on, and nobody hears of it. */
void calls_free(struct calls *calls);

/** All, for those that look through them. */
struct call_list *calls_list(struct calls *calls);

/** How many are in that state. */
int calls_count(const struct calls *calls, enum call_state state);
int calls_of_client(const struct calls *calls, const struct client *client);

/**
 * Makes a call.
 *
 * @param client    NULL: it is our own, and nobody gets the answer
 * @param id, args  borrowed; NULL is allowed
 * @return NULL with err (class ERR_BUSY): there are too many
 */
struct call *call_new(struct ninjad *ninjad, struct client *client, const struct command *command,
                      json_t *id, json_t *args, struct ninja_error *err);

void call_set_state(struct call *call, enum call_state state);

/** Answers it, and frees it. result: taken over */
void call_return(struct call *call, json_t *result);
void call_fail(struct call *call, const struct ninja_error *err);

/** Frees it without an answer. */
void call_free(struct call *call);

/** An argument, borrowed; NULL: it was not given. */
const char *call_text(const struct call *call, const char *name);

/** Of calls whose client left: what only looks is ended, the rest goes on. */
void calls_forget(struct calls *calls, const struct client *client);

/* ---- the commands: answered at once (tell.c), followed (follow.c), worked on (work.c) ---- */

command_fn tell_version, tell_clusters, tell_sites, tell_list, tell_show, tell_report;
command_fn follow_watch, follow_wait;
command_fn work_look, work_plan, work_migrate, work_switch, work_recover;

/** What a new client is told first, and `version` answers. A new object. */
json_t *tell_greeting(bool may_act);

/** Starts what is queued and can be started. */
void work_next(struct ninjad *ninjad);

/**
 * Finds the migration that the arguments "id" and "cluster" mean: the latest if there is no "id".
 *
 * @return its entry, borrowed, with call->migration set; or NULL with err (class ERR_NOT_FOUND)
 */
json_t *tell_find_migration(struct call *call, struct ninja_error *err);

#endif
