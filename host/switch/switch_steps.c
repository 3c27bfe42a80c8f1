/*
 * One step of a switch: it is given to every agent that has ranks of a job (a "part"), and is over
 * when all parts reported or failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "host/agent/guest_answer.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/switch/switch_private.h"

/* What an agent and its channel may take beyond a step's own time-out. */
#define GRACE_MS 3000

/* How many VMs an error names. */
#define NAMED_VMS 5

/* The time between two looks whether ranks have come back. */
#define ASK_AGAIN_MS 200

/* No step is waited for so long. */
#define MAX_MICROS INT64_C(1000000000000)

/*
 * The first error is the cause; but that ranks do not run again is what matters then. Before a
 * release they do, whatever they say.
 */
static void note_error(struct transport_switch *sw, const struct ninja_error *err)
{
    if (!ninja_error_is_set(&sw->err)) {
        sw->err = *err;
    } else if (sw->state == SW_RESUMING) {
        sw->err.class = err->class;
    }
}

/* A part reported. Up to settle one failure is enough to know how it ends. */
static void part_over(struct part *part, const struct ninja_error *err)
{
    struct transport_switch *sw = part->sw;
    if (part->state != PART_GONE) {
        switch_set_part(part, PART_IDLE);
    }
    if (err != NULL) {
        struct ninja_error why = *err;
        if (sw->step == NINJA_STEP_RESUME) {
            why.class = ERR_RESUME;
        }
        note_error(sw, &why);
        sw->step_failed = true;
        sw->switched[part->job].stuck |= !switch_is_quiescing(sw);
    }
    if (sw->n_awaited == 0 || (sw->step_failed && switch_is_quiescing(sw))) {
        switch_step_over(sw);
    }
}

static int step_timeout(const struct transport_switch *sw);
static void give(struct part *part, int timeout_ms);
static void await_ranks(struct part *part);

/* ---- reports ---- */

static struct ninja_error rank_error(const struct part *part, int rank, const char *status,
                                     const char *text)
{
    static const struct {
        const char *status;
        enum ninja_error_class class;
        const char *words;
    } meanings[] = {
        {"refused", ERR_REFUSED, "refused"}, {"failed", ERR_FAILED, "failed"},
        {"stale", ERR_STALE, "found stale"}, {"timeout", ERR_TIMEOUT, "was not done in time"},
        {"lost", ERR_LOST, "was lost"},
    };
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct transport_switch *sw = part->sw;
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strcmp(meanings[i].status, status) == 0) {
            ninja_error_set(&err, meanings[i].class, "rank %d of job %s in %s: %s %s%s%.300s", rank,
                            sw->jobs->jobs[part->job].name, agent_vm(sw->agents[part->vm]),
                            ninja_step_name(sw->step), meanings[i].words, text[0] ? ": " : "",
                            text);
        }
    }
    ninja_error_set(&err, ERR_PROTOCOL, "rank %d of job %s: unknown status \"%.20s\"", rank,
                    sw->jobs->jobs[part->job].name, status);
    return err;
}

static bool take_counts(struct part *part, int rank, json_t *report, struct ninja_error *err)
{
    struct transport_switch *sw = part->sw;
    struct switched_job *job = &sw->switched[part->job];
    bool unused = false;
    unsigned reports = switch_step(sw)->reports;
    if ((reports & NINJA_REPORTS_SENT) == 0) {
        return true;
    }
    bool *changed = sw->step == NINJA_STEP_STOP ? &unused : &job->changed;
    bool same = json_is_true(json_object_get(report, "same"));
    if (same && sw->step == NINJA_STEP_STOP) {
        return ninja_error_set(err, ERR_PROTOCOL,
                               "rank %d reported the counts of before, and there are none", rank);
    }
    if (!same && !counts_set_row(job->sent, rank, json_object_get(report, "a"), changed, err)) {
        return false;
    }
    return (reports & NINJA_REPORTS_HELD) == 0 ||
           counts_set_row(job->held, rank, json_object_get(report, "b"), &unused, err);
}

