/*
 * How a migration begins: anew, or taken on where another coordinator left it.
 */
#include "host/migration/coordinator_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/config/transfer.h"

bool migration_check(struct survey *survey, const struct cluster *cluster,
                     const struct migration_options *options, struct ninja_error *err)
{
    struct survey_vm *vms = survey_vms(survey);
    bool needed = false;
    if (!survey_is_complete(survey, err)) {
        return false;
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        int to = options->placement.to[i];
        bool asked = to != PLACEMENT_STAYS;
        bool has_need = asked && (vms[i].vmm->site != to || vmm_lacks_device(vms[i].vmm));
        if (asked && !has_need && options->placement.by_name) {
            return ninja_error_set(err, ERR_NOTHING_TO_DO, "%s is at \"%s\" already; leave it out",
                                   cluster->vms[i], cluster->sites[to].name);
        }
        needed |= has_need;
    }
    if (!needed) {
        return ninja_error_set(err, ERR_NOTHING_TO_DO,
                               "nothing to do: all VMs are at \"%s\" already, with their devices",
                               placement_name(cluster, options->placement.to));
    }
    return true;
}

static void on_state(void *arg, enum migration_state from, enum migration_state to)
{
    struct migration *m = arg;
    journal_write(m->journal,
                  json_pack("{s:s, s:s}", "from", state_name(from), "state", state_name(to)));
    changed(m);
}

static const char *device_id(const struct migration_vm *vm, int place)
{
    const struct cluster_device *device = place >= 0 ? vmm_device_at(vm->vmm, place) : NULL;
    return device != NULL ? device->id : NULL;
}

static json_t *journal_vm(const struct migration_vm *vm)
{
    const struct cluster *cluster = vm->m->cluster;
    const char *to = vm->to != PLACEMENT_STAYS ? cluster->sites[vm->to].name : NULL;
    json_t *transfer = vm->method != NULL ? transfer_to_json(&vm->vmm->transfer) : NULL;
    return json_pack("{s:s, s:s, s:s?, s:b, s:b, s:s*, s:s*, s:O*, s:o*}", "name",
                     vmm_name(vm->vmm), "at", cluster->sites[vm->from].name, "to", to, "moves",
                     is_to_move(vm), "device", vm->had_device, "leaves", device_id(vm, vm->from),
                     "gets", device_id(vm, vm->to), "method", vm->method, "transfer", transfer);
}

static void journal_begin(struct migration *m)
{
    json_t *vms = json_array();
    for (int i = 0; i < m->n; i++) {
        json_array_append_new(vms, journal_vm(&m->vms[i]));
    }
    journal_write(m->journal,
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:o, s:o}", "state",
                            state_name(STATE_PLANNED), "operation", m->operation->name, "cluster",
                            m->cluster->name, "file", m->cluster->file, "mode",
                            mode_name(m->options.mode), "to", m->goes_to, "checkpoint",
                            m->options.checkpoint ? m->options.checkpoint->path : NULL, "key",
                            m->options.key, "asked", m->options.asked, "vms", vms, "transfer",
                            transfer_to_json(&m->cluster->transfer)));
}

static void sample_vm(void *arg, int vm, struct sample *sample)
{
    const struct migration *m = arg;
    sample->vm = m->cluster->vms[vm];
    sample->copying = is_copying(&m->vms[vm]);
    sample->progress = m->vms[vm].vmm->progress;
}

/* Where a VM was of which that is the image; a site that is no more is where it goes. */
static int site_of_image(const struct migration_options *options, const struct cluster *cluster,
                         int vm)
{
    const struct checkpoint *checkpoint = options->checkpoint;
    for (int i = 0; i < checkpoint->n; i++) {
        int site = cluster_find_site(cluster, checkpoint->vms[i].site, NULL);
        if (strcmp(checkpoint->vms[i].name, cluster->vms[vm]) == 0 && site >= 0) {
            return site;
        }
    }
    return options->placement.to[vm];
}

static struct migration *make(struct event_base *base, const struct cluster *cluster,
                              struct survey *survey, struct journal *journal,
                              const struct migration_options *options,
                              const struct migration_handler *handler, void *arg)
{
    struct migration *m = xcalloc(1, sizeof(*m));
    struct survey_vm *surveyed = survey_vms(survey);
    m->base = base;
    m->cluster = cluster;
    m->survey = survey;
    m->journal = journal;
    m->options = *options;
    m->options.placement = (struct placement){0};
    m->options.methods = NULL;
    m->goes_to = placement_name(cluster, options->placement.to);
    m->operation = operation_of(options);
    m->handler = handler;
    m->arg = arg;
    m->n = cluster->n_vms;
    m->agents = survey_agents(survey);
    m->vms = xcalloc((size_t)m->n, sizeof(*m->vms));
    m->facts = facts_new(m->n);
    m->may_be_unplugged = xcalloc((size_t)m->n, sizeof(bool));
    m->ranks_leave = xcalloc((size_t)m->n, sizeof(bool));
    m->switches = json_array();
    m->warnings = json_array();
    m->samples = samples_new(base, m->n, sample_vm, m);
    wall_clock_text(m->began, sizeof(m->began));
    state_begin(&m->states, on_state, m);
    for (int i = 0; i < m->n; i++) {
        struct migration_vm *vm = &m->vms[i];
        int from = surveyed[i].vmm->site, to = options->placement.to[i];
        *vm = (struct migration_vm){
            .m = m,
            .vmm = surveyed[i].vmm,
            .agent = surveyed[i].agent,
            .from = options->kind == OPERATION_RESTART ? site_of_image(options, cluster, i) : from,
            .to = to,
            .way = to != PLACEMENT_STAYS && to != from ? WAY_MOVES : WAY_STAYS,
            .had_device = surveyed[i].vmm->has_device,
            .method = json_incref(json_object_get(options->methods, cluster->vms[i])),
            .before = json_incref(surveyed[i].interconnects),
            .timeline = json_array(),
            .arrived_ms = -1};
        vm->vmm->on_there = vm_arrived;
        vm->vmm->on_there_arg = vm;
        for (int s = 0; s < STAGES; s++) {
            vm->stages[s] = -1;
        }
    }
    return m;
}

