/*
 * Theory of operation
 *
 * A step is accepted, sent to the ranks that take part in the epoch, and ends with the event
 * NINJA_STEP when all of them reported, were lost, or the time is over. Which step may follow which
 * is in common/switch_steps.c; the ranks check it too, and have the last word.
 *
 * The coordinator may ask again, as its channel may have broken: the same step (epoch, round, name)
 * is not given twice; when it has ended, its event is sent again. A report that came after the time
 * was over then takes the place of the `timeout`.
 *
 * A coordinator that takes over from one that ended begins in the middle: with a `release` or a
 * `resume` of a newer epoch.
 *
 * Only two things may interrupt a step in progress: `resume`, which takes an epoch back, and a
 * step of a newer epoch. The interrupted step ends at once, its silent ranks with `stale`.
 *
 * Nobody takes part in an epoch by halves: a rank that came after `stop`, and one that was lost,
 * makes every later step of the epoch fail, until `resume`.
 *
 * A rank that has not confirmed `stop`, as it computes and has not read it, is not waited for in
 * `resume`: it finds both together, and goes on.
 */
#include "guest-agent/steps.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base64.h"
#include "common/clock.h"
#include "common/log.h"
#include "guest-agent/ranks.h"
#include "guest-agent/shortage.h"
#include "guest-agent/stepargs.h"
#include "guest-agent/text.h"

#define LEASES_OF_SILENCE 5

/* Puts a report in, or in the place of the one that the agent made up for a silent rank. */
static void put_report(struct job *job, uint32_t number, json_t *report)
{
    size_t i;
    json_t *old;
    json_array_foreach(job->step.reports, i, old)
    {
        if (json_integer_value(json_object_get(old, "rank")) == (json_int_t)number) {
            json_array_set_new(job->step.reports, i, report);
            return;
        }
    }
    json_array_append_new(job->step.reports, report);
}

/* A report in the agent's own words. */
static void put_own_report(struct job *job, const struct rank *rank, const char *status,
                           const char *text)
{
    put_report(job, rank->number,
               json_pack("{s:I, s:s, s:i, s:s}", "rank", (json_int_t)rank->number, "status", status,
                         "micros", 0, "text", text));
}

/* Puts a report for a rank that was told to run again, and never stopped. */
static void put_never_stopped(struct job *job, const struct rank *rank)
{
    put_report(job, rank->number,
               json_pack("{s:I, s:s, s:i, s:s, s:i}", "rank", (json_int_t)rank->number, "status",
                         "ok", "micros", 0, "text", "has not stopped", "stood-ms", 0));
}

/* Cuts reports that are too long for a line: they keep who reported, and say why that is no use. */
static void cut_reports(json_t *reports)
{
    size_t i;
    json_t *report;
    json_array_foreach(reports, i, report)
    {
        json_object_set_new(report, "status", json_string("failed"));
        json_object_set_new(report, "text",
                            json_string("the reports of this VM are too long for one line"));
        json_object_del(report, "a");
        json_object_del(report, "b");
        json_object_del(report, "addresses");
    }
}

static void emit(struct job *job)
{
    shortage_forget();
    json_t *data = json_pack("{s:s, s:I, s:i, s:s, s:O}", "job", job->name, "epoch",
                             (json_int_t)job->step.epoch, "round", (int)job->step.round, "step",
                             ninja_rank_type_name(job->step.type), "ranks", job->step.reports);
    /* A copy: a late report changes ours, and the ring keeps what was said. */
    json_t *copy = json_deep_copy(data);
    json_decref(data);
    if (json_dumpb(copy, NULL, 0, JSON_COMPACT) > EVENTS_MAX_DATA) {
        cut_reports(json_object_get(copy, "ranks"));
    }
    events_emit(jobs_events(job->jobs), "NINJA_STEP", shortage_checked(copy));
}

