/*
 * Theory of operation
 *
 * Two things lead to a transport without passing the functions of the PML (calls.c): the delivery
 * of messages to ob1, and the BTLs' progress functions (which btl_hooks_gate() sees to).
 *
 * A thread that delivers from within a progress function is inside already. One that delivers from
 * the event loop is not; and it must not wait, as it would keep all others from the event loop.
 */
#include "ompi_config.h"

#include "ob1_gate.h"

#include "ompi/mca/pml/pml.h"
#include "ompi/proc/proc.h"
#include "opal/mca/btl-hooks/btl_hooks.h"
#include "opal/mca/btl-hooks/gate.h"
#include "opal/mca/btl/btl.h"

#define PML_TAGS 0x10 /* ob1 uses the first nine of its framework's */

static mca_btl_active_message_callback_t deliveries[PML_TAGS];

static void deliver(mca_btl_base_module_t *btl, mca_btl_base_tag_t tag,
                    mca_btl_base_descriptor_t *descriptor, void *cbdata)
{
    gate_enter_regardless();
    deliveries[tag - MCA_BTL_TAG_PML].cbfunc(btl, tag, descriptor, cbdata);
    gate_leave();
}

static void gate_deliveries(void)
{
    for (int i = 0; i < PML_TAGS; i++) {
        mca_btl_active_message_callback_t *entry =
            &mca_btl_base_active_message_trigger[MCA_BTL_TAG_PML + i];
        if (entry->cbfunc != NULL && entry->cbfunc != deliver) {
            deliveries[i] = *entry;
            entry->cbfunc = deliver;
        }
    }
}

static mca_pml_base_module_add_procs_fn_t stock_add_procs;

/* ob1 registers its deliveries again whenever it gets to know processes. */
static int add_procs(ompi_proc_t **procs, size_t n)
{
    gate_enter();
    int rc = stock_add_procs(procs, n);
    gate_deliveries();
    gate_leave();
    return rc;
}

void ob1_gate(void)
{
    stock_add_procs = mca_pml.pml_add_procs;
    mca_pml.pml_add_procs = add_procs;
    gate_deliveries();
    btl_hooks_gate();
}
