#include "tests/unit/fake_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent_proto.h"
#include "common/address_list.h"
#include "common/base64.h"
#include "common/switch_steps.h"
#include "host/base/timer.h"

void fake_job_init(struct fake_job *job, const char *name, int size)
{
    *job = (struct fake_job){.name = name,
                             .size = size,
                             .refusing_rank = -1,
                             .failing_rank = -1,
                             .failures = 1,
                             .forgetful_rank = -1,
                             .malformed_rank = -1,
                             .stood_ms = -1};
    for (int r = 0; r < size; r++) {
        job->state[r] = "RUNNING";
        strcpy(job->transports[r], "openib");
    }
}

void fake_agent_event(struct fake_agent *agent, const char *name, json_t *data)
{
    json_t *event = json_pack("{s:s, s:i, s:o}", "event", name, "seq", ++agent->seq, "data", data);
    if (agent->seq >= FAKE_MAX_EVENTS) {
        abort();
    }
    json_decref(agent->events[agent->seq]);
    agent->events[agent->seq] = json_incref(event);
    if (agent->peer != NULL) {
        fake_peer_send(agent->peer, event, false);
    } else {
        json_decref(event);
    }
}

static json_t *row(const int *counts, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++) {
        if (counts[i] != 0) {
            json_array_append_new(array, json_pack("[i, i]", i, counts[i]));
        }
    }
    return array;
}

static bool is_away(const struct fake_agent *agent)
{
    return agent->back_at < 0 || now_ms() < agent->back_at;
}

static json_t *jobs(struct fake_agent *agent)
{
    json_t *list = json_array(), *ranks = json_array();
    struct fake_job *job = agent->job;
    for (int i = 0; i < agent->n_ranks; i++) {
        int r = agent->ranks[i];
        json_array_append_new(ranks, json_pack("{s:i, s:i, s:i, s:s, s:s, s:i, s:{s:i}}", "rank", r,
                                               "pid", 100 + r, "uid", 1000, "version", FAKE_VERSION,
                                               "state", job->state[r], "epoch", job->epoch,
                                               "transports", job->transports[r], job->size - 1));
    }
    if (job != NULL && agent->n_ranks > 0 && !is_away(agent)) {
        json_t *it = json_pack("{s:s, s:i, s:b, s:o}", "job", job->name, "size", job->size,
                               "finalizing", false, "ranks", ranks);
        if (job->tells_epoch) {
            json_object_set_new(it, "epoch", json_integer(job->had_epoch));
        }
        json_array_append_new(list, it);
    } else {
        json_decref(ranks);
    }
    return json_pack("{s:o, s:b, s:o}", "jobs", list, "returning", is_away(agent), "unmanaged",
                     agent->unmanaged ? json_incref(agent->unmanaged) : json_array());
}

/* One line of the log for a table: "drain 2 [[0,3],[1,4]]". */
static void log_table(const char *step, int rank, json_t *tables)
{
    char key[8];
    snprintf(key, sizeof(key), "%d", rank);
    json_t *table = json_object_get(tables, key);
    char *text = table ? json_dumps(table, JSON_COMPACT) : strdup("[]");
    fake_log("%s %d %s", step, rank, text);
    free(text);
}

/* The addresses of rank 2 opened for the third time are "r2o3". */
static void open_report(struct fake_job *job, int rank, json_t *report)
{
    char plain[16];
    int len = snprintf(plain, sizeof(plain), "r%do%d", rank, ++job->opens[rank]);
    char *text = ninja_base64_encode(plain, (size_t)len);
    json_object_set_new(report, "addresses",
                        json_string(rank == job->malformed_rank ? "=QUI" : text));
    free(text);
}

/* One line of the log: "connect 2 r0o1 r1o1 r2o1". */
static void log_addresses(int rank, int size, json_t *addresses)
{
    char line[200];
    uint32_t ends[FAKE_MAX_RANKS], begin = 0;
    void *bytes;
    int at = snprintf(line, sizeof(line), "connect %d", rank);
    if (ninja_address_list_decode(json_string_value(addresses), (uint32_t)size, ends, &bytes)) {
        abort();
    }
    for (int i = 0; i < size; begin = ends[i++]) {
        at += snprintf(line + at, sizeof(line) - (size_t)at, " %.*s", (int)(ends[i] - begin),
                       (char *)bytes + begin);
    }
    free(bytes);
    fake_log("%s", line);
}

