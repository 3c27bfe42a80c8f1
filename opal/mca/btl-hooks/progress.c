/*
 * Theory of operation
 *
 * Threads that wait inside MPI call the progress functions of the BTLs through opal_progress().
 * With a gate, each component's progress function is replaced by one of ours, which comes in
 * through the gate first. The BML keeps a list of the functions that it registered, by the
 * components' own field; so the field is changed before the BML reads it, and the BML is made to
 * read it again where it has done so already.
 */
#include "internal.h"

#include "gate.h"
#include "opal/runtime/opal_progress.h"

#define SLOTS 16

static struct {
    mca_btl_base_component_t *component;
    mca_btl_base_component_progress_fn_t progress;
} slots[SLOTS];

static int run(int i)
{
    int events = 0;
    if (gate_try_enter()) {
        if (slots[i].progress != NULL) {
            events = slots[i].progress();
        }
        gate_leave();
    }
    return events;
}

#define GATED(i)                                                                                   \
    static int gated_##i(void)                                                                     \
    {                                                                                              \
        return run(i);                                                                             \
    }
GATED(0)
GATED(1) GATED(2) GATED(3) GATED(4) GATED(5) GATED(6) GATED(7) GATED(8) GATED(9) GATED(10) GATED(11)
    GATED(12) GATED(13) GATED(14) GATED(15)

        static const mca_btl_base_component_progress_fn_t gated[SLOTS] = {
            gated_0, gated_1, gated_2,  gated_3,  gated_4,  gated_5,  gated_6,  gated_7,
            gated_8, gated_9, gated_10, gated_11, gated_12, gated_13, gated_14, gated_15};

static int slot_of(const mca_btl_base_component_t *component)
{
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].component == component) {
            return i;
        }
    }
    return -1;
}

void progress_gate(void)
{
    mca_btl_base_selected_module_t *module;
    if (!gate_is_built()) {
        return;
    }
    OPAL_LIST_FOREACH(module, &mca_btl_base_modules_initialized, mca_btl_base_selected_module_t)
    {
        mca_btl_base_component_t *component = module->btl_component;
        int slot = slot_of(NULL);
        if (component->btl_progress == NULL || slot_of(component) >= 0 || slot < 0) {
            continue;
        }
        slots[slot].component = component;
        slots[slot].progress = component->btl_progress;
        component->btl_progress = gated[slot];
        if (opal_progress_unregister(slots[slot].progress) == OPAL_SUCCESS) {
            opal_progress_register(gated[slot]);
        }
    }
}

void progress_forget(const mca_base_component_t *component)
{
    int slot = slot_of((const mca_btl_base_component_t *)component);
    if (slot >= 0) {
        slots[slot].component->btl_progress = slots[slot].progress;
        slots[slot].component = NULL;
        slots[slot].progress = NULL;
    }
}

void btl_progress(void)
{
    gate_run_events(); /* which opal_progress() does each eighth time only */
    if (!gate_is_built()) {
        opal_progress();
        return;
    }
    for (int i = 0; i < SLOTS; i++) {
        run(i);
    }
}
