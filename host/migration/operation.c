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
    bool is_there = facts->kind != OPERATION_RESTART || vm->move >= VMM_SPLIT;
    return !vm->undecided && is_there;
}

static bool is_moving(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves;
}

static bool leaves_device(const struct facts *facts, const struct vm_facts *vm)
{
    return (vm->moves || vm->saved) && vm->has_device;
}

static bool is_saved(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->saved;
}

static bool is_stopped(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->stands;
}

static bool is_to_start(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves && vm->move != VMM_ARRIVED;
}

static bool lacks_time(const struct facts *facts, const struct vm_facts *vm)
{
    return facts->sets_clock && vm->move == VMM_ARRIVED && vm->agent_ready;
}

static bool has_not_started(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves && vm->move != VMM_ARRIVED && facts->going_back;
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
    if (facts->kind == OPERATION_RESTART) {
        return has_left(facts, vm);
    }
    return !vm->undecided && (has_left(facts, vm) || !vm->agent_ready);
}

static bool is_leaving(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->leaving;
}

static bool is_asked_again(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->leaving && vm->asks_again;
}

/* A VM that is taken back gets what it had; one that is where it was asked to be, what is there for
 * it. */
static bool lacks_device(const struct facts *facts, const struct vm_facts *vm)
{
    bool is_there = has_left(facts, vm) || (vm->asked && !vm->moves && !facts->going_back);
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
    if (facts->kind == OPERATION_RESTART) {
        return any(facts, has_left); /* its jobs stand as the checkpoint left them */
    }
    bool back = facts->going_back && facts->jobs == JOBS_ON_STANDBY;
    bool better = facts->jobs != JOBS_HELD && any(facts, is_usable);
    return (!any(facts, is_leaving) && (back || better)) || facts->jobs == JOBS_UNKNOWN;
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

static void arrived(struct vm_facts *vm)
{
    vm->move = VMM_ARRIVED;
    vm->offered = vm->offered_there;
    vm->agent_ready = false;
}

static void let_go(struct vm_facts *vm)
{
    vm->has_device = vm->leaving = false;
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

static void stopped(struct vm_facts *vm)
{
    vm->stands = true;
}

static void proceeds(struct vm_facts *vm)
{
    vm->stands = false;
}

static void loaded(struct vm_facts *vm)
{
    vm->loaded = true;
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
    .foresee_vm = let_go,
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
    .text = "migrate the VMs that move, all at once",
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

static const struct step step_let_go = {
    .name = "let-go",
    .part = PART_TOGETHER,
    .stage = STAGE_UNPLUG,
    .of_vm = is_asked_again,
    .begin_vm = unplug_again,
    .foresee_vm = let_go,
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

static const struct step step_keep_off = {
    .name = "keep-off",
    .part = PART_TOGETHER,
    .of_vm = is_leaving,
    .begin_vm = warn_of_leaving,
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

/* ---- the steps of checkpoints ---- */

static const struct step step_stop = {
    .name = "stop",
    .part = PART_APART,
    .state = STATE_COPYING,
    .of_vm = is_saved,
    .begin_vm = stop_vm,
    .foresee_vm = stopped,
    .text = "stop all VMs",
};

static const struct step step_save = {
    .name = "save",
    .part = PART_APART,
    .stage = STAGE_COPY,
    .of_vm = is_saved,
    .begin_vm = save_vm,
    .text = "write an image of each VM",
};

static const struct step step_manifest = {
    .name = "manifest",
    .part = PART_APART,
    .needed = always,
    .begin = begin_manifest,
};

static const struct step step_proceed = {
    .name = "proceed",
    .part = PART_TOGETHER,
    .of_vm = is_stopped,
    .begin_vm = proceed_vm,
    .foresee_vm = proceeds,
    .text = "let the VMs run on",
};

static const struct step step_forget = {
    .name = "forget",
    .part = PART_TOGETHER,
    .needed = goes_back,
    .begin = begin_forget,
};

/* ---- and of restarts ---- */

static const struct step step_load = {
    .name = "load",
    .part = PART_MOVE,
    .state = STATE_COPYING,
    .stage = STAGE_COPY,
    .of_vm = is_to_start,
    .begin_vm = load_vm,
    .foresee_vm = loaded,
    .text = "load the image of each VM",
};

static const struct step step_start = {
    .name = "start",
    .part = PART_MOVE,
    .state = STATE_COPYING,
    .needed = any_moves,
    .of_vm = is_to_start,
    .begin = begin_start,
    .foresee_vm = arrived,
    .text = "let all VMs run",
};

static const struct step step_clock = {
    .name = "clock",
    .part = PART_TOGETHER,
    .of_vm = lacks_time,
    .begin_vm = set_clock_of_vm,
};

static const struct step step_discard = {
    .name = "discard",
    .part = PART_TOGETHER,
    .of_vm = has_not_started,
    .begin_vm = discard_vm,
};

/* ---- the operations ---- */

static const struct step *const live_steps[] = {
    &step_prepare, &step_standby, &step_detach, &step_unplug,   &step_copy,
    &step_cancel,  &step_connect, &step_finish, &step_let_go,   &step_baseline,
    &step_plug,    &step_attach,  &step_link,   &step_keep_off, &step_best,
    &step_after,
};

/* Here "best" is for jobs that another coordinator stopped. */
static const struct step *const paused_steps[] = {
    &step_prepare, &step_hold,    &step_detach, &step_unplug,   &step_copy,
    &step_cancel,  &step_connect, &step_finish, &step_let_go,   &step_baseline,
    &step_plug,    &step_attach,  &step_link,   &step_keep_off, &step_best,
    &step_resume,  &step_after,
};

#define STEPS(table) (table), sizeof(table) / sizeof((table)[0])

/*
 * A live checkpoint differs from a paused one as such migrations do; when a VM runs again is a
 * matter of its driver, which is told. All VMs stand before the image of any is begun, so none can
 * have got what another one has not sent, and whatever was on its way is sent again.
 */
static const struct step *const live_checkpoint_steps[] = {
    &step_standby,  &step_detach,  &step_unplug,  &step_stop,     &step_save,
    &step_manifest, &step_proceed, &step_forget,  &step_connect,  &step_baseline,
    &step_plug,     &step_attach,  &step_link,    &step_best,     &step_after,
};

static const struct step *const paused_checkpoint_steps[] = {
    &step_hold,     &step_detach, &step_unplug, &step_stop,    &step_save,     &step_manifest,
    &step_proceed,  &step_forget, &step_connect, &step_baseline, &step_plug,   &step_attach,
    &step_link,     &step_best,   &step_resume, &step_after,
};

static const struct step *const restart_steps[] = {
    &step_prepare,  &step_load, &step_start,  &step_discard, &step_connect, &step_clock,
    &step_baseline, &step_plug, &step_attach, &step_link,    &step_best,    &step_after,
};

static const struct operation operations[][2] = {
    [OPERATION_MIGRATE] =
        {
            [MODE_LIVE] = {"migrate", "live", STEPS(live_steps)},
            [MODE_PAUSED] = {"migrate", "paused", STEPS(paused_steps)},
        },
    [OPERATION_CHECKPOINT] =
        {
            [MODE_LIVE] = {"checkpoint", "live", STEPS(live_checkpoint_steps)},
            [MODE_PAUSED] = {"checkpoint", "paused", STEPS(paused_checkpoint_steps)},
        },
    [OPERATION_RESTART] =
        {
            [MODE_LIVE] = {"restart", "live", STEPS(restart_steps)},
            [MODE_PAUSED] = {"restart", "paused", STEPS(restart_steps)},
        },
};

const struct operation *operation_of(const struct migration_options *options)
{
    return &operations[options->kind][options->mode];
}

const char *mode_name(enum migration_mode mode)
{
    return operations[OPERATION_MIGRATE][mode].mode;
}

const char *operation_kind_name(enum operation_kind kind)
{
    return operations[kind][MODE_PAUSED].name;
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
