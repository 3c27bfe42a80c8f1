/*
 * One migration of VMs of a cluster, each to its site. All VMs of the cluster take part, as those
 * that stay may have ranks of the same jobs.
 */
#ifndef NINJA_COORDINATOR_H
#define NINJA_COORDINATOR_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "host/checkpoint/manifest.h"
#include "host/config/placement.h"
#include "host/journal/journal.h"
#include "host/migration/hooks.h"
#include "host/migration/survey.h"

enum migration_mode {
    MODE_LIVE,   /* the job runs on a standby transport while memory moves */
    MODE_PAUSED, /* the job waits from the quiesce to the end */
};

/* What is done to the VMs of the cluster. What is said of a migration holds for all of them. */
enum operation_kind {
    OPERATION_MIGRATE,
    OPERATION_CHECKPOINT, /* an image of each, and all run on where they are */
    OPERATION_RESTART,    /* from their images: they are nowhere before */
};

enum outcome {
    OUTCOME_DONE,
    OUTCOME_DEGRADED,    /* all VMs are at the destination, but not with all that was asked */
    OUTCOME_REFUSED,     /* nothing was touched */
    OUTCOME_ROLLED_BACK, /* all VMs and the job run where they were */
    OUTCOME_OPERATOR,    /* someone has to look: the reason says at what */
};

struct migration_options {
    enum operation_kind kind;
    struct placement placement; /* borrowed for the call only; of a checkpoint: all stay */
    enum migration_mode mode;
    /* Borrowed until the migration is freed. */
    const char *key;   /* of who asked for it; NULL: none */
    const char *asked; /* the words that it was asked for with; NULL: they are not known */

    /* Borrowed for the call: by the VM's name, what was chosen for it, see forecast_of_vm(); its
     * driver knows of it. NULL: as the cluster says, for all. */
    json_t *methods;

    bool set_clock; /* of a restart: the guests' clocks are behind, and are set */

    /* Of a checkpoint: it is filled in, and written when all images are there. Of a restart: what
     * was read, and only the path if that is taken on. Borrowed until the migration is freed. */
    struct checkpoint *checkpoint;
};

/* What a VM does now, for a progress display. */
struct migration_progress {
    const char *vm;
    const char *stage; /* "" between stages */
    struct vmm_progress copy;
};

struct migration;

struct migration_handler {
    void (*changed)(void *arg); /* a state or stage began; may be NULL */
    void (*done)(void *arg);    /* from the event loop */
};

/**
 * Whether the migration may begin, from what the survey saw: every VM located, every agent
 * answering, something to do, and for each VM that was named. What the jobs allow is asked when it
 * begins.
 *
 * @return false with err: class ERR_NOTHING_TO_DO, or why it is refused
 */
bool migration_check(struct survey *survey, const struct cluster *cluster,
                     const struct migration_options *options, struct ninja_error *err);

/**
 * Begins a migration. The survey must have passed migration_check().
 *
 * @param survey   taken over
 * @param journal  borrowed, as cluster and handler, until the migration is freed
 */
struct migration *migration_start(struct event_base *base, const struct cluster *cluster,
                                  struct survey *survey, struct journal *journal,
                                  const struct migration_options *options,
                                  const struct migration_handler *handler, void *arg);

/**
 * Takes on a migration whose coordinator ended: to its end, if a VM has arrived or the memory of
 * one is on its way; otherwise, or if `back` and none has arrived, back to where it began.
 *
 * @param survey      taken over; made with the same record, and no VM in it is lost
 * @param journal     that of the interrupted migration; borrowed as above
 * @param checkpoint  NULL, or that of the record by checkpoint_at(); borrowed as above
 */
struct migration *migration_take_on(struct event_base *base, const struct cluster *cluster,
                                    struct survey *survey, struct journal *journal,
                                    const struct record *record, bool back,
                                    struct checkpoint *checkpoint,
                                    const struct migration_handler *handler, void *arg);

/**
 * Has hook scripts run, from the beginning on; without this none are. Call it before the event loop
 * runs.
 *
 * @param hooks  borrowed until the migration is freed
 */
void migration_use_hooks(struct migration *migration, const struct hooks *hooks);

/** Rolls back, unless a VM has passed the point of no return; `done` follows as always. */
void migration_abort(struct migration *migration);

enum outcome migration_outcome(const struct migration *migration);
const char *outcome_name(enum outcome outcome);
/** Why it did not end as asked; empty if it did. */
const char *migration_reason(const struct migration *migration);
const char *migration_state_name(const struct migration *migration);
void migration_get_progress(const struct migration *migration, int vm,
                            struct migration_progress *progress);

/* "version" of a report; grows when a key changes its meaning or goes. */
#define REPORT_VERSION 1

/** A new object, as documented in docs/report.md. */
json_t *migration_report(const struct migration *migration);

/**
 * The steps that would be taken, one line of text each, as a new array.
 */
json_t *migration_plan(struct survey *survey, const struct cluster *cluster,
                       const struct migration_options *options);

/** The stages at which hook scripts would be run, in their order, as a new array of names. */
json_t *migration_plan_stages(struct survey *survey, const struct cluster *cluster,
                              const struct migration_options *options);

const char *mode_name(enum migration_mode mode);
/** "migrate", "checkpoint" or "restart". */
const char *operation_kind_name(enum operation_kind kind);

/** NULL is allowed. */
void migration_free(struct migration *migration);

#endif
