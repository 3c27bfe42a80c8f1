/*
 * The copy of a VM takes as long as its bytes do at its rate. The bytes are those that were sent
 * the last time, in proportion to the RAM, as QEMU leaves out pages of zeros; without a last time
 * they are all of the RAM. The rate is the limit or what was reached the last time, whichever is
 * less. All VMs are copied at once, so the slowest one counts.
 *
 * The stall depends on the job and on how the ranks come to rest; it is only told from an earlier
 * migration in the same mode, best to the same site.
 */
#include "host/migration/estimate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/journal/journal.h"

#define MAX_REPORTS 20

/* A VM's copy in an earlier migration. */
struct earlier {
    char id[JOURNAL_ID_SIZE]; /* empty: there is none */
    double sent, ram, ms;
};

static bool arrived(json_t *report)
{
    const char *outcome = json_text_in(report, "outcome");
    return strcmp(outcome, "done") == 0 || strcmp(outcome, "degraded") == 0;
}

json_t *estimate_reports(const char *state_dir, const char *cluster)
{
    char(*ids)[JOURNAL_ID_SIZE];
    json_t *list = json_array();
    int n = journal_list(state_dir, &ids);
    for (int i = n - 1; i >= 0 && json_array_size(list) < MAX_REPORTS; i--) {
        json_t *report = report_read(state_dir, ids[i], NULL);
        if (report != NULL && arrived(report) &&
            strcmp(json_text_in(report, "cluster"), cluster) == 0) {
            json_array_append(list, report);
        }
        json_decref(report);
    }
    free(ids);
    return list;
}

static struct earlier earlier_copy(json_t *reports, const char *name)
{
    struct earlier found = {.id = ""};
    size_t i, k;
    json_t *report, *vm;
    json_array_foreach(reports, i, report)
    {
        json_array_foreach(json_object_get(report, "vms"), k, vm)
        {
            json_t *stages = json_object_get(vm, "stages");
            struct earlier it = {
                .sent = json_number_value(json_object_get(vm, "transferred_bytes")),
                .ram = json_number_value(json_object_get(vm, "ram_bytes")),
                .ms = json_number_value(json_object_get(stages, "copy")),
            };
            if (found.id[0] == '\0' && strcmp(json_text_in(vm, "name"), name) == 0 && it.sent > 0 &&
                it.ram > 0 && it.ms > 0) {
                found = it;
                snprintf(found.id, sizeof(found.id), "%s", json_text_in(report, "id"));
            }
        }
    }
    return found;
}

/* Bytes a second, and where the figure comes from; 0: there is none. */
static double rate_of(const struct transfer *transfer, const struct earlier *earlier, char *from,
                      size_t size)
{
    double limit = transfer->bandwidth_mib * UNITS_MIB;
    double reached = earlier->id[0] != '\0' ? earlier->sent / (earlier->ms / 1000.0) : 0;
    if (reached > 0 && (limit <= 0 || reached < limit)) {
        snprintf(from, size, "as reached in %s", earlier->id);
        return reached;
    }
    snprintf(from, size, "%s", limit > 0 ? "the limit" : "");
    return limit;
}

struct copy_estimate estimate_copy(const struct vmm *vmm, const struct look *look, json_t *reports)
{
    struct earlier earlier = earlier_copy(reports, vmm_name(vmm));
    struct copy_estimate it = {.ram = look != NULL ? (double)look->memory : 0};
    it.bytes_per_s = rate_of(&vmm->transfer, &earlier, it.rate_from, sizeof(it.rate_from));
    it.bytes = it.ram;
    if (earlier.id[0] != '\0' && it.ram > 0) {
        it.bytes = it.ram * earlier.sent / earlier.ram;
        memcpy(it.bytes_from, earlier.id, sizeof(it.bytes_from));
    }
    return it;
}

static json_t *whole_or_null(double number)
{
    return number > 0 ? json_integer((json_int_t)number) : json_null();
}

static json_t *estimate_vm(const struct vmm *vmm, const struct look *look, json_t *reports)
{
    struct copy_estimate it = estimate_copy(vmm, look, reports);
    const char *from = it.bytes_from[0] != '\0' ? it.bytes_from
                       : it.ram > 0             ? "all of the RAM"
                                                : "";
    bool known = it.bytes > 0 && it.bytes_per_s > 0;
    return json_pack("{s:s, s:o, s:o, s:s, s:o, s:s, s:o}", "name", vmm_name(vmm), "ram_bytes",
                     whole_or_null(it.ram), "send_bytes", whole_or_null(it.bytes), "send_from",
                     from, "bytes_per_s", whole_or_null(it.bytes_per_s), "rate_from", it.rate_from,
                     "copy_ms", whole_or_null(known ? it.bytes / it.bytes_per_s * 1000 : 0));
}

static void add_stall(json_t *estimate, json_t *reports, const struct cluster *cluster,
                      const struct migration_options *options)
{
    const char *to = placement_name(cluster, options->placement.to);
    json_t *best = NULL, *report;
    size_t i;
    json_array_foreach(reports, i, report)
    {
        bool same_mode = strcmp(json_text_in(report, "mode"), mode_name(options->mode)) == 0;
        bool same_way = strcmp(json_text_in(report, "to"), to) == 0;
        if (same_mode && json_array_size(json_object_get(report, "switches")) > 0 &&
            (best == NULL ||
             (same_way && strcmp(json_text_in(best, "to"), json_text_in(report, "to")) != 0))) {
            best = report;
            if (same_way) {
                break;
            }
        }
    }
    json_t *stall = json_object_get(best, "stall_total_ms");
    json_object_set(estimate, "stall_ms", json_is_integer(stall) ? stall : json_null());
    json_object_set_new(estimate, "stall_from", json_string(json_text_in(best, "id")));
}

json_t *estimate_migration(const struct cluster *cluster, const struct looks *looks,
                           struct survey *survey, const struct migration_options *options,
                           const char *state_dir)
{
    json_t *reports = estimate_reports(state_dir, cluster->name), *vms = json_array();
    json_int_t longest = 0;
    bool known = true;
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct vmm *vmm = survey_vms(survey)[i].vmm;
        int to = options->placement.to[i];
        if (to == PLACEMENT_STAYS || vmm->site == to) {
            continue;
        }
        json_t *vm = estimate_vm(vmm, looks_at(looks, i, vmm->site), reports);
        json_t *ms = json_object_get(vm, "copy_ms");
        known &= json_is_integer(ms);
        longest = json_integer_value(ms) > longest ? json_integer_value(ms) : longest;
        json_array_append_new(vms, vm);
    }
    json_t *estimate =
        json_pack("{s:o, s:o}", "vms", vms, "copy_ms", known ? json_integer(longest) : json_null());
    add_stall(estimate, reports, cluster, options);
    json_decref(reports);
    return estimate;
}