static void report_sent(struct fake_job *job, int r, bool is_first, json_t *report)
{
    bool same = is_first ? job->forgetful_rank == r
                         : memcmp(job->told[r], job->sent[r], sizeof(job->told[r])) == 0;
    if (same) {
        json_object_set_new(report, "same", json_true());
    } else {
        json_object_set_new(report, "a", row(job->sent[r], job->size));
    }
    memcpy(job->told[r], job->sent[r], sizeof(job->told[r]));
}

static json_t *rank_report(struct fake_agent *agent, int r, const char *step, json_t *arguments)
{
    struct fake_job *job = agent->job;
    json_t *report = json_pack("{s:i, s:s, s:i, s:s}", "rank", r, "status", "ok", "micros",
                               1000 + r, "text", "");
    const char *list = json_string_value(json_object_get(arguments, "transports"));
    enum ninja_step number = ninja_step_from_name(step);
    if (!ninja_step_may_come(number, ninja_rank_state_from_name(job->state[r]))) {
        json_object_set_new(report, "status", json_string("stale"));
        json_object_set_new(report, "text", json_string(job->state[r]));
        return report;
    }
    if (strcmp(step, "stop") == 0 && job->refusing_rank == r) {
        json_object_set_new(report, "status", json_string("refused"));
        json_object_set_new(report, "text", json_string("it has a window on osc/rdma"));
        return report;
    }
    if (job->failing_step != NULL && strcmp(step, job->failing_step) == 0 &&
        job->failing_rank == r && job->failures-- > 0) {
        if (ninja_switch_steps[number].part != NINJA_PART_QUIESCE && strcmp(step, "verify") != 0) {
            job->state[r] = "RELEASED"; /* what it had is gone */
        }
        json_object_set_new(report, "status", json_string("failed"));
        json_object_set_new(report, "text", json_string("made to fail"));
        return report;
    }
    if (strcmp(step, "drain") == 0) {
        log_table(step, r, json_object_get(arguments, "tables"));
        json_object_set_new(report, "b", row(job->held[r], job->size));
    } else if (strcmp(step, "settle") == 0) {
        log_table(step, r, json_object_get(arguments, "tables"));
    }
    if (strcmp(step, "resume") == 0 && job->stood_ms >= 0) {
        json_object_set_new(report, "stood-ms", json_integer(job->stood_ms));
    }
    if ((ninja_switch_steps[number].reports & NINJA_REPORTS_SENT) != 0) {
        report_sent(job, r, number == NINJA_STEP_STOP, report);
    }
    if (strcmp(step, "open") == 0) {
        const char *name = strcmp(list, "@standby") == 0                                  ? "tcp"
                           : strcmp(list, "@best") == 0 || strcmp(list, "@previous") == 0 ? "openib"
                                                                                          : list;
        snprintf(job->transports[r], sizeof(job->transports[r]), "%s", name);
        open_report(job, r, report);
    } else if (strcmp(step, "connect") == 0) {
        log_addresses(r, job->size, json_object_get(arguments, "addresses"));
        json_object_set_new(report, "transports",
                            json_pack("{s:i}", job->transports[r], job->size - 1));
    }
    job->state[r] = ninja_rank_state_name(ninja_switch_steps[number].to);
    return report;
}

static void forge_step(struct fake_agent *agent, json_t *arguments)
{
    json_t *data = json_pack("{s:s, s:[{s:i, s:s, s:s}, {s:i, s:s, s:s}]}", "job",
                             agent->forged_job, "ranks", "rank", 0, "status", "failed", "text",
                             "forged", "rank", 1, "status", "failed", "text", "forged");
    static const char *const keys[] = {"epoch", "round", "step"};
    for (int i = 0; i < 3; i++) {
        json_object_set(data, keys[i], json_object_get(arguments, keys[i]));
    }
    fake_agent_event(agent, "NINJA_STEP", data);
}

static void start_again(struct fake_agent *agent)
{
    agent->back_at = agent->away_ms < 0 ? -1 : now_ms() + agent->away_ms;
    strcat(agent->instance, "+");
    agent->seq = 0;
    if (agent->behind_port) {
        agent->unknown = true;
        fake_peer_send_text(agent->peer, "{\"event\": \"NINJA_OPENED\", \"data\": {}}\n");
    } else {
        fake_peer_hang_up(agent->peer);
    }
}

static void on_start_again(evutil_socket_t fd, short what, void *arg)
{
    start_again(arg);
}

