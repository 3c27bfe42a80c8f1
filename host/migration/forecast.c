#include "host/migration/forecast.h"

#include <stdlib.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/base/units.h"
#include "host/config/placement.h"
#include "host/migration/estimate.h"

/* A VM that moves. */
struct forecast_vm {
    struct forecast *forecast;
    struct vmm *vmm;
    const struct look *look;
    json_t *method;
};

struct forecast {
    const struct policy_limits *limits;
    json_t *reports;
    struct forecast_vm *vms;
    struct policy_facts *facts;
    struct policy_choice *choices;
    size_t n;
    struct gather gather;
    void (*done)(void *arg);
    void *arg;
};

/* ---- facts ---- */

static void on_measured(void *arg, const struct ninja_error *err)
{
    struct forecast_vm *vm = arg;
    if (err != NULL) {
        ninja_log_warning("what %s writes cannot be measured: %s", vmm_name(vm->vmm), err->message);
    }
    gather_done(&vm->forecast->gather, NULL);
}

static void on_all_measured(void *arg, const struct ninja_error *unused)
{
    struct forecast *forecast = arg;
    forecast->done(forecast->arg);
}

/* What was said beside it may leave no way but pre-copy. */
static enum vmm_post_copy post_copy_of(const struct vmm *vmm)
{
    return vmm->transfer.parallel > 0 ? VMM_POST_COPY_NEVER : vmm->driver->post_copy;
}

static int downtime_limit_of(const struct vmm *vmm, const struct policy_limits *limits)
{
    int limit = vmm->transfer.downtime_limit_ms;
    bool is_less = limits->max_downtime_ms > 0 && limits->max_downtime_ms < limit;
    return is_less ? (int)limits->max_downtime_ms : limit;
}

/* Where nothing is said of the rest it is not foreseen to come faster. */
static int64_t rest_of(const struct vmm *vmm, double bytes_per_s)
{
    double limit = (double)vmm->transfer.post_copy_bandwidth_mib * UNITS_MIB;
    return limit > 0 && limit < bytes_per_s ? (int64_t)limit : 0;
}

static struct policy_facts facts_of(const struct forecast *forecast, const struct forecast_vm *vm)
{
    struct copy_estimate copy = estimate_copy(vm->vmm, vm->look, forecast->reports);
    return (struct policy_facts){
        .name = vmm_name(vm->vmm),
        .to_send = (int64_t)copy.bytes,
        .bytes_per_s = (int64_t)copy.bytes_per_s,
        .rest_bytes_per_s = rest_of(vm->vmm, copy.bytes_per_s),
        .downtime_limit_ms = downtime_limit_of(vm->vmm, forecast->limits),
        .writes = vm->vmm->writes,
        .post_copy = post_copy_of(vm->vmm),
    };
}

struct forecast *forecast_start(struct event_base *base, const struct cluster *cluster,
                                const struct looks *looks, struct survey *survey, const int *to,
                                const struct policy_limits *limits, const char *state_dir,
                                void (*done)(void *arg), void *arg)
{
    struct forecast *forecast = xcalloc(1, sizeof(*forecast));
    forecast->limits = limits;
    forecast->done = done;
    forecast->arg = arg;
    forecast->reports = estimate_reports(state_dir, cluster->name);
    forecast->vms = xcalloc((size_t)cluster->n_vms, sizeof(*forecast->vms));
    forecast->facts = xcalloc((size_t)cluster->n_vms, sizeof(*forecast->facts));
    forecast->choices = xcalloc((size_t)cluster->n_vms, sizeof(*forecast->choices));
    gather_begin(&forecast->gather, base, on_all_measured, forecast);
    for (int i = 0; i < cluster->n_vms; i++) {
        struct vmm *vmm = survey_vms(survey)[i].vmm;
        if (to[i] == PLACEMENT_STAYS || vmm->site == to[i]) {
            continue;
        }
        struct forecast_vm *vm = &forecast->vms[forecast->n++];
        *vm = (struct forecast_vm){
            .forecast = forecast, .vmm = vmm, .look = looks_at(looks, i, vmm->site)};
        if (vmm->driver->measure != NULL) {
            gather_add(&forecast->gather);
            vmm->driver->measure(vmm, on_measured, vm);
        }
    }
    return forecast;
}

/* ---- what comes of it ---- */

static json_t *way_to_json(enum policy_method method, const struct policy_forecast *it)
{
    return json_pack("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:s?}", "name",
                     policy_method_name(method), "possible", it->possible, "ends", it->ends,
                     "downtime_ms", (json_int_t)it->downtime_ms, "copy_ms",
                     (json_int_t)it->total_ms, "behind_ms", (json_int_t)it->behind_ms, "bytes",
                     (json_int_t)it->bytes, "breaks", it->breaks);
}

static json_t *method_to_json(const struct policy_facts *facts, const struct policy_choice *choice,
                              enum policy_priority priority)
{
    json_t *ways = json_array();
    for (int i = 0; choice->known && i < METHODS; i++) {
        json_array_append_new(ways, way_to_json((enum policy_method)i, &choice->forecasts[i]));
    }
    const struct vmm_writes *writes = &facts->writes;
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "name", policy_method_name(choice->method),
                     "why", choice->why, "priority", policy_priority_name(priority), "written_1s",
                     writes->known ? json_integer(writes->bytes) : json_null(), "written_3s",
                     writes->known ? json_integer(writes->bytes_thrice) : json_null(), "ways",
                     ways);
}

bool forecast_choose(struct forecast *forecast, struct ninja_error *err)
{
    const struct policy_limits *limits = forecast->limits;
    for (size_t i = 0; i < forecast->n; i++) {
        forecast->facts[i] = facts_of(forecast, &forecast->vms[i]);
    }
    bool ok = policy_choose(forecast->facts, forecast->n, limits, forecast->choices, err);
    for (size_t i = 0; i < forecast->n; i++) {
        struct forecast_vm *vm = &forecast->vms[i];
        const struct policy_choice *choice = &forecast->choices[i];
        vm->method = method_to_json(&forecast->facts[i], choice, limits->priority);
        policy_apply(choice->method, &forecast->facts[i], limits, &vm->vmm->transfer);
    }
    return ok;
}

json_t *forecast_of_vm(const struct forecast *forecast, int vm)
{
    for (size_t i = 0; i < forecast->n; i++) {
        if (forecast->vms[i].vmm->vm == vm) {
            return forecast->vms[i].method;
        }
    }
    return NULL;
}

void forecast_free(struct forecast *forecast)
{
    if (forecast == NULL) {
        return;
    }
    gather_free(&forecast->gather);
    for (size_t i = 0; i < forecast->n; i++) {
        json_decref(forecast->vms[i].method);
    }
    json_decref(forecast->reports);
    free(forecast->vms);
    free(forecast->facts);
    free(forecast->choices);
    free(forecast);
}
