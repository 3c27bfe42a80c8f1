/*
 * One attempt is: jobs query, stop, then rounds of drain and settle until no count changes, then
 * release, open, connect, verify, resume. switch_start_step() gives a step to every agent that has
 * ranks of a job (a "part"), and switch_step_over() runs when all parts reported or failed.
 *
 *     LOOKING  QUIESCING                RELEASING [HELD] RESELECTING                 RESUMING
 *              stop -> drain -> settle -> release -------> open -> connect -> verify -> resume
 *                       ^ counts  |                         ^  |      |         |
 *                       +-changed-+                         +--+------+---------+ with a fallback
 *
 *     any failure up to settle: GIVING_UP, that is resume; PAUSING; and the next attempt
 *     ranks found in the middle of a switch, whose coordinator ended:
 *         one of them has released: begin with release, in a new epoch; if jobs run that have no
 *             part in it, begin again at the end with all
 *         otherwise: TAKING_BACK, that is resume, and begin again
 *     a failed release: once more, RELEASING_AGAIN
 *     any failure from release on: noted; open, connect, verify and resume all the same
 *     no list left to fall back to: all are tried again for a while; then the jobs that they do not
 *     reach stay as they are, and others resume
 *
 * switch_state.c has the states, and what may follow what.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/switch/switch_private.h"

#define MAX_ROUNDS     10000
#define MAX_TAKE_OVERS 20
#define MAX_STALE      24

static void begin_attempt(struct transport_switch *sw);

/* ---- the end of an attempt ---- */

static void finish(struct transport_switch *sw)
{
    switch_set_state(sw, SW_ENDED);
    timer_free(&sw->deadline);
    sw->handler->done(sw->arg, ninja_error_is_set(&sw->err) ? &sw->err : NULL);
}

static void on_next_attempt(evutil_socket_t fd, short what, void *arg)
{
    struct transport_switch *sw = arg;
    timer_free(&sw->next);
    switch_set_state(sw, SW_LOOKING);
    begin_attempt(sw);
}

static bool may_try_again(const struct transport_switch *sw)
{
    static const enum ninja_error_class final[] = {ERR_REFUSED, ERR_PROTOCOL, ERR_ABORTED};
    for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
        if (sw->err.class == final[i]) {
            return false;
        }
    }
    return !sw->aborted && sw->attempt < sw->options.cluster->quiesce_attempts;
}

/*
 * The job has had higher epochs than anybody said. They are looked for ever further up, and it is
 * no attempt.
 */
static void look_for_a_higher_epoch(struct transport_switch *sw)
{
    if (sw->err.class == ERR_STALE_EPOCH && sw->n_stale < MAX_STALE) {
        sw->n_stale++;
        sw->attempt--;
        sw->given_epochs *= 2;
    }
}

static void attempt_given_up(struct transport_switch *sw)
{
    json_array_append_new(sw->given_up,
                          json_pack("{s:o, s:i, s:o, s:I, s:I}", "reason",
                                    json_text(sw->err.message), "rounds", sw->round, "start_ms",
                                    switch_stall_start(sw), "stall_ms", (json_int_t)sw->stall_ms,
                                    "stopped_at_us", (json_int_t)sw->stopped_at_us));
    look_for_a_higher_epoch(sw);
    if (!may_try_again(sw)) {
        finish(sw);
        return;
    }
    int doublings = sw->attempt < 1 ? 0 : sw->attempt - 1 < 6 ? sw->attempt - 1 : 6;
    int pause = sw->options.cluster->quiesce_pause_ms << doublings;
    ninja_log_warning("quiesce attempt %d of %d was given up: %s; next one in %d ms", sw->attempt,
                      sw->options.cluster->quiesce_attempts, sw->err.message, pause);
    sw->err = (struct ninja_error)NINJA_ERROR_INIT;
    switch_set_state(sw, SW_PAUSING);
    sw->next = timer_start(sw->base, pause, on_next_attempt, sw);
}