static void do_step(struct fake_agent *agent, json_t *request)
{
    json_t *arguments = json_object_get(request, "arguments");
    const char *step = json_string_value(json_object_get(arguments, "step"));
    const char *list = json_string_value(json_object_get(arguments, "transports"));
    struct fake_job *job = agent->job;
    if (agent->restart_at != NULL && strcmp(agent->restart_at, step) == 0) {
        agent->restart_at = NULL;
        if (agent->accepts_before) {
            const struct timeval soon = {.tv_usec = 20000};
            fake_peer_return(agent->peer, request, json_object());
            event_base_once(agent->base, -1, EV_TIMEOUT, on_start_again, agent, &soon);
            return;
        }
        if (!agent->forgets) {
            start_again(agent);
            return;
        }
        agent->back_at = agent->away_ms < 0 ? -1 : now_ms() + agent->away_ms;
    }
    agent->deaf |= agent->deaf_at != NULL && strcmp(agent->deaf_at, step) == 0;
    if (agent->deaf) {
        return;
    }
    if (agent->loses_events_at != NULL && strcmp(agent->loses_events_at, step) == 0) {
        agent->loses_events_at = NULL;
        agent->lost_events = true;
        agent->seq++;
        fake_peer_return(agent->peer, request, json_object());
        fake_peer_hang_up(agent->peer);
        return;
    }
    if (is_away(agent)) {
        fake_peer_error(agent->peer, request, "NoSuchJob", "no rank of the job is here");
        return;
    }
    fake_log("%s %s%s%s", agent->name, step, list ? " " : "", list ? list : "");
    if (strcmp(step, "stop") == 0) {
        char *leaving = json_dumps(json_object_get(arguments, "leaving"), JSON_COMPACT);
        fake_log("%s leaving %s", agent->name, leaving != NULL ? leaving : "all");
        free(leaving);
        fake_log("%s will release %s and open %s", agent->name,
                 json_string_value(json_object_get(arguments, "release")),
                 json_string_value(json_object_get(arguments, "open")));
    }
    if (json_integer_value(json_object_get(arguments, "epoch")) <= job->had_epoch) {
        fake_peer_error(agent->peer, request, "StaleEpoch", "choose a higher one");
        return;
    }
    job->epoch = (int)json_integer_value(json_object_get(arguments, "epoch"));
    fake_peer_return(agent->peer, request, json_object());
    if (agent->forged_job != NULL) {
        forge_step(agent, arguments);
    }
    bool first = agent->n_ranks > 0 && agent->ranks[0] == 0;
    if (first && strcmp(step, "stop") == 0 && job->silent_stops > 0) {
        job->silent_stops--;
        return;
    }
    if (first && strcmp(step, "drain") == 0 && job->drains_with_new_send > 0) {
        job->drains_with_new_send--;
        job->sent[1][2]++;
    }
    json_t *ranks = json_array();
    for (int i = 0; i < agent->n_ranks; i++) {
        json_array_append_new(ranks, rank_report(agent, agent->ranks[i], step, arguments));
        if (agent->repeats_first_rank) {
            json_array_set(ranks, (size_t)i, json_array_get(ranks, 0));
        }
    }
    json_t *data = json_object();
    static const char *const keys[] = {"job", "epoch", "round", "step"};
    for (int i = 0; i < 4; i++) {
        json_object_set(data, keys[i], json_object_get(arguments, keys[i]));
    }
    json_object_set_new(data, "ranks", ranks);
    fake_agent_event(agent, "NINJA_STEP", data);
}

static void do_detach(struct fake_agent *agent, json_t *request)
{
    json_t *token = json_object_get(json_object_get(request, "arguments"), "token");
    fake_log("%s detach", agent->name);
    fake_peer_return(agent->peer, request, json_object());
    if (agent->rdma_after_attach) {
        json_object_set_new(agent->interconnects, "rdma", json_array());
    }
    fake_agent_event(agent, "NINJA_DETACHED",
                     json_pack("{s:O, s:b, s:s, s:o}", "token", token, "ok",
                               agent->detach_error == NULL && agent->users == NULL, "output",
                               agent->detach_error ? agent->detach_error : "", "users",
                               agent->users ? json_incref(agent->users) : json_array()));
}

static void do_attach(struct fake_agent *agent, json_t *request)
{
    json_t *token = json_object_get(json_object_get(request, "arguments"), "token");
    fake_log("%s attach", agent->name);
    fake_peer_return(agent->peer, request, json_object());
    if (agent->rdma_after_attach) {
        json_decref(agent->interconnects);
        agent->interconnects = json_pack("{s:[{s:s, s:i, s:s, s:s}], s:[{s:s, s:s}]}", "rdma",
                                         "name", "rxe0", "port", 1, "state", "ACTIVE", "link_layer",
                                         "Ethernet", "net", "name", "eth0", "state", "up");
    }
    fake_agent_event(agent, "NINJA_ATTACHED",
                     json_pack("{s:O, s:b, s:s}", "token", token, "ok", true, "output", ""));
}

