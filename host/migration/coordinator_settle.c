/*
 * The second half of a migration: every VM gets what the site where it now is has for it, and the
 * jobs get the best transports. A rollback runs it too; see coordinator.c.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "host/agent/guest_answer.h"
#include "host/migration/coordinator_private.h"

static void enter(struct migration *m, enum migration_state state)
{
    if (!is_going_back(m)) {
        state_set(&m->states, state);
    }
}

/* A VM's part of a step ended; what went wrong is a warning. */
static void vm_over(struct migration_vm *vm, const struct ninja_error *err)
{
    stage_end(vm);
    if (err != NULL) {
        ninja_log_about(NINJA_LOG_VM, vmm_name(vm->vmm));
        add_warning(vm->m, err);
        ninja_log_about(NINJA_LOG_VM, "");
    }
    gather_done(&vm->m->gather, NULL);
}

static void on_driver_done(void *arg, const struct ninja_error *err)
{
    vm_over(arg, err);
}

/* ---- cancel ---- */

static void on_cancelled(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    vm_taken_back(vm, err);
    gather_done(&vm->m->gather, NULL);
}

void take_vm_back(struct migration_vm *vm)
{
    vm->vmm->driver->cancel(vm->vmm, on_cancelled, vm);
}

/* ---- the agents, where the VMs are now ---- */

void connect_vm(struct migration_vm *vm)
{
    struct channel_way way = vmm_way_to_agent(vm->vmm);
    agent_connect(vm->agent, &way, on_driver_done, vm);
}

void finish_vm(struct migration_vm *vm)
{
    vm->vmm->driver->finish(vm->vmm, on_driver_done, vm);
}

/* ---- interconnects ---- */

static void on_baseline(void *arg, json_t *result, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    json_decref(vm->standby);
    vm->standby = guest_interconnects(result);
    vm_over(vm, err);
}

static void on_after(void *arg, json_t *result, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    json_decref(vm->after);
    vm->after = guest_interconnects(result);
    vm_over(vm, err);
}

static void ask_interconnects(struct migration_vm *vm, agent_reply reply)
{
    agent_execute(vm->agent, "ninja-interconnects", NULL, timeout_of(vm->m, TIMEOUT_COMMAND), reply,
                  vm);
}

void ask_baseline(struct migration_vm *vm)
{
    ask_interconnects(vm, on_baseline);
}

void ask_after(struct migration_vm *vm)
{
    ask_interconnects(vm, on_after);
}

/* ---- devices that may leave ---- */

void unplug_again(struct migration_vm *vm)
{
    vm->asks_again = false;
    vm->vmm->driver->unplug(vm->vmm, on_driver_done, vm);
}

/* The guest cannot be told to forget that it was asked. */
void warn_of_leaving(struct migration_vm *vm)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_UNPLUG,
                    "the guest of %s was asked to let go of device \"%s\", and may still do so; as "
                    "that would end a job that uses it, the jobs stay on their standby transports. "
                    "If ninjactl status says that it is gone, ninjactl migrate %s plugs it again; "
                    "if it is certain that the guest keeps it, ninjactl switch takes the jobs back "
                    "to it",
                    vmm_name(vm->vmm), vmm_device(vm->vmm)->id,
                    vm->m->cluster->sites[vm->vmm->site].name);
    vm_over(vm, &err);
}

static bool may_lose_device(const struct migration_vm *vm)
{
    return vm->vmm->leaving;
}

/* What the jobs are to choose from. */
static const char *best_of(const struct migration *m)
{
    return any_vm(m, may_lose_device) ? "@standby" : "@best";
}

/* ---- plug, attach, link ---- */

void plug_vm(struct migration_vm *vm)
{
    device_set(vm, DEVICE_PLUGGED);
    vm->vmm->driver->plug(vm->vmm, on_driver_done, vm);
}