/* Adds to the sum of all rounds. */
static void take_micros(int64_t *of_rank, enum ninja_step step, int64_t micros)
{
    if (micros > 0 && micros < MAX_MICROS - of_rank[step]) {
        of_rank[step] += micros;
    }
}

/* Takes since when a rank that runs again was at rest. If its agent does not know, it may be long.
 */
static void take_rest(struct transport_switch *sw, json_t *report)
{
    json_t *json = json_object_get(report, "stood-ms");
    json_int_t stood = json_integer_value(json), longest = now_ms() - sw->stopped_at;
    bool known = json_is_integer(json) && stood >= 0 && stood < longest;
    int64_t since = known ? now_ms() - stood : sw->stopped_at;
    if (!(known && stood == 0) && since < sw->at_rest_since) {
        sw->at_rest_since = since;
    }
}

/* Takes what a rank says that it goes on without, though it was in the list. */
static void take_left_out(struct part *part, int rank, const char *text)
{
    struct transport_switch *sw = part->sw;
    if (sw->step != NINJA_STEP_VERIFY || text == NULL || text[0] == '\0') {
        return;
    }
    const char *vm = agent_vm(sw->agents[part->vm]), *job = sw->jobs->jobs[part->job].name;
    ninja_log_vm(NINJA_LOG_WARNING, vm,
                 "rank %d of job %s goes on without %.300s: no message gets through", rank, job,
                 text);
    json_array_append_new(sw->dropped, json_pack("{s:s, s:i, s:s, s:o}", "job", job, "rank", rank,
                                                 "vm", vm, "transports", json_text(text)));
}

static bool take_rank(struct part *part, json_t *report, int *n, struct ninja_error *err)
{
    struct transport_switch *sw = part->sw;
    struct job *job = sw->switched[part->job].job;
    json_t *rank_json = json_object_get(report, "rank");
    json_int_t rank = json_is_integer(rank_json) ? json_integer_value(rank_json) : -1;
    const char *status = json_string_value(json_object_get(report, "status"));
    const char *text = json_string_value(json_object_get(report, "text"));
    json_int_t micros = json_integer_value(json_object_get(report, "micros"));
    json_t *transports = json_object_get(report, "transports");
    if (rank < 0 || rank >= job->size || job->ranks[rank].vm != part->vm || status == NULL ||
        job->ranks[rank].reported) {
        return ninja_error_set(err, ERR_PROTOCOL, "%s: a malformed report of step %s",
                               agent_vm(sw->agents[part->vm]), ninja_step_name(sw->step));
    }
    job->ranks[rank].reported = true;
    if (strcmp(status, "ok") != 0) {
        *err = rank_error(part, (int)rank, status, text ? text : "");
        return false;
    }
    if (micros > sw->step_micros) {
        sw->step_micros = micros;
    }
    take_micros(sw->switched[part->job].micros[rank], sw->step, micros);
    if (sw->step == NINJA_STEP_RESUME) {
        take_rest(sw, report);
    }
    take_left_out(part, (int)rank, text);
    if ((switch_step(sw)->reports & NINJA_REPORTS_TRANSPORTS) != 0 && json_is_object(transports)) {
        json_decref(job->ranks[rank].transports);
        job->ranks[rank].transports = guest_transports(transports);
    }
    (*n)++;
    return take_counts(part, (int)rank, report, err) &&
           switch_take_addresses(part, (int)rank, report, err);
}

