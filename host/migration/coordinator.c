/*
 * A migration is an operation: a table of steps (operation.h). The first half takes apart (quiesce,
 * unplug, copy); the second half gives every VM, wherever it now is, what that site has for it, and
 * the job its best transports. Forward, the steps run in order. A failure before the point of no
 * return jumps to the second half, and leads back: "where the VM now is" is then the source. So
 * putting things right is written once, for success and for failure.
 *
 * What cannot be written to the journal is not begun, in the first half.
 *
 * In the second half nothing fails the migration: what does not work is a warning, and the rest
 * goes on, as the ranks must run again whatever happens.
 *
 * A step drives all VMs at once (each_vm()) and ends when all of them ended.
 */
#include "host/migration/coordinator_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "host/base/json_text.h"

#define STAGE_NAME(stage, name) [STAGE_##stage] = name,
static const char *const stage_names[] = {[STAGE_NONE] = "", NINJA_EACH_STAGE(STAGE_NAME)};

const char *stage_name(enum stage stage)
{
    return stage_names[stage];
}

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_DONE] = "done",         [OUTCOME_DEGRADED] = "degraded",
        [OUTCOME_REFUSED] = "refused",   [OUTCOME_ROLLED_BACK] = "rolled-back",
        [OUTCOME_OPERATOR] = "operator",
    };
    return names[outcome];
}

/* ---- what the steps share ---- */

int timeout_of(const struct migration *m, enum timeout timeout)
{
    return m->cluster->timeouts[timeout];
}

bool any_vm(const struct migration *m, bool (*is)(const struct migration_vm *vm))
{
    for (int i = 0; i < m->n; i++) {
        if (is(&m->vms[i])) {
            return true;
        }
    }
    return false;
}

int vms_to_move(const struct migration *m)
{
    int n = 0;
    for (int i = 0; i < m->n; i++) {
        n += is_to_move(&m->vms[i]);
    }
    return n;
}

int vms_moved(const struct migration *m)
{
    int n = 0;
    for (int i = 0; i < m->n; i++) {
        n += is_to_move(&m->vms[i]) && vmm_is_there(m->vms[i].vmm);
    }
    return n;
}

bool vm_is_committed(const struct migration_vm *vm)
{
    return is_to_move(vm) && vm->vmm->committed;
}

void changed(struct migration *m)
{
    if (m->handler->changed != NULL) {
        m->handler->changed(m->arg);
    }
}

static void stage_begin(struct migration_vm *vm, enum stage stage)
{
    vm->stage = stage;
    vm->stage_began_ms = now_ms() - vm->m->states.began_ms;
    vm->stages[stage] = -1;
    changed(vm->m);
}

json_t *stage_to_json(const struct migration_vm *vm, json_t *ms)
{
    return json_pack("{s:s, s:I, s:o}", "stage", stage_names[vm->stage], "start_ms",
                     (json_int_t)vm->stage_began_ms, "ms", ms);
}

void stage_end(struct migration_vm *vm)
{
    if (vm->stage != STAGE_NONE) {
        int64_t offset = now_ms() - vm->m->states.began_ms;
        vm->stages[vm->stage] = offset - vm->stage_began_ms;
        json_array_append_new(vm->timeline, stage_to_json(vm, json_integer(vm->stages[vm->stage])));
        ninja_log_vm(NINJA_LOG_DEBUG, vmm_name(vm->vmm), "%s: %lld ms", stage_name(vm->stage),
                     (long long)vm->stages[vm->stage]);
        vm->stage = STAGE_NONE;
    }
}

void each_vm(struct migration *m, vm_test of_vm, enum stage stage,
             void (*begin)(struct migration_vm *vm),
             void (*done)(void *arg, const struct ninja_error *err))
{
    const struct facts *facts = facts_of_migration(m);
    gather_begin(&m->gather, m->base, done, m);
    for (int i = 0; i < m->n; i++) {
        if (of_vm(facts, &facts->vms[i])) {
            gather_add(&m->gather);
            if (stage != STAGE_NONE) {
                stage_begin(&m->vms[i], stage);
            }
            begin(&m->vms[i]);
        }
    }
}

