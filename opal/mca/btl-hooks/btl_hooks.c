/*
 * Theory of operation
 *
 * The BTL framework itself stays open; components are closed and opened one by one, as the
 * framework would. A component that is let go is unloaded too: openib keeps statics that a second
 * initialisation would trip over. Those that stay are hidden from the framework's list while the
 * new ones are opened, so that the selection initialises the new ones only. The list of network
 * interfaces is read afresh, as openib and tcp choose by it.
 *
 * A list that does not connect every process is followed by another one. What the first one opened
 * is let go before, in all ranks: some of them may have connected by it, and a shared-memory BTL
 * that only one side has added would leave messages where nobody looks.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ompi/runtime/mpiruntime.h"
#include "opal/mca/if/base/base.h"
#include "opal/runtime/opal_progress.h"
#include "opal/util/argv.h"

static char **opened; /* since the last btl_release() */

void btl_hooks_open(const char *bypass)
{
    selection_open(bypass);
    modex_open();
}

static void forget_opened(void)
{
    opal_argv_free(opened);
    opened = NULL;
}

void btl_hooks_close(void)
{
    forget_opened();
    endpoints_close();
    selection_close();
}

static void finalize_modules(const mca_base_component_t *component)
{
    mca_btl_base_selected_module_t *module, *next;
    OPAL_LIST_FOREACH_SAFE(module, next, &mca_btl_base_modules_initialized,
                           mca_btl_base_selected_module_t)
    {
        if (&module->btl_component->btl_version == component) {
            /* the BML forgets those that it did not register for a process itself */
            if (module->btl_component->btl_progress != NULL) {
                opal_progress_unregister(module->btl_component->btl_progress);
            }
            module->btl_module->btl_finalize(module->btl_module);
            opal_list_remove_item(&mca_btl_base_modules_initialized, &module->super);
            OBJ_RELEASE(module);
        }
    }
}

static void close_components(char **names)
{
    mca_base_component_list_item_t *item, *next;
    OPAL_LIST_FOREACH_SAFE(item, next, &opal_btl_base_framework.framework_components,
                           mca_base_component_list_item_t)
    {
        const mca_base_component_t *component = item->cli_component;
        if (!selection_has(names, component->mca_component_name)) {
            continue;
        }
        finalize_modules(component);
        modex_forget(component);
        progress_forget(component);
        opal_list_remove_item(&opal_btl_base_framework.framework_components, &item->super);
        OBJ_RELEASE(item);
        mca_base_component_close(component, opal_btl_base_framework.framework_output);
    }
}

static void refresh_interfaces(void)
{
    mca_base_framework_close(&opal_if_base_framework);
    mca_base_framework_open(&opal_if_base_framework, 0);
}

static void let_go(char **names)
{
    endpoints_vacate(names);
    endpoints_finalize_bml();
    close_components(names);
}

bool btl_release(const char *list, char *why, size_t size)
{
    char **names = selection_resolve(list);
    if (selection_has(names, "self")) {
        snprintf(why, size, "the BTL self cannot be released");
        opal_argv_free(names);
        return false;
    }
    let_go(names);
    forget_opened();
    opal_argv_free(names);
    return true;
}

/* Opens and initialises the names; leaves just those in the framework's list. */
static int open_components(char **names)
{
    mca_base_framework_t *btl = &opal_btl_base_framework;
    char *before = btl->framework_selection;
    int priority, rc = OPAL_SUCCESS;

    if (names != NULL) {
        char *selection = opal_argv_join(names, ',');
        btl->framework_selection = selection;
        rc = mca_base_framework_components_register(btl, 0);
        if (rc == OPAL_SUCCESS) {
            rc = mca_base_framework_components_open(btl, 0);
        }
        btl->framework_selection = before;
        free(selection);
    }
    /* also when nothing is new: it makes the BML build its arrays of modules again */
    if (mca_bml_component.bml_init(&priority, false, ompi_mpi_thread_multiple) == NULL) {
        rc = OPAL_ERR_NOT_AVAILABLE;
    }
    progress_gate();
    return rc;
}

static int open_beside_the_open_ones(char **names)
{
    opal_list_t *components = &opal_btl_base_framework.framework_components;
    opal_list_t kept;
    OBJ_CONSTRUCT(&kept, opal_list_t);
    opal_list_join(&kept, opal_list_get_end(&kept), components);
    int rc = open_components(names);
    opal_list_join(components, opal_list_get_first(components), &kept);
    OBJ_DESTRUCT(&kept);
    return rc;
}

void btl_hooks_gate(void)
{
    endpoints_finalize_bml();
    progress_gate();
    open_beside_the_open_ones(NULL);
}

void *btl_open(const char *list, uint32_t *size, char *why, size_t why_size)
{
    if (opened != NULL) {
        let_go(opened);
        forget_opened();
    }
    char **names = selection_resolve(list);
    for (char **name = names; name != NULL && *name != NULL; name++) {
        if (!selection_is_open(*name)) {
            opal_argv_append_unique_nosize(&opened, *name, false);
        }
    }
    opal_argv_free(names);
    refresh_interfaces();
    modex_keep(true);
    int rc = open_beside_the_open_ones(opened);
    modex_keep(false);
    if (rc != OPAL_SUCCESS) {
        snprintf(why, why_size, "opening the BTLs \"%s\": %s", list, opal_strerror(rc));
        return NULL;
    }
    return modex_pack(size, why, why_size);
}

bool btl_connect(struct ninja_addresses *addresses, char *why, size_t size)
{
    modex_take(addresses);
    return endpoints_refill(why, size);
}
