#include "guest-agent/jobs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "guest-agent/ranks.h"
#include "guest-agent/steps.h"
#include "guest-agent/text.h"

#define GATHER_MS 50

struct jobs {
    struct event_base *base;
    struct events *events;
    TAILQ_HEAD(job_list, job) list;
    int n_jobs, n_ranks;
    size_t reports_size; /* of all jobs */
};

#define PHASE_NAME(step, name) [JOB_##step] = #step,

static const char *const phase_names[] = {
    [JOB_IDLE] = "IDLE", [JOB_UNKNOWN] = "UNKNOWN", NINJA_EACH_STEP(PHASE_NAME)};
_Static_assert(sizeof(phase_names) / sizeof(phase_names[0]) == JOB_PHASES, "a name for each phase");

const char *job_phase_name(enum job_phase phase)
{
    return phase_names[phase];
}

void rank_set_state(struct rank *rank, enum ninja_rank_state state)
{
    if (rank->state != state) {
        ninja_log_debug("job %s rank %u: %s -> %s", rank->job->name, rank->number,
                        ninja_rank_state_name(rank->state), ninja_rank_state_name(state));
        rank->state = state;
    }
}

static void send_bye_ok(struct rank *rank)
{
    rank->may_leave = true;
    rank_conn_send(rank->conn, &(struct ninja_rank_msg){.type = NINJA_RANK_BYE_OK}, -1);
}

static void rank_free(struct rank *rank)
{
    TAILQ_REMOVE(&rank->job->ranks, rank, entry);
    rank->job->jobs->n_ranks--;
    json_decref(rank->transports);
    free(rank);
}

void job_set_phase(struct job *job, enum job_phase phase)
{
    if (job->phase == phase) {
        return;
    }
    ninja_log_info("job %s epoch %u: %s -> %s", job->name, job->epoch, phase_names[job->phase],
                   phase_names[phase]);
    ninja_fault(NINJA_FAULT_STATE, "before %s", phase_names[phase]);
    job->phase = phase;
    ninja_fault(NINJA_FAULT_STATE, "after %s", phase_names[phase]);
    if (phase != JOB_IDLE) {
        return;
    }
    evtimer_del(job->lease);
    struct rank *rank = TAILQ_FIRST(&job->ranks), *next;
    for (; rank != NULL; rank = next) {
        next = TAILQ_NEXT(rank, entry);
        rank->member =
            rank->state != NINJA_RANK_RUNNING; /* one that failed to resume is told again */
        if (rank->conn == NULL) {
            rank_free(rank);
        } else if (rank->leaving && !rank->may_leave) {
            send_bye_ok(rank);
        }
    }
}

struct jobs *jobs_new(struct event_base *base, struct events *events)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (jobs != NULL) {
        jobs->base = base;
        jobs->events = events;
        TAILQ_INIT(&jobs->list);
    }
    return jobs;
}

struct events *jobs_events(struct jobs *jobs)
{
    return jobs->events;
}

bool job_reserve_report(struct job *job, size_t size)
{
    if (job->jobs->reports_size + size > JOBS_MAX_REPORTS) {
        return false;
    }
    job->jobs->reports_size += size;
    job->step.reports_size += size;
    return true;
}

void job_release_reports(struct job *job)
{
    job->jobs->reports_size -= job->step.reports_size;
    job->step.reports_size = 0;
}

static int local_ranks(const struct job *job)
{
    int n = 0;
    const struct rank *rank;
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        n += rank->conn != NULL;
    }
    return n;
}

static void emit_change(struct job *job, const char *change)
{
    events_emit(job->jobs->events, "NINJA_JOBS",
                json_pack("{s:s, s:I, s:i, s:s}", "job", job->name, "size", (json_int_t)job->size,
                          "local", local_ranks(job), "change", change));
}

static void on_notify(evutil_socket_t fd, short what, void *arg)
{
    emit_change(arg, "ranks");
}

static void ranks_changed(struct job *job)
{
    struct timeval tv = {0, GATHER_MS * 1000};
    if (!evtimer_pending(job->notify, NULL)) {
        evtimer_add(job->notify, &tv);
    }
}