void add_warning(struct migration *m, const struct ninja_error *err)
{
    ninja_log_warning("%s", err->message);
    journal_write(m->journal, json_pack("{s:o}", "warning", json_text(err->message)));
    json_array_append_new(m->warnings, json_text(err->message));
    if (err->class == ERR_OPERATOR) {
        m->operator_needed = true;
    }
}

void vm_taken_back(struct migration_vm *vm, const struct ninja_error *err)
{
    if (err != NULL && err->class == ERR_OPERATOR) {
        way_set(vm, WAY_UNDECIDED);
    }
    if (err != NULL) {
        add_warning(vm->m, err);
    }
}

void take_switch_report(struct migration *m)
{
    json_t *report = switch_report(m->sw);
    json_t *jobs = json_object_get(report, "jobs");
    if (json_array_size(jobs) > 0) {
        json_decref(m->jobs_after);
        m->jobs_after = json_incref(jobs);
        json_object_del(report, "jobs");
        json_array_append(m->switches, report);
    }
    json_decref(report);
    switch_free(m->sw);
    m->sw = NULL;
}

/* ---- the end ---- */

/* A text that is in the reason already is not added again: if an agent is away, each step that
 * needs it says so. */
static void add_reason(struct migration *m, const char *text)
{
    size_t len = strlen(m->reason);
    if (strstr(m->reason, text) == NULL) {
        snprintf(m->reason + len, sizeof(m->reason) - len, "%s%s", len ? "; " : "", text);
    }
}

/* Whether the jobs or the VMs noticed anything of it, before the point of no return. */
static bool has_touched(const struct migration *m)
{
    return is_taken_on(m) || state_was(&m->states, STATE_RELEASING) ||
           state_was(&m->states, STATE_DETACHING);
}

static enum outcome judge(const struct migration *m)
{
    int moved = vms_moved(m), moving = vms_to_move(m);
    if (m->course == COURSE_REFUSED) {
        return OUTCOME_REFUSED;
    }
    if (m->operator_needed || m->jobs == JOBS_HELD || (moved > 0 && moved < moving)) {
        return OUTCOME_OPERATOR;
    }
    if (moved > 0 || (moving == 0 && !is_going_back(m))) {
        return json_array_size(m->warnings) > 0 ? OUTCOME_DEGRADED : OUTCOME_DONE;
    }
    bool refusal = m->err.class == ERR_REFUSED || m->err.class == ERR_NOT_READY ||
                   (m->failed_in == PART_READY && !m->abort_requested);
    return !has_touched(m) && refusal ? OUTCOME_REFUSED : OUTCOME_ROLLED_BACK;
}

static void enter_last(struct migration *m, enum migration_state state)
{
    wall_clock_text(m->ended_at, sizeof(m->ended_at));
    state_set(&m->states, state);
}

static void end_suspended(struct migration *m)
{
    enter_last(m, STATE_NEEDS_OPERATOR);
    m->handler->done(m->arg);
}

/* The journal gets no outcome, so the migration counts as one that was interrupted. */
void suspend(struct migration *m)
{
    course_set(m, COURSE_SUSPENDED);
    m->outcome = OUTCOME_OPERATOR;
    add_reason(m, m->err.message);
    ninja_log_error("%s", m->err.message);
    hooks_then(m, "post", m->operation->name, false, outcome_name(m->outcome), end_suspended);
}

static void end_told(struct migration *m)
{
    size_t i;
    json_t *warning;
    m->outcome = judge(m);
    if (ninja_error_is_set(&m->err)) {
        add_reason(m, m->err.message);
    }
    json_array_foreach(m->warnings, i, warning)
    {
        add_reason(m, json_string_value(warning));
    }
    if (m->jobs == JOBS_HELD) {
        add_reason(m, "the jobs stand still; ninjactl switch lets them run");
    }
    bool arrived = m->outcome == OUTCOME_DONE || m->outcome == OUTCOME_DEGRADED;
    bool decided = m->outcome != OUTCOME_OPERATOR;
    enter_last(m, arrived ? STATE_DONE : decided ? STATE_FAILED : STATE_NEEDS_OPERATOR);
    journal_write(m->journal, json_pack("{s:s, s:o}", "outcome", outcome_name(m->outcome), "reason",
                                        json_text(m->reason)));
    m->handler->done(m->arg);
}

