/*
 * Inside the coordinator: the migration itself, and the steps of its two halves.
 */
#ifndef NINJA_COORDINATOR_PRIVATE_H
#define NINJA_COORDINATOR_PRIVATE_H

#include "host/agent/guest_command.h"
#include "host/agent/link_wait.h"
#include "host/base/timer.h"
#include "host/checkpoint/image_process.h"
#include "host/migration/coordinator.h"
#include "host/migration/coordinator_states.h"
#include "host/migration/operation.h"
#include "host/migration/samples.h"
#include "host/migration/state.h"
#include "host/switch/switch.h"

struct migration_vm {
    struct migration *m;
    struct vmm *vmm;     /* the survey's */
    struct agent *agent; /* the survey's */
    int from;            /* site at the beginning */
    int to;              /* as in struct placement */
    bool had_device;
    json_t *method; /* how its memory is sent, of the report; NULL: nobody chose that */
    enum way way;
    enum device_state device;
    enum link_kind link;
    char link_name[32];
    enum stage stage;
    int64_t stage_began_ms; /* since the migration began */
    int64_t stages[STAGES]; /* ms, of the last time; -1: not done */
    json_t *timeline;       /* of the report: each time that a stage was run */
    int64_t arrived_ms;     /* since the migration began; -1: not seen */
    bool asks_again; /* its guest, to let go of a device that another coordinator asked for */
    struct guest_command *command;
    struct link_wait *link_wait;
    struct image_process *image; /* of this VM, while it is written or loaded */
    int image_parts;             /* of that, the VMM's and ours, which are not over */
    struct ninja_error image_err;
    json_t *before, *standby, *after; /* interconnects */
};

/* How this coordinator came to the migration. */
enum origin {
    ORIGIN_ASKED,    /* it was asked for */
    ORIGIN_TAKEN_ON, /* another one had begun it, and it is to be led to its end */
    ORIGIN_TAKEN_BACK,
};

struct migration {
    struct event_base *base;
    const struct cluster *cluster;
    struct migration_options options; /* but for the placement: it is in the VMs */
    const char *goes_to;              /* as placement_name() */
    struct survey *survey;
    struct journal *journal;
    const struct migration_handler *handler;
    void *arg;

    struct state_machine states;
    struct migration_vm *vms;
    int n;
    struct agent *const *agents;
    bool *may_be_unplugged; /* by VM: had a device to take away */
    bool *ranks_leave;      /* by VM: they choose other transports in the switch after */
    bool standby_failed;    /* the switch before did not do what it was to */

    enum origin origin;
    enum course course;
    const struct operation *operation;
    size_t step;         /* index in its table */
    enum part failed_in; /* where it began to lead back */
    struct facts *facts; /* see facts_of_migration() */
    struct gather gather;
    enum round round;
    int copy_round;

    enum jobs_state jobs;
    struct transport_switch *sw; /* the one that is going on; held: it goes on later */
    json_t *switches;            /* reports */
    struct samples *samples;     /* of the copies */
    json_t *jobs_after;

    const struct hooks *hooks; /* NULL: none are run */
    struct {
        struct hooks_run *run; /* NULL: none runs */
        size_t warnings;       /* that there were before the step at hand */
        struct ninja_error veto;
        void (*next)(struct migration *m);
    } hook;

    bool abort_requested; /* and not answered yet that it is too late */
    bool operator_needed;
    char taken_on_in[24];   /* the state in which it was interrupted; empty: it was not */
    struct ninja_error err; /* what made it fail */
    json_t *warnings;
    enum outcome outcome;
    char reason[1000];
    struct event *soon, *abort_soon;
    char began[40], ended_at[40]; /* wall clock */
};

/**
 * Runs the hooks of a stage, "WHEN-WHAT", and then calls next: at once, if there are none. A veto
 * is in m->hook.veto then; a failure where there can be none has become a warning.
 *
 * @param outcome  how what is over ended; NULL: it is not
 */
void hooks_then(struct migration *m, const char *when, const char *what, bool may_veto,
                const char *outcome, void (*next)(struct migration *m));

/** Goes on with the step at hand, from the event loop. */
void run_soon(struct migration *m);
/** A state or stage began. */
void changed(struct migration *m);

/** Ends the step; the next one begins from the event loop. */
void step_done(struct migration *m);
/** Fails the migration: in the first half it is rolled back from here. */
void step_failed(struct migration *m, const struct ninja_error *err);

