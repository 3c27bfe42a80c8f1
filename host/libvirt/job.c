#include "host/libvirt/job.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/libvirt/domain_xml.h"
#include "host/libvirt/failure.h"
#include "host/libvirt/host.h"
#include "host/base/json_output.h"
#include "host/libvirt/statistics.h"

#define MAX_BANDWIDTH_MIB 1000000
#define MAX_CONNECTIONS   255
#define MAX_PROGRESS_MS   60000
#define MAX_DOWNTIME_MS   2000000 /* QEMU's own limit */

/* Both threads have it; the one that leaves last frees it. */
struct job {
    struct request *request;
    virConnectPtr conn;
    virDomainPtr domain;
    char host[REQUEST_MAX_NAME + 1], uri[REQUEST_MAX_URI + 1];
    int64_t progress_ms, downtime_ms; /* of the latter 0: as it is */
    virTypedParameterPtr params;
    int count, max;
    unsigned flags;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
    int users;
};

static void leave(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    bool last = --job->users == 0;
    pthread_mutex_unlock(&job->lock);
    if (!last)
        return;
    if (job->domain != NULL)
        virDomainFree(job->domain);
    if (job->conn != NULL)
        virConnectClose(job->conn);
    virTypedParamsFree(job->params, job->count);
    free(job);
}

/* Texts that are handed on, and what they ask for beside. */
static const struct {
    const char *name, *field;
    size_t max;
    unsigned flags;
} texts[] = {
    {"migrate_uri", VIR_MIGRATE_PARAM_URI, REQUEST_MAX_URI, 0},
    {"compression", VIR_MIGRATE_PARAM_COMPRESSION, REQUEST_MAX_NAME, VIR_MIGRATE_COMPRESSED},
    {"tls", VIR_MIGRATE_PARAM_TLS_DESTINATION, REQUEST_MAX_NAME, VIR_MIGRATE_TLS},
    {"xml", VIR_MIGRATE_PARAM_DEST_XML, REQUEST_MAX_XML, 0},
};

static bool take_texts(struct job *job, struct ninja_error *err)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text;
        if (!request_text_if(job->request, texts[i].name, texts[i].max, &text, err))
            return false;
        if (text != NULL &&
            virTypedParamsAddString(&job->params, &job->count, &job->max, texts[i].field, text) < 0)
            return failure_take(err, "the request is to be mended");
        if (text != NULL)
            job->flags |= texts[i].flags;
    }
    return true;
}

static bool bandwidth_parameter(struct job *job, const char *name, const char *field,
                                struct ninja_error *err)
{
    int64_t mib;
    if (!request_number(job->request, name, MAX_BANDWIDTH_MIB, 0, &mib, err))
        return false;
    return mib == 0 ||
           virTypedParamsAddULLong(&job->params, &job->count, &job->max, field,
                                   (unsigned long long)mib) == 0 ||
           failure_take(err, "the request is to be mended");
}

static bool numbers(struct job *job, struct ninja_error *err)
{
    int64_t connections;
    if (!bandwidth_parameter(job, "bandwidth_mib", VIR_MIGRATE_PARAM_BANDWIDTH, err) ||
        !bandwidth_parameter(job, "post_copy_bandwidth_mib", VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY,
                             err) ||
        !request_number(job->request, "connections", MAX_CONNECTIONS, 0, &connections, err) ||
        !request_number(job->request, "downtime_limit_ms", MAX_DOWNTIME_MS, 0, &job->downtime_ms,
                        err) ||
        !request_number(job->request, "progress_ms", MAX_PROGRESS_MS, 500, &job->progress_ms, err))
        return false;
    if (connections == 0)
        return true;
    job->flags |= VIR_MIGRATE_PARALLEL;
    if (virTypedParamsAddInt(&job->params, &job->count, &job->max,
                             VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, (int)connections) < 0)
        return failure_take(err, "the request is to be mended");
    return true;
}

/* The VM's configuration at the destination, with the device of that host. */
static bool exchange_device(struct job *job, struct ninja_error *err)
{
    const char *alias, *device;
    char *xml = NULL;
    xmlChar *other = NULL;
    if (!request_text_if(job->request, "alias", REQUEST_MAX_NAME, &alias, err) ||
        !request_text_if(job->request, "device", REQUEST_MAX_XML, &device, err))
        return false;
    if (alias == NULL && device == NULL)
        return true;
    xml = virDomainGetXMLDesc(job->domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE |
                                               VIR_DOMAIN_XML_MIGRATABLE);
    if (xml == NULL)
        return failure_take(err, "see what virsh dumpxml --inactive shows");
    other = domain_xml_exchange(xml, alias, device);
    free(xml);
    if (other == NULL)
        return ninja_error_set(err, ERR_BAD_ARGUMENT, "the device is no XML");
    bool well = virTypedParamsAddString(&job->params, &job->count, &job->max,
                                        VIR_MIGRATE_PARAM_PERSIST_XML, (const char *)other) == 0;
    xmlFree(other);
    return well || failure_take(err, "the request is to be mended");
}

/* libvirt starts a VM itself that changes sides in the middle of the copy, and never again where it
 * was. Any other one waits for us. */
static const struct {
    const char *name;
    unsigned flags;
} modes[] = {
    {"live", VIR_MIGRATE_PAUSED},
    {"post-copy", VIR_MIGRATE_POSTCOPY},
    {"post-copy-resume", VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_POSTCOPY_RESUME},
};