/* The ranks left the epoch by themselves, see "Lease" in docs/protocol.md. */
static void on_lease(evutil_socket_t fd, short what, void *arg)
{
    struct job *job = arg;
    struct rank *rank;
    ninja_log_warning("job %s: epoch %u was given up, as its lease ended with nothing released",
                      job->name, job->epoch);
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        rank_set_state(rank, NINJA_RANK_RUNNING);
    }
    job_set_phase(job, JOB_IDLE);
}

static void job_free(struct job *job)
{
    while (!TAILQ_EMPTY(&job->ranks)) {
        rank_free(TAILQ_FIRST(&job->ranks));
    }
    TAILQ_REMOVE(&job->jobs->list, job, entry);
    job->jobs->n_jobs--;
    steps_clear(job);
    if (job->lease != NULL) {
        event_free(job->lease);
    }
    if (job->notify != NULL) {
        event_free(job->notify);
    }
    free(job);
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&jobs->list)) {
        job_free(TAILQ_FIRST(&jobs->list));
    }
    free(jobs);
}

struct job *jobs_find(struct jobs *jobs, const char *name)
{
    struct job *job;
    TAILQ_FOREACH(job, &jobs->list, entry)
    {
        if (strcmp(job->name, name) == 0) {
            return job;
        }
    }
    return NULL;
}

static struct rank *find_rank(struct job *job, uint32_t number)
{
    struct rank *rank;
    TAILQ_FOREACH(rank, &job->ranks, entry)
    {
        if (rank->number == number) {
            return rank;
        }
    }
    return NULL;
}

bool jobs_has_pid(struct jobs *jobs, pid_t pid)
{
    struct job *job;
    struct rank *rank;
    TAILQ_FOREACH(job, &jobs->list, entry)
    {
        TAILQ_FOREACH(rank, &job->ranks, entry)
        {
            if (rank->conn != NULL && rank->pid == pid) {
                return true;
            }
        }
    }
    return false;
}

static json_t *rank_json(const struct rank *rank)
{
    json_t *json = json_pack("{s:I, s:i, s:I, s:s, s:I}", "rank", (json_int_t)rank->number, "pid",
                             (int)rank->pid, "uid", (json_int_t)rank->job->uid, "state",
                             ninja_rank_state_name(rank->state), "epoch", (json_int_t)rank->epoch);
    if (rank->version[0] != '\0') {
        json_object_set_new(json, "version", json_string(rank->version));
    }
    if (rank->transports != NULL) {
        json_object_set(json, "transports", rank->transports);
    }
    return json;
}

json_t *jobs_json(struct jobs *jobs)
{
    json_t *list = json_array();
    const struct job *job;
    const struct rank *rank;
    TAILQ_FOREACH(job, &jobs->list, entry)
    {
        json_t *ranks = json_array();
        TAILQ_FOREACH(rank, &job->ranks, entry)
        {
            if (rank->conn != NULL) {
                json_array_append_new(ranks, rank_json(rank));
            }
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I, s:b, s:o}", "job", job->name, "size",
                                        (json_int_t)job->size, "epoch", (json_int_t)job->epoch,
                                        "finalizing", job->finalizing, "ranks", ranks));
    }
    return list;
}

/* Takes the first line of a HELLO's text, which is the job's name. */
static bool job_name(const char *text, char name[JOB_NAME_MAX])
{
    size_t len = strcspn(text, "\n");
    if (len == 0 || len >= JOB_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isgraph((unsigned char)text[i])) {
            return false;
        }
        name[i] = text[i];
    }
    name[len] = '\0';
    return true;
}

/* Takes the second line, if it is a version; a rank need not say one. */
static void rank_version(const char *text, char version[RANK_VERSION_MAX])
{
    const char *line = strchr(text, '\n');
    size_t len = line != NULL ? strcspn(++line, "\n") : 0;
    version[0] = '\0';
    for (size_t i = 0; i < len && len < RANK_VERSION_MAX; i++) {
        if (!isgraph((unsigned char)line[i]) || (unsigned char)line[i] >= 0x80) {
            version[0] = '\0';
            return;
        }
        version[i] = line[i];
        version[i + 1] = '\0';
    }
}

