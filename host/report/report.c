#include "host/report/report.h"

#include <stdbool.h>
#include <string.h>

#include "common/stages.h"
#include "host/base/json_text.h"
#include "host/base/units.h"

static long long integer_of(json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* A column of the table of VMs is as wide as the VM's name: two that are cut may look the same. */
static void print_cell(FILE *out, json_t *vm, const char *text)
{
    size_t len = strlen(json_text_in(vm, "name"));
    fprintf(out, " %*s", len > 9 ? (int)len : 9, text);
}

static void print_ms(FILE *out, json_t *vm, json_t *value)
{
    char text[24] = "-";
    if (json_is_integer(value)) {
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    }
    print_cell(out, vm, text);
}

/* A line of figures; within: the object of a VM that has them, NULL: its own. */
static void print_times(FILE *out, json_t *vms, const char *label, const char *within,
                        const char *key)
{
    size_t i;
    json_t *vm;
    fprintf(out, "  %-13s", label);
    json_array_foreach(vms, i, vm)
    {
        print_ms(out, vm, json_object_get(within != NULL ? json_object_get(vm, within) : vm, key));
    }
    fprintf(out, "\n");
}

#define STAGE_NAME(stage, name) name,

static void print_stages(FILE *out, json_t *vms)
{
    static const char *const stages[] = {NINJA_EACH_STAGE(STAGE_NAME)};
    size_t i;
    json_t *vm;
    fprintf(out, "\nEvery VM (ms)  ");
    json_array_foreach(vms, i, vm)
    {
        print_cell(out, vm, json_text_in(vm, "name"));
    }
    fprintf(out, "\n");
    for (size_t s = 0; s < sizeof(stages) / sizeof(stages[0]); s++) {
        print_times(out, vms, stages[s], "stages", stages[s]);
        if (strcmp(stages[s], "copy") == 0) {
            print_times(out, vms, "downtime", NULL, "downtime_ms");
        }
    }
    fprintf(out, "  %-13s", "MiB sent");
    json_array_foreach(vms, i, vm)
    {
        char text[40];
        snprintf(text, sizeof(text), "%.1f",
                 (double)integer_of(vm, "transferred_bytes") / UNITS_MIB);
        print_cell(out, vm, text);
    }
    fprintf(out, "\n  %-13s", "new link");
    json_array_foreach(vms, i, vm)
    {
        print_cell(out, vm, json_text_in(vm, "link")[0] ? json_text_in(vm, "link") : "-");
    }
    fprintf(out, "\n");
}

static void print_leaving(FILE *out, json_t *sw)
{
    size_t i;
    json_t *vm, *leaving = json_object_get(sw, "leaving");
    if (json_array_size(leaving) == 0) {
        return;
    }
    fprintf(out, "  ranks of");
    json_array_foreach(leaving, i, vm)
    {
        fprintf(out, " %s", json_string_value(vm));
    }
    fprintf(out, " left; %lld pairs of the others kept their transports\n",
            integer_of(sw, "pairs_kept"));
}

void report_print_switch(FILE *out, json_t *sw)
{
    size_t i;
    json_t *step, *left;
    fprintf(out, "Switch %s -> %s: %s, attempts %lld, rounds %lld, jobs stood still for %lld ms\n",
            json_text_in(sw, "release"), json_text_in(sw, "reselect"), json_text_in(sw, "outcome"),
            integer_of(sw, "attempts"), integer_of(sw, "rounds"), integer_of(sw, "stall_ms"));
    print_leaving(out, sw);
    json_array_foreach(json_object_get(sw, "steps"), i, step)
    {
        fprintf(out, "  %-10s round %lld %9lld ms   slowest rank %.1f ms\n",
                json_text_in(step, "step"), integer_of(step, "round"), integer_of(step, "ms"),
                (double)integer_of(step, "max_rank_micros") / 1000.0);
    }
    json_array_foreach(json_object_get(sw, "left_out"), i, left)
    {
        fprintf(out, "  rank %lld (%s) goes on without %s: no message gets through\n",
                integer_of(left, "rank"), json_text_in(left, "vm"),
                json_text_in(left, "transports"));
    }
}

static void print_transports(FILE *out, const char *when, json_t *jobs)
{
    size_t i, r;
    json_t *job, *rank;
    json_array_foreach(jobs, i, job)
    {
        fprintf(out, "Job %s %s:", json_text_in(job, "job"), when);
        json_array_foreach(json_object_get(job, "ranks"), r, rank)
        {
            const char *name;
            json_t *peers;
            fprintf(out, "%s %lld (%s)", r ? "," : " rank", integer_of(rank, "rank"),
                    json_text_in(rank, "vm"));
            json_object_foreach(json_object_get(rank, "transports"), name, peers)
            {
                fprintf(out, " %s:%lld", name, (long long)json_integer_value(peers));
            }
        }
        fprintf(out, "\n");
    }
}

static void print_way(FILE *out, const char *when, double ms, double bytes, json_t *stands)
{
    char took[32], sent[32], stood[32];
    fprintf(out, "    %-9s %s, %s", when, units_ms(took, sizeof(took), ms),
            units_bytes(sent, sizeof(sent), bytes));
    if (json_is_integer(stands)) {
        fprintf(out, ", stood still for %s",
                units_ms(stood, sizeof(stood), json_number_value(stands)));
    }
    fprintf(out, "\n");
}

/* What was chosen for a VM, what was foreseen of it, and what came. */
static void print_method(FILE *out, json_t *vm)
{
    size_t i;
    json_t *way, *method = json_object_get(vm, "method");
    if (!json_is_object(method)) {
        return;
    }
    fprintf(out, "%s: %s: %s\n", json_text_in(vm, "name"), json_text_in(method, "name"),
            json_text_in(method, "why"));
    json_array_foreach(json_object_get(method, "ways"), i, way)
    {
        if (strcmp(json_text_in(way, "name"), json_text_in(method, "name")) == 0) {
            print_way(out, "foreseen", json_number_value(json_object_get(way, "copy_ms")),
                      json_number_value(json_object_get(way, "bytes")),
                      json_object_get(way, "downtime_ms"));
        }
    }
    print_way(out, "measured", (double)integer_of(json_object_get(vm, "stages"), "copy"),
              (double)integer_of(vm, "transferred_bytes"), json_object_get(vm, "downtime_ms"));
}

static void print_head(FILE *out, json_t *report)
{
    const char *operation = json_text_in(report, "operation");
    if (strcmp(operation, "checkpoint") == 0) {
        fprintf(out, "Checkpoint %s (%s, %s): %s\n", json_text_in(report, "checkpoint"),
                json_text_in(report, "id"), json_text_in(report, "mode"),
                json_text_in(report, "outcome"));
        return;
    }
    bool restart = strcmp(operation, "restart") == 0;
    fprintf(out, "%s %s (%s) from %s to %s: %s\n", restart ? "Restart" : "Migration",
            json_text_in(report, "id"), json_text_in(report, "mode"), json_text_in(report, "from"),
            json_text_in(report, "to"), json_text_in(report, "outcome"));
}

void report_print(FILE *out, json_t *report)
{
    size_t i;
    json_t *entry;
    print_head(out, report);
    if (json_text_in(report, "reason")[0] != '\0') {
        fprintf(out, "Reason: %s\n", json_text_in(report, "reason"));
    }
    fprintf(out, "Begin %s, end %s\n\nState            start ms        ms\n",
            json_text_in(report, "begin"), json_text_in(report, "end"));
    json_array_foreach(json_object_get(report, "states"), i, entry)
    {
        fprintf(out, "  %-13s %9lld %9lld\n", json_text_in(entry, "state"),
                integer_of(entry, "start_ms"), integer_of(entry, "ms"));
    }
    print_stages(out, json_object_get(report, "vms"));
    fprintf(out, "\n");
    json_array_foreach(json_object_get(report, "vms"), i, entry)
    {
        print_method(out, entry);
    }
    json_array_foreach(json_object_get(report, "switches"), i, entry)
    {
        report_print_switch(out, entry);
    }
    print_transports(out, "before", json_object_get(report, "jobs_before"));
    print_transports(out, "after", json_object_get(report, "jobs_after"));
    fprintf(out, "Jobs stood still for %lld ms in all, %lld ms at a time\n",
            integer_of(report, "stall_total_ms"), integer_of(report, "stall_longest_ms"));
}
