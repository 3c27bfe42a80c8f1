#include "host/migration/survey.h"

#include <stdlib.h>
#include <string.h>

#include "host/agent/guest_answer.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/migration/operation.h"

struct looked_at {
    struct survey *survey;
    int vm;
};

struct survey {
    struct event_base *base;
    const struct cluster *cluster;
    struct survey_vm *vms;
    struct agent **agents;
    struct looked_at *refs;
    struct jobs *jobs;
    struct gather gather;
    void (*done)(void *arg);
    void *arg;
};

static void vm_over(struct looked_at *ref, const struct ninja_error *err)
{
    struct survey_vm *vm = &ref->survey->vms[ref->vm];
    if (err != NULL) {
        vm->agent_err = *err;
    }
    gather_done(&ref->survey->gather, NULL);
}

static void on_jobs(void *arg, json_t *result, const struct ninja_error *error)
{
    struct looked_at *ref = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (error != NULL) {
        err = *error;
    } else if (!jobs_add(ref->survey->jobs, ref->vm, result, &err)) {
        ninja_error_where(&err, "%s", ref->survey->cluster->vms[ref->vm]);
    }
    vm_over(ref, ninja_error_is_set(&err) ? &err : NULL);
}

static void on_interconnects(void *arg, json_t *result, const struct ninja_error *err)
{
    struct looked_at *ref = arg;
    struct survey *survey = ref->survey;
    if (err != NULL) {
        vm_over(ref, err);
        return;
    }
    survey->vms[ref->vm].interconnects = guest_interconnects(result);
    agent_execute(survey->vms[ref->vm].agent, "ninja-jobs", NULL,
                  survey->cluster->timeouts[TIMEOUT_COMMAND], on_jobs, ref);
}

static void on_connected(void *arg, const struct ninja_error *err)
{
    struct looked_at *ref = arg;
    struct survey *survey = ref->survey;
    if (err != NULL) {
        vm_over(ref, err);
        return;
    }
    agent_execute(survey->vms[ref->vm].agent, "ninja-interconnects", NULL,
                  survey->cluster->timeouts[TIMEOUT_COMMAND], on_interconnects, ref);
}

static void on_located(void *arg, const struct ninja_error *err)
{
    struct looked_at *ref = arg;
    struct survey_vm *vm = &ref->survey->vms[ref->vm];
    if (err != NULL) {
        vm->vmm_err = *err;
        vm_over(ref, err);
        return;
    }
    if (vm->vmm->site < 0 || vmm_is_between(vm->vmm) || vm->vmm->stands) {
        /* Its guest may stand still: it is asked when it runs. */
        vm_over(ref, NULL);
        return;
    }
    struct channel_way way = vmm_way_to_agent(vm->vmm);
    agent_connect(vm->agent, &way, on_connected, ref);
}

static void on_all(void *arg, const struct ninja_error *unused)
{
    struct survey *survey = arg;
    survey->done(survey->arg);
}

/* Which devices were chosen before. */
static void take_record(struct vmm *vmm, const struct record_vm *record)
{
    transfer_from_json(&vmm->transfer, record->transfer);
    if (record->leaves != NULL) {
        vmm->devices[record->from] = record->leaves;
    }
    if (record->gets != NULL) {
        vmm->devices[record->to] = record->gets;
    }
}

static void locate(struct survey *survey, int vm, const struct record *interrupted)
{
    struct vmm *vmm = survey->vms[vm].vmm;
    const struct vmm_images *images = vmm->driver->images;
    enum operation_kind kind = interrupted != NULL ? kind_of(interrupted) : OPERATION_MIGRATE;
    if (interrupted != NULL) {
        take_record(vmm, &interrupted->vms[vm]);
    }
    if (kind == OPERATION_CHECKPOINT && images != NULL) {
        images->find(vmm, on_located, &survey->refs[vm]);
    } else if (kind == OPERATION_RESTART && images != NULL) {
        images->find_loaded(vmm, interrupted->vms[vm].to, on_located, &survey->refs[vm]);
    } else if (interrupted != NULL && interrupted->vms[vm].moves) {
        const struct record_vm *record = &interrupted->vms[vm];
        vmm->driver->adopt(vmm, record->from, record->to, record->ran_there, on_located,
                           &survey->refs[vm]);
    } else {
        vmm->driver->locate(vmm, on_located, &survey->refs[vm]);
    }
}