/**
 * Begins something for several VMs at once.
 *
 * @param of_vm  which of them
 * @param stage  of each of them; STAGE_NONE: what is begun is not timed, or times itself
 * @param begin  calls gather_done() for m->gather when its VM's part is over
 * @param done   from the event loop, when all parts are over, or soon if there is no such VM
 */
void each_vm(struct migration *m, vm_test of_vm, enum stage stage,
             void (*begin)(struct migration_vm *vm),
             void (*done)(void *arg, const struct ninja_error *err));

/** Ends for now: what was begun is left as it is, to be taken on when an operator has mended it. */
void suspend(struct migration *m);

/** The move of a VM was taken back; err as the driver gave it. What it could not is a warning. */
void vm_taken_back(struct migration_vm *vm, const struct ninja_error *err);

/** Something is not as asked, but the migration goes on: it ends degraded. */
void add_warning(struct migration *m, const struct ninja_error *err);

/* coordinator_states.c: the setters; each aborts if the new state may not follow the old one. */
void course_set(struct migration *m, enum course to);
void round_set(struct migration *m, enum round to);
void jobs_set(struct migration *m, enum jobs_state to);
void way_set(struct migration_vm *vm, enum way to);
void device_set(struct migration_vm *vm, enum device_state to);
/** Or it has ended so: what was begun is taken back, where the VMs are. */
bool is_going_back(const struct migration *m);
/** It has no more steps. */
bool is_ending(const struct migration *m);
bool is_taken_on(const struct migration *m);
/** It has a destination, and was not there already. */
bool is_to_move(const struct migration_vm *vm);
bool is_copying(const struct migration_vm *vm);
bool is_undecided(const struct migration_vm *vm);

void stage_end(struct migration_vm *vm);
/** The stage that runs, as in the report. ms: taken over. */
json_t *stage_to_json(const struct migration_vm *vm, json_t *ms);
const char *stage_name(enum stage stage);

bool any_vm(const struct migration *m, bool (*is)(const struct migration_vm *vm));
int vms_to_move(const struct migration *m);
/** How many of the VMs that move run at the destination. */
int vms_moved(const struct migration *m);
/** For any_vm(): it moves, and cannot be taken back. */
bool vm_is_committed(const struct migration_vm *vm);
/** The site that the VMs that move came from, "several", or empty. */
const char *came_from(const struct migration *m);
int timeout_of(const struct migration *m, enum timeout timeout);

/* switch callbacks common to both halves */
void take_switch_report(struct migration *m);

/* coordinator_leave.c: the steps of the first half */
void prepare_vm(struct migration_vm *vm);
void begin_standby(struct migration *m);
void begin_hold(struct migration *m);
void detach_vm(struct migration_vm *vm);
void unplug_vm(struct migration_vm *vm);
void begin_copy(struct migration *m);
/** Notes in the journal that a VM runs at the destination. */
void vm_arrived(void *arg);
/** Cancels prepare or copy, if one is going on. */
void abort_drivers(struct migration *m);

/* coordinator_images.c: what checkpoints and restarts have of their own */
void stop_vm(struct migration_vm *vm);
void save_vm(struct migration_vm *vm);
void begin_manifest(struct migration *m);
void proceed_vm(struct migration_vm *vm);
/** Removes what there is of a checkpoint that did not come to be. */
void begin_forget(struct migration *m);
void load_vm(struct migration_vm *vm);
void begin_start(struct migration *m);
void discard_vm(struct migration_vm *vm);
/** Sets its guest's clock to the host's. */
void set_clock_of_vm(struct migration_vm *vm);
/** Ends what writes or loads images, if that is going on. */
void abort_images(struct migration *m);

/* coordinator_settle.c: the steps of the second half */
void take_vm_back(struct migration_vm *vm);
void connect_vm(struct migration_vm *vm);
void finish_vm(struct migration_vm *vm);
void ask_baseline(struct migration_vm *vm);
void plug_vm(struct migration_vm *vm);
void attach_vm(struct migration_vm *vm);
void wait_for_link(struct migration_vm *vm);
void begin_best(struct migration *m);
void begin_resume(struct migration *m);
void ask_after(struct migration_vm *vm);
void unplug_again(struct migration_vm *vm);
void warn_of_leaving(struct migration_vm *vm);

#endif