static void tell_end(struct migration *m)
{
    hooks_then(m, "post", m->operation->name, false, outcome_name(judge(m)), end_told);
}

static void end(struct migration *m)
{
    course_set(m, m->course == COURSE_BACK      ? COURSE_LED_BACK
                  : m->course == COURSE_FORWARD ? COURSE_LED_ON
                                                : COURSE_REFUSED);
    ninja_log_about(NINJA_LOG_STAGE, "");
    if (is_going_back(m)) {
        hooks_then(m, "post", "rollback", false, outcome_name(judge(m)), tell_end);
    } else {
        tell_end(m);
    }
}

/* ---- from step to step ---- */

static const struct step *step_of(const struct migration *m)
{
    return m->operation->steps[m->step];
}

/* Where no VM is to move, what is plugged and chosen in the second half is not taken back, either.
 */
static bool past_no_return(const struct migration *m)
{
    return any_vm(m, vm_is_committed) || m->step == m->operation->n ||
           step_of(m)->part == PART_TOGETHER;
}

/* Nothing was begun, so there is nothing to take back. */
static void refuse(struct migration *m, const struct ninja_error *err)
{
    ninja_log_error("%s", err->message);
    m->err = *err;
    journal_write(m->journal, json_pack("{s:o}", "failed", json_text(err->message)));
    end(m);
}

static bool end_if_aborted(struct migration *m)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (!m->abort_requested || is_going_back(m) || past_no_return(m)) {
        return false;
    }
    ninja_error_set(&err, ERR_ABORTED, "aborted on request");
    step_failed(m, &err);
    return true;
}

static void on_all_over(void *arg, const struct ninja_error *err)
{
    struct migration *m = arg;
    if (err != NULL) {
        step_failed(m, err);
    } else {
        step_done(m);
    }
}

static void do_step(struct migration *m, const struct step *step)
{
    if (step->state != STATE_PLANNED && !is_going_back(m)) {
        state_set(&m->states, step->state);
    }
    if (step->begin_vm != NULL) {
        each_vm(m, step->of_vm, step->stage, step->begin_vm, on_all_over);
    } else {
        step->begin(m);
    }
}

static void begin_step(struct migration *m)
{
    const struct step *step = step_of(m);
    struct ninja_error err = m->hook.veto;
    if (ninja_error_is_set(&err) && m->course == COURSE_ANNOUNCED) {
        refuse(m, &err);
        return;
    }
    if (ninja_error_is_set(&err)) {
        step_failed(m, &err);
        return;
    }
    if (end_if_aborted(m)) {
        return;
    }
    if (m->course == COURSE_ANNOUNCED) {
        course_set(m, COURSE_FORWARD);
    }
    ninja_log_about(NINJA_LOG_STAGE, step->name);
    ninja_log_debug("step %s", step->name);
    journal_write(m->journal, json_pack("{s:s}", "step", step->name));
    if (step->part != PART_TOGETHER && journal_error(m->journal) != NULL) {
        step_failed(m, journal_error(m->journal)); /* another coordinator would not know of it */
        return;
    }
    if (ninja_fault(NINJA_FAULT_STEP, "%s", step->name) != NINJA_FAULT_NONE) {
        ninja_error_set(&err, ERR_FAULT, "step %s was made to fail", step->name);
        step_failed(m, &err);
        return;
    }
    do_step(m, step);
}

static void announced(struct migration *m)
{
    struct ninja_error err = m->hook.veto;
    if (ninja_error_is_set(&err)) {
        refuse(m, &err);
    } else {
        run_soon(m);
    }
}

static void run(evutil_socket_t fd, short what, void *arg)
{
    struct migration *m = arg;
    timer_free(&m->soon);
    if (end_if_aborted(m)) {
        return;
    }
    if (m->course == COURSE_ASKED) {
        course_set(m, COURSE_ANNOUNCED);
        hooks_then(m, "pre", m->operation->name, true, NULL, announced);
        return;
    }
    const struct facts *facts = facts_of_migration(m);
    m->step = operation_next(m->operation, m->step, facts);
    m->hook.warnings = json_array_size(m->warnings);
    if (m->step == m->operation->n) {
        end(m);
    } else if (step_is_seen(step_of(m), facts)) {
        hooks_then(m, "pre", step_of(m)->name, step_of(m)->part != PART_TOGETHER, NULL, begin_step);
    } else {
        begin_step(m);
    }
}

