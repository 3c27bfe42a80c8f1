#include "host/agent/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/printable.h"
#include "common/rank_proto.h"
#include "host/agent/guest_answer.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

/* The highest epoch of a job that is believed; the numbers above it are left for switches to come.
 */
#define MAX_EPOCH (UINT32_MAX - 4096u)

static void job_clear(struct job *job)
{
    for (int r = 0; r < job->size; r++) {
        json_decref(job->ranks[r].transports);
    }
    free(job->ranks);
}

/* ---- what one agent said ---- */

static bool integer_between(json_t *object, const char *key, json_int_t min, json_int_t max,
                            json_int_t *value)
{
    json_t *json = json_object_get(object, key);
    if (!json_is_integer(json) || json_integer_value(json) < min ||
        json_integer_value(json) > max) {
        return false;
    }
    *value = json_integer_value(json);
    return true;
}

static struct job *find_job(struct jobs *jobs, const char *name)
{
    for (int i = 0; i < jobs->n; i++) {
        if (strcmp(jobs->jobs[i].name, name) == 0) {
            return &jobs->jobs[i];
        }
    }
    return NULL;
}

static struct job *add_job(struct jobs *jobs, const char *name, int size)
{
    jobs->jobs = xrealloc(jobs->jobs, ((size_t)jobs->n + 1) * sizeof(*jobs->jobs));
    struct job *job = &jobs->jobs[jobs->n++];
    jobs->n_ranks += size;
    *job = (struct job){.size = size};
    ninja_printable_copy(job->name, sizeof(job->name), name);
    job->ranks = xcalloc((size_t)size, sizeof(*job->ranks));
    for (int i = 0; i < size; i++) {
        job->ranks[i].vm = -1;
    }
    return job;
}

static bool add_rank(struct job *job, int vm, json_t *json, struct ninja_error *err)
{
    json_int_t rank, pid = 0, epoch = 0;
    if (!integer_between(json, "rank", 0, job->size - 1, &rank)) {
        return ninja_error_set(err, ERR_PROTOCOL, "job %s: a rank is not from 0 to %d", job->name,
                               job->size - 1);
    }
    integer_between(json, "pid", 0, INT32_MAX, &pid);
    if (json_object_get(json, "epoch") != NULL &&
        !integer_between(json, "epoch", 0, NINJA_RANK_MAX_EPOCH, &epoch)) {
        return ninja_error_set(err, ERR_PROTOCOL, "rank %d of job %s is in an impossible epoch",
                               (int)rank, job->name);
    }
    struct job_rank *it = &job->ranks[rank];
    if (it->vm >= 0) {
        return ninja_error_set(err, ERR_REFUSED, "rank %d of job %s is there twice", (int)rank,
                               job->name);
    }
    it->vm = vm;
    it->pid = (int)pid;
    it->transports = guest_transports(json_object_get(json, "transports"));
    ninja_printable_copy(it->state, sizeof(it->state),
                         json_string_value(json_object_get(json, "state")));
    ninja_printable_copy(it->version, sizeof(it->version),
                         json_string_value(json_object_get(json, "version")));
    if (epoch > job->epoch) {
        job->epoch = (uint32_t)epoch;
    }
    return true;
}

/* Whether a name fits, and is without what would steer a terminal. */
static bool is_name(const char *text)
{
    char clean[JOBS_MAX_NAME + 1];
    ninja_printable_copy(clean, sizeof(clean), text);
    return text != NULL && text[0] != '\0' && strcmp(clean, text) == 0;
}

/* Ranks that compute have not seen the last epochs, but the agent that gave them knows. */
static bool take_epoch(struct job *job, json_t *json, struct ninja_error *err)
{
    json_int_t epoch = 0;
    if (json_object_get(json, "epoch") != NULL &&
        !integer_between(json, "epoch", 0, MAX_EPOCH, &epoch)) {
        return ninja_error_set(err, ERR_PROTOCOL, "job %s is in an impossible epoch", job->name);
    }
    if (epoch > job->epoch) {
        job->epoch = (uint32_t)epoch;
    }
    return true;
}

