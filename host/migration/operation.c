/*
 * The steps, and the operations that are made of them.
 *
 * A migration in the live mode has its jobs run on standby transports while memory moves; in the
 * paused mode they are held from before that until after it. That is all that the modes differ in,
 * so it stands in their tables.
 */
#include "host/migration/operation.h"

#include "host/migration/coordinator_private.h"

/* ---- which VMs ---- */

static bool is_any(const struct facts *facts, const struct vm_facts *vm)
{
    return !vm->undecided;
}

static bool is_moving(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves;
}

static bool leaves_device(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves && vm->has_device;
}

bool is_to_copy(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves && !vm->undecided && vm->move != VMM_ARRIVED;
}

bool is_between(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves && (vm->move == VMM_ON_ITS_WAY || vm->move == VMM_SPLIT);
}

static bool has_left(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->move >= VMM_SPLIT;
}

/* Its channel broke with the move, or was not there when a migration was taken on. */
static bool lacks_agent(const struct facts *facts, const struct vm_facts *vm)
{
    return !vm->undecided && (has_left(facts, vm) || !vm->agent_ready);
}

/* A VM that is taken back gets what it had; one that is where it is to be, what is there for it. */
static bool lacks_device(const struct facts *facts, const struct vm_facts *vm)
{
    bool is_there = has_left(facts, vm) || (!vm->moves && !facts->going_back);
    return !vm->undecided && !vm->has_device && vm->offered && (is_there || vm->had_device);
}

static bool wants_attach(const struct facts *facts, const struct vm_facts *vm)
{
    bool came =
        has_left(facts, vm) || vm->device == DEVICE_DETACHED || vm->device == DEVICE_PLUGGED;
    return !vm->undecided && vm->has_device && came && vm->agent_ready;
}

static bool is_attached(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->device == DEVICE_ATTACHED;
}

static bool is_usable(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->device == DEVICE_ATTACHED && vm->linked;
}

/* ---- whether at all ---- */

static bool any(const struct facts *facts, vm_test test)
{
    for (int i = 0; i < facts->n; i++) {
        if (test(facts, &facts->vms[i])) {
            return true;
        }
    }
    return false;
}

static bool always(const struct facts *facts)
{
    return true;
}

static bool goes_back(const struct facts *facts)
{
    return facts->going_back;
}

static bool any_moves(const struct facts *facts)
{
    return any(facts, is_moving);
}

static bool any_leaves_device(const struct facts *facts)
{
    return any(facts, leaves_device);
}

static bool any_jobs(const struct facts *facts)
{
    return facts->any_jobs;
}

static bool are_held(const struct facts *facts)
{
    return facts->jobs == JOBS_HELD;
}

static bool could_do_better(const struct facts *facts)
{
    bool back = facts->going_back && facts->jobs == JOBS_ON_STANDBY;
    bool better = facts->jobs != JOBS_HELD && any(facts, is_usable);
    return back || better || facts->jobs == JOBS_UNKNOWN;
}

/* ---- what is so then ---- */

static void on_standby(struct facts *facts)
{
    facts->jobs = JOBS_ON_STANDBY;
}

static void held(struct facts *facts)
{
    facts->jobs = JOBS_HELD;
}

static void on_best(struct facts *facts)
{
    facts->jobs = JOBS_ON_BEST;
}

static void detached(struct vm_facts *vm)
{
    vm->device = DEVICE_DETACHED;
}

static void unplugged(struct vm_facts *vm)
{
    vm->has_device = false;
}

static void arrived(struct vm_facts *vm)
{
    vm->move = VMM_ARRIVED;
    vm->offered = vm->offered_there;
    vm->agent_ready = false;
}

static void connected(struct vm_facts *vm)
{
    vm->agent_ready = true;
}

static void plugged(struct vm_facts *vm)
{
    vm->has_device = true;
    vm->device = DEVICE_PLUGGED;
}

static void attached(struct vm_facts *vm)
{
    vm->device = DEVICE_ATTACHED;
}

static void linked(struct vm_facts *vm)
{
    vm->linked = true;
}

/* ---- the steps ---- */

static const struct step step_prepare = {
    .name = "prepare",
    .part = PART_READY,
    .stage = STAGE_PREPARE,
    .of_vm = is_moving,
    .begin_vm = prepare_vm,
    .text = "prepare the receiving QEMU of each VM",
};

static const struct step step_standby = {
    .name = "standby",
    .part = PART_APART,
    .needed = any_leaves_device,
    .begin = begin_standby,
    .foresee = on_standby,
    .text = "switch the jobs: quiesce, release the bypass transports, run on over the standby ones",
    .seen = any_jobs,
};

static const struct step step_hold = {
    .name = "hold",
    .part = PART_APART,
    .begin = begin_hold,
    .foresee = held,
    .text = "stop the jobs: quiesce, release all transports, wait",
    .seen = any_jobs,
};

static const struct step step_detach = {
    .name = "detach",
    .part = PART_APART,
    .state = STATE_DETACHING,
    .stage = STAGE_DETACH,
    .of_vm = leaves_device,
    .begin_vm = detach_vm,
    .foresee_vm = detached,
    .text = "run the guests' detach scripts and see that nothing holds a bypass device",
};