void run_soon(struct migration *m)
{
    timer_free(&m->soon);
    m->soon = timer_start(m->base, 0, run, m);
}

static void next_step(struct migration *m)
{
    m->step++;
    run_soon(m);
}

void step_done(struct migration *m)
{
    bool worse = json_array_size(m->warnings) > m->hook.warnings;
    if (step_is_seen(step_of(m), facts_of_migration(m))) {
        hooks_then(m, "post", step_of(m)->name, false,
                   outcome_name(worse ? OUTCOME_DEGRADED : OUTCOME_DONE), next_step);
    } else {
        next_step(m);
    }
}

void step_failed(struct migration *m, const struct ninja_error *why)
{
    struct ninja_error err = *why;
    if (step_of(m)->part == PART_TOGETHER) {
        add_warning(m, &err);
        step_done(m);
        return;
    }
    if (err.class == ERR_CANCELLED) {
        err = (struct ninja_error)NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_ABORTED, "aborted on request");
    }
    ninja_log_error("%s", err.message);
    m->err = err;
    m->failed_in = step_of(m)->part;
    course_set(m, COURSE_BACK);
    journal_write(m->journal, json_pack("{s:o}", "failed", json_text(err.message)));
    state_set(&m->states, STATE_ROLLING_BACK);
    changed(m);
    m->step = operation_first(m->operation, PART_TOGETHER);
    hooks_then(m, "pre", "rollback", false, NULL, run_soon);
}

/* This comes from the event loop, as a step may be just beginning where the abort is asked for. */
static void on_abort(evutil_socket_t fd, short what, void *arg)
{
    struct migration *m = arg;
    timer_free(&m->abort_soon);
    if (is_ending(m) || is_going_back(m)) {
        return;
    }
    if (past_no_return(m)) {
        ninja_log_warning("it is too late to abort: %s already",
                          m->options.kind == OPERATION_CHECKPOINT ? "the checkpoint is written"
                                                                  : "a VM runs at the destination");
        m->abort_requested = false;
        return;
    }
    ninja_log_warning("aborting; all is being taken back");
    journal_write(m->journal, json_pack("{s:b}", "abort", true));
    if (m->hook.run != NULL) {
        hooks_stop(m->hook.run);
    } else if (m->sw != NULL && m->jobs != JOBS_HELD) {
        switch_abort(m->sw);
    } else {
        abort_drivers(m);
        abort_images(m);
    }
}

void migration_abort(struct migration *m)
{
    if (!m->abort_requested) {
        m->abort_requested = true;
        m->abort_soon = timer_start(m->base, 0, on_abort, m);
    }
}

/* ---- asking about it ---- */

enum outcome migration_outcome(const struct migration *m)
{
    return m->outcome;
}

const char *migration_reason(const struct migration *m)
{
    return m->reason;
}

const char *migration_state_name(const struct migration *m)
{
    return state_name(m->states.state);
}

void migration_get_progress(const struct migration *m, int vm, struct migration_progress *progress)
{
    progress->vm = m->cluster->vms[vm];
    progress->stage = stage_name(m->vms[vm].stage);
    progress->copy = m->vms[vm].vmm->progress;
}

void migration_free(struct migration *m)
{
    if (m == NULL) {
        return;
    }
    hooks_free(m->hook.run);
    switch_free(m->sw);
    gather_free(&m->gather);
    timer_free(&m->soon);
    timer_free(&m->abort_soon);
    for (int i = 0; i < m->n; i++) {
        guest_command_free(m->vms[i].command);
        link_wait_free(m->vms[i].link_wait);
        image_process_free(m->vms[i].image);
        json_decref(m->vms[i].timeline);
        json_decref(m->vms[i].method);
        json_decref(m->vms[i].before);
        json_decref(m->vms[i].standby);
        json_decref(m->vms[i].after);
    }
    facts_free(m->facts);
    survey_free(m->survey);
    samples_free(m->samples);
    json_decref(m->switches);
    json_decref(m->jobs_after);
    json_decref(m->warnings);
    free(m->vms);
    free(m->may_be_unplugged);
    free(m->ranks_leave);
    free(m);
}