/* Ends the step; the ranks that still owe a report get the status and text. */
static void finish(struct job *job, const char *status, const char *text)
{
    struct rank *rank;
    evtimer_del(job->step.timer);
    job->step.in_progress = false;
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        if (rank->owes) {
            ninja_log_warning("job %s rank %u: %s: %s", job->name, rank->number,
                              ninja_rank_type_name(job->step.type), text);
            put_own_report(job, rank, status, text);
            rank->owes = false;
        }
    }
    emit(job);
    if (job->step.type == NINJA_RANK_RESUME) {
        job_set_phase(job, JOB_IDLE);
    }
}

static void finish_if_complete(struct job *job)
{
    struct rank *rank;
    if (!job->step.in_progress) {
        return;
    }
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        if (rank->owes) {
            return;
        }
    }
    finish(job, "", "");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct job *job = arg;
    if (job->step.replay) {
        job->step.replay = false;
        emit(job);
    } else if (job->step.in_progress) {
        finish(job, "timeout", "no report in time");
    }
}

bool steps_init(struct job *job, struct event_base *base)
{
    job->step.timer = evtimer_new(base, on_timer, job);
    job->step.reports = json_array();
    return job->step.timer != NULL && job->step.reports != NULL;
}

void steps_clear(struct job *job)
{
    if (job->step.timer != NULL) {
        event_free(job->step.timer);
    }
    json_decref(job->step.reports);
    job_release_reports(job);
}

void steps_end_now(struct job *job)
{
    if (job->step.in_progress) {
        finish(job, "lost", "its connection ended");
    }
}

void steps_rank_lost(struct rank *rank)
{
    if (rank->owes) {
        rank->owes = false;
        put_own_report(rank->job, rank, "lost", "its connection ended");
        finish_if_complete(rank->job);
    }
}

static json_t *pairs_json(const struct ninja_rank_pair *pairs, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++) {
        json_t *pair = json_array();
        json_array_append_new(pair, json_integer(pairs[i].peer));
        json_array_append_new(pair, json_integer(pairs[i].value));
        json_array_append_new(list, pair);
    }
    return list;
}

/* {NAME: PEERS, ...} from the names in the text and the numbers in `a`. */
static json_t *transports_json(const struct ninja_rank_msg *msg)
{
    json_t *map = json_object();
    const char *name = msg->text;
    for (uint32_t i = 0; i < msg->n_a && i < JOBS_MAX_TRANSPORTS && *name != '\0'; i++) {
        size_t len = strcspn(name, ",");
        char key[64];
        if ((size_t)(name - msg->text) + len > JOBS_MAX_TRANSPORT_NAMES) {
            break;
        }
        if (len > 0 && len < sizeof(key)) {
            memcpy(key, name, len);
            key[len] = '\0';
            json_object_set_new(map, key, json_integer(msg->a[i].value));
        }
        name += len + (name[len] == ',');
    }
    return map;
}

/* FNV-1a. That two tables of a rank look the same and are not is as likely as 1 to 2^64. */
static uint64_t digest(const struct ninja_rank_pair *pairs, uint32_t n)
{
    uint64_t sum = 14695981039346656037u;
    for (uint32_t i = 0; i < n; i++) {
        sum = (sum ^ pairs[i].peer) * 1099511628211u;
        sum = (sum ^ pairs[i].value) * 1099511628211u;
    }
    return sum;
}

/*
 * Whether the host has the counts of this report from the one before. It gives the next step of an
 * epoch only when it has the reports of the last one, and begins an epoch with `stop` or without
 * counts.
 */
static bool is_told_already(struct rank *rank, const struct ninja_rank_msg *msg)
{
    if ((ninja_rank_step_row(msg->arg)->reports & NINJA_REPORTS_SENT) == 0 ||
        msg->status != NINJA_RANK_OK) {
        return false;
    }
    uint64_t sum = digest(msg->a, msg->n_a);
    bool same = msg->arg != NINJA_RANK_STOP && rank->has_told && rank->told_epoch == msg->epoch &&
                rank->told == sum;
    rank->told = sum;
    rank->told_epoch = msg->epoch;
    rank->has_told = true;
    return same;
}