static void on_step_event(struct part *part, json_t *data)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct job *job = part->sw->switched[part->job].job;
    size_t i;
    json_t *report;
    int n = 0;
    for (int r = 0; r < part->n_ranks; r++) {
        job->ranks[part->ranks[r]].reported = false;
    }
    json_array_foreach(json_object_get(data, "ranks"), i, report)
    {
        struct ninja_error one = NINJA_ERROR_INIT;
        if (!take_rank(part, report, &n, &one) && !ninja_error_is_set(&err)) {
            err = one;
        }
    }
    if (!ninja_error_is_set(&err) && n != part->n_ranks) {
        ninja_error_set(&err, ERR_LOST, "%s: %d of %d ranks of job %s reported for step %s",
                        agent_vm(part->sw->agents[part->vm]), n, part->n_ranks,
                        part->sw->jobs->jobs[part->job].name, ninja_step_name(part->sw->step));
    }
    part_over(part, ninja_error_is_set(&err) ? &err : NULL);
}

/* An agent was started again. It has forgotten the steps that it had accepted; the client gives it
 * again those that it had not. */
static void on_restart(struct switched_vm *vm, const struct agent *agent)
{
    struct transport_switch *sw = vm->sw;
    for (int i = 0; i < vm->n_parts; i++) {
        struct part *part = &vm->parts[i];
        if (part->state != PART_ACCEPTED) {
            continue;
        }
        if (!switch_is_quiescing(sw)) {
            await_ranks(part);
            continue;
        }
        struct ninja_error err = NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_LOST, "%s: its agent was started again in the midst of step %s",
                        agent_vm(agent), ninja_step_name(sw->step));
        part_over(part, &err);
        return; /* that ends the step */
    }
}

/* An agent has forgotten events, and the end of a step may be among them: it tells it again when it
 * is given the step again. */
static void give_again(struct switched_vm *vm)
{
    int timeout_ms = vm->n_parts > 0 ? step_timeout(vm->sw) : 0;
    for (int i = 0; i < vm->n_parts; i++) {
        if (vm->parts[i].state == PART_ACCEPTED && timeout_ms > 0) {
            give(&vm->parts[i], timeout_ms);
        }
    }
}

void switch_on_event(void *arg, struct agent *agent, const char *name, json_t *data)
{
    struct switched_vm *vm = arg;
    const struct transport_switch *sw = vm->sw;
    if (strcmp(name, AGENT_RESTARTED) == 0) {
        on_restart(vm, agent);
        return;
    }
    if (strcmp(name, AGENT_EVENTS_LOST) == 0) {
        give_again(vm);
        return;
    }
    const char *job = json_string_value(json_object_get(data, "job"));
    const char *step = json_string_value(json_object_get(data, "step"));
    json_t *epoch = json_object_get(data, "epoch"), *round = json_object_get(data, "round");
    if (strcmp(name, "NINJA_STEP") != 0 || job == NULL || step == NULL ||
        strcmp(step, ninja_step_name(sw->step)) != 0 || json_integer_value(round) != sw->round) {
        return;
    }
    for (int i = 0; i < vm->n_parts; i++) {
        struct part *part = &vm->parts[i];
        if (switch_part_is_awaited(part) &&
            json_integer_value(epoch) == sw->switched[part->job].epoch &&
            strcmp(sw->jobs->jobs[part->job].name, job) == 0) {
            on_step_event(part, data);
            return;
        }
    }
}

/* ---- giving a step ---- */

static void on_deadline(evutil_socket_t fd, short what, void *arg);

/* From release on, a job that has ended is no reason to keep back what is left to be done. */
static void job_ended(struct part *part)
{
    const struct transport_switch *sw = part->sw;
    ninja_log_vm(NINJA_LOG_WARNING, agent_vm(sw->agents[part->vm]),
                 "job %s ended in the middle of the switch", sw->jobs->jobs[part->job].name);
    switch_set_part(part, PART_GONE);
    part_over(part, NULL);
}

/*
 * An agent that was started again does not know the job until its ranks have come back to it. They
 * wait for this step, so it is given when they are there.
 */
static void ask_for_ranks(evutil_socket_t fd, short what, void *arg);

