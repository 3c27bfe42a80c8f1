/*
 * What a migration would do, from what the survey saw.
 */
#include "host/migration/coordinator_private.h"

#include <stdio.h>

/* What its steps depend on. */
struct outlook {
    bool moves;  /* a VM does */
    bool device; /* a VM that moves leaves one */
    bool plugs;  /* one gets one */
    bool live, jobs;
};

static struct outlook look_ahead(struct survey *survey, const struct cluster *cluster,
                                 const struct migration_options *options)
{
    struct survey_vm *vms = survey_vms(survey);
    struct outlook outlook = {.live = options->mode == MODE_LIVE,
                              .jobs = survey_jobs(survey)->n > 0};
    for (int i = 0; i < cluster->n_vms; i++) {
        if (vms[i].vmm->site == options->to) {
            outlook.plugs |= vmm_lacks_device(vms[i].vmm);
        } else {
            outlook.moves = true;
            outlook.device |= vms[i].vmm->has_device;
            outlook.plugs |= cluster->sites[options->to].vms[i].device != NULL;
        }
    }
    return outlook;
}

static bool is_ahead(const struct migration_step *step, const struct outlook *outlook)
{
    bool live = outlook->live, jobs = outlook->jobs, plugs = outlook->plugs;
    bool needed = step->text != NULL;
    needed &= outlook->moves || !step_moves(step);
    needed &= step->needed != needs_standby || (live && outlook->device && jobs);
    needed &= step->needed != is_paused || (!live && jobs);
    needed &= step->needed != is_held || (!live && jobs);
    needed &= step->needed != has_device_to_leave || outlook->device;
    needed &= (step->needed != needs_device && step->needed != needs_attach &&
               step->needed != needs_link) ||
              plugs;
    needed &= step->needed != needs_best || (live && plugs && jobs);
    return needed;
}

static json_t *move_of(const struct cluster *cluster, int vm, const struct vmm *vmm, int to)
{
    const char *at = cluster->sites[vmm->site].name;
    const struct cluster_entry *entry = &cluster->sites[to].vms[vm];
    if (vmm->site == to) {
        bool lacks = vmm_lacks_device(vmm);
        return json_sprintf("%s stays at %s%s%s", cluster->vms[vm], at, lacks ? ", gets " : "",
                            lacks ? entry->device : "");
    }
    return json_sprintf(
        "%s moves from %s to %s (%s%s), %s%s%s%s", cluster->vms[vm], at, cluster->sites[to].name,
        entry->receive ? "received at " : "no VMM", entry->receive ? entry->receive : "",
        vmm->has_device ? "leaves " : "has no device to leave",
        vmm->has_device ? vmm_entry(vmm)->device_id : "",
        entry->device ? ", gets " : ", gets no device", entry->device ? entry->device : "");
}

json_t *migration_plan(struct survey *survey, const struct cluster *cluster,
                       const struct migration_options *options)
{
    struct outlook outlook = look_ahead(survey, cluster, options);
    json_t *plan = json_array();
    for (int i = 0; i < cluster->n_vms; i++) {
        json_array_append_new(plan, move_of(cluster, i, survey_vms(survey)[i].vmm, options->to));
    }
    for (size_t i = 0; i < migration_n_steps; i++) {
        if (is_ahead(&migration_steps[i], &outlook)) {
            json_array_append_new(plan, json_string(migration_steps[i].text));
        }
    }
    return plan;
}

json_t *migration_plan_stages(struct survey *survey, const struct cluster *cluster,
                              const struct migration_options *options)
{
    struct outlook outlook = look_ahead(survey, cluster, options);
    json_t *stages = json_pack("[s]", "pre-migrate");
    outlook.jobs = true; /* that there are none is found out in the step */
    for (size_t i = 0; i < migration_n_steps; i++) {
        const struct migration_step *step = &migration_steps[i];
        if (is_ahead(step, &outlook)) {
            json_array_append_new(stages, json_sprintf("pre-%s", step->name));
            json_array_append_new(stages, json_sprintf("post-%s", step->name));
        }
    }
    json_array_append_new(stages, json_string("post-migrate"));
    return stages;
}
