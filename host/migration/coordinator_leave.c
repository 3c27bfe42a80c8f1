/*
 * The first half of a migration: everything up to the point of no return. A failure here is
 * taken back by the second half.
 */
#include <string.h>

#include "common/log.h"
#include "host/migration/coordinator_private.h"

/* A migration that failed for one VM when another one had arrived is tried again so often. */
#define COPY_ROUNDS 3

/* ---- prepare ---- */

/* A VM's part of a step ended; what went wrong fails the step. */
static void on_driver_done(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    stage_end(vm);
    gather_done(&vm->m->gather, err);
}

void prepare_vm(struct migration_vm *vm)
{
    vm->vmm->driver->prepare(vm->vmm, vm->to, on_driver_done, vm);
}

/* ---- the switch before ---- */

static void on_leave_phase(void *arg, enum switch_phase phase)
{
    static const enum migration_state states[] = {
        [SWITCH_QUIESCING] = STATE_QUIESCING,
        [SWITCH_RELEASING] = STATE_RELEASING,
        [SWITCH_RESELECTING] = STATE_RESUMING,
        [SWITCH_RESUMING] = STATE_RESUMING,
    };
    struct migration *m = arg;
    /* When the jobs are held, what follows of the switch belongs to the second half. */
    if (!is_going_back(m) && m->jobs != JOBS_HELD) {
        state_set(&m->states, states[phase]);
    }
}

/* If the jobs ended by themselves between two attempts, the switch had nothing to release. */
static void jobs_ended(struct migration *m, enum migration_state state)
{
    if (m->states.state == STATE_QUIESCING) {
        state_set(&m->states, state);
    }
}

static void leave_over(struct migration *m, const struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    if (err != NULL) {
        why = *err;
    }
    take_switch_report(m);
    if (ninja_error_is_set(&why)) {
        step_failed(m, &why);
    } else {
        jobs_ended(m, STATE_RESUMING);
        step_done(m);
    }
}

static void on_left(void *arg, const struct ninja_error *err)
{
    struct migration *m = arg;
    bool fell_back = err != NULL && (err->class == ERR_RELEASE || err->class == ERR_RESELECT);
    /* Also where only some ranks are: they choose again at the end. If all fell back to what they
     * had, they need not. */
    if (switch_has_released(m->sw) && !fell_back) {
        jobs_set(m, JOBS_ON_STANDBY);
    }
    m->standby_failed = err != NULL;
    leave_over(m, err);
}

static const struct switch_handler standby_handler = {
    .phase = on_leave_phase,
    .done = on_left,
};

void begin_standby(struct migration *m)
{
    struct switch_options options = {
        .cluster = m->cluster,
        .release = "@bypass",
        .reselect = "@standby",
        .leaving = m->may_be_unplugged,
        .unmanaged_in = m->may_be_unplugged,
        .since_ms = m->states.began_ms,
    };
    m->sw = switch_start(m->base, m->agents, m->n, &options, &standby_handler, m);
}

static void on_held(void *arg)
{
    struct migration *m = arg;
    jobs_set(m, JOBS_HELD);
    jobs_ended(m, STATE_RELEASING);
    step_done(m);
}

/* If the jobs are not held yet, the switch failed; if they are, the second half let it go on. */
static void on_hold_over(void *arg, const struct ninja_error *err)
{
    struct migration *m = arg;
    if (m->jobs != JOBS_HELD) {
        leave_over(m, err);
        return;
    }
    struct ninja_error why = NINJA_ERROR_INIT;
    if (err != NULL) {
        why = *err;
    }
    jobs_set(m, JOBS_ON_BEST);
    take_switch_report(m);
    if (ninja_error_is_set(&why)) {
        m->operator_needed |= why.class == ERR_RESUME;
        step_failed(m, &why);
    } else {
        step_done(m);
    }
}

static const struct switch_handler hold_handler = {
    .phase = on_leave_phase,
    .held = on_held,
    .done = on_hold_over,
};