static void on_ranks(void *arg, json_t *result, const struct ninja_error *error)
{
    struct part *part = arg;
    const struct transport_switch *sw = part->sw;
    const struct job *job = &sw->jobs->jobs[part->job];
    struct agent *agent = sw->agents[part->vm];
    struct ninja_error err = NINJA_ERROR_INIT;
    struct jobs *jobs = xcalloc(1, sizeof(*jobs));
    if (part->state != PART_WITHOUT_RANKS) {
        jobs_free(jobs);
        return;
    }
    if (error != NULL) {
        err = *error;
    } else if (!jobs_add(jobs, part->vm, result, &err)) {
        ninja_error_where(&err, "%s", agent_vm(agent));
    }
    int back = jobs_ranks_in(jobs, job->name, part->vm);
    jobs_free(jobs);
    if (ninja_error_is_set(&err)) {
        part_over(part, &err);
    } else if (back == part->n_ranks) {
        snprintf(part->instance, sizeof(part->instance), "%s", agent_instance(agent));
        give(part, step_timeout(sw));
    } else if (now_ms() < part->back_by) {
        part->again = timer_start(sw->base, ASK_AGAIN_MS, ask_for_ranks, part);
    } else {
        ninja_error_set(&err, ERR_LOST,
                        "%s: its agent was started again, and %d of %d ranks of job %s have come "
                        "back to it in time; if the job has not ended, give ninjactl switch when "
                        "they have",
                        agent_vm(agent), back, part->n_ranks, job->name);
        part_over(part, &err);
    }
}

static void ask_for_ranks(evutil_socket_t fd, short what, void *arg)
{
    struct part *part = arg;
    timer_free(&part->again);
    agent_execute(part->sw->agents[part->vm], "ninja-jobs", NULL,
                  part->sw->options.cluster->timeouts[TIMEOUT_COMMAND], on_ranks, part);
}

static void await_ranks(struct part *part)
{
    struct transport_switch *sw = part->sw;
    const int *timeouts = sw->options.cluster->timeouts;
    switch_set_part(part, PART_WITHOUT_RANKS);
    if (part->back_by == 0) {
        ninja_log_vm(NINJA_LOG_WARNING, agent_vm(sw->agents[part->vm]),
                     "its agent was started again; waiting for the ranks of job %s",
                     sw->jobs->jobs[part->job].name);
        part->back_by = now_ms() + timeouts[TIMEOUT_JOBS];
    }
    int64_t left = part->back_by > now_ms() ? part->back_by - now_ms() : 0;
    timer_free(&sw->deadline);
    sw->deadline =
        timer_start(sw->base, left + timeouts[TIMEOUT_COMMAND] + step_timeout(sw) + 2 * GRACE_MS,
                    on_deadline, sw);
    ask_for_ranks(-1, 0, part);
}

/* The answer {} is not the end of the step, but an error is. */
static void on_accepted(void *arg, json_t *result, const struct ninja_error *err)
{
    struct part *part = arg;
    if (part->state != PART_GIVEN) {
        return;
    }
    if (err == NULL) {
        switch_set_part(part, PART_ACCEPTED);
    } else if (switch_is_quiescing(part->sw) || err->class != ERR_NO_SUCH_JOB) {
        part_over(part, err);
    } else if (strcmp(part->instance, agent_instance(part->sw->agents[part->vm])) == 0) {
        job_ended(part);
    } else {
        await_ranks(part);
    }
}

/* The names of VMs whose agents are silent, those of the first few: "vm1, vm2 and 3 more". Returns
 * how many VMs these are. */