static struct survey *begin(struct event_base *base, const struct cluster *cluster,
                            void (*done)(void *arg), void *arg)
{
    struct survey *survey = xcalloc(1, sizeof(*survey));
    size_t n = (size_t)cluster->n_vms;
    survey->base = base;
    survey->cluster = cluster;
    survey->done = done;
    survey->arg = arg;
    survey->jobs = xcalloc(1, sizeof(*survey->jobs));
    survey->vms = xcalloc(n, sizeof(*survey->vms));
    survey->agents = xcalloc(n, sizeof(*survey->agents));
    survey->refs = xcalloc(n, sizeof(*survey->refs));
    gather_begin(&survey->gather, base, on_all, survey);
    for (int i = 0; i < cluster->n_vms; i++) {
        struct survey_vm *vm = &survey->vms[i];
        const struct vmm_driver *driver = driver_find(cluster->driver);
        survey->refs[i] = (struct looked_at){survey, i};
        vm->vmm = driver->open(base, cluster, i);
        vm->vmm->transfer = cluster->transfer;
        vm->agent = agent_new(base, cluster->vms[i], cluster->timeouts[TIMEOUT_CONNECT]);
        survey->agents[i] = vm->agent;
        gather_add(&survey->gather);
    }
    return survey;
}

struct survey *survey_start(struct event_base *base, const struct cluster *cluster,
                            const struct record *interrupted, void (*done)(void *arg), void *arg)
{
    struct survey *survey = begin(base, cluster, done, arg);
    for (int i = 0; i < cluster->n_vms; i++) {
        locate(survey, i, interrupted);
    }
    return survey;
}

struct survey *survey_start_nowhere(struct event_base *base, const struct cluster *cluster,
                                    void (*done)(void *arg), void *arg)
{
    struct survey *survey = begin(base, cluster, done, arg);
    for (int i = 0; i < cluster->n_vms; i++) {
        struct vmm *vmm = survey->vms[i].vmm;
        vmm->driver->images->absent(vmm, on_located, &survey->refs[i]);
    }
    return survey;
}

struct survey_vm *survey_vms(struct survey *survey)
{
    return survey->vms;
}

const struct jobs *survey_jobs(const struct survey *survey)
{
    return survey->jobs;
}

struct agent *const *survey_agents(const struct survey *survey)
{
    return survey->agents;
}

bool survey_is_complete(struct survey *survey, struct ninja_error *err)
{
    for (int i = 0; i < survey->cluster->n_vms; i++) {
        const struct survey_vm *vm = &survey->vms[i];
        const struct ninja_error *first =
            ninja_error_is_set(&vm->vmm_err) ? &vm->vmm_err : &vm->agent_err;
        if (ninja_error_is_set(first)) {
            return ninja_error_set(err, first->class, "%s", first->message);
        }
    }
    return true;
}

json_t *survey_to_json(struct survey *survey)
{
    json_t *vms = json_array();
    for (int i = 0; i < survey->cluster->n_vms; i++) {
        const struct survey_vm *vm = &survey->vms[i];
        const struct vmm *vmm = vm->vmm;
        json_t *json = json_pack("{s:s}", "name", survey->cluster->vms[i]);
        if (vmm->site >= 0) {
            json_object_set_new(json, "site", json_string(survey->cluster->sites[vmm->site].name));
            json_object_set_new(json, "device_attached", json_boolean(vmm->has_device));
            json_object_set_new(json, "device",
                                vmm->has_device ? json_text(vmm_device(vmm)->id) : json_null());
        }
        const struct ninja_error *err =
            ninja_error_is_set(&vm->vmm_err) ? &vm->vmm_err : &vm->agent_err;
        if (ninja_error_is_set(err)) {
            json_object_set_new(json, "error", json_text(err->message));
        }
        if (vm->agent != NULL && agent_version(vm->agent)[0] != '\0') {
            json_object_set_new(json, "agent_version", json_text(agent_version(vm->agent)));
            json_object_set_new(json, "hostname", json_text(agent_hostname(vm->agent)));
        }
        if (vm->interconnects != NULL) {
            json_object_set(json, "interconnects", vm->interconnects);
        }
        json_array_append_new(vms, json);
    }
    return json_pack("{s:s, s:o, s:o}", "cluster", survey->cluster->name, "vms", vms, "jobs",
                     jobs_to_json(survey->jobs, survey->agents));
}

void survey_free(struct survey *survey)
{
    if (survey == NULL) {
        return;
    }
    gather_free(&survey->gather);
    for (int i = 0; i < survey->cluster->n_vms; i++) {
        struct survey_vm *vm = &survey->vms[i];
        agent_free(vm->agent); /* it goes the driver's way */
        if (vm->vmm != NULL) {
            vm->vmm->driver->close(vm->vmm);
        }
        json_decref(vm->interconnects);
    }
    jobs_free(survey->jobs);
    free(survey->vms);
    free(survey->agents);
    free(survey->refs);
    free(survey);
}