void begin_hold(struct migration *m)
{
    struct switch_options options = {
        .cluster = m->cluster,
        .release = "@network",
        .reselect = "@best",
        .unmanaged_in = m->may_be_unplugged,
        .hold = true,
        .since_ms = m->states.began_ms,
    };
    m->sw = switch_start(m->base, m->agents, m->n, &options, &hold_handler, m);
}

/* ---- detach and unplug ---- */

static void on_detached(void *arg, json_t *data, const struct ninja_error *error)
{
    struct migration_vm *vm = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    /* Which process is on the device says more than that the detach failed. */
    if (data != NULL && !guest_holds_nothing(data, &err)) {
        ninja_error_where(&err, "%s", agent_vm(vm->agent));
    } else if (error != NULL) {
        err = *error;
    }
    guest_command_free(vm->command);
    vm->command = NULL;
    stage_end(vm);
    gather_done(&vm->m->gather, ninja_error_is_set(&err) ? &err : NULL);
}

void detach_vm(struct migration_vm *vm)
{
    device_set(vm, DEVICE_DETACHED);
    vm->command = guest_command_start(vm->m->base, vm->agent, "ninja-detach", "NINJA_DETACHED",
                                      vmm_device(vm->vmm)->text, timeout_of(vm->m, TIMEOUT_DETACH),
                                      on_detached, vm);
}

void unplug_vm(struct migration_vm *vm)
{
    vm->vmm->driver->unplug(vm->vmm, on_driver_done, vm);
}

/* ---- copy ---- */

static void begin_copy_round(struct migration *m);

static void on_copy_cancelled(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    vm_taken_back(vm, err);
    gather_done(&vm->m->gather, NULL);
}

/* Brings one VM back to where it was before the round. */
static void cancel_copy(struct migration_vm *vm)
{
    vm->vmm->driver->cancel(vm->vmm, on_copy_cancelled, vm);
}

static void cancel_all_copies(struct migration *m)
{
    round_set(m, ROUND_CANCELLED);
    for (int i = 0; i < m->n; i++) {
        if (is_copying(&m->vms[i])) {
            gather_add(&m->gather);
            cancel_copy(&m->vms[i]);
        }
    }
}

void vm_arrived(void *arg)
{
    struct migration_vm *vm = arg;
    if (vm->arrived_ms < 0) {
        vm->arrived_ms = now_ms() - vm->m->states.began_ms;
        journal_write(vm->m->journal, json_pack("{s:s, s:s}", "vm", agent_vm(vm->agent), "runs_at",
                                                vm->m->cluster->sites[vm->vmm->site].name));
    }
}

static void on_copied(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    struct migration *m = vm->m;
    stage_end(vm);
    way_set(vm, WAY_MOVES);
    if (err == NULL) {
        vm_arrived(vm);
    } else if (vm->vmm->move == VMM_SPLIT && m->round != ROUND_CANCELLED) {
        round_set(m, ROUND_SPLIT);
        m->err = *err;
    } else if (m->round == ROUND_GOES_ON) {
        ninja_log_warning("%s", err->message);
        m->err = *err;
        gather_add(&m->gather);
        cancel_copy(vm);
        /* While no VM is committed all can still stay; afterwards all should follow. */
        if (!any_vm(m, vm_is_committed)) {
            cancel_all_copies(m);
        }
    }
    gather_done(&m->gather, NULL);
}

static bool is_split(const struct migration_vm *vm)
{
    return vm->vmm->move == VMM_SPLIT && !is_undecided(vm);
}

/* All VMs have arrived, or as many as could. */
static void leave_copying(struct migration *m)
{
    state_set(&m->states, STATE_ATTACHING);
    step_done(m);
}