static void add_pairs(json_t *report, const char *key, const struct ninja_rank_pair *pairs,
                      uint32_t n)
{
    if (n > 0) {
        json_object_set_new(report, key, pairs_json(pairs, n));
    }
}

/* What is empty is left out: most of it is, and there are many ranks. */
static json_t *report_json(struct rank *rank, const struct ninja_rank_msg *msg)
{
    json_t *report =
        json_pack("{s:I, s:s, s:I}", "rank", (json_int_t)rank->number, "status",
                  ninja_rank_status_name(msg->status), "micros", (json_int_t)msg->micros);
    if (msg->text[0] != '\0') {
        json_object_set_new(report, "text", text_json(msg->text, strlen(msg->text)));
    }
    if (is_told_already(rank, msg)) {
        json_object_set_new(report, "same", json_true());
    } else {
        add_pairs(report, "a", msg->a, msg->n_a);
    }
    add_pairs(report, "b", msg->b, msg->n_b);
    if (msg->n_addresses > 0) {
        char *text = ninja_base64_encode(msg->addresses, msg->n_addresses);
        if (text == NULL) {
            shortage_note();
        }
        json_object_set_new(report, "addresses", json_string(text));
        free(text);
    }
    return report;
}

/* About what report_json() takes: a pair of numbers is an array of two. */
static size_t report_size(const struct ninja_rank_msg *msg)
{
    return 1024 + (size_t)200 * (msg->n_a + msg->n_b) + (size_t)2 * msg->n_addresses +
           strlen(msg->text);
}

/*
 * How long the job has had to do without a rank that was told to run again. A rank that computes
 * all the while and never came to its safe point has lost nothing.
 */
static void say_how_long_it_stood(struct rank *rank, json_t *report)
{
    if (rank->stopped_ms != 0) {
        json_object_set_new(report, "stood-ms", json_integer(now_ms() - rank->stopped_ms));
    }
    rank->stopped_ms = 0;
}

/* Learns what a report says about the rank, whether or not somebody still waits for it. */
static void learn(struct rank *rank, const struct ninja_rank_msg *msg)
{
    if (msg->status != NINJA_RANK_OK) {
        return;
    }
    rank->epoch = msg->epoch;
    if (msg->arg == NINJA_RANK_STOP && rank->state == NINJA_RANK_RUNNING) {
        rank->stopped_ms = now_ms();
    }
    rank_set_state(rank, ninja_rank_step_row(msg->arg)->to);
    if (msg->arg == NINJA_RANK_RELEASE || msg->arg == NINJA_RANK_OPEN) {
        json_decref(rank->transports);
        rank->transports = NULL;
    }
    if (msg->arg == NINJA_RANK_CONNECT) {
        json_decref(rank->transports);
        rank->transports = shortage_checked(transports_json(msg));
    }
}

/* Keeps what the step was waiting for. */
static const char *keep_report(struct rank *rank, const struct ninja_rank_msg *msg)
{
    struct job *job = rank->job;
    if (!job_reserve_report(job, report_size(msg))) {
        put_own_report(job, rank, "failed", "the reports of this VM take too much memory");
        return NULL;
    }
    json_t *report = report_json(rank, msg);
    if (msg->arg == NINJA_RANK_CONNECT && rank->transports != NULL) {
        json_object_set(report, "transports", rank->transports);
    }
    if (msg->arg == NINJA_RANK_RESUME) {
        say_how_long_it_stood(rank, report);
    }
    if (shortage_was()) {
        json_decref(report);
        return "its report cannot be kept: out of memory";
    }
    put_report(job, rank->number, report);
    return NULL;
}

/* Whether the step has ended with a timeout for this rank. */
static bool was_silent(const struct rank *rank)
{
    size_t i;
    json_t *report;
    json_array_foreach(rank->job->step.reports, i, report)
    {
        if (json_integer_value(json_object_get(report, "rank")) == (json_int_t)rank->number) {
            return strcmp(json_string_value(json_object_get(report, "status")), "timeout") == 0;
        }
    }
    return false;
}

