/*
 * The report of a migration, of which docs/report.md tells what each key means.
 */
#include <string.h>

#include "host/base/json_text.h"
#include "host/migration/coordinator_private.h"

static void add_stages(json_t *json, const struct migration_vm *vm)
{
    json_t *stages = json_object();
    for (int s = STAGE_NONE + 1; s < STAGES; s++) {
        if (vm->stages[s] >= 0) {
            json_object_set_new(stages, stage_name((enum stage)s), json_integer(vm->stages[s]));
        }
    }
    json_object_set_new(json, "stages", stages);
    json_t *timeline = json_copy(vm->timeline);
    if (vm->stage != STAGE_NONE) {
        json_array_append_new(timeline, stage_to_json(vm, json_null()));
    }
    json_object_set_new(json, "timeline", timeline);
}

static void add_or_null(json_t *json, const char *key, json_t *value)
{
    json_object_set(json, key, value ? value : json_null());
}

static json_t *stream_report(const struct vmm_savings *savings)
{
    if (!savings->known) {
        return json_null();
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "raw_bytes", (json_int_t)savings->raw_bytes,
                     "sent_bytes", (json_int_t)savings->sent_bytes, "pages",
                     (json_int_t)savings->pages, "same_pages", (json_int_t)savings->same_pages,
                     "copied_pages", (json_int_t)savings->copied_pages);
}

static json_t *vm_report(const struct migration_vm *vm)
{
    static const char *const kinds[] = {[LINK_NONE] = "", [LINK_RDMA] = "rdma", [LINK_NET] = "net"};
    const struct migration *m = vm->m;
    const struct vmm_progress *copy = &vm->vmm->progress;
    json_t *json = json_pack("{s:s, s:s, s:s?, s:s, s:b, s:b, s:b, s:I, s:I, s:s, s:s}", "name",
                             agent_vm(vm->agent), "from", m->cluster->sites[vm->from].name, "to",
                             vm->to != PLACEMENT_STAYS ? m->cluster->sites[vm->to].name : NULL,
                             "at", vm->vmm->site >= 0 ? m->cluster->sites[vm->vmm->site].name : "",
                             "moved", vmm_is_there(vm->vmm), "device_before", vm->had_device,
                             "device_after", vm->vmm->has_device, "transferred_bytes",
                             (json_int_t)copy->transferred, "ram_bytes", (json_int_t)copy->total,
                             "link", kinds[vm->link], "link_name", vm->link_name);
    bool has_downtime = (copy->measured & VMM_MEASURES_DOWNTIME) != 0 && copy->downtime_ms >= 0;
    json_object_set_new(json, "downtime_ms",
                        has_downtime ? json_integer(copy->downtime_ms) : json_null());
    json_object_set_new(json, "arrived_ms",
                        vm->arrived_ms >= 0 ? json_integer(vm->arrived_ms) : json_null());
    add_or_null(json, "method", vm->method);
    json_object_set_new(json, "stream", stream_report(&vm->vmm->savings));
    if (vm->vmm->stood_ms >= 0) {
        json_object_set_new(json, "stood_ms", json_integer(vm->vmm->stood_ms));
    }
    add_stages(json, vm);
    json_t *interconnects = json_object();
    add_or_null(interconnects, "before", vm->before);
    add_or_null(interconnects, "standby", vm->standby);
    add_or_null(interconnects, "after", vm->after);
    json_object_set_new(json, "interconnects", interconnects);
    return json;
}

const char *came_from(const struct migration *m)
{
    int from = -1;
    for (int i = 0; i < m->n; i++) {
        if (!is_to_move(&m->vms[i])) {
            continue;
        }
        if (from >= 0 && from != m->vms[i].from) {
            return "several";
        }
        from = m->vms[i].from;
    }
    return from >= 0 ? m->cluster->sites[from].name : m->goes_to;
}

static void add_stall(const struct migration *m, json_t *report)
{
    json_int_t total = 0, longest = 0;
    size_t i, k;
    json_t *sw, *attempt;
    json_array_foreach(m->switches, i, sw)
    {
        json_int_t stall = json_integer_value(json_object_get(sw, "stall_ms"));
        bool counted = false;
        json_array_foreach(json_object_get(sw, "given_up"), k, attempt)
        {
            json_int_t one = json_integer_value(json_object_get(attempt, "stall_ms"));
            total += one;
            longest = one > longest ? one : longest;
            counted = true;
        }
        /* The last attempt of a switch that was given up is in that list already. */
        if (!counted || strcmp(json_string_value(json_object_get(sw, "outcome")), "done") == 0) {
            total += stall;
            longest = stall > longest ? stall : longest;
        }
    }
    json_object_set_new(report, "stall_total_ms", json_integer(total));
    json_object_set_new(report, "stall_longest_ms", json_integer(longest));
}

json_t *migration_report(const struct migration *m)
{
    json_t *vms = json_array();
    json_t *jobs = jobs_to_json(survey_jobs(m->survey), m->agents);
    for (int i = 0; i < m->n; i++) {
        json_array_append_new(vms, vm_report(&m->vms[i]));
    }
    json_t *report = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:O, s:o, s:O, s:o, s:o}", "version",
        REPORT_VERSION, "id", journal_id(m->journal), "cluster", m->cluster->name, "mode",
        mode_name(m->options.mode), "from", came_from(m), "to", m->goes_to, "outcome",
        outcome_name(m->outcome), "reason", json_text(m->reason), "begin", m->began, "end",
        m->ended_at, "warnings", m->warnings, "states", state_to_json(&m->states), "switches",
        m->switches, "vms", vms, "jobs_before", jobs);
    if (m->options.key != NULL) {
        json_object_set_new(report, "key", json_string(m->options.key));
    }
    if (m->options.asked != NULL) {
        json_object_set_new(report, "asked", json_text(m->options.asked));
    }
    if (m->options.kind != OPERATION_MIGRATE) {
        json_object_set_new(report, "operation", json_string(m->operation->name));
        json_object_set_new(report, "checkpoint", json_text(m->options.checkpoint->path));
    }
    if (is_taken_on(m)) {
        json_object_set_new(report, "taken_on_in", json_string(m->taken_on_in));
    }
    json_object_set(report, "jobs_after", m->jobs_after ? m->jobs_after : jobs);
    json_object_set_new(report, "samples", samples_to_json(m->samples));
    add_stall(m, report);
    return report;
}
