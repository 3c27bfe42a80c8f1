/* What a switch says of itself. */
#include <jansson.h>

#include "host/base/json_text.h"
#include "host/switch/switch_private.h"

json_t *switch_stall_start(const struct transport_switch *sw)
{
    return sw->stopped_at_us ? json_integer(sw->stopped_at - sw->options.since_ms) : json_null();
}

struct json_traffic switch_traffic(const struct transport_switch *sw)
{
    struct json_traffic all = {0};
    for (int i = 0; i < sw->n; i++) {
        all.lines += agent_traffic(sw->agents[i])->lines;
        all.bytes += agent_traffic(sw->agents[i])->bytes;
        all.sent += agent_traffic(sw->agents[i])->sent;
    }
    return all;
}

/* Makes an object of one job, with a list by rank for each step that was run. */
static json_t *micros_to_json(const struct switched_job *it)
{
    json_t *steps = json_object();
    for (int s = 0; s < NINJA_STEPS; s++) {
        json_t *list = json_array();
        int64_t all = 0;
        for (int r = 0; r < it->job->size; r++) {
            all += it->micros[r][s];
            json_array_append_new(list, json_integer(it->micros[r][s]));
        }
        if (all > 0) {
            json_object_set(steps, ninja_step_name(s), list);
        }
        json_decref(list);
    }
    return json_pack("{s:s, s:o}", "job", it->job->name, "micros", steps);
}

/* Makes an object of what the ranks use now: for each transport, how many ranks use it. */
static json_t *transports_to_json(const struct jobs *jobs)
{
    json_t *all = json_object(), *peers;
    const char *name;
    for (int j = 0; jobs != NULL && j < jobs->n; j++) {
        for (int r = 0; r < jobs->jobs[j].size; r++) {
            json_object_foreach(jobs->jobs[j].ranks[r].transports, name, peers)
            {
                json_int_t n = json_integer_value(json_object_get(all, name));
                json_object_set_new(all, name, json_integer(n + 1));
            }
        }
    }
    return all;
}

/* Pairs of ranks of which none left. In a job of which none was to, all did. */
static json_int_t pairs_kept_of(const struct transport_switch *sw, const struct job *job)
{
    json_int_t stayed = 0;
    for (int r = 0; r < job->size; r++) {
        stayed += !switch_leaves(sw, job, r);
    }
    return stayed < job->size ? stayed * (stayed - 1) / 2 : 0;
}

/* Adds who left, null: all, and how many pairs of ranks kept their transports. */
static void add_leaving(const struct transport_switch *sw, json_t *report)
{
    json_t *vms = sw->options.leaving != NULL ? json_array() : json_null();
    json_int_t kept = 0;
    for (int vm = 0; sw->options.leaving != NULL && vm < sw->n; vm++) {
        if (sw->options.leaving[vm]) {
            json_array_append_new(vms, json_string(agent_vm(sw->agents[vm])));
        }
    }
    for (int j = 0; sw->jobs != NULL && j < sw->jobs->n; j++) {
        kept += pairs_kept_of(sw, &sw->jobs->jobs[j]);
    }
    json_object_set_new(report, "leaving", vms);
    json_object_set_new(report, "pairs_kept", json_integer(kept));
}

json_t *switch_report(const struct transport_switch *sw)
{
    bool failed = ninja_error_is_set(&sw->err);
    struct json_traffic now = switch_traffic(sw);
    json_t *report =
        json_pack("{s:s, s:s, s:s, s:o, s:i, s:i, s:I, s:I, s:O, s:O, s:O, s:o}", "release",
                  sw->release, "reselect", sw->reselect, "outcome",
                  failed ? ninja_error_class_name(sw->err.class) : "done", "reason",
                  json_text(failed ? sw->err.message : ""), "attempts", sw->attempt, "rounds",
                  sw->round, "epoch", (json_int_t)sw->epoch, "stall_ms", (json_int_t)sw->stall_ms,
                  "steps", sw->steps, "given_up", sw->given_up, "left_out", sw->dropped, "jobs",
                  jobs_to_json(sw->jobs, sw->agents));
    json_t *ranks = json_array();
    for (int j = 0; sw->switched != NULL && j < sw->jobs->n; j++) {
        json_array_append_new(ranks, micros_to_json(&sw->switched[j]));
    }
    json_object_set_new(report, "ranks", ranks);
    json_object_set_new(report, "transports", transports_to_json(sw->jobs));
    add_leaving(sw, report);
    json_object_set_new(report, "start_ms", switch_stall_start(sw));
    json_object_set_new(report, "stopped_at_us", json_integer(sw->stopped_at_us));
    json_object_set_new(report, "lines", json_integer(now.lines - sw->traffic_before.lines));
    json_object_set_new(report, "bytes", json_integer(now.bytes - sw->traffic_before.bytes));
    json_object_set_new(report, "bytes_sent", json_integer(now.sent - sw->traffic_before.sent));
    return report;
}