const char *steps_report(struct rank *rank, const struct ninja_rank_msg *msg)
{
    struct job *job = rank->job;
    struct step *step = &job->step;

    if (!ninja_rank_type_is_step(msg->arg)) {
        return "a report of no step";
    }
    if (msg->status > NINJA_RANK_STALE) {
        return "a report with an unknown status";
    }
    bool current = step->type == msg->arg && step->round == msg->round &&
                   step->epoch == msg->epoch && (rank->owes || was_silent(rank));
    ninja_log_debug("job %s rank %u: %s epoch %u round %u: %s %s%s", job->name, rank->number,
                    ninja_rank_type_name((uint16_t)msg->arg), msg->epoch, msg->round,
                    ninja_rank_status_name(msg->status), msg->text,
                    current ? "" : " (not asked for)");
    shortage_forget();
    /* Reports come in the order of the steps, so only one of an older epoch says nothing new. */
    if (msg->epoch == job->epoch) {
        learn(rank, msg);
    }
    const char *wrong = current ? keep_report(rank, msg) : NULL;
    if (!current || wrong != NULL) {
        return wrong;
    }
    rank->owes = false;
    finish_if_complete(job);
    return NULL;
}

static bool is_repeated(const struct job *job, const struct step_args *args)
{
    return job->step.type == args->type && job->step.round == args->round &&
           job->step.epoch == args->epoch;
}

static bool is_leaving(const struct job *job)
{
    const struct rank *rank;
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        if (rank->leaving) {
            return true;
        }
    }
    return job->finalizing;
}

/* Whether the step may come after what the job is at, in the same epoch or as the first of a newer
 * one. */
static bool is_in_order(const struct job *job, const struct ninja_switch_step *step, bool is_new)
{
    if (job->phase == JOB_UNKNOWN) { /* the ranks know what they are at, and check it */
        return !is_new || step->begins_after != 0;
    }
    unsigned last = job->phase == JOB_IDLE ? NINJA_STEP_RESUME : job->phase - JOB_STOP;
    return ((is_new ? step->begins_after : step->after) & (1u << last)) != 0;
}

/* Whether the step may be given now. */
static bool may_follow(const struct job *job, const struct step_args *args, struct ninja_error *err)
{
    const char *name = ninja_rank_type_name(args->type);
    const struct ninja_switch_step *step = ninja_rank_step_row(args->type);
    bool is_new = args->epoch > job->epoch;

    if (args->epoch < job->epoch ||
        (args->type == NINJA_RANK_STOP && !is_new && job->phase != JOB_UNKNOWN)) {
        return ninja_error_set(err, ERR_STALE_EPOCH,
                               "%s of epoch %u, but the job %s has had epoch %u: choose a higher "
                               "one",
                               name, args->epoch, job->name, job->epoch);
    }
    if (args->type == NINJA_RANK_STOP && is_leaving(job)) {
        return ninja_error_set(err, ERR_JOB_NOT_READY, "ranks of the job %s are in MPI_Finalize",
                               job->name);
    }
    if (!is_in_order(job, step, is_new)) {
        return ninja_error_set(
            err, ERR_BAD_STEP, "%s of epoch %u cannot follow: the job %s is at %s of epoch %u",
            name, args->epoch, job->name, job_phase_name(job->phase), job->epoch);
    }
    if (job->step.in_progress && !is_new && !step->interrupts) {
        return ninja_error_set(err, ERR_BAD_STEP, "%s is still in progress for the job %s",
                               ninja_rank_type_name(job->step.type), job->name);
    }
    if (args->epoch == job->step.epoch && args->round < job->step.round) {
        return ninja_error_set(err, ERR_BAD_STEP, "round %u, after round %u of the same epoch",
                               args->round, job->step.round);
    }
    return true;
}

static void arm_lease(struct job *job, const struct step_args *args)
{
    if (args->type == NINJA_RANK_STOP) {
        job->lease_ms = args->lease_ms;
    }
    evtimer_del(job->lease);
    if (ninja_rank_step_row(args->type)->part == NINJA_PART_QUIESCE && job->lease_ms > 0) {
        uint64_t ms = (uint64_t)job->lease_ms * LEASES_OF_SILENCE;
        struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
        evtimer_add(job->lease, &tv);
    }
}