static int name_silent(const struct transport_switch *sw, char *text, size_t size)
{
    int n_vms = 0, last_vm = -1;
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < sw->n_parts; i++) {
        const struct part *part = &sw->parts[i];
        if (!switch_part_is_awaited(part) || part->vm == last_vm) {
            continue;
        }
        if (n_vms++ < NAMED_VMS) {
            at += (size_t)snprintf(text + at, size - at, "%s%s", at > 0 ? ", " : "",
                                   agent_vm(sw->agents[part->vm]));
        }
        last_vm = part->vm;
    }
    if (n_vms > NAMED_VMS) {
        snprintf(text + at, size - at, " and %d more", n_vms - NAMED_VMS);
    }
    return n_vms;
}

/* The jobs of silent agents are not known to run again, once anything was released. */
static const struct part *note_stuck(struct transport_switch *sw)
{
    const struct part *first = NULL;
    for (int i = 0; i < sw->n_parts; i++) {
        const struct part *part = &sw->parts[i];
        if (switch_part_is_awaited(part)) {
            first = first == NULL ? part : first;
            sw->switched[part->job].stuck |= !switch_is_quiescing(sw);
        }
    }
    return first;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct transport_switch *sw = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    char vms[NAMED_VMS * 70 + 32];
    const struct part *first = note_stuck(sw);
    if (first == NULL) { /* all jobs have ended */
        switch_step_over(sw);
        return;
    }
    int n = name_silent(sw, vms, sizeof(vms));
    ninja_error_set(&err, sw->step == NINJA_STEP_RESUME ? ERR_RESUME : ERR_TIMEOUT,
                    "%s: the agent%s not report step %s of job %s in time", vms,
                    n > 1 ? "s did" : " did", ninja_step_name(sw->step),
                    sw->jobs->jobs[first->job].name);
    note_error(sw, &err);
    sw->step_failed = true;
    switch_step_over(sw);
}

static int step_timeout(const struct transport_switch *sw)
{
    const int *timeouts = sw->options.cluster->timeouts;
    switch (switch_step(sw)->part) {
    case NINJA_PART_QUIESCE:
        break;
    case NINJA_PART_RELEASE:
        return timeouts[TIMEOUT_RELEASE];
    case NINJA_PART_RESELECT:
        return timeouts[TIMEOUT_RESELECT];
    case NINJA_PART_RESUME:
        return timeouts[TIMEOUT_RESUME];
    }
    return (int)(sw->budget_end - now_ms());
}

static void add_tables(json_t *arguments, struct counts *counts, const struct part *part)
{
    json_t *tables = json_object();
    for (int i = 0; i < part->n_ranks; i++) {
        char key[16];
        json_t *column = counts_column(counts, part->ranks[i]);
        snprintf(key, sizeof(key), "%d", part->ranks[i]);
        if (json_array_size(column) > 0) {
            json_object_set(tables, key, column);
        }
        json_decref(column);
    }
    json_object_set_new(arguments, "tables", tables);
}

bool switch_leaves(const struct transport_switch *sw, const struct job *job, int rank)
{
    const int vm = job->ranks[rank].vm;
    return sw->options.leaving == NULL || vm < 0 || sw->options.leaving[vm];
}

/* The ranks of a job that leave, as [first, how many]; NULL: all do. */
static json_t *leaving_ranks(const struct transport_switch *sw, const struct job *job)
{
    json_t *ranges = json_array();
    int n = 0;
    for (int first = 0, end; first < job->size; first = end) {
        bool leaves = switch_leaves(sw, job, first);
        for (end = first; end < job->size && switch_leaves(sw, job, end) == leaves; end++) {
            n += leaves;
        }
        if (leaves) {
            json_array_append_new(ranges, json_pack("[ii]", first, end - first));
        }
    }
    if (n < job->size) {
        return ranges;
    }
    json_decref(ranges);
    return NULL;
}

static void add_leaving(const struct part *part, json_t *arguments)
{
    json_t *leaving = leaving_ranks(part->sw, part->sw->switched[part->job].job);
    if (leaving != NULL) {
        json_object_set_new(arguments, "leaving", leaving);
    }
}

