#include "host/vmm/vm_sockets.h"

#include <jansson.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/base/unix_socket.h"
#include "host/config/device.h"

const struct cluster_key vm_sockets_keys[] = {
    {CLUSTER_KEY(struct vm_sockets, qmp), .value = CLUSTER_SOCKET, .need = CLUSTER_DRIVER_NEEDS,
     .socket_of = "QMP"},
    {CLUSTER_KEY(struct vm_sockets, agent), .value = CLUSTER_SOCKET, .need = CLUSTER_NEEDS,
     .socket_of = "the agent"},
    {CLUSTER_KEY(struct vm_sockets, receive), .value = CLUSTER_URI, .need = CLUSTER_DRIVER_NEEDS},
    {CLUSTER_KEY(struct vm_sockets, device), .value = CLUSTER_TEXT},
    {0},
};

const struct cluster_key vm_agent_keys[] = {
    {CLUSTER_KEY(struct vm_sockets, qmp), .value = CLUSTER_SOCKET, .socket_of = "QMP"},
    {CLUSTER_KEY(struct vm_sockets, agent), .value = CLUSTER_SOCKET, .need = CLUSTER_NEEDS,
     .socket_of = "the agent", .may_stay = true},
    {CLUSTER_KEY(struct vm_sockets, receive), .value = CLUSTER_URI},
    {CLUSTER_KEY(struct vm_sockets, device), .value = CLUSTER_TEXT},
    {0},
};

const struct cluster_key vm_commands_keys[] = {
    {CLUSTER_KEY(struct vm_commands, prepare), .value = CLUSTER_TEXT},
    {CLUSTER_KEY(struct vm_commands, release), .value = CLUSTER_TEXT},
    {0},
};

bool vm_sockets_finish(struct cluster_entry *entry, const void *site, const char **key,
                       struct ninja_error *err)
{
    const struct vm_sockets *own = entry->own;
    struct ninja_error why = NINJA_ERROR_INIT;
    if (own->device == NULL) {
        return true;
    }
    json_t *device = device_parse(own->device, &why);
    if (device == NULL) {
        *key = "device";
        return ninja_error_set(err, why.class, "device \"%s\": %s", own->device, why.message);
    }
    entry->device = xstrdup(own->device);
    entry->device_id = xstrdup(json_string_value(json_object_get(device, "id")));
    json_decref(device);
    return true;
}

struct channel_way vm_sockets_way_to_agent(const struct vmm *vmm, int site)
{
    return unix_socket_way(vmm->base, vm_sockets_at(vmm->cluster, vmm->vm, site)->agent);
}