static void give_to(struct rank *rank, const struct step_args *args, struct ninja_rank_pair *pairs,
                    int file)
{
    struct job *job = rank->job;
    struct ninja_rank_msg msg;

    if (args->type == NINJA_RANK_STOP) {
        rank->member = true;
    }
    if (rank->conn == NULL) {
        put_own_report(job, rank, "lost", "its connection ended earlier in this epoch");
    } else if (rank->member) {
        step_args_message(args, rank->number, pairs, &msg);
        rank->owes = true;
        if (args->type == NINJA_RANK_RELEASE) {
            /* Whatever it will report, nobody may believe that nothing was released. */
            rank_set_state(rank, NINJA_RANK_RELEASED);
        }
        rank_conn_send(rank->conn, &msg, file);
        if (args->type == NINJA_RANK_RESUME && rank->state == NINJA_RANK_RUNNING) {
            rank->owes = false;
            put_never_stopped(job, rank);
        }
    } else if (args->type == NINJA_RANK_RESUME) {
        put_never_stopped(job, rank);
    } else {
        put_own_report(job, rank, "refused",
                       "came when this epoch was in progress: resume, and begin a new one");
    }
}

/* Gives the step to the ranks. Returns whether one of them is waited for. */
static bool give_to_all(struct job *job, const struct step_args *args,
                        struct ninja_rank_pair *pairs, int file)
{
    bool waiting = false;
    struct rank *rank;
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        give_to(rank, args, pairs, file);
        waiting = waiting || rank->owes;
    }
    return waiting;
}

static void begin(struct job *job, const struct step_args *args, struct ninja_rank_pair *pairs,
                  json_t *reports, int file)
{
    if (job->step.in_progress) {
        finish(job, "stale", "another step was given before the report");
    }
    json_decref(job->step.reports);
    job_release_reports(job);
    job->step.reports = reports;
    job->step.type = args->type;
    job->step.round = args->round;
    job->step.epoch = args->epoch;
    job->step.in_progress = true;
    job->step.replay = false;
    job->epoch = args->epoch;
    job_set_phase(job, JOB_STOP + ninja_rank_step(args->type));
    arm_lease(job, args);

    bool waiting = give_to_all(job, args, pairs, file);
    /* The answer to the command goes out before the event, also when nobody is waited for. */
    uint32_t ms = waiting ? args->timeout_ms : 0;
    struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(job->step.timer, &tv);
}

static bool try_to_begin(struct job *job, const struct step_args *args, struct ninja_error *err)
{
    struct ninja_rank_pair *pairs = malloc(sizeof(*pairs) * NINJA_RANK_MAX_PAIRS);
    json_t *reports = json_array();
    int file = -1;
    bool ok = pairs != NULL && reports != NULL
                  ? args->addresses == NULL || step_args_file(args, job->size, &file, err)
                  : ninja_error_set(err, ERR_GENERIC, "out of memory");
    if (ok) {
        begin(job, args, pairs, reports, file);
    } else {
        json_decref(reports);
    }
    if (file >= 0) {
        close(file);
    }
    free(pairs);
    return ok;
}

bool steps_give(struct jobs *jobs, json_t *json, struct ninja_error *err)
{
    struct step_args args;
    if (!step_args_parse(json, &args, err)) {
        return false;
    }
    struct job *job = jobs_find(jobs, args.job);
    if (job == NULL) {
        return ninja_error_set(err, ERR_NO_SUCH_JOB, "no rank of the job %.300s is here", args.job);
    }
    if (is_repeated(job, &args)) {
        if (!job->step.in_progress) {
            struct timeval now = {0, 0};
            job->step.replay = true;
            evtimer_add(job->step.timer, &now);
        }
        return true;
    }
    return may_follow(job, &args, err) && step_args_fit(&args, job->size, err) &&
           try_to_begin(job, &args, err);
}
