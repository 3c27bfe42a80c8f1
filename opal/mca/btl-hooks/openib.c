/*
 * Theory of operation
 *
 * Ends connections of btl/openib while others of it go on. When all of the component is closed,
 * nobody looks at its completion queues any more, and its memory goes with it. Here all connections
 * of a device go on sharing both, and three things are needed that the component does not do:
 *
 * The receives that a connection has posted come back as errors, which end the job, or, with some
 * devices, do not come back at all, and their buffers are lost. So its queue pairs are taken to the
 * error state while they are still there, and the completion queues are looked at until all these
 * receives have come back. A filter between the device and the component takes them out, and puts
 * their buffers back into the component's list; all else passes.
 *
 * The component keeps what it read of a process when it met it first, and would connect to the
 * device that the process had then. So that is taken from it.
 *
 * It sizes its completion queues by all processes that it ever met. So such a process is taken off
 * the count.
 */
#include "internal.h"

#include <string.h>

#include "common/clock.h"
#include "openib_private.h"

/* A device takes microseconds for it. What is late would end the job, so there is time. */
#define RETURN_MS 5000

#define MAX_QPS 16

/* The connection that is being ended. */
static struct {
    struct ibv_qp *qps[MAX_QPS];
    int n;
    int returned; /* receives that have come back */
    int (*poll)(struct ibv_cq *cq, int max, struct ibv_wc *completions);
} ending;

static bool is_openib(const mca_btl_base_module_t *btl)
{
    return strcmp(btl_name(btl), "openib") == 0;
}

static void give_back(struct openib_fragment *fragment)
{
    if (fragment != NULL && fragment->list != NULL) {
        opal_free_list_return(fragment->list, (opal_free_list_item_t *)fragment);
    }
}

/* --- the filter --------------------------------------------------------------------------- */

static bool is_of_the_ending(const struct ibv_cq *cq, const struct ibv_wc *completion)
{
    for (int i = 0; i < ending.n; i++) {
        const struct ibv_qp *qp = ending.qps[i];
        if (qp->qp_num == completion->qp_num && (qp->recv_cq == cq || qp->send_cq == cq)) {
            return completion->status == IBV_WC_WR_FLUSH_ERR;
        }
    }
    return false;
}

static void take_out(const struct ibv_wc *completion)
{
    struct openib_fragment *fragment = (void *)(uintptr_t)completion->wr_id;
    if (fragment->type == OPENIB_FRAGMENT_RECV && fragment->list != NULL) {
        give_back(fragment);
        ending.returned++;
    }
}

/* In the place of the device's function; other threads may be in it, for other queues. */
static int poll_for_others(struct ibv_cq *cq, int max, struct ibv_wc *completions)
{
    int n = ending.poll(cq, max, completions), kept = 0;
    for (int i = 0; i < n; i++) {
        if (is_of_the_ending(cq, &completions[i])) {
            take_out(&completions[i]);
        } else {
            completions[kept++] = completions[i];
        }
    }
    return n > 0 ? kept : n;
}

/* --- ending a connection ------------------------------------------------------------------ */

/* How many receives are posted that do not come from a shared queue. */
static int posted(const struct openib_endpoint *endpoint, int n_qps)
{
    int n = 0;
    for (int i = 0; i < n_qps; i++) {
        const struct openib_endpoint_qp *qp = &endpoint->qps[i];
        n += qp->qp->qp != NULL && qp->qp->qp->srq == NULL ? qp->posted : 0;
    }
    return n;
}

static void note_queue_pairs(const struct openib_endpoint *endpoint, int n_qps)
{
    ending.n = ending.returned = 0;
    for (int i = 0; i < n_qps && ending.n < MAX_QPS; i++) {
        if (endpoint->qps[i].qp->qp != NULL) {
            ending.qps[ending.n++] = endpoint->qps[i].qp->qp;
        }
    }
}

static void take_back_receives(const struct openib_endpoint *endpoint, int n_qps,
                               mca_btl_base_component_t *component)
{
    struct ibv_context *device = ending.qps[0]->context;
    const int64_t end = now_ms() + RETURN_MS;
    ending.poll = device->ops.poll_cq;
    device->ops.poll_cq = poll_for_others;
    for (int i = 0; i < ending.n; i++) {
        struct ibv_qp_attr error = {.qp_state = IBV_QPS_ERR};
        ibv_modify_qp(ending.qps[i], &error, IBV_QP_STATE);
    }
    while (ending.returned < posted(endpoint, n_qps) && now_ms() < end) {
        component->btl_progress();
    }
    device->ops.poll_cq = ending.poll;
}

void openib_end(const mca_bml_base_btl_t *by)
{
    if (!is_openib(by->btl)) {
        return;
    }
    const int n_qps = ((const struct openib_component *)by->btl->btl_component)->num_qps;
    const struct openib_endpoint *endpoint = (const void *)by->btl_endpoint;
    note_queue_pairs(endpoint, n_qps);
    if (ending.n > 0) {
        take_back_receives(endpoint, n_qps, by->btl->btl_component);
    }
    for (int i = 0; i < n_qps; i++) {
        give_back(endpoint->qps[i].credit_fragment);
        endpoint->qps[i].credit_fragment = NULL;
    }
}

/* --- forgetting a process ----------------------------------------------------------------- */

static void forget(struct openib_component *openib, struct openib_proc *known)
{
    struct openib_proc_module *counts;
    OPAL_LIST_FOREACH(counts, &known->modules, struct openib_proc_module)
    {
        counts->module->num_peers--;
    }
    opal_list_remove_item(&openib->procs, &known->super);
    OBJ_RELEASE(known);
}

static void forget_in(struct openib_component *openib, const opal_proc_t *proc)
{
    struct openib_proc *known, *next;
    OPAL_LIST_FOREACH_SAFE(known, next, &openib->procs, struct openib_proc)
    {
        if (known->proc == proc) {
            forget(openib, known);
        }
    }
}

/* One of this node has no other device than this process, and the component counts it otherwise. */
void openib_forget(const opal_proc_t *proc)
{
    mca_btl_base_selected_module_t *module;
    if (OPAL_PROC_ON_LOCAL_NODE(proc->proc_flags)) {
        return;
    }
    OPAL_LIST_FOREACH(module, &mca_btl_base_modules_initialized, mca_btl_base_selected_module_t)
    {
        if (is_openib(module->btl_module)) {
            forget_in((struct openib_component *)module->btl_component, proc);
            return;
        }
    }
}