static void on_round_over(void *arg, const struct ninja_error *unused)
{
    struct migration *m = arg;
    int moved = vms_moved(m), moving = vms_to_move(m);
    samples_take(m->samples);
    if (m->round == ROUND_SPLIT) {
        suspend(m);
    } else if (any_vm(m, is_split)) {
        begin_copy_round(m); /* it was too late to take it back */
    } else if (moved == moving) {
        m->err = (struct ninja_error)NINJA_ERROR_INIT;
        leave_copying(m);
    } else if (moved == 0) {
        struct ninja_error err = m->err;
        step_failed(m, &err);
    } else if (m->copy_round < COPY_ROUNDS && !m->operator_needed) {
        ninja_log_warning("%d of %d VMs have arrived; trying again for the others", moved, moving);
        begin_copy_round(m);
    } else {
        ninja_error_where(&m->err,
                          "%d of %d VMs arrived, the others stay where they were; run "
                          "ninjactl migrate again when the cause is mended",
                          moved, moving);
        leave_copying(m);
    }
}

static void on_prepared_again(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    if (err != NULL) {
        on_copied(vm, err);
        return;
    }
    vm->vmm->driver->migrate(vm->vmm, on_copied, vm);
}

static void on_receiver_taken_back(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    if (err != NULL) {
        on_copied(vm, err);
        return;
    }
    vm->vmm->driver->prepare(vm->vmm, vm->to, on_prepared_again, vm);
}

/*
 * The first round of a migration that is taken on, for a VM whose copy had not begun. A receiver
 * takes migrate-incoming once, so it is made anew; where nobody would start another one it is used
 * as it is, as the copy step began with all of them ready.
 */
static void begin_copy_late(struct migration_vm *vm)
{
    if (vmm_arrival(vm->vmm, vm->to).command != NULL) {
        vm->vmm->driver->cancel(vm->vmm, on_receiver_taken_back, vm);
    } else {
        vm->vmm->driver->migrate(vm->vmm, on_copied, vm);
    }
}

/* Its receiver waits, and has been given nothing. */
static bool is_prepared(const struct vmm *vmm)
{
    return vmm->move == VMM_AT_SOURCE && vmm->to >= 0;
}

static void copy_vm(struct migration_vm *vm)
{
    int round = vm->m->copy_round;
    way_set(vm, WAY_COPYING);
    if (round == 1) {
        vm->vmm->driver->migrate(vm->vmm, on_copied, vm);
    } else if (is_taken_on(vm->m) && round == 2 && is_prepared(vm->vmm)) {
        begin_copy_late(vm);
    } else {
        vm->vmm->driver->prepare(vm->vmm, vm->to, on_prepared_again, vm);
    }
}

/* A migration that is taken on begins with its second round, as the other coordinator had one. */
static void begin_copy_round(struct migration *m)
{
    m->copy_round++;
    round_set(m, ROUND_GOES_ON);
    each_vm(m, is_to_copy, STAGE_COPY, copy_vm, on_round_over);
}

void begin_copy(struct migration *m)
{
    if (m->origin == ORIGIN_TAKEN_BACK && !any_vm(m, vm_is_committed)) {
        /* A VM that arrives in spite of it takes the others along. */
        round_set(m, ROUND_CANCELLED);
        each_vm(m, is_between, STAGE_NONE, cancel_copy, on_round_over);
    } else {
        begin_copy_round(m);
    }
}

/* The second half cancels once more, and waits for it. */
static void on_prepare_cancelled(void *arg, const struct ninja_error *err)
{
}

void abort_drivers(struct migration *m)
{
    bool copying = false;
    for (int i = 0; i < m->n; i++) {
        struct migration_vm *vm = &m->vms[i];
        copying |= is_copying(vm);
        if (vm->stage == STAGE_PREPARE && m->options.kind == OPERATION_RESTART) {
            vm->vmm->driver->images->discard(vm->vmm, on_prepare_cancelled, vm);
        } else if (vm->stage == STAGE_PREPARE) {
            vm->vmm->driver->cancel(vm->vmm, on_prepare_cancelled, vm);
        }
    }
    if (copying && m->round == ROUND_GOES_ON) {
        ninja_error_set(&m->err, ERR_ABORTED, "aborted on request");
        cancel_all_copies(m);
    }
}