void switch_give_up_attempt(struct transport_switch *sw)
{
    if (sw->state == SW_QUIESCING || sw->state == SW_TAKING_BACK) {
        switch_set_state(sw, SW_GIVING_UP);
        switch_start_step(sw, NINJA_STEP_RESUME);
    } else {
        attempt_given_up(sw);
    }
}

/* ---- from step to step ---- */

static bool any_stuck(const struct transport_switch *sw)
{
    bool any = false;
    for (int i = 0; i < sw->jobs->n; i++) {
        any |= sw->switched[i].stuck;
    }
    return any;
}

/*
 * The job stood still from when the first rank was at rest. Until then all computed, however long
 * they were waited for; if none ever was, it did not stand still.
 */
static void take_stall(struct transport_switch *sw)
{
    int64_t now = now_ms();
    int64_t since = sw->step_failed ? sw->stopped_at : sw->at_rest_since;
    bool stood = since <= now;
    sw->stall_ms = stood ? now - since : 0;
    sw->stopped_at_us = stood ? wall_clock_us() - sw->stall_ms * 1000 : 0;
    sw->stopped_at = since;
}

static void ranks_run_again(struct transport_switch *sw)
{
    take_stall(sw);
    sw->ranks_run |= !sw->step_failed && !any_stuck(sw);
    bool taken_over = sw->state == SW_TAKING_BACK || (sw->left_out && !sw->aborted);
    taken_over &= !ninja_error_is_set(&sw->err);
    if (taken_over && sw->attempt >= MAX_TAKE_OVERS) {
        ninja_error_set(&sw->err, ERR_RESUME, "ranks were told to run %d times, and do not",
                        sw->attempt);
        finish(sw);
    } else if (taken_over) {
        switch_set_state(sw, SW_LOOKING);
        begin_attempt(sw);
    } else if (sw->state == SW_GIVING_UP || sw->state == SW_TAKING_BACK) {
        attempt_given_up(sw);
    } else {
        finish(sw);
    }
}

static bool any_changed(const struct transport_switch *sw)
{
    bool any = false;
    for (int i = 0; i < sw->jobs->n; i++) {
        any |= sw->switched[i].changed;
    }
    return any;
}

static void next_round(struct transport_switch *sw)
{
    if (++sw->round > MAX_ROUNDS) {
        ninja_error_set(&sw->err, ERR_TIMEOUT, "the drain did not end in %d rounds", MAX_ROUNDS);
        switch_give_up_attempt(sw);
        return;
    }
    switch_start_step(sw, NINJA_STEP_DRAIN);
}

static void after_settle(struct transport_switch *sw)
{
    bool all_quiet = true;
    for (int i = 0; i < sw->jobs->n; i++) {
        struct switched_job *job = &sw->switched[i];
        job->quiet = !job->changed;
        all_quiet &= job->quiet;
    }
    if (!all_quiet) {
        next_round(sw);
    } else if (now_ms() >= sw->lease_end) {
        ninja_error_set(&sw->err, ERR_TIMEOUT, "the quiesce took longer than its lease");
        switch_give_up_attempt(sw);
    } else {
        switch_set_state(sw, SW_RELEASING);
        switch_start_step(sw, NINJA_STEP_RELEASE);
    }
}

/* A rank that did not release while others did must not stay so, and a report may have been lost.
 */
static void release_again(struct transport_switch *sw)
{
    ninja_log_warning("%s; once more", sw->err.message);
    sw->err = (struct ninja_error)NINJA_ERROR_INIT;
    switch_set_state(sw, SW_RELEASING_AGAIN);
    sw->round++;
    switch_start_step(sw, NINJA_STEP_RELEASE);
}