static bool add_one_job(struct jobs *jobs, int vm, json_t *json, struct ninja_error *err)
{
    const char *name = json_string_value(json_object_get(json, "job"));
    json_int_t size;
    if (!is_name(name) || !integer_between(json, "size", 1, JOBS_MAX_RANKS, &size)) {
        return ninja_error_set(err, ERR_PROTOCOL,
                               "a job without a name or with an impossible size");
    }
    struct job *job = find_job(jobs, name);
    if (job == NULL && jobs->n >= JOBS_MAX) {
        return ninja_error_set(err, ERR_REFUSED, "there are more than %d jobs", JOBS_MAX);
    }
    if (job == NULL && size > JOBS_MAX_ALL_RANKS - jobs->n_ranks) {
        return ninja_error_set(err, ERR_REFUSED, "the jobs have more than %d ranks together",
                               JOBS_MAX_ALL_RANKS);
    }
    if (job == NULL) {
        job = add_job(jobs, name, (int)size);
    }
    if (job->size != size) {
        return ninja_error_set(err, ERR_PROTOCOL, "job %s has %d ranks there and %d elsewhere",
                               job->name, (int)size, job->size);
    }
    if (!take_epoch(job, json, err)) {
        return false;
    }
    job->finalizing |= json_is_true(json_object_get(json, "finalizing"));
    size_t i;
    json_t *rank;
    json_array_foreach(json_object_get(json, "ranks"), i, rank)
    {
        if (!add_rank(job, vm, rank, err)) {
            return false;
        }
    }
    return true;
}

static void add_unmanaged(struct jobs *jobs, int vm, json_t *json)
{
    json_int_t pid = 0;
    if (jobs->n_unmanaged >= JOBS_MAX_UNMANAGED ||
        !integer_between(json, "pid", 1, INT32_MAX, &pid)) {
        return;
    }
    jobs->unmanaged =
        xrealloc(jobs->unmanaged, ((size_t)jobs->n_unmanaged + 1) * sizeof(*jobs->unmanaged));
    struct unmanaged *it = &jobs->unmanaged[jobs->n_unmanaged++];
    *it = (struct unmanaged){.vm = vm, .pid = (int)pid};
    ninja_printable_copy(it->command, sizeof(it->command),
                         json_string_value(json_object_get(json, "command")));
    ninja_printable_copy(it->job, sizeof(it->job), json_string_value(json_object_get(json, "job")));
    ninja_printable_copy(it->open, sizeof(it->open),
                         json_string_value(json_array_get(json_object_get(json, "open"), 0)));
}

bool jobs_add(struct jobs *jobs, int vm, json_t *answer, struct ninja_error *err)
{
    size_t i;
    json_t *json;
    if (!json_is_array(json_object_get(answer, "jobs"))) {
        return ninja_error_set(err, ERR_PROTOCOL, "the answer to ninja-jobs has no list of jobs");
    }
    json_array_foreach(json_object_get(answer, "jobs"), i, json)
    {
        if (!add_one_job(jobs, vm, json, err)) {
            return false;
        }
    }
    jobs->returning |= json_is_true(json_object_get(answer, "returning"));
    json_array_foreach(json_object_get(answer, "unmanaged"), i, json)
    {
        add_unmanaged(jobs, vm, json);
    }
    return true;
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    for (int i = 0; i < jobs->n; i++) {
        job_clear(&jobs->jobs[i]);
    }
    free(jobs->jobs);
    free(jobs->unmanaged);
    free(jobs);
}

json_t *jobs_to_json(const struct jobs *jobs, struct agent *const *agents)
{
    json_t *array = json_array();
    for (int i = 0; jobs != NULL && i < jobs->n; i++) {
        const struct job *job = &jobs->jobs[i];
        json_t *ranks = json_array();
        for (int r = 0; r < job->size; r++) {
            const struct job_rank *rank = &job->ranks[r];
            if (rank->vm < 0) {
                continue;
            }
            json_t *json =
                json_pack("{s:i, s:s, s:i, s:s}", "rank", r, "vm", agent_vm(agents[rank->vm]),
                          "pid", rank->pid, "state", rank->state);
            json_object_set(json, "transports", rank->transports ? rank->transports : json_null());
            json_array_append_new(ranks, json);
        }
        json_array_append_new(array, json_pack("{s:s, s:i, s:I, s:b, s:o}", "job", job->name,
                                               "size", job->size, "epoch", (json_int_t)job->epoch,
                                               "finalizing", job->finalizing, "ranks", ranks));
    }
    return array;
}