static struct job *job_new(struct jobs *jobs, const char *name, uid_t uid, uint32_t size)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return NULL;
    }
    *job = (struct job){.jobs = jobs, .uid = uid, .size = size};
    strcpy(job->name, name);
    TAILQ_INIT(&job->ranks);
    TAILQ_INSERT_TAIL(&jobs->list, job, entry);
    jobs->n_jobs++;
    job->lease = evtimer_new(jobs->base, on_lease, job);
    job->notify = evtimer_new(jobs->base, on_notify, job);
    if (job->lease == NULL || job->notify == NULL || !steps_init(job, jobs->base)) {
        job_free(job);
        return NULL;
    }
    return job;
}

/* Counts the ranks of all jobs of a user; n_jobs gets how many jobs these are. */
static int ranks_of_user(const struct jobs *jobs, uid_t uid, int *n_jobs)
{
    int n = 0;
    const struct job *job;
    const struct rank *rank;
    *n_jobs = 0;
    TAILQ_FOREACH(job, &jobs->list, entry)
    {
        if (job->uid != uid) {
            continue;
        }
        (*n_jobs)++;
        TAILQ_FOREACH(rank, &job->ranks, entry)
        {
            n++;
        }
    }
    return n;
}

/* Checks what a HELLO says against the job of that name, NULL: a new one. */
static bool hello_fits(const struct jobs *jobs, const struct job *job, uid_t uid,
                       const struct ninja_rank_msg *msg, char *why, size_t why_size)
{
    uint32_t number = msg->a[0].peer, size = msg->a[0].value;
    int own_jobs, own_ranks = ranks_of_user(jobs, uid, &own_jobs);
    if (size == 0 || size > NINJA_RANK_MAX_SIZE || number >= size) {
        snprintf(why, why_size, "rank %u of %u is not possible (at most %u ranks a job)", number,
                 size, NINJA_RANK_MAX_SIZE);
    } else if (msg->status >= NINJA_RANK_STATES) {
        snprintf(why, why_size, "%u is not a state of a rank", msg->status);
    } else if (msg->epoch > NINJA_RANK_MAX_EPOCH) {
        snprintf(why, why_size, "%u is not possible as an epoch", msg->epoch);
    } else if (job == NULL && jobs->n_jobs >= JOBS_MAX) {
        snprintf(why, why_size, "%d jobs are here already", JOBS_MAX);
    } else if (job == NULL && own_jobs >= JOBS_MAX_USER) {
        snprintf(why, why_size, "%d jobs of this user are here already", JOBS_MAX_USER);
    } else if (own_ranks >= JOBS_MAX_RANKS_USER) {
        snprintf(why, why_size, "%d ranks of this user are in this VM already",
                 JOBS_MAX_RANKS_USER);
    } else if (jobs->n_ranks >= JOBS_MAX_RANKS) {
        snprintf(why, why_size, "%d ranks are in this VM already", JOBS_MAX_RANKS);
    } else if (job != NULL && job->uid != uid) {
        snprintf(why, why_size, "the job %s belongs to another user", job->name);
    } else if (job != NULL && job->size != size) {
        snprintf(why, why_size, "the job %s has %u ranks, not %u", job->name, job->size, size);
    } else {
        return true;
    }
    return false;
}

/*
 * Makes room for a rank that said HELLO. The same process may come again before the end of its old
 * connection was seen.
 */
static bool replace_old(struct job *job, uint32_t number, pid_t pid, bool *was_member, char *why,
                        size_t why_size)
{
    struct rank *old = find_rank(job, number);
    *was_member = false;
    if (old == NULL) {
        return true;
    }
    if (old->conn != NULL && old->pid != pid) {
        snprintf(why, why_size, "rank %u of the job %s is connected already, as process %d", number,
                 job->name, (int)old->pid);
        return false;
    }
    *was_member = old->member;
    if (old->conn != NULL) {
        rank_conn_forget(old->conn);
        old->conn = NULL;
        steps_rank_lost(old); /* which may end the epoch, and forget the rank */
    }
    old = find_rank(job, number);
    if (old != NULL) {
        rank_free(old);
    }
    return true;
}

