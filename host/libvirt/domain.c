#include "host/libvirt/domain.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "host/libvirt/domain_xml.h"
#include "host/libvirt/failure.h"
#include "host/libvirt/host.h"
#include "host/libvirt/statistics.h"

#define LOOK_AGAIN "look at the VM, and at the log of libvirtd on this host"

static const char *const states[] = {
    [VIR_DOMAIN_NOSTATE] = "none",      [VIR_DOMAIN_RUNNING] = "running",
    [VIR_DOMAIN_BLOCKED] = "blocked",   [VIR_DOMAIN_PAUSED] = "paused",
    [VIR_DOMAIN_SHUTDOWN] = "shutdown", [VIR_DOMAIN_SHUTOFF] = "shutoff",
    [VIR_DOMAIN_CRASHED] = "crashed",   [VIR_DOMAIN_PMSUSPENDED] = "pmsuspended",
};

/* Those that tell how far a migration is; others are "other". */
static const struct {
    int state, reason;
    const char *name;
} reasons[] = {
    {VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, "booted"},
    {VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_MIGRATED, "migrated"},
    {VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED, "unpaused"},
    {VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_MIGRATION_CANCELED, "migration canceled"},
    {VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY, "post-copy"},
    {VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED, "post-copy failed"},
    {VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, "user"},
    {VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, "migration"},
    {VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY, "post-copy"},
    {VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, "post-copy failed"},
    {VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP, "starting up"},
    {VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, "I/O error"},
    {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN, "shutdown"},
    {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DESTROYED, "destroyed"},
    {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED, "crashed"},
    {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_MIGRATED, "migrated"},
    {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_FAILED, "failed"},
};

static const char *reason_name(int state, int reason)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].state == state && reasons[i].reason == reason)
            return reasons[i].name;
    }
    return "other";
}

/* Ends a request about a domain, as it went. */
static void end(struct request *request, virDomainPtr domain, int result, const char *next)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (result < 0) {
        failure_take(&err, next);
        ninja_error_where(&err, "%s on %s", virDomainGetName(domain), request->host->name);
    }
    virDomainFree(domain);
    if (result < 0)
        request_fail(request, &err);
    else
        request_answer(request, NULL);
}

/* How far libvirt is with what it is at work on. A new object; NULL: there is nothing, or it is the
 * source that knows. */
static json_t *job_of(virDomainPtr domain, int state, int reason)
{
    virTypedParameterPtr params = NULL;
    int count = 0, type = VIR_DOMAIN_JOB_NONE;
    json_t *statistics = NULL;
    if (state == VIR_DOMAIN_RUNNING &&
        (reason == VIR_DOMAIN_RUNNING_POSTCOPY || reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED))
        return NULL;
    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0)
        virResetLastError();
    if (type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED)
        statistics = statistics_json(params, count);
    virTypedParamsFree(params, count);
    return statistics;
}

static json_t *look(virDomainPtr domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "", *xml = virDomainGetXMLDesc(domain, 0);
    int state = 0, reason = 0;
    virDomainInfo info;
    json_t *object = NULL, *job = NULL;
    if (xml != NULL && virDomainGetState(domain, &state, &reason, 0) == 0 &&
        virDomainGetInfo(domain, &info) == 0 && virDomainGetUUIDString(domain, uuid) == 0 &&
        state >= 0 && (size_t)state < sizeof(states) / sizeof(states[0])) {
        job = job_of(domain, state, reason);
        object = json_pack("{s:s, s:s, s:b, s:O*, s:b, s:o, s:s, s:I, s:i}", "state", states[state],
                           "reason", reason_name(state, reason), "job", job != NULL, "statistics",
                           job, "persistent", virDomainIsPersistent(domain) == 1, "devices",
                           domain_xml_aliases(xml), "uuid", uuid, "memory_kib",
                           (json_int_t)info.maxMem, "cpus", (int)info.nrVirtCpu);
    }
    free(xml);
    json_decref(job);
    return object;
}

void domain_look(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    virDomainPtr domain = host_domain(request, &err);
    json_t *seen;
    if (domain == NULL && err.class == ERR_NOT_FOUND) {
        request_answer(request, json_pack("{s:s}", "state", "absent"));
    } else if (domain == NULL) {
        request_fail(request, &err);
    } else if ((seen = look(domain)) == NULL) {
        end(request, domain, -1, LOOK_AGAIN);
    } else {
        virDomainFree(domain);
        request_answer(request, seen);
    }
}

void domain_detach(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const char *alias = request_text(request, "alias", REQUEST_MAX_NAME, &err);
    virDomainPtr domain = alias == NULL ? NULL : host_domain(request, &err);
    if (domain == NULL)
        request_fail(request, &err);
    else
        end(request, domain, virDomainDetachDeviceAlias(domain, alias, VIR_DOMAIN_AFFECT_LIVE),
            LOOK_AGAIN);
}

void domain_attach(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const char *xml = request_text(request, "xml", REQUEST_MAX_XML, &err);
    virDomainPtr domain = xml == NULL ? NULL : host_domain(request, &err);
    if (domain == NULL)
        request_fail(request, &err);
    else
        end(request, domain, virDomainAttachDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE),
            LOOK_AGAIN);
}

void domain_resume(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    virDomainPtr domain = host_domain(request, &err);
    if (domain == NULL)
        request_fail(request, &err);
    else
        end(request, domain, virDomainResume(domain), LOOK_AGAIN);
}

/* A domain without a configuration is gone when it was ended. */
static int forget(virDomainPtr domain)
{
    if (virDomainIsActive(domain) == 1 && virDomainDestroy(domain) < 0)
        return -1;
    if (virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM) == 0)
        return 0;
    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? 0 : -1;
}

void domain_remove(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    virDomainPtr domain = host_domain(request, &err);
    if (domain == NULL)
        request_fail(request, &err);
    else
        end(request, domain, forget(domain), LOOK_AGAIN);
}
