/*
 * What a coordinator does to all VMs of a cluster: an operation, which is a table of steps.
 *
 * Whether a step is needed, and for which VMs, it decides from facts alone. A run sees them; a plan
 * foresees them, as each step also says what is so when it has gone well. So a plan takes the same
 * way through the same table as a run, and a new step is planned without anything else being told
 * of it.
 */
#ifndef NINJA_OPERATION_H
#define NINJA_OPERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "host/migration/coordinator.h"
#include "host/migration/coordinator_states.h"
#include "host/migration/state.h"

struct migration_vm;

struct vm_facts {
    bool asked;         /* it has a destination; if not, it stays as it is */
    bool moves;         /* it was not at its destination when the operation began */
    enum vmm_move move; /* how far it is */
    bool undecided;     /* at which side it is to run */
    bool agent_ready;   /* it answers */
    bool had_device;    /* when the operation began */
    bool has_device;    /* now */
    bool offered;       /* the site where it is now has a device for it */
    bool offered_there; /* its destination has */
    bool leaving;       /* its guest may still let go of that */
    bool asks_again;    /* and is to be asked again */
    enum device_state device;
    bool linked; /* its device came up */
    bool saved;  /* an image of it is made */
    bool stands; /* it was stopped for that */
    bool loaded; /* it is there from its image, and is to be started */
};

struct facts {
    enum operation_kind kind;
    bool sets_clock;
    bool going_back;
    bool any_jobs; /* of a run that is not known before a switch asks for them: then it is true */
    enum jobs_state jobs;
    int n;
    struct vm_facts *vms;
};

typedef bool (*vm_test)(const struct facts *facts, const struct vm_facts *vm);

enum part {
    PART_READY,    /* nothing of the job and the VMs is touched: a failure refuses the operation */
    PART_APART,    /* they are taken apart: a failure is taken back */
    PART_MOVE,     /* the VMs move; in it lies the point of no return */
    PART_TOGETHER, /* they are put together where they are; a rollback runs it too, and what does
                      not work is a warning */
};

/* What is left out is nothing. A step has either begin or begin_vm. */
struct step {
    const char *name; /* of its hooks and in the journal */
    enum part part;
    enum migration_state state; /* entered when it begins, unless it leads back */
    enum stage stage;           /* of the VMs in it, by begin_vm */

    /* Left out: it is needed if it is of any VM; and if both are, always. */
    bool (*needed)(const struct facts *facts);
    vm_test of_vm; /* the VMs that it has something to do for */

    void (*begin)(struct migration *m); /* ends with step_done() or step_failed() */
    /* Begins it for one VM, which calls gather_done() when its part is over. */
    void (*begin_vm)(struct migration_vm *vm);

    /* What is so when it has gone well, at all and for each VM that it is of. */
    void (*foresee)(struct facts *facts);
    void (*foresee_vm)(struct vm_facts *vm);

    /* For the plan. Left out: it is not shown, and has no hooks. */
    const char *text;
    bool (*seen)(const struct facts *facts); /* whether it is so this time; left out: always */
};

struct operation {
    const char *name; /* of the hooks around it */
    const char *mode; /* of the job in the meantime */
    const struct step *const *steps;
    size_t n;
};

const struct operation *operation_of(const struct migration_options *options);

/** What was begun of which that is the record. */
enum operation_kind kind_of(const struct record *record);

/** The first step that belongs to a part or a later one; n, if there is none. */
size_t operation_first(const struct operation *operation, enum part part);

/** The next step that is needed, from that one on; n, if there is none. */
size_t operation_next(const struct operation *operation, size_t from, const struct facts *facts);

/** Whether people are told of it, and hooks are run for it. */
bool step_is_seen(const struct step *step, const struct facts *facts);

/** Has a step that is needed go well in the facts. */
void step_foresee(const struct step *step, struct facts *facts);

/**
 * What there is before an operation. Free it with facts_free().
 *
 * @param survey  every VM in it was located
 */
struct facts *facts_of_survey(struct survey *survey, const struct cluster *cluster,
                              const struct migration_options *options);

/** What is so now; valid until it is asked for again. */
const struct facts *facts_of_migration(struct migration *m);

struct facts *facts_new(int n);
/** NULL is allowed. */
void facts_free(struct facts *facts);

/* operation.c: which VMs */
/** Some of its memory is still to be copied, or all of it. */
bool is_to_copy(const struct facts *facts, const struct vm_facts *vm);
/** A part of its memory is here, and another there. */
bool is_between(const struct facts *facts, const struct vm_facts *vm);

#endif
