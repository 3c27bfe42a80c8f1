#include "host/vmm/vm_sockets.h"

#include "host/base/unix_socket.h"

struct channel_way vm_sockets_way_to_agent(const struct vmm *vmm, int site)
{
    return unix_socket_way(vmm->base, vmm->cluster->sites[site].vms[vmm->vm].agent);
}