static void after_release(struct transport_switch *sw)
{
    if (ninja_error_is_set(&sw->err) && sw->state == SW_RELEASING) {
        release_again(sw);
        return;
    }
    if (ninja_error_is_set(&sw->err)) {
        sw->err.class = ERR_RELEASE;
        switch_set_reselect(sw, SWITCH_PREVIOUS);
    } else if (sw->options.hold && !sw->aborted && !sw->left_out) {
        switch_set_state(sw, SW_HELD);
        sw->handler->held(sw->arg);
        return;
    }
    switch_begin_reselect(sw);
}

static void record_step(struct transport_switch *sw)
{
    json_array_append_new(
        sw->steps,
        json_pack("{s:s, s:i, s:I, s:I, s:I}", "step", ninja_step_name(sw->step), "round",
                  sw->round, "start_ms", (json_int_t)(sw->step_began - sw->options.since_ms), "ms",
                  (json_int_t)(now_ms() - sw->step_began), "max_rank_micros", sw->step_micros));
}

static void after_quiesce_step(struct transport_switch *sw)
{
    if (sw->step_failed) {
        switch_give_up_attempt(sw);
    } else if (sw->step == NINJA_STEP_SETTLE) {
        after_settle(sw);
    } else if (sw->step == NINJA_STEP_STOP || any_changed(sw)) {
        next_round(sw);
    } else {
        switch_start_step(sw, NINJA_STEP_SETTLE);
    }
}

void switch_step_over(struct transport_switch *sw)
{
    timer_free(&sw->deadline);
    for (int i = 0; i < sw->n_parts; i++) {
        switch_leave_part(&sw->parts[i]);
    }
    record_step(sw);
    switch (switch_step(sw)->part) {
    case NINJA_PART_QUIESCE:
        after_quiesce_step(sw);
        break;
    case NINJA_PART_RELEASE:
        after_release(sw);
        break;
    case NINJA_PART_RESELECT:
        switch_after_reselect(sw);
        break;
    case NINJA_PART_RESUME:
        ranks_run_again(sw);
        break;
    }
}

/* ---- an attempt ---- */

/* What the ranks are at says with what step to begin. */
static enum ninja_step first_step(const struct jobs *jobs)
{
    enum ninja_step first = NINJA_STEP_STOP;
    for (int j = 0; j < jobs->n; j++) {
        if (job_has_released(&jobs->jobs[j])) {
            return NINJA_STEP_RELEASE;
        }
        if (!job_is_running(&jobs->jobs[j])) {
            first = NINJA_STEP_RESUME;
        }
    }
    return first;
}

static void begin_steps(struct transport_switch *sw, enum ninja_step first)
{
    switch_make_parts(sw, first);
    int quiesce_ms = sw->options.cluster->timeouts[TIMEOUT_QUIESCE];
    sw->stopped_at = now_ms();
    sw->stopped_at_us = wall_clock_us();
    sw->at_rest_since = INT64_MAX;
    sw->budget_end = sw->stopped_at + quiesce_ms;
    sw->lease_end = sw->budget_end + LEASE_SLACK_MS;
    if (first != NINJA_STEP_STOP) {
        ninja_log_warning("ranks are in the middle of a switch whose coordinator ended: %s",
                          first == NINJA_STEP_RELEASE ? "taking it to its end" : "taking it back");
    }
    sw->ranks_run |= first == NINJA_STEP_STOP;
    switch_set_state(sw, first == NINJA_STEP_STOP      ? SW_QUIESCING
                         : first == NINJA_STEP_RELEASE ? SW_RELEASING
                                                       : SW_TAKING_BACK);
    switch_start_step(sw, first);
}

static void on_jobs(void *arg, struct jobs *jobs, const struct ninja_error *err)
{
    struct transport_switch *sw = arg;
    if (err != NULL) {
        sw->err = *err; /* the query has waited already: no further attempt */
        finish(sw);
        return;
    }
    sw->jobs = jobs;
    if (jobs->n == 0) {
        sw->ranks_run = true;
        if (sw->options.hold) {
            switch_set_state(sw, SW_JOBLESS);
            sw->handler->held(sw->arg);
        } else {
            finish(sw);
        }
        return;
    }
    begin_steps(sw, first_step(jobs));
}

