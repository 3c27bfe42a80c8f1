#include "host/libvirt/host.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/libvirt/events.h"
#include "host/libvirt/failure.h"
#include "host/libvirt/room.h"
#include "host/base/json_output.h"

#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT   5
#define RECONNECT_MS      2000

static struct host *hosts[HOST_MAX];
static size_t count;

/* Never anybody at a terminal. What is in libvirt's auth.conf is used before this is called. */
static int no_password(virConnectCredentialPtr credentials, unsigned number, void *arg)
{
    return -1;
}

virConnectPtr host_connect(const char *uri, struct ninja_error *err)
{
    int kinds[] = {VIR_CRED_AUTHNAME, VIR_CRED_PASSPHRASE, VIR_CRED_ECHOPROMPT,
                   VIR_CRED_NOECHOPROMPT};
    virConnectAuth auth = {kinds, sizeof(kinds) / sizeof(kinds[0]), no_password, NULL};
    virConnectPtr conn = virConnectOpenAuth(uri, &auth, 0);
    if (conn == NULL) {
        failure_take(err, "see whether virsh -c with this URI connects without asking anything");
        if (err->class == ERR_GENERIC || err->class == ERR_LOST)
            err->class = ERR_CONNECT;
        return NULL;
    }
    /* A local socket has no keepalive, and needs none. */
    if (virConnectSetKeepAlive(conn, KEEPALIVE_SECONDS, KEEPALIVE_COUNT) < 0)
        virResetLastError();
    return conn;
}

static void on_close(virConnectPtr conn, int reason, void *arg)
{
    struct host *host = arg;
    __atomic_store_n(&host->lost, true, __ATOMIC_RELEASE);
    output_event("HOST_LOST", json_pack("{s:s}", "host", host->name));
}

static bool is_lost(struct host *host)
{
    return __atomic_load_n(&host->lost, __ATOMIC_ACQUIRE);
}

static void drop(struct host *host)
{
    if (host->conn == NULL)
        return;
    virConnectUnregisterCloseCallback(host->conn, on_close);
    virConnectClose(host->conn);
    host->conn = NULL;
}

static bool begin(struct host *host, const char *uri, struct ninja_error *err)
{
    drop(host);
    host->conn = host_connect(uri, err);
    if (host->conn == NULL)
        return false;
    __atomic_store_n(&host->lost, false, __ATOMIC_RELEASE);
    if (virConnectRegisterCloseCallback(host->conn, on_close, host, NULL) == 0 &&
        events_register(host->conn, host->name))
        return true;
    failure_take(err, "libvirt on this host is to be able to report events");
    drop(host);
    return false;
}

static void reconnect(struct host *host, struct ninja_error *err)
{
    if (begin(host, host->uri, err))
        output_event("HOST_BACK", json_pack("{s:s}", "host", host->name));
}

static void idle(void *arg)
{
    struct host *host = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (host->uri[0] != '\0' && (is_lost(host) || host->conn == NULL))
        reconnect(host, &err);
}

bool host_ready(struct host *host, struct ninja_error *err)
{
    if (host->uri[0] == '\0')
        return ninja_error_set(err, ERR_STATE, "%s is not connected: open it first", host->name);
    if (is_lost(host) || host->conn == NULL)
        reconnect(host, err);
    return host->conn != NULL;
}

struct host *host_find(const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(hosts[i]->name, name) == 0)
            return hosts[i];
    }
    return NULL;
}

struct host *host_make(const char *name, struct ninja_error *err)
{
    struct host *host;
    if (count == HOST_MAX) {
        ninja_error_set(err, ERR_TOO_LARGE, "there are %d hosts, and no more are possible",
                        HOST_MAX);
        return NULL;
    }
    host = xcalloc(1, sizeof(*host));
    snprintf(host->name, sizeof(host->name), "%s", name);
    host->worker = worker_new(idle, RECONNECT_MS, host);
    if (host->worker == NULL) {
        ninja_error_set(err, ERR_NO_MEMORY, "%s: there is no thread for this host", name);
        free(host);
        return NULL;
    }
    hosts[count++] = host;
    return host;
}

static bool is_possible(const struct host *host, const char *uri, struct ninja_error *err)
{
    if (strncmp(uri, "qemu:", 5) != 0 && strncmp(uri, "qemu+", 5) != 0)
        return ninja_error_set(err, ERR_ADDRESS,
                               "%s is no URI of QEMU's driver: it is to begin with qemu: or qemu+",
                               uri);
    if (host->uri[0] != '\0' && strcmp(host->uri, uri) != 0)
        return ninja_error_set(err, ERR_CONFLICT, "%s is %s already: give this one another name",
                               host->name, host->uri);
    return true;
}

/* What the host is, by its capabilities, and what it has. */
static json_t *description(struct host *host)
{
    char *name = virConnectGetHostname(host->conn),
         *capabilities = virConnectGetCapabilities(host->conn);
    const char *tag = capabilities == NULL ? NULL : strstr(capabilities, "<uuid>");
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    unsigned long version = 0;
    if (tag != NULL)
        sscanf(tag, "<uuid>%36[0-9a-f-]", uuid);
    virConnectGetLibVersion(host->conn, &version);
    json_t *object = json_pack("{s:s?, s:s, s:I}", "hostname", name, "uuid", uuid, "version",
                               (json_int_t)version);
    json_object_update_new(object, room_json(host->conn));
    free(name);
    free(capabilities);
    return object;
}

void host_open(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct host *host = request->host;
    const char *uri = request_text(request, "uri", REQUEST_MAX_URI, &err);
    if (uri == NULL || !is_possible(host, uri, &err) ||
        ((host->conn == NULL || is_lost(host)) && !begin(host, uri, &err))) {
        ninja_error_where(&err, "%s", host->name);
        request_fail(request, &err);
        return;
    }
    snprintf(host->uri, sizeof(host->uri), "%s", uri);
    request_answer(request, description(host));
}

virDomainPtr host_domain(struct request *request, struct ninja_error *err)
{
    const char *vm = request_text(request, "vm", REQUEST_MAX_NAME, err);
    virDomainPtr domain;
    if (vm == NULL || !host_ready(request->host, err))
        return NULL;
    domain = virDomainLookupByName(request->host->conn, vm);
    if (domain == NULL) {
        failure_take(err, "see what virsh list --all shows on this host");
        ninja_error_where(err, "%s on %s", vm, request->host->name);
    }
    return domain;
}