/* Adds what the step carries. */
static void add_content(const struct part *part, json_t *arguments)
{
    const struct transport_switch *sw = part->sw;
    const struct switched_job *job = &sw->switched[part->job];
    const int *timeouts = sw->options.cluster->timeouts;
    switch (switch_step(sw)->carries) {
    case NINJA_CARRIES_LEASE:
        json_object_set_new(arguments, "lease-ms",
                            json_integer(timeouts[TIMEOUT_QUIESCE] + LEASE_SLACK_MS));
        json_object_set_new(arguments, "release", json_string(sw->release));
        json_object_set_new(arguments, "open", json_string(sw->reselect));
        add_leaving(part, arguments);
        break;
    case NINJA_CARRIES_SENT:
        add_tables(arguments, job->sent, part);
        break;
    case NINJA_CARRIES_HELD:
        add_tables(arguments, job->held, part);
        break;
    case NINJA_CARRIES_LIST:
        json_object_set_new(
            arguments, "transports",
            json_string(sw->step == NINJA_STEP_RELEASE ? sw->release : sw->reselect));
        break;
    case NINJA_CARRIES_ADDRESSES:
        json_object_set(arguments, "addresses", job->address_list);
        break;
    case NINJA_CARRIES_LIMIT: /* the agent makes it from the time-out */
    case NINJA_CARRIES_NOTHING:
        break;
    }
}

static void give(struct part *part, int timeout_ms)
{
    struct transport_switch *sw = part->sw;
    struct switched_job *job = &sw->switched[part->job];
    json_t *arguments = json_pack("{s:s, s:I, s:i, s:s, s:i}", "job", job->job->name, "epoch",
                                  (json_int_t)job->epoch, "round", sw->round, "step",
                                  ninja_step_name(sw->step), "timeout-ms", timeout_ms);
    add_content(part, arguments);
    switch_set_part(part, PART_GIVEN);
    /* Longer than the step is waited for, which names all that are silent. */
    agent_execute(sw->agents[part->vm], "ninja-step", arguments, timeout_ms + 2 * GRACE_MS,
                  on_accepted, part);
}

/* False if there is nobody to give it to. */
static bool give_to_all(struct transport_switch *sw, int timeout_ms)
{
    bool given = false;
    for (int i = 0; i < sw->n_parts; i++) {
        const struct switched_job *job = &sw->switched[sw->parts[i].job];
        bool done = (job->quiet && switch_is_quiescing(sw)) ||
                    (job->stuck && sw->step == NINJA_STEP_RESUME);
        if (!done && sw->parts[i].state != PART_GONE) {
            give(&sw->parts[i], timeout_ms);
            given = true;
        }
    }
    return given;
}

void switch_start_step(struct transport_switch *sw, enum ninja_step step)
{
    ninja_fault(NINJA_FAULT_STATE, "before %s of a switch", ninja_step_name(step));
    sw->step = step;
    sw->step_began = now_ms();
    sw->step_micros = 0;
    sw->step_failed = false;
    for (int i = 0; i < sw->n_parts; i++) {
        switch_leave_part(&sw->parts[i]);
    }
    for (int i = 0; i < sw->jobs->n; i++) {
        if (step == NINJA_STEP_DRAIN) {
            sw->switched[i].changed = false;
        } else if (step == NINJA_STEP_OPEN) {
            switch_forget_addresses(&sw->switched[i]);
            sw->switched[i].stuck = false;
        }
    }
    int timeout_ms = step_timeout(sw);
    timer_free(&sw->deadline);
    if (timeout_ms <= 0) {
        ninja_error_set(&sw->err, ERR_TIMEOUT, "the job did not become quiet in time");
        switch_give_up_attempt(sw);
        return;
    }
    sw->deadline = timer_start(sw->base, give_to_all(sw, timeout_ms) ? timeout_ms + GRACE_MS : 0,
                               on_deadline, sw);
}