static void on_attached(void *arg, json_t *data, const struct ninja_error *error)
{
    struct migration_vm *vm = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (error != NULL) {
        err = *error;
    }
    if (error == NULL) {
        device_set(vm, DEVICE_ATTACHED);
    }
    guest_command_free(vm->command);
    vm->command = NULL;
    vm_over(vm, error ? &err : NULL);
}

void attach_vm(struct migration_vm *vm)
{
    vm->command = guest_command_start(vm->m->base, vm->agent, "ninja-attach", "NINJA_ATTACHED",
                                      vmm_device(vm->vmm)->text, timeout_of(vm->m, TIMEOUT_ATTACH),
                                      on_attached, vm);
}

static void on_link(void *arg, enum link_kind kind, const char *name,
                    const struct ninja_error *error)
{
    struct migration_vm *vm = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (error != NULL) {
        err = *error;
    }
    vm->link = kind;
    snprintf(vm->link_name, sizeof(vm->link_name), "%s", name);
    link_wait_free(vm->link_wait);
    vm->link_wait = NULL;
    vm_over(vm, error ? &err : NULL);
}

void wait_for_link(struct migration_vm *vm)
{
    /* A device that was there before the baseline is not new: then whatever works will do. */
    bool is_new = vm->stages[STAGE_PLUG] >= 0;
    vm->link_wait = link_wait_start(vm->m->base, vm->agent, is_new ? vm->standby : NULL,
                                    timeout_of(vm->m, TIMEOUT_LINK), on_link, vm);
}

/* ---- the switch after ---- */

static void on_best_phase(void *arg, enum switch_phase phase)
{
    struct migration *m = arg;
    if (phase == SWITCH_QUIESCING) {
        enter(m, STATE_QUIESCING);
    } else if (phase == SWITCH_RELEASING) {
        enter(m, STATE_RELEASING);
    } else {
        enter(m, STATE_RESUMING);
    }
}

/* Says where the jobs are left. Nothing is known of ranks that another coordinator stopped. */
static void explain_best(struct migration *m, struct ninja_error *why)
{
    bool stood = is_taken_on(m) || m->options.kind == OPERATION_RESTART;
    if (stood && !switch_left_ranks_running(m->sw)) {
        m->operator_needed = true;
        ninja_error_where(why, "ranks may be standing still, as the coordinator that stopped them "
                               "ended; give ninjactl switch when every agent answers");
        return;
    }
    if (why->class == ERR_RESUME) {
        m->operator_needed = true;
    } else {
        ninja_error_where(why, "the jobs stay on their standby transports");
    }
}

static void on_best(void *arg, const struct ninja_error *err)
{
    struct migration *m = arg;
    struct ninja_error why = NINJA_ERROR_INIT;
    if (err != NULL) {
        why = *err;
        explain_best(m, &why);
    }
    take_switch_report(m);
    if (err != NULL) {
        step_failed(m, &why);
    } else {
        jobs_set(m, JOBS_ON_BEST);
        step_done(m);
    }
}

static const struct switch_handler best_handler = {
    .phase = on_best_phase,
    .done = on_best,
};

/*
 * The VMs whose device went or came. Ranks of all choose again if it is not known what they are on:
 * NULL.
 */
static const bool *those_who_leave(struct migration *m)
{
    for (int i = 0; i < m->n; i++) {
        m->ranks_leave[i] = m->may_be_unplugged[i] || m->vms[i].device != DEVICE_AS_BEFORE;
    }
    return is_taken_on(m) || m->standby_failed ? NULL : m->ranks_leave;
}

void begin_best(struct migration *m)
{
    struct switch_options options = {
        .cluster = m->cluster,
        .release = "@network",
        .reselect = best_of(m),
        .leaving = those_who_leave(m),
        .since_ms = m->states.began_ms,
    };
    m->sw = switch_start(m->base, m->agents, m->n, &options, &best_handler, m);
}

void begin_resume(struct migration *m)
{
    switch_continue(m->sw, best_of(m));
}