static void begin_attempt(struct transport_switch *sw)
{
    struct jobs_query_options options = {
        .command_ms = sw->options.cluster->timeouts[TIMEOUT_COMMAND],
        .wait_ms = sw->options.cluster->timeouts[TIMEOUT_JOBS],
        .unmanaged_in = sw->options.unmanaged_in,
        .of_vms = sw->options.leaving,
    };
    switch_forget_jobs(sw);
    jobs_query_free(sw->query);
    json_array_clear(sw->steps);
    sw->attempt++;
    sw->round = 0;
    sw->stall_ms = sw->stopped_at_us = 0;
    sw->left_out = false;
    sw->query = jobs_query_start(sw->base, sw->agents, sw->n, &options, on_jobs, sw);
}

/* ---- the object ---- */

struct transport_switch *switch_start(struct event_base *base, struct agent *const *agents, int n,
                                      const struct switch_options *options,
                                      const struct switch_handler *handler, void *arg)
{
    struct transport_switch *sw = xcalloc(1, sizeof(*sw));
    sw->base = base;
    sw->agents = agents;
    sw->n = n;
    sw->options = *options;
    sw->release = xstrdup(options->release);
    sw->reselect = xstrdup(options->reselect);
    sw->handler = handler;
    sw->arg = arg;
    sw->steps = json_array();
    sw->given_up = json_array();
    sw->dropped = json_array();
    sw->traffic_before = switch_traffic(sw);
    sw->vms = xcalloc((size_t)n, sizeof(*sw->vms));
    for (int i = 0; i < n; i++) {
        sw->vms[i].sw = sw;
        agent_listen(agents[i], switch_on_event, &sw->vms[i]);
    }
    begin_attempt(sw);
    return sw;
}

void switch_continue(struct transport_switch *sw, const char *reselect)
{
    if (reselect != NULL) {
        switch_set_reselect(sw, reselect);
    }
    if (sw->state == SW_JOBLESS) {
        finish(sw);
    } else {
        switch_begin_reselect(sw);
    }
}

static void on_abort(evutil_socket_t fd, short what, void *arg)
{
    struct transport_switch *sw = arg;
    timer_free(&sw->next);
    if (!switch_is_abortable(sw)) { /* the step that was going on has ended in the meantime */
        return;
    }
    ninja_error_set(&sw->err, ERR_ABORTED, "aborted before anything was released");
    switch_give_up_attempt(sw);
}

void switch_abort(struct transport_switch *sw)
{
    if (sw->aborted) {
        return;
    }
    sw->aborted = true;
    if (!switch_is_abortable(sw)) {
        return;
    }
    jobs_query_free(sw->query);
    sw->query = NULL;
    timer_free(&sw->next);
    sw->next = timer_start(sw->base, 0, on_abort, sw);
}

bool switch_has_released(const struct transport_switch *sw)
{
    return sw->has_released;
}

bool switch_left_ranks_running(const struct transport_switch *sw)
{
    return sw->ranks_run;
}

int switch_jobs(const struct transport_switch *sw)
{
    return sw->jobs ? sw->jobs->n : 0;
}

void switch_free(struct transport_switch *sw)
{
    if (sw == NULL) {
        return;
    }
    for (int i = 0; i < sw->n; i++) {
        agent_unlisten(sw->agents[i], switch_on_event, &sw->vms[i]);
    }
    switch_forget_jobs(sw);
    jobs_query_free(sw->query);
    timer_free(&sw->deadline);
    timer_free(&sw->next);
    json_decref(sw->steps);
    json_decref(sw->given_up);
    json_decref(sw->dropped);
    free(sw->release);
    free(sw->reselect);
    free(sw->wanted);
    free(sw->vms);
    free(sw);
}