static struct rank *add_rank(struct job *job, struct rank_conn *conn, pid_t pid, bool was_member,
                             const struct ninja_rank_msg *msg)
{
    struct rank *rank = calloc(1, sizeof(*rank));
    if (rank == NULL) {
        return NULL;
    }
    *rank = (struct rank){
        .job = job,
        .conn = conn,
        .number = msg->a[0].peer,
        .pid = pid,
        .state = msg->status,
        .epoch = msg->epoch,
    };
    rank_version(msg->text, rank->version);
    struct rank *after;
    TAILQ_FOREACH(after, &job->ranks, entry)
    {
        if (after->number > rank->number) {
            break;
        }
    }
    if (after != NULL) {
        TAILQ_INSERT_BEFORE(after, rank, entry);
    } else {
        TAILQ_INSERT_TAIL(&job->ranks, rank, entry);
    }
    job->jobs->n_ranks++;

    bool in_epoch = rank->state != NINJA_RANK_RUNNING;
    if (rank->epoch > job->epoch) {
        job->epoch = rank->epoch;
    }
    if (in_epoch && job->phase == JOB_IDLE) {
        job_set_phase(job, JOB_UNKNOWN);
    }
    rank->member = in_epoch && (was_member || job->phase == JOB_UNKNOWN);
    return rank;
}

struct rank *jobs_hello(struct jobs *jobs, struct rank_conn *conn, pid_t pid, uid_t uid,
                        const struct ninja_rank_msg *msg, char *why, size_t why_size)
{
    char name[JOB_NAME_MAX];
    if (msg->n_a != 1 || !job_name(msg->text, name)) {
        snprintf(why, why_size,
                 "a hello needs the job's name (at most %d printable characters) and one pair "
                 "(rank, size)",
                 JOB_NAME_MAX - 1);
        return NULL;
    }
    struct job *job = jobs_find(jobs, name);
    bool was_member = false;
    if (!hello_fits(jobs, job, uid, msg, why, why_size) ||
        (job != NULL && !replace_old(job, msg->a[0].peer, pid, &was_member, why, why_size))) {
        return NULL;
    }
    if (job == NULL) {
        job = job_new(jobs, name, uid, msg->a[0].value);
    }
    struct rank *rank = job != NULL ? add_rank(job, conn, pid, was_member, msg) : NULL;
    if (rank == NULL) {
        snprintf(why, why_size, "the agent is out of memory");
        if (job != NULL && TAILQ_EMPTY(&job->ranks)) {
            job_free(job);
        }
        return NULL;
    }
    ninja_log_info("job %s rank %u of %u: process %d, uid %u, %s, epoch %u", job->name,
                   rank->number, job->size, (int)pid, (unsigned)uid,
                   ninja_rank_state_name(rank->state), rank->epoch);
    ranks_changed(job);
    return rank;
}

static void take_bye(struct rank *rank)
{
    struct job *job = rank->job;
    rank->leaving = true;
    if (!job->finalizing) {
        job->finalizing = true;
        ninja_log_info("job %s: finalizing", job->name);
        emit_change(job, "finalizing");
    }
    if (job->phase == JOB_IDLE) {
        send_bye_ok(rank);
    } else {
        ninja_log_info("job %s rank %u: wants to leave, and waits for the end of epoch %u",
                       job->name, rank->number, job->epoch);
    }
}

const char *jobs_message(struct rank *rank, const struct ninja_rank_msg *msg)
{
    switch (msg->type) {
    case NINJA_RANK_REPORT:
        return steps_report(rank, msg);
    case NINJA_RANK_BYE:
        take_bye(rank);
        return NULL;
    default:
        return "a message that only an agent sends, or a second hello";
    }
}

void jobs_rank_gone(struct rank *rank)
{
    struct job *job = rank->job;
    bool orderly = rank->may_leave;

    ninja_log(orderly ? NINJA_LOG_INFO : NINJA_LOG_WARNING, "job %s rank %u, process %d: %s",
              job->name, rank->number, (int)rank->pid, orderly ? "left" : "lost");
    rank->conn = NULL;
    if (job->phase == JOB_IDLE || !rank->member) {
        rank_free(rank);
    } else {
        steps_rank_lost(rank); /* which may end the epoch, and forget the rank */
    }
    if (local_ranks(job) > 0) {
        ranks_changed(job);
        return;
    }
    steps_end_now(job);
    emit_change(job, "ended");
    ninja_log_info("job %s: ended", job->name);
    job_free(job);
}
