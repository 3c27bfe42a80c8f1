#include "host/libvirt/failure.h"

#include <libvirt/virterror.h>
#include <stddef.h>

#include "common/printable.h"

static const struct {
    int code;
    enum ninja_error_class class;
} classes[] = {
    {VIR_ERR_NO_DOMAIN, ERR_NOT_FOUND},
    {VIR_ERR_NO_CONNECT, ERR_CONNECT},
    {VIR_ERR_AUTH_FAILED, ERR_FORBIDDEN},
    {VIR_ERR_AUTH_CANCELLED, ERR_FORBIDDEN},
    {VIR_ERR_AUTH_UNAVAILABLE, ERR_FORBIDDEN},
    {VIR_ERR_ACCESS_DENIED, ERR_FORBIDDEN},
    {VIR_ERR_OPERATION_DENIED, ERR_FORBIDDEN},
    {VIR_ERR_OPERATION_INVALID, ERR_STATE},
    {VIR_ERR_OPERATION_TIMEOUT, ERR_TIMEOUT},
    {VIR_ERR_AGENT_UNRESPONSIVE, ERR_TIMEOUT},
    {VIR_ERR_OPERATION_ABORTED, ERR_CANCELLED},
    {VIR_ERR_DEVICE_MISSING, ERR_DEVICE_NOT_FOUND},
    {VIR_ERR_INVALID_ARG, ERR_BAD_ARGUMENT},
    {VIR_ERR_XML_ERROR, ERR_BAD_ARGUMENT},
    {VIR_ERR_XML_DETAIL, ERR_BAD_ARGUMENT},
    {VIR_ERR_DOM_EXIST, ERR_CONFLICT},
    {VIR_ERR_RPC, ERR_LOST},
    {VIR_ERR_INVALID_CONN, ERR_LOST},
    {VIR_ERR_NO_MEMORY, ERR_NO_MEMORY},
};

bool failure_take(struct ninja_error *err, const char *next)
{
    const virError *said = virGetLastError();
    enum ninja_error_class class = ERR_GENERIC;
    char text[400];
    for (size_t i = 0; said != NULL && i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (classes[i].code == said->code)
            class = classes[i].class;
    }
    if (said != NULL && said->domain == VIR_FROM_RPC)
        class = ERR_LOST;
    ninja_printable_copy(text, sizeof(text),
                         said != NULL && said->message != NULL ? said->message : "no reason given");
    return ninja_error_set(err, class, "libvirt: %s: %s", text, next);
}

static void ignore(void *arg, virErrorPtr error)
{
}

void failure_keep_quiet(void)
{
    virSetErrorFunc(NULL, ignore);
}
