/*
 * What a VM writes, by QEMU's calc-dirty-rate: QEMU compares a sample of the VM's pages with what
 * they were a while before. That is done for a time and for three times that, one after the other.
 * QEMU tells whole MiB a second only.
 */
#include <string.h>

#include "host/vmm/driver_qmp.h"

#define SAMPLE_PAGES 4096 /* of each GiB, so that VMs of less have enough of them */
#define LOOK_MS      100  /* between two looks whether it is done */

static void begin(struct qmp_vm *v, int times);

static void look(evutil_socket_t fd, short what, void *arg);

static void take(struct qmp_vm *v, json_t *rate)
{
    struct ninja_error nonsense = NINJA_ERROR_INIT;
    int next = vmm_take_writes(&v->vmm, v->measuring, json_integer_value(rate), &nonsense);
    if (next > 0) {
        begin(v, next);
    } else {
        op_end(v, v->vmm.site, next < 0 ? &nonsense : NULL);
    }
}

static void on_look(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    const char *status = json_string_value(json_object_get(result, "status"));
    if (!op_takes(peer, OP_MEASURE, err)) {
        return;
    }
    if (status == NULL || strcmp(status, "measured") != 0) {
        op_poll(peer->owner, LOOK_MS, look, peer->owner);
    } else {
        take(peer->owner, json_object_get(result, "dirty-rate"));
    }
}

static void look(evutil_socket_t fd, short what, void *arg)
{
    struct qmp_vm *v = arg;
    peer_execute(&v->peers[v->vmm.site], "query-dirty-rate", NULL, on_look);
}

static void on_begun(void *arg, json_t *result, const struct ninja_error *err)
{
    struct peer *peer = arg;
    if (op_takes(peer, OP_MEASURE, err)) {
        op_poll(peer->owner, peer->owner->measuring * VMM_WRITES_MS, look, peer->owner);
    }
}

static void begin(struct qmp_vm *v, int times)
{
    v->measuring = times;
    peer_execute(&v->peers[v->vmm.site], "calc-dirty-rate",
                 json_pack("{s:i, s:i}", "calc-time", times * VMM_WRITES_MS / 1000, "sample-pages",
                           SAMPLE_PAGES),
                 on_begun);
}

void qmp_vm_measure(struct vmm *vmm, vmm_done done, void *arg)
{
    struct qmp_vm *v = (struct qmp_vm *)vmm;
    op_begin(v, OP_MEASURE, done, arg);
    op_wait(v, vmm->site, 4 * VMM_WRITES_MS + 2 * vmm->cluster->timeouts[TIMEOUT_COMMAND],
            "QEMU did not say in time what the VM writes");
    v->peer_ended = op_ends_with_peer;
    vmm->writes = (struct vmm_writes){.known = false};
    begin(v, 1);
}