static const struct step step_unplug = {
    .name = "unplug",
    .part = PART_APART,
    .stage = STAGE_UNPLUG,
    .of_vm = leaves_device,
    .begin_vm = unplug_vm,
    .foresee_vm = unplugged,
    .text = "unplug the bypass device of each VM",
};

static const struct step step_copy = {
    .name = "copy",
    .part = PART_MOVE,
    .state = STATE_COPYING,
    .needed = always,
    .of_vm = is_to_copy,
    .begin = begin_copy,
    .foresee_vm = arrived,
    .text = "migrate all VMs at once",
    .seen = any_moves,
};

static const struct step step_cancel = {
    .name = "cancel",
    .part = PART_TOGETHER,
    .needed = goes_back,
    .of_vm = is_moving,
    .begin_vm = take_vm_back,
};

static const struct step step_connect = {
    .name = "connect",
    .part = PART_TOGETHER,
    .stage = STAGE_CONNECT,
    .of_vm = lacks_agent,
    .begin_vm = connect_vm,
    .foresee_vm = connected,
};

static const struct step step_finish = {
    .name = "finish",
    .part = PART_TOGETHER,
    .stage = STAGE_FINISH,
    .of_vm = has_left,
    .begin_vm = finish_vm,
    .text = "end the QEMUs that the VMs left",
};

static const struct step step_baseline = {
    .name = "baseline",
    .part = PART_TOGETHER,
    .of_vm = is_any,
    .begin_vm = ask_baseline,
};

static const struct step step_plug = {
    .name = "plug",
    .part = PART_TOGETHER,
    .stage = STAGE_PLUG,
    .of_vm = lacks_device,
    .begin_vm = plug_vm,
    .foresee_vm = plugged,
    .text = "plug in the device of each VM",
};

static const struct step step_attach = {
    .name = "attach",
    .part = PART_TOGETHER,
    .stage = STAGE_ATTACH,
    .of_vm = wants_attach,
    .begin_vm = attach_vm,
    .foresee_vm = attached,
    .text = "run the guests' attach scripts",
};

static const struct step step_link = {
    .name = "link",
    .part = PART_TOGETHER,
    .stage = STAGE_LINK,
    .of_vm = is_attached,
    .begin_vm = wait_for_link,
    .foresee_vm = linked,
    .text = "wait until the link is usable",
};

static const struct step step_best = {
    .name = "best",
    .part = PART_TOGETHER,
    .needed = could_do_better,
    .begin = begin_best,
    .foresee = on_best,
    .text = "switch the jobs: quiesce, release all transports, choose the best ones",
    .seen = any_jobs,
};

static const struct step step_resume = {
    .name = "resume",
    .part = PART_TOGETHER,
    .state = STATE_RESUMING,
    .needed = are_held,
    .begin = begin_resume,
    .foresee = on_best,
    .text = "let the jobs choose the best transports and run on",
    .seen = any_jobs,
};

static const struct step step_after = {
    .name = "after",
    .part = PART_TOGETHER,
    .of_vm = is_any,
    .begin_vm = ask_after,
};

/* ---- the operations ---- */

static const struct step *const live_steps[] = {
    &step_prepare, &step_standby, &step_detach, &step_unplug,   &step_copy,
    &step_cancel,  &step_connect, &step_finish, &step_baseline, &step_plug,
    &step_attach,  &step_link,    &step_best,   &step_after,
};

/* Here "best" is for jobs that another coordinator stopped. */
static const struct step *const paused_steps[] = {
    &step_prepare, &step_hold,    &step_detach, &step_unplug,   &step_copy,
    &step_cancel,  &step_connect, &step_finish, &step_baseline, &step_plug,
    &step_attach,  &step_link,    &step_best,   &step_resume,   &step_after,
};

#define STEPS(table) (table), sizeof(table) / sizeof((table)[0])

static const struct operation migrations[] = {
    [MODE_LIVE] = {"migrate", "live", STEPS(live_steps)},
    [MODE_PAUSED] = {"migrate", "paused", STEPS(paused_steps)},
};

const struct operation *operation_of(enum migration_mode mode)
{
    return &migrations[mode];
}

const char *mode_name(enum migration_mode mode)
{
    return migrations[mode].mode;
}

size_t operation_first(const struct operation *operation, enum part part)
{
    size_t i = 0;
    while (i < operation->n && operation->steps[i]->part < part) {
        i++;
    }
    return i;
}

static bool is_needed(const struct step *step, const struct facts *facts)
{
    if (step->needed != NULL) {
        return step->needed(facts);
    }
    return step->of_vm == NULL || any(facts, step->of_vm);
}

size_t operation_next(const struct operation *operation, size_t from, const struct facts *facts)
{
    size_t i = from;
    while (i < operation->n && !is_needed(operation->steps[i], facts)) {
        i++;
    }
    return i;
}

bool step_is_seen(const struct step *step, const struct facts *facts)
{
    return step->text != NULL && (step->seen == NULL || step->seen(facts));
}

void step_foresee(const struct step *step, struct facts *facts)
{
    for (int i = 0; i < facts->n && step->foresee_vm != NULL; i++) {
        if (step->of_vm(facts, &facts->vms[i])) {
            step->foresee_vm(&facts->vms[i]);
        }
    }
    if (step->foresee != NULL) {
        step->foresee(facts);
    }
}
