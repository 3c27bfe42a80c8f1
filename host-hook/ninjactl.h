/*
 * Inside ninjactl: its options, its commands, and what they share.
 */
#ifndef NINJA_NINJACTL_H
#define NINJA_NINJACTL_H

#include <event2/event.h>
#include <jansson.h>

#include "host-hook/coordinator.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_REFUSED = 2,
    EXIT_ROLLED_BACK = 3,
    EXIT_OPERATOR = 4,
    EXIT_USAGE = 64,
    EXIT_CLUSTER_FILE = 65,
};

#define MAX_TIMEOUT_OPTIONS 32

struct args {
    const char *cluster_file, *state_dir;
    const char *word; /* SITE or ID; NULL if not given */
    enum migration_mode mode;
    bool json, strict;
    const char *btl, *release;
    int bandwidth, downtime_limit; /* -1: as in the cluster file */
    bool postcopy;                 /* or as in the cluster file */
    const char *timeouts[MAX_TIMEOUT_OPTIONS];
    int n_timeouts;
};

int cmd_check(const struct args *args);
int cmd_plan(const struct args *args);
int cmd_status(const struct args *args);
int cmd_migrate(const struct args *args);
int cmd_switch(const struct args *args);
int cmd_abort(const struct args *args);
int cmd_resume(const struct args *args);
int cmd_report(const struct args *args);
int cmd_list(const struct args *args);

/* What most commands begin with. */
struct session {
    struct event_base *base;
    struct cluster *cluster;
    struct survey *survey;
    int lock; /* -1: not taken */
};

/** Reads the cluster file and applies the options; says what is wrong. Returns an exit code. */
int session_open(struct session *session, const struct args *args);

/** Takes the cluster's lock; says who has it. Returns an exit code. */
int session_lock(struct session *session, const struct args *args);

/** Says so if a migration of this cluster was interrupted. Returns an exit code. */
int session_refuse_interrupted(const struct session *session, const struct args *args);

/** Looks at the cluster; ends always. interrupted: as for survey_start(). */
void session_survey(struct session *session, const struct record *interrupted);

/** Waits for the end of a migration, shows and writes its report. Returns an exit code. */
extern const struct migration_handler session_migration_handler; /* its arg is session->base */
int session_run(struct session *session, struct migration *migration, struct journal *journal,
                const struct args *args);

void session_close(struct session *session);

/** Writes "ninjactl: MESSAGE" to standard error. */
void complain(const struct ninja_error *err);

void print_json(json_t *json);

/** Shows on standard error how the VMs are getting on, until it is freed. */
struct progress;
struct progress *progress_start(struct event_base *base, struct migration *migration, int n_vms);
void progress_free(struct progress *progress);

#endif
