/*
 * libvirt has no call that only checks a migration, so this asks for all that it would refuse one
 * for and that it has a call for: the machine type, the CPU, the name, the memory, a job that runs.
 * Bridges, networks and files are seen by the migration itself, which refuses within a tenth of a
 * second and leaves the VM as it is.
 *
 * It has a thread and connections of its own, as it concerns two hosts.
 */
#include "host/libvirt/check.h"

#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/printable.h"
#include "host/libvirt/domain_xml.h"
#include "host/libvirt/failure.h"
#include "host/libvirt/host.h"
#include "host/libvirt/room.h"

struct check {
    struct request *request;
    virConnectPtr from, to;
    virDomainPtr domain;
    xmlDocPtr doc;
    json_t *problems;
};

static void problem(struct check *check, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void problem(struct check *check, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    ninja_printable(text);
    json_array_append_new(check->problems, json_string(text));
}

/* Whether QEMU there has the machine, and libvirt lets it be of that kind. */
static void check_machine(struct check *check)
{
    xmlChar *type = domain_xml_value(check->doc, "/domain/@type");
    xmlChar *arch = domain_xml_value(check->doc, "/domain/os/type/@arch");
    xmlChar *machine = domain_xml_value(check->doc, "/domain/os/type/@machine");
    char *capabilities = virConnectGetDomainCapabilities(check->to, NULL, (char *)arch,
                                                         (char *)machine, (char *)type, 0);
    if (capabilities == NULL)
        problem(check, "the machine: %s", virGetLastErrorMessage());
    free(capabilities);
    xmlFree(type);
    xmlFree(arch);
    xmlFree(machine);
}

static void check_cpu(struct check *check)
{
    xmlChar *type = domain_xml_value(check->doc, "/domain/@type");
    xmlBufferPtr cpu = domain_xml_element(check->doc, "/domain/cpu[@mode = 'custom']");
    int result = VIR_CPU_COMPARE_IDENTICAL;
    if (cpu != NULL)
        result = virConnectCompareHypervisorCPU(check->to, NULL, NULL, NULL, (char *)type,
                                                (const char *)xmlBufferContent(cpu),
                                                VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
    if (result == VIR_CPU_COMPARE_ERROR)
        problem(check, "the CPU: %s", virGetLastErrorMessage());
    xmlBufferFree(cpu);
    xmlFree(type);
}

/* A domain of that name and UUID that is shut off is what an earlier move has left, and is
 * replaced. */
static void check_name(struct check *check)
{
    const char *name = virDomainGetName(check->domain);
    virDomainPtr other = virDomainLookupByName(check->to, name);
    char uuid[VIR_UUID_STRING_BUFLEN] = "", theirs[VIR_UUID_STRING_BUFLEN] = "";
    if (other == NULL)
        return;
    virDomainGetUUIDString(check->domain, uuid);
    virDomainGetUUIDString(other, theirs);
    if (virDomainIsActive(other) == 1)
        problem(check, "the name: %s is active there already", name);
    else if (strcmp(uuid, theirs) != 0)
        problem(check, "the name: there is another %s, with the UUID %s", name, theirs);
    virDomainFree(other);
}

static void check_memory(struct check *check)
{
    unsigned long long room = room_free_kib(check->to), need = virDomainGetMaxMemory(check->domain);
    if (room < need)
        problem(check, "the memory: it wants %llu KiB, and %llu KiB are free there", need, room);
}

static void check_source(struct check *check)
{
    virTypedParameterPtr params = NULL;
    int count = 0, type = VIR_DOMAIN_JOB_NONE;
    if (virDomainIsActive(check->domain) != 1)
        problem(check, "the VM: it does not run here");
    else if (virDomainGetJobStats(check->domain, &type, &params, &count, 0) == 0 &&
             (type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED))
        problem(check, "the VM: libvirt is at work on it, see virsh domjobinfo");
    virTypedParamsFree(params, count);
}

/* Both hosts, and the VM. */
static bool reach(struct check *check, struct ninja_error *err)
{
    const char *vm = request_text(check->request, "vm", REQUEST_MAX_NAME, err);
    const char *to = vm == NULL ? NULL : request_text(check->request, "to", REQUEST_MAX_URI, err);
    char *xml;
    if (to == NULL || (check->from = host_connect(check->request->host->uri, err)) == NULL ||
        (check->to = host_connect(to, err)) == NULL)
        return false;
    check->domain = virDomainLookupByName(check->from, vm);
    xml = check->domain == NULL ? NULL
                                : virDomainGetXMLDesc(check->domain, VIR_DOMAIN_XML_MIGRATABLE);
    if (xml == NULL)
        return failure_take(err, "see what virsh list --all shows on this host");
    check->doc = domain_xml_parse(xml);
    free(xml);
    return check->doc != NULL ||
           ninja_error_set(err, ERR_PROTOCOL, "the XML of %s is none: see virsh dumpxml", vm);
}

static void release(struct check *check)
{
    xmlFreeDoc(check->doc);
    if (check->domain != NULL)
        virDomainFree(check->domain);
    if (check->from != NULL)
        virConnectClose(check->from);
    if (check->to != NULL)
        virConnectClose(check->to);
}

static void run(void *arg)
{
    struct check check = {.request = arg, .problems = json_array()};
    struct ninja_error err = NINJA_ERROR_INIT;
    if (reach(&check, &err)) {
        check_source(&check);
        check_machine(&check);
        check_cpu(&check);
        check_name(&check);
        check_memory(&check);
    }
    release(&check);
    if (ninja_error_is_set(&err)) {
        json_decref(check.problems);
        ninja_error_where(&err, "check of a migration from %s", check.request->host->name);
        request_fail(check.request, &err);
    } else {
        request_answer(check.request, json_pack("{s:o}", "problems", check.problems));
    }
}

void check_migration(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (host_ready(request->host, &err) && worker_once(run, request))
        return;
    ninja_error_set(&err, ERR_NO_MEMORY, "there is no thread for a check");
    request_fail(request, &err);
}