/* ---- checks ---- */

int jobs_ranks_in(const struct jobs *jobs, const char *name, int vm)
{
    int n = 0;
    for (int i = 0; i < jobs->n; i++) {
        const struct job *job = &jobs->jobs[i];
        for (int r = 0; strcmp(job->name, name) == 0 && r < job->size; r++) {
            n += job->ranks[r].vm == vm;
        }
    }
    return n;
}

bool job_is_running(const struct job *job)
{
    for (int r = 0; r < job->size; r++) {
        const char *state = job->ranks[r].state;
        if (state[0] != '\0' && strcmp(state, ninja_rank_state_name(NINJA_RANK_RUNNING)) != 0) {
            return false;
        }
    }
    return true;
}

bool job_has_released(const struct job *job)
{
    for (int r = 0; r < job->size; r++) {
        enum ninja_rank_state state = ninja_rank_state_from_name(job->ranks[r].state);
        if (state < NINJA_RANK_STATES && !ninja_step_may_come(NINJA_STEP_RESUME, state)) {
            return true;
        }
    }
    return false;
}

/* A rank that no agent knows may be in any VM. */
static bool is_concerned(const struct job *job, const bool *of_vms)
{
    for (int r = 0; r < job->size; r++) {
        if (job->ranks[r].vm < 0 || of_vms[job->ranks[r].vm]) {
            return true;
        }
    }
    return !job_is_running(job);
}

static void leave_out_unconcerned(struct jobs *jobs, const bool *of_vms)
{
    int n = 0;
    for (int i = 0; i < jobs->n; i++) {
        if (is_concerned(&jobs->jobs[i], of_vms)) {
            jobs->jobs[n++] = jobs->jobs[i];
        } else {
            jobs->n_ranks -= jobs->jobs[i].size;
            job_clear(&jobs->jobs[i]);
        }
    }
    jobs->n = n;
}

static bool job_is_complete(const struct job *job, struct ninja_error *err)
{
    char missing[100] = "";
    int n = 0;
    for (int r = 0; r < job->size; r++) {
        size_t len = strlen(missing);
        if (job->ranks[r].vm < 0 && n++ < 8) {
            snprintf(missing + len, sizeof(missing) - len, "%s%d", len ? ", " : "", r);
        }
    }
    if (n > 0) {
        return ninja_error_set(err, ERR_NOT_READY,
                               "job %s is not ready: rank%s %s%s of %d did not say hello to an "
                               "agent (still in MPI_Init, outside of these VMs, or leaving)",
                               job->name, n == 1 ? "" : "s", missing, n > 8 ? ", ..." : "",
                               job->size);
    }
    if (job->finalizing && job_is_running(job)) {
        return ninja_error_set(err, ERR_NOT_READY, "job %s is in MPI_Finalize", job->name);
    }
    return true;
}

bool jobs_are_complete(const struct jobs *jobs, struct ninja_error *err)
{
    for (int i = 0; i < jobs->n; i++) {
        if (!job_is_complete(&jobs->jobs[i], err)) {
            return false;
        }
    }
    return true;
}

bool jobs_none_unmanaged(const struct jobs *jobs, const bool *in_vm, struct agent *const *agents,
                         struct ninja_error *err)
{
    for (int i = 0; i < jobs->n_unmanaged; i++) {
        const struct unmanaged *it = &jobs->unmanaged[i];
        if (in_vm != NULL && !in_vm[it->vm]) {
            continue;
        }
        return ninja_error_set(
            err, ERR_REFUSED,
            "%s: process %d (%s)%s%s holds the bypass device (%s) and cannot be asked to let it "
            "go; %s",
            agent_vm(agents[it->vm]), it->pid, it->command, it->job[0] ? " of job " : "", it->job,
            it->open, it->job[0] ? "start the job with mpirun --mca crcp ninja" : "end it first");
    }
    return true;
}

/* ---- asking all agents ---- */

#define AGAIN_MS 200
/* A process of no job that any agent knows may still be about to say hello, but not for long. */
#define UNMANAGED_MS 2000

struct asked {
    struct jobs_query *query;
    int vm;
};