static bool take_mode(struct job *job, struct ninja_error *err)
{
    const char *mode;
    size_t i = 0;
    if (!request_text_if(job->request, "mode", REQUEST_MAX_NAME, &mode, err))
        return false;
    while (i < sizeof(modes) / sizeof(modes[0]) && strcmp(modes[i].name, mode ? mode : "live") != 0)
        i++;
    if (i == sizeof(modes) / sizeof(modes[0]))
        return ninja_error_set(err, ERR_BAD_ARGUMENT,
                               "mode is to be live, post-copy or post-copy-resume");
    job->flags =
        VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PERSIST_DEST | modes[i].flags;
    return true;
}

/* What the request wants, as libvirt's parameters. */
static bool read_request(struct job *job, struct ninja_error *err)
{
    const char *uri = request_text(job->request, "to", REQUEST_MAX_URI, err);
    if (uri == NULL)
        return false;
    strcpy(job->uri, uri); /* not longer than REQUEST_MAX_URI */
    return take_mode(job, err) && numbers(job, err) && take_texts(job, err);
}

/* Waits for the end, for the time between two reports. @return whether it is over */
static bool rest(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    if (!job->over)
        worker_wait(&job->ended, &job->lock, job->progress_ms);
    bool over = job->over;
    pthread_mutex_unlock(&job->lock);
    return over;
}

static void report(struct job *job)
{
    virTypedParameterPtr params = NULL;
    int count = 0, type = VIR_DOMAIN_JOB_NONE;
    if (virDomainGetJobStats(job->domain, &type, &params, &count, 0) == 0 && count > 0)
        output_event("PROGRESS", json_pack("{s:s, s:s, s:o}", "host", job->host, "vm",
                                           virDomainGetName(job->domain), "statistics",
                                           statistics_json(params, count)));
    virTypedParamsFree(params, count);
}

static void watch(void *arg)
{
    struct job *job = arg;
    while (!rest(job))
        report(job);
    leave(job);
}

/* For how long it may stand still, as QEMU reckons before it stops it. */
static bool limit_downtime(struct job *job, struct ninja_error *err)
{
    return job->downtime_ms == 0 ||
           virDomainMigrateSetMaxDowntime(job->domain, (unsigned long long)job->downtime_ms, 0) ==
               0 ||
           failure_take(err, "the downtime cannot be limited: see the log of libvirtd");
}

/* Whether our connection was lost, or that of the source to the destination, makes a difference:
 * the source has ended the migration then, and says so. */
static void take_failure(struct job *job, struct ninja_error *err)
{
    failure_take(err, "look at the VM on both hosts, as this does not prove that it is not there");
    if (err->class == ERR_LOST && virConnectIsAlive(job->conn) == 1)
        err->class = ERR_COPY;
}

static void move(struct job *job, struct ninja_error *err)
{
    if (!limit_downtime(job, err))
        return;
    job->users++;
    if (job->progress_ms == 0 || !worker_once(watch, job))
        job->users--;
    if (virDomainMigrateToURI3(job->domain, job->uri, job->params, (unsigned)job->count,
                               job->flags) < 0)
        take_failure(job, err);
    pthread_mutex_lock(&job->lock);
    job->over = true;
    pthread_cond_signal(&job->ended);
    pthread_mutex_unlock(&job->lock);
}

static bool connect_domain(struct job *job, struct ninja_error *err)
{
    const char *vm = request_text(job->request, "vm", REQUEST_MAX_NAME, err);
    job->conn = vm == NULL ? NULL : host_connect(job->request->host->uri, err);
    job->domain = job->conn == NULL ? NULL : virDomainLookupByName(job->conn, vm);
    if (job->conn != NULL && job->domain == NULL)
        failure_take(err, "see what virsh list --all shows on this host");
    return job->domain != NULL;
}

static void migrate(void *arg)
{
    struct job *job = arg;
    struct request *request = job->request;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (read_request(job, &err) && connect_domain(job, &err) && exchange_device(job, &err) &&
        !request_is_over(request))
        move(job, &err);
    leave(job);
    if (ninja_error_is_set(&err)) {
        ninja_error_where(&err, "migration from %s", request->host->name);
        request_fail(request, &err);
    } else {
        request_answer(request, NULL);
    }
}

void job_migrate(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct job *job = host_ready(request->host, &err) ? xcalloc(1, sizeof(*job)) : NULL;
    if (job != NULL) {
        job->request = request;
        job->users = 1;
        strcpy(job->host, request->host->name);
        pthread_mutex_init(&job->lock, NULL);
        worker_condition(&job->ended);
        if (worker_once(migrate, job))
            return;
        free(job);
    }
    ninja_error_set(&err, ERR_NO_MEMORY, "there is no memory or thread for a migration");
    request_fail(request, &err);
}

/* Tells libvirt something about the migration that a domain is in. */
static void tell(struct request *request, int (*call)(virDomainPtr domain))
{
    struct ninja_error err = NINJA_ERROR_INIT;
    virDomainPtr domain = host_domain(request, &err);
    if (domain != NULL && call(domain) < 0)
        failure_take(&err, "the migration may have ended: look at the VM on both hosts");
    if (domain != NULL)
        virDomainFree(domain);
    if (ninja_error_is_set(&err))
        request_fail(request, &err);
    else
        request_answer(request, NULL);
}

void job_abort(struct request *request)
{
    tell(request, virDomainAbortJob);
}

static int change_sides(virDomainPtr domain)
{
    return virDomainMigrateStartPostCopy(domain, 0);
}

void job_change_sides(struct request *request)
{
    tell(request, change_sides);
}
