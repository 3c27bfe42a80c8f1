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
    {0},
};

const struct cluster_key vm_agent_keys[] = {
    {CLUSTER_KEY(struct vm_sockets, qmp), .value = CLUSTER_SOCKET, .socket_of = "QMP"},
    {CLUSTER_KEY(struct vm_sockets, agent), .value = CLUSTER_SOCKET, .need = CLUSTER_NEEDS,
     .socket_of = "the agent", .may_stay = true},
    {CLUSTER_KEY(struct vm_sockets, receive), .value = CLUSTER_URI},
    {0},
};

const struct cluster_key vm_commands_keys[] = {
    {CLUSTER_KEY(struct vm_commands, prepare), .value = CLUSTER_TEXT},
    {CLUSTER_KEY(struct vm_commands, release), .value = CLUSTER_TEXT},
    {0},
};

const struct cluster_key vm_streams_keys[] = {
    {CLUSTER_KEY(struct vm_commands, prepare), .value = CLUSTER_TEXT},
    {CLUSTER_KEY(struct vm_commands, release), .value = CLUSTER_TEXT},
    {CLUSTER_KEY(struct vm_commands, stream), .value = CLUSTER_TEXT},
    {"stream-command", CLUSTER_TEXT, .offset = offsetof(struct vm_commands, stream_command)},
    {"stream-bandwidth", CLUSTER_NUMBER, .offset = offsetof(struct vm_commands, stream_bandwidth),
     .max = TRANSFER_MAX_BANDWIDTH},
    {0},
};

bool vm_sockets_read_device(struct cluster_device *device, struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    json_t *parsed = device_parse(device->spec, &why);
    if (parsed == NULL) {
        return ninja_error_set(err, why.class, "device \"%s\": %s", device->spec, why.message);
    }
    device->text = xstrdup(device->spec);
    device->id = xstrdup(json_string_value(json_object_get(parsed, "id")));
    json_decref(parsed);
    return true;
}

struct channel_way vm_sockets_way_to_agent(const struct vmm *vmm, int site)
{
    return unix_socket_way(vmm->base, vm_sockets_at(vmm->cluster, vmm->vm, site)->agent);
}