struct jobs_query {
    struct event_base *base;
    struct agent *const *agents;
    int n;
    struct jobs_query_options options;
    jobs_done done;
    void *arg;
    struct jobs *jobs;
    struct asked *asked;
    int64_t began;
    struct event *again;
    struct gather gather;
};

static void ask(evutil_socket_t fd, short what, void *arg);

static void on_answer(void *arg, json_t *result, const struct ninja_error *error)
{
    struct asked *asked = arg;
    struct jobs_query *query = asked->query;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (error != NULL) {
        err = *error;
    } else if (!jobs_add(query->jobs, asked->vm, result, &err)) {
        ninja_error_where(&err, "%s", agent_vm(query->agents[asked->vm]));
    }
    gather_done(&query->gather, ninja_error_is_set(&err) ? &err : NULL);
}

/* How long to wait for what is there now to become right; 0: it is right. */
static int patience(struct jobs_query *query, struct ninja_error *err)
{
    struct jobs *jobs = query->jobs;
    if (query->options.wait_ms > 0 && jobs->returning) {
        ninja_error_set(err, ERR_NOT_READY,
                        "ranks are still coming back to an agent that was "
                        "started again");
        return query->options.wait_ms;
    }
    if (query->options.wait_ms > 0 && !jobs_are_complete(jobs, err)) {
        return query->options.wait_ms;
    }
    if (query->options.unmanaged_in == NULL ||
        jobs_none_unmanaged(jobs, query->options.unmanaged_in, query->agents, err)) {
        return 0;
    }
    for (int i = 0; i < jobs->n_unmanaged; i++) {
        if (jobs->unmanaged[i].job[0] != '\0' && find_job(jobs, jobs->unmanaged[i].job) != NULL) {
            return query->options.wait_ms;
        }
    }
    return UNMANAGED_MS < query->options.wait_ms ? UNMANAGED_MS : query->options.wait_ms;
}

static void on_all_answered(void *arg, const struct ninja_error *error)
{
    struct jobs_query *query = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    int wait_ms = 0;
    if (error != NULL) {
        err = *error;
    } else {
        if (query->options.of_vms != NULL) {
            leave_out_unconcerned(query->jobs, query->options.of_vms);
        }
        wait_ms = patience(query, &err);
    }
    if (wait_ms > 0 && now_ms() - query->began < wait_ms) {
        timer_free(&query->again);
        query->again = timer_start(query->base, AGAIN_MS, ask, query);
        return;
    }
    struct jobs *jobs = query->jobs;
    query->jobs = NULL;
    if (ninja_error_is_set(&err)) {
        jobs_free(jobs);
        query->done(query->arg, NULL, &err);
    } else {
        query->done(query->arg, jobs, NULL);
    }
}

static void ask(evutil_socket_t fd, short what, void *arg)
{
    struct jobs_query *query = arg;
    jobs_free(query->jobs);
    query->jobs = xcalloc(1, sizeof(*query->jobs));
    gather_begin(&query->gather, query->base, on_all_answered, query);
    for (int i = 0; i < query->n; i++) {
        gather_add(&query->gather);
        agent_execute(query->agents[i], "ninja-jobs", NULL, query->options.command_ms, on_answer,
                      &query->asked[i]);
    }
}

struct jobs_query *jobs_query_start(struct event_base *base, struct agent *const *agents, int n,
                                    const struct jobs_query_options *options, jobs_done done,
                                    void *arg)
{
    struct jobs_query *query = xcalloc(1, sizeof(*query));
    query->base = base;
    query->agents = agents;
    query->n = n;
    query->options = *options;
    query->done = done;
    query->arg = arg;
    query->began = now_ms();
    query->asked = xcalloc((size_t)n, sizeof(*query->asked));
    for (int i = 0; i < n; i++) {
        query->asked[i] = (struct asked){query, i};
    }
    ask(-1, 0, query);
    return query;
}

void jobs_query_free(struct jobs_query *query)
{
    if (query == NULL) {
        return;
    }
    for (int i = 0; i < query->n; i++) {
        agent_forget(query->agents[i], &query->asked[i]);
    }
    gather_free(&query->gather);
    timer_free(&query->again);
    jobs_free(query->jobs);
    free(query->asked);
    free(query);
}
