#include "host/libvirt/events.h"

#include "host/base/json_output.h"
#include "host/libvirt/statistics.h"

static const char *const lifecycle[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = "defined",   [VIR_DOMAIN_EVENT_UNDEFINED] = "undefined",
    [VIR_DOMAIN_EVENT_STARTED] = "started",   [VIR_DOMAIN_EVENT_SUSPENDED] = "suspended",
    [VIR_DOMAIN_EVENT_RESUMED] = "resumed",   [VIR_DOMAIN_EVENT_STOPPED] = "stopped",
    [VIR_DOMAIN_EVENT_SHUTDOWN] = "shutdown", [VIR_DOMAIN_EVENT_PMSUSPENDED] = "pmsuspended",
    [VIR_DOMAIN_EVENT_CRASHED] = "crashed",
};

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *arg)
{
    const char *host = arg;
    if (event >= 0 && (size_t)event < sizeof(lifecycle) / sizeof(lifecycle[0]))
        output_event("DOMAIN",
                     json_pack("{s:s, s:s, s:s, s:i}", "host", host, "vm", virDomainGetName(domain),
                               "state", lifecycle[event], "detail", detail));
    return 0;
}

static void on_removed(virConnectPtr conn, virDomainPtr domain, const char *alias, void *arg)
{
    const char *host = arg;
    output_event("DEVICE_REMOVED", json_pack("{s:s, s:s, s:s}", "host", host, "vm",
                                             virDomainGetName(domain), "alias", alias));
}

static void on_removal_failed(virConnectPtr conn, virDomainPtr domain, const char *alias, void *arg)
{
    const char *host = arg;
    output_event("DEVICE_REMOVAL_FAILED", json_pack("{s:s, s:s, s:s}", "host", host, "vm",
                                                    virDomainGetName(domain), "alias", alias));
}

static void on_job_completed(virConnectPtr conn, virDomainPtr domain, virTypedParameterPtr params,
                             int count, void *arg)
{
    const char *host = arg;
    output_event("JOB_COMPLETED",
                 json_pack("{s:s, s:s, s:o}", "host", host, "vm", virDomainGetName(domain),
                           "statistics", statistics_json(params, count)));
}

static const struct {
    int id;
    virConnectDomainEventGenericCallback call;
} events[] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_removed)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_removal_failed)},
    {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed)},
};

bool events_register(virConnectPtr conn, const char *host)
{
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (virConnectDomainEventRegisterAny(conn, NULL, events[i].id, events[i].call, (void *)host,
                                             NULL) < 0)
            return false;
    }
    return true;
}
