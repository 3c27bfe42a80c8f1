/*
 * What a migration would do, from what the survey saw.
 */
#include "host/migration/coordinator_private.h"

#include <stdio.h>

static json_t *move_of(const struct cluster *cluster, int vm, const struct vmm *vmm, int to)
{
    const char *at = cluster->sites[vmm->site].name;
    if (to == PLACEMENT_STAYS || vmm->site == to) {
        bool gets = to != PLACEMENT_STAYS && vmm_lacks_device(vmm);
        return json_sprintf("%s stays at %s%s%s", cluster->vms[vm], at, gets ? ", gets " : "",
                            gets ? vmm_device(vmm)->text : "");
    }
    const char *device = vmm_device_text(vmm, to);
    const char *address = vmm_arrival(vmm, to).address, *stream = vmm_arrival(vmm, to).stream;
    return json_sprintf(
        "%s moves from %s to %s (%s%s%s%s), %s%s%s%s", cluster->vms[vm], at,
        cluster->sites[to].name, address ? "received at " : "no VMM", address ? address : "",
        stream ? ", by ninja-stream at " : "", stream ? stream : "",
        vmm->has_device ? "leaves " : "has no device to leave",
        vmm->has_device ? vmm_device(vmm)->id : "", device != NULL ? ", gets " : ", gets no device",
        device != NULL ? device : "");
}

/* Goes through the steps that are taken if all goes well, and adds what is seen of them. */
static void foresee(const struct operation *operation, struct facts *facts,
                    void (*add)(json_t *to, const struct step *step), json_t *to)
{
    size_t n = operation->n;
    for (size_t i = operation_next(operation, 0, facts); i < n;
         i = operation_next(operation, i + 1, facts)) {
        if (step_is_seen(operation->steps[i], facts)) {
            add(to, operation->steps[i]);
        }
        step_foresee(operation->steps[i], facts);
    }
    facts_free(facts);
}

static void add_text(json_t *to, const struct step *step)
{
    json_array_append_new(to, json_string(step->text));
}

static void add_stages(json_t *to, const struct step *step)
{
    json_array_append_new(to, json_sprintf("pre-%s", step->name));
    json_array_append_new(to, json_sprintf("post-%s", step->name));
}

json_t *migration_plan(struct survey *survey, const struct cluster *cluster,
                       const struct migration_options *options)
{
    json_t *plan = json_array();
    for (int i = 0; i < cluster->n_vms; i++) {
        json_array_append_new(
            plan, move_of(cluster, i, survey_vms(survey)[i].vmm, options->placement.to[i]));
    }
    foresee(operation_of(options), facts_of_survey(survey, cluster, options), add_text, plan);
    return plan;
}

json_t *migration_plan_stages(struct survey *survey, const struct cluster *cluster,
                              const struct migration_options *options)
{
    const struct operation *operation = operation_of(options);
    struct facts *facts = facts_of_survey(survey, cluster, options);
    json_t *stages = json_array();
    facts->any_jobs = true; /* a run finds out in the step itself that there are none */
    json_array_append_new(stages, json_sprintf("pre-%s", operation->name));
    foresee(operation, facts, add_stages, stages);
    json_array_append_new(stages, json_sprintf("post-%s", operation->name));
    return stages;
}
