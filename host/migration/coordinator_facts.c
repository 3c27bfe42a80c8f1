/*
 * What steps are decided from: as a survey found it, and as it is in a run.
 */
#include <stdlib.h>

#include "host/base/memory.h"
#include "host/migration/coordinator_private.h"

struct facts *facts_new(int n)
{
    struct facts *facts = xcalloc(1, sizeof(*facts));
    facts->n = n;
    facts->any_jobs = true;
    facts->vms = xcalloc((size_t)n, sizeof(*facts->vms));
    return facts;
}

void facts_free(struct facts *facts)
{
    if (facts != NULL) {
        free(facts->vms);
        free(facts);
    }
}

/* What the driver and the agent tell. */
static struct vm_facts facts_of_vm(const struct vmm *vmm, const struct agent *agent, int to)
{
    return (struct vm_facts){
        .move = vmm->move,
        .agent_ready = agent_is_ready(agent),
        .stands = vmm->stands,
        .loaded = vmm->loaded,
        .has_device = vmm->has_device,
        .leaving = vmm->leaving,
        .offered = vmm->site >= 0 && vmm_device(vmm) != NULL,
        .asked = to != PLACEMENT_STAYS,
        .offered_there = to != PLACEMENT_STAYS && vmm_device_at(vmm, to) != NULL,
    };
}

struct facts *facts_of_survey(struct survey *survey, const struct cluster *cluster,
                              const struct migration_options *options)
{
    struct facts *facts = facts_new(cluster->n_vms);
    facts->kind = options->kind;
    facts->sets_clock = options->set_clock;
    facts->any_jobs = survey_jobs(survey)->n > 0;
    for (int i = 0; i < facts->n; i++) {
        const struct survey_vm *vm = &survey_vms(survey)[i];
        int to = options->placement.to[i];
        facts->vms[i] = facts_of_vm(vm->vmm, vm->agent, to);
        facts->vms[i].moves = to != PLACEMENT_STAYS && vm->vmm->site != to;
        facts->vms[i].had_device = vm->vmm->has_device;
        facts->vms[i].saved = options->kind == OPERATION_CHECKPOINT;
    }
    return facts;
}

const struct facts *facts_of_migration(struct migration *m)
{
    m->facts->kind = m->options.kind;
    m->facts->sets_clock = m->options.set_clock;
    m->facts->going_back = is_going_back(m);
    m->facts->jobs = m->jobs;
    for (int i = 0; i < m->n; i++) {
        const struct migration_vm *vm = &m->vms[i];
        struct vm_facts *facts = &m->facts->vms[i];
        *facts = facts_of_vm(vm->vmm, vm->agent, vm->to);
        facts->moves = is_to_move(vm);
        facts->undecided = is_undecided(vm);
        facts->had_device = vm->had_device;
        facts->saved = m->options.kind == OPERATION_CHECKPOINT;
        facts->device = vm->device;
        facts->asks_again = vm->asks_again;
        facts->linked = vm->link != LINK_NONE;
    }
    return m->facts;
}