struct migration *migration_start(struct event_base *base, const struct cluster *cluster,
                                  struct survey *survey, struct journal *journal,
                                  const struct migration_options *options,
                                  const struct migration_handler *handler, void *arg)
{
    struct migration *m = make(base, cluster, survey, journal, options, handler, arg);
    for (int i = 0; i < m->n; i++) {
        bool leaves = is_to_move(&m->vms[i]) || options->kind == OPERATION_CHECKPOINT;
        m->may_be_unplugged[i] = leaves && m->vms[i].had_device;
    }
    journal_begin(m);
    run_soon(m);
    return m;
}

/* A checkpoint is taken back; a restart of which a VM runs is led to its end. */
static bool is_on_its_way(const struct migration_vm *vm)
{
    return vm->vmm->move != VMM_AT_SOURCE;
}

/* Leads the migration to its end, or back. */
static void recover(struct migration *m)
{
    if (any_vm(m, is_on_its_way)) {
        m->step = operation_first(m->operation, PART_MOVE);
        m->copy_round = 1;
        run_soon(m);
    } else {
        struct ninja_error err = m->err;
        step_failed(m, &err);
    }
}

static void take_on(evutil_socket_t fd, short what, void *arg)
{
    struct migration *m = arg;
    timer_free(&m->soon);
    hooks_then(m, "pre", "recover", false, NULL, recover);
}

/* What the other coordinator may have done with the device of a VM. */
static enum device_state device_found(const struct migration_vm *vm)
{
    if (vm->m->options.kind == OPERATION_RESTART) {
        return vm->vmm->has_device ? DEVICE_PLUGGED : DEVICE_AS_BEFORE;
    }
    if (is_to_move(vm) || vm->m->options.kind == OPERATION_CHECKPOINT) {
        return vm->had_device ? DEVICE_DETACHED : DEVICE_AS_BEFORE;
    }
    return !vm->had_device && vm->vmm->has_device ? DEVICE_PLUGGED : DEVICE_AS_BEFORE;
}

/* The other coordinator may have asked its guest to let go of a device that it still has. The jobs
 * are on none until a later step, so it can be asked again. */
static void find_leaving(struct migration_vm *vm, const struct record *record)
{
    vm->vmm->leaving = record->unplugs && is_to_move(vm) && vm->vmm->has_device;
    vm->asks_again = vm->vmm->leaving && strcmp(record->step, "unplug") == 0;
}

enum operation_kind kind_of(const struct record *record)
{
    enum operation_kind kind = OPERATION_RESTART;
    while (kind > OPERATION_MIGRATE && strcmp(record->operation, operation_kind_name(kind)) != 0) {
        kind--;
    }
    return kind;
}

struct migration *migration_take_on(struct event_base *base, const struct cluster *cluster,
                                    struct survey *survey, struct journal *journal,
                                    const struct record *record, bool back,
                                    struct checkpoint *checkpoint,
                                    const struct migration_handler *handler, void *arg)
{
    struct migration_options options = {.kind = kind_of(record),
                                        .mode = record->paused ? MODE_PAUSED : MODE_LIVE,
                                        .key = record->key[0] != '\0' ? record->key : NULL,
                                        .asked = record->asked,
                                        .checkpoint = checkpoint};
    options.placement.to = xcalloc((size_t)cluster->n_vms, sizeof(int));
    for (int i = 0; i < cluster->n_vms; i++) {
        options.placement.to[i] = record->vms[i].to;
    }
    struct migration *m = make(base, cluster, survey, journal, &options, handler, arg);
    placement_clear(&options.placement);
    for (int i = 0; i < m->n; i++) {
        struct migration_vm *vm = &m->vms[i];
        vm->from = record->vms[i].from;
        vm->way = record->vms[i].moves ? WAY_MOVES : WAY_STAYS;
        vm->had_device = record->vms[i].had_device;
        vm->method = json_incref(record->vms[i].method);
        vm->device = device_found(vm);
        find_leaving(vm, record);
    }
    m->origin = back ? ORIGIN_TAKEN_BACK : ORIGIN_TAKEN_ON;
    m->course = COURSE_FORWARD;
    m->jobs = JOBS_UNKNOWN;
    snprintf(m->began, sizeof(m->began), "%s", record->began);
    snprintf(m->taken_on_in, sizeof(m->taken_on_in), "%s", record->state);
    journal_write(journal, json_pack("{s:s, s:b}", "taken_on_in", record->state, "back", back));
    ninja_error_set(&m->err, ERR_INTERRUPTED, "its coordinator ended while it was %s",
                    record->state);
    m->soon = timer_start(m->base, 0, take_on, m);
    return m;
}

void migration_use_hooks(struct migration *m, const struct hooks *hooks)
{
    m->hooks = hooks;
}