static void do_hello(struct fake_agent *agent, json_t *request)
{
    json_t *protocol = json_object_get(json_object_get(request, "arguments"), "protocol");
    if (json_integer_value(protocol) != agent->protocol) {
        fake_peer_error(agent->peer, request, "ProtocolMismatch", "I speak 7, you speak 2");
        return;
    }
    fake_peer_return(agent->peer, request,
                     json_pack("{s:i, s:s, s:s, s:s, s:i}", "protocol", agent->protocol, "version",
                               "0.1.0", "hostname", agent->name, "instance", agent->instance, "seq",
                               agent->seq));
}

static void do_events(struct fake_agent *agent, json_t *request)
{
    json_t *after = json_object_get(json_object_get(request, "arguments"), "after");
    json_t *events = json_array();
    for (int i = (int)json_integer_value(after) + 1; i <= agent->seq; i++) {
        json_array_append(events, agent->events[i]);
    }
    fake_log("%s events after %d", agent->name, (int)json_integer_value(after));
    fake_peer_return(agent->peer, request,
                     json_pack("{s:o, s:b}", "events", events, "lost", agent->lost_events));
    agent->lost_events = false;
}

static void on_object(void *arg, json_t *request)
{
    struct fake_agent *agent = arg;
    const char *name = json_string_value(json_object_get(request, "execute"));
    if (agent->deaf || name == NULL) {
        return;
    }
    if (strcmp(name, "guest-sync-delimited") == 0) {
        json_t *id = json_object_get(json_object_get(request, "arguments"), "id");
        fake_peer_send(agent->peer, json_pack("{s:O}", "return", id), true);
        return;
    }
    if (strcmp(name, "ninja-hello") != 0 && agent->hang_up_before_reply > 0) {
        agent->hang_up_before_reply--;
        fake_peer_hang_up(agent->peer);
        return;
    }
    if (strcmp(name, "ninja-hello") == 0) {
        agent->unknown = false;
        do_hello(agent, request);
    } else if (agent->unknown) {
        fake_peer_error(agent->peer, request, "GenericError", "say hello first");
    } else if (strcmp(name, "ninja-events") == 0) {
        do_events(agent, request);
    } else if (strcmp(name, "ninja-jobs") == 0) {
        fake_peer_return(agent->peer, request, jobs(agent));
    } else if (strcmp(name, "ninja-interconnects") == 0) {
        fake_peer_return(agent->peer, request, json_incref(agent->interconnects));
    } else if (strcmp(name, "ninja-step") == 0) {
        do_step(agent, request);
    } else if (strcmp(name, "ninja-detach") == 0) {
        do_detach(agent, request);
    } else if (strcmp(name, "ninja-attach") == 0) {
        do_attach(agent, request);
    } else {
        fake_peer_error(agent->peer, request, "CommandNotFound", name);
    }
}

static const struct fake_peer_handler handler = {.on_object = on_object};

void fake_agent_init(struct fake_agent *agent, struct event_base *base, const char *name)
{
    *agent = (struct fake_agent){.base = base, .name = name, .protocol = NINJA_AGENT_PROTOCOL};
    snprintf(agent->instance, sizeof(agent->instance), "%s-1", name);
    agent->interconnects =
        json_pack("{s:[], s:[{s:s, s:s}]}", "rdma", "net", "name", "eth0", "state", "up");
}

void fake_agent_listen(struct fake_agent *agent, const char *path)
{
    agent->peer = fake_peer_listen(agent->base, path, &handler, agent);
}

void fake_agent_move(struct fake_agent *agent, const char *path)
{
    fake_peer_free(agent->peer);
    fake_agent_listen(agent, path);
}

void fake_agent_add_ranks(struct fake_agent *agent, struct fake_job *job, int first, int n)
{
    agent->job = job;
    for (int i = 0; i < n; i++) {
        agent->ranks[agent->n_ranks++] = first + i;
    }
}

void fake_agent_clear(struct fake_agent *agent)
{
    fake_peer_free(agent->peer);
    for (int i = 0; i < FAKE_MAX_EVENTS; i++) {
        json_decref(agent->events[i]);
    }
    json_decref(agent->interconnects);
    json_decref(agent->unmanaged);
    json_decref(agent->users);
    memset(agent, 0, sizeof(*agent));
}
