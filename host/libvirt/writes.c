#include "host/libvirt/writes.h"

#include "host/libvirt/failure.h"
#include "host/libvirt/host.h"
#include "host/libvirt/statistics.h"

#define MAX_SECONDS 60 /* libvirt's own limit */
#define MEND        "see what virsh domdirtyrate-calc says on this host"

static void end(struct request *request, virDomainPtr domain, json_t *result,
                struct ninja_error *err)
{
    if (domain != NULL)
        virDomainFree(domain);
    if (ninja_error_is_set(err)) {
        json_decref(result);
        request_fail(request, err);
    } else {
        request_answer(request, result);
    }
}

void writes_begin(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    int64_t seconds;
    virDomainPtr domain = NULL;
    if (request_number(request, "seconds", MAX_SECONDS, 1, &seconds, &err))
        domain = host_domain(request, &err);
    if (domain != NULL && virDomainStartDirtyRateCalc(domain, (int)seconds, 0) < 0)
        failure_take(&err, MEND);
    end(request, domain, NULL, &err);
}

static json_t *look(virDomainPtr domain, struct ninja_error *err)
{
    virDomainPtr domains[] = {domain, NULL};
    virDomainStatsRecordPtr *records = NULL;
    int n = virDomainListGetStats(domains, VIR_DOMAIN_STATS_DIRTYRATE, &records, 0);
    json_t *statistics = n == 1 ? statistics_json(records[0]->params, records[0]->nparams) : NULL;
    json_t *status = json_object_get(statistics, "dirtyrate.calc_status");
    json_t *rate = json_object_get(statistics, "dirtyrate.megabytes_per_second");
    bool done = json_integer_value(status) == VIR_DOMAIN_DIRTYRATE_MEASURED;
    json_t *result = NULL;
    if (n < 0)
        failure_take(err, MEND);
    else if (!json_is_integer(status) || (done && !json_is_integer(rate)))
        ninja_error_set(err, ERR_REFUSED, "libvirt says nothing of it: " MEND);
    else
        result = json_pack("{s:b, s:O*}", "done", done, "mib_per_s", done ? rate : NULL);
    json_decref(statistics);
    virDomainStatsRecordListFree(records);
    return result;
}

void writes_look(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    virDomainPtr domain = host_domain(request, &err);
    end(request, domain, domain == NULL ? NULL : look(domain, &err), &err);
}
