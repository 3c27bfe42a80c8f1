/*
 * Figures in a report may come from guests, so each is brought into a range in which it can be
 * drawn.
 */
#include "host/report/report_view.h"

#include <stdlib.h>
#include <string.h>

#include "common/stages.h"
#include "host/base/json_text.h"

#define MAX_MS     1e11 /* three years */
#define MAX_STALLS 200

#define STAGE_NAME(stage, name) name,
const char *const report_stages[] = {NINJA_EACH_STAGE(STAGE_NAME)};
const size_t report_n_stages = sizeof(report_stages) / sizeof(report_stages[0]);

double view_ms(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    double ms = json_is_number(value) ? json_number_value(value) : -1;
    return ms < 0 ? -1 : ms > MAX_MS ? MAX_MS : ms;
}

static double end_of(const json_t *object, const char *length)
{
    double begin = view_ms(object, "start_ms"), ms = view_ms(object, length);
    return begin < 0 ? 0 : begin + (ms > 0 ? ms : 0);
}

double view_length(json_t *report)
{
    double length = 1;
    size_t i, k;
    json_t *entry, *stage;
    json_array_foreach(json_object_get(report, "states"), i, entry)
    {
        double end = end_of(entry, "ms");
        length = end > length ? end : length;
    }
    json_array_foreach(json_object_get(report, "vms"), i, entry)
    {
        json_array_foreach(json_object_get(entry, "timeline"), k, stage)
        {
            double end = end_of(stage, "ms");
            length = end > length ? end : length;
        }
    }
    return length;
}

/* ---- VMs ---- */

static size_t n_vms(const struct view *view)
{
    return json_array_size(json_object_get(view->report, "vms"));
}

static size_t group_size(const struct view *view)
{
    size_t rows = (size_t)view->detail->rows;
    return (n_vms(view) + rows - 1) / rows;
}

size_t view_n_groups(const struct view *view)
{
    size_t size = group_size(view);
    return size > 0 ? (n_vms(view) + size - 1) / size : 0;
}

struct vm_group view_group(const struct view *view, size_t line)
{
    size_t size = group_size(view), end = (line + 1) * size;
    return (struct vm_group){line * size, end < n_vms(view) ? end : n_vms(view)};
}

void view_group_name(const struct view *view, struct vm_group group, char *name, size_t size)
{
    json_t *vms = json_object_get(view->report, "vms");
    const char *first = json_text_in(json_array_get(vms, group.first), "name");
    if (group.end - group.first > 1) {
        snprintf(name, size, "%.60s to %.60s", first,
                 json_text_in(json_array_get(vms, group.end - 1), "name"));
    } else {
        snprintf(name, size, "%.120s", first);
    }
}

static void widen(struct span *span, double begin, double end, bool first)
{
    span->begin_ms = first || begin < span->begin_ms ? begin : span->begin_ms;
    span->end_ms = first || end > span->end_ms ? end : span->end_ms;
}

bool view_stage(const struct view *view, struct vm_group group, const char *stage,
                struct span *when, struct span *ms)
{
    bool found = false;
    size_t k;
    json_t *vms = json_object_get(view->report, "vms"), *run;
    for (size_t i = group.first; i < group.end; i++) {
        json_array_foreach(json_object_get(json_array_get(vms, i), "timeline"), k, run)
        {
            if (strcmp(json_text_in(run, "stage"), stage) != 0 || view_ms(run, "start_ms") < 0) {
                continue;
            }
            double begin = view_ms(run, "start_ms"), took = view_ms(run, "ms");
            took = took < 0 ? view->length - begin : took; /* it had not ended */
            widen(when, begin, begin + took, !found);
            widen(ms, took, took, !found);
            found = true;
        }
    }
    return found;
}

bool view_has_timeline(json_t *report)
{
    json_t *vms = json_object_get(report, "vms");
    return json_array_size(vms) == 0 || json_object_get(json_array_get(vms, 0), "timeline") != NULL;
}

/* ---- jobs ---- */

static void add_stall(json_t *stalls, json_t *attempt, size_t sw, bool given_up)
{
    double begin = view_ms(attempt, "start_ms"), ms = view_ms(attempt, "stall_ms");
    if (begin < 0 || ms < 0 || json_array_size(stalls) == MAX_STALLS) {
        return;
    }
    size_t at = json_array_size(stalls);
    while (at > 0 && view_ms(json_array_get(stalls, at - 1), "start_ms") > begin) {
        at--;
    }
    json_array_insert_new(stalls, at,
                          json_pack("{s:f, s:f, s:I, s:b}", "start_ms", begin, "ms", ms, "switch",
                                    (json_int_t)sw, "given_up", given_up));
}

json_t *view_stalls(json_t *report)
{
    json_t *stalls = json_array(), *sw, *attempt;
    size_t i, k;
    json_array_foreach(json_object_get(report, "switches"), i, sw)
    {
        json_t *given_up = json_object_get(sw, "given_up");
        json_array_foreach(given_up, k, attempt)
        {
            add_stall(stalls, attempt, i + 1, true);
        }
        /* The last attempt of a switch that was given up is in that list already. */
        if (json_array_size(given_up) == 0 || strcmp(json_text_in(sw, "outcome"), "done") == 0) {
            add_stall(stalls, sw, i + 1, false);
        }
    }
    return stalls;
}

void view_transports(json_t *object, char *text, size_t size)
{
    size_t len = 0;
    const char *name;
    json_t *unused;
    text[0] = '\0';
    json_object_foreach(object, name, unused)
    {
        if (len < size && strcmp(name, "self") != 0) { /* which every rank has */
            len += (size_t)snprintf(text + len, size - len, "%s%.32s", len ? ", " : "", name);
        }
    }
    if (text[0] == '\0') {
        snprintf(text, size, "none");
    }
}

json_t *view_all_transports(json_t *jobs)
{
    json_t *all = json_object(), *job, *rank, *peers;
    const char *name;
    size_t j, r;
    json_array_foreach(jobs, j, job)
    {
        json_array_foreach(json_object_get(job, "ranks"), r, rank)
        {
            json_object_foreach(json_object_get(rank, "transports"), name, peers)
            {
                json_object_set(all, name, peers);
            }
        }
    }
    return all;
}
