/*
 * Theory of operation
 *
 * The BTL framework itself stays open; components are closed and opened one by one, as the
 * framework would do it. A component that is let go is unloaded, too: openib keeps statics that a
 * second initialisation would trip over. The components that stay are hidden from the framework's
 * list while new ones are opened, so that the selection initialises the new ones only. The list of
 * network interfaces is read afresh, as openib and tcp choose by it.
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
#include "opal/runtime/opal_progress.h"
#include "opal/util/argv.h"

static char **opened;         /* since the last btl_release() */
static opal_list_t set_aside; /* modules that are open and not to be used */

void btl_hooks_open(const char *bypass)
{
    OBJ_CONSTRUCT(&set_aside, opal_list_t);
    selection_open(bypass);
    interfaces_open();
    modex_open();
    verify_open();
}

static void forget_opened(void)
{
    opal_argv_free(opened);
    opened = NULL;
}

void btl_hooks_close(void)
{
    forget_opened();
    verify_forget();
    endpoints_close();
    interfaces_close();
    selection_close();
}

/* Finalizes the modules of the component that are in the list. */
static void finalize_modules(const mca_base_component_t *component, opal_list_t *modules)
{
    mca_btl_base_selected_module_t *module, *next;
    OPAL_LIST_FOREACH_SAFE(module, next, modules, mca_btl_base_selected_module_t)
    {
        if (&module->btl_component->btl_version == component) {
            /* the BML forgets those that it did not register for a process itself */
            if (module->btl_component->btl_progress != NULL) {
                opal_progress_unregister(module->btl_component->btl_progress);
            }
            module->btl_module->btl_finalize(module->btl_module);
            opal_list_remove_item(modules, &module->super);
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
        finalize_modules(component, &mca_btl_base_modules_initialized);
        finalize_modules(component, &set_aside);
        modex_forget(component);
        progress_forget(component);
        interfaces_forget(component->mca_component_name);
        opal_list_remove_item(&opal_btl_base_framework.framework_components, &item->super);
        OBJ_RELEASE(item);
        mca_base_component_close(component, opal_btl_base_framework.framework_output);
    }
}

static void let_go(char **names)
{
    if (selection_has(names, "tcp")) {
        tcp_hang_up();
    }
    endpoints_vacate(names);
    endpoints_finalize_bml();
    close_components(names);
}

/*
 * Undoes an opening that did not lead to the end, also in a rank where all went well: others may
 * not have come so far, and all have to begin with the same.
 */
static void take_back(void)
{
    verify_forget();
    if (opened != NULL || endpoints_any_refilled()) {
        endpoints_vacate_refilled(opened);
        let_go(opened);
        forget_opened();
    }
}

bool btl_release(const char *list, char *why, size_t size)
{
    char **names = selection_resolve(list);
    if (selection_has(names, "self")) {
        snprintf(why, size, "the BTL self cannot be released");
        opal_argv_free(names);
        return false;
    }
    if (!endpoints_reserve(why, size)) {
        opal_argv_free(names);
        return false;
    }
    if (endpoints_are_complete()) { /* not when a switch that was interrupted is begun again */
        selection_remember();
        interfaces_remember();
    }
    verify_job_waits(true);
    take_back();
    let_go(names);
    endpoints_unreserve();
    opal_argv_free(names);
    return true;
}

void btl_settle(void)
{
    verify_job_waits(false);
    endpoints_keep_refilled();
    forget_opened();
}

/*
 * The components are chosen by excluding all others: Open MPI then leaves out what it cannot load,
 * as it does when a job starts, in place of giving up with the others loaded but not opened.
 *
 * A component that cannot have its interfaces is opened all the same: it is let go with all else of
 * a list that failed.
 */
static bool load_components(char **entries, char *why, size_t size)
{
    mca_base_framework_t *btl = &opal_btl_base_framework;
    char *before = btl->framework_selection;
    char *selection;
    bool chosen = false;
    if (!selection_of_only(entries, &selection)) {
        snprintf(why, size, "out of memory");
        return false;
    }
    btl->framework_selection = selection;
    int rc = mca_base_framework_components_register(btl, 0);
    if (rc == OPAL_SUCCESS) {
        chosen = interfaces_choose(entries, why, size);
        rc = mca_base_framework_components_open(btl, 0);
    }
    if (rc != OPAL_SUCCESS) {
        snprintf(why, size, "opening the BTLs (selection \"%s\"): %s", selection,
                 opal_strerror(rc));
    }
    btl->framework_selection = before;
    free(selection);
    return chosen && rc == OPAL_SUCCESS;
}

/* Opens and initialises the entries; leaves just those in the framework's list. */
static bool open_components(char **entries, char *why, size_t size)
{
    int priority;
    bool ok = entries == NULL || load_components(entries, why, size);
    /* also when nothing is new: it makes the BML build its arrays of modules again */
    if (mca_bml_component.bml_init(&priority, false, ompi_mpi_thread_multiple) == NULL && ok) {
        snprintf(why, size, "the BML does not find any transport");
        ok = false;
    }
    progress_gate();
    return ok;
}

static bool open_beside_the_open_ones(char **entries, char *why, size_t size)
{
    opal_list_t *components = &opal_btl_base_framework.framework_components;
    opal_list_t kept;
    OBJ_CONSTRUCT(&kept, opal_list_t);
    opal_list_join(&kept, opal_list_get_end(&kept), components);
    bool ok = open_components(entries, why, size);
    opal_list_join(components, opal_list_get_first(components), &kept);
    OBJ_DESTRUCT(&kept);
    return ok;
}

void btl_hooks_gate(void)
{
    char why[256];
    if (!endpoints_reserve(why, sizeof(why))) {
        abort(); /* in MPI_Init, and without the gate no thread could be stopped */
    }
    endpoints_finalize_bml();
    progress_gate();
    open_beside_the_open_ones(NULL, why, sizeof(why));
    endpoints_unreserve();
}

/* Lets go of what is open on other interfaces than it should. */
static void make_room_for(char **entries)
{
    char **in_use = selection_in_use();
    for (; entries != NULL && *entries != NULL; entries++) {
        char *name = selection_name(*entries);
        if (name != NULL && selection_has(in_use, name) &&
            strcmp(interfaces_entry(name), *entries) != 0) {
            opal_argv_append_nosize(&opened, name);
        }
        free(name);
    }
    if (opened != NULL) {
        let_go(opened);
        forget_opened();
    }
    opal_argv_free(in_use);
}

/* A component is on the same interfaces for all processes, and ranks that stay keep theirs. */
static bool has_room_for(char **entries, char *why, size_t size)
{
    char **in_use = selection_in_use();
    bool ok = true;
    for (; ok && entries != NULL && *entries != NULL; entries++) {
        char *name = selection_name(*entries);
        ok = name == NULL || selection_interfaces(*entries) == NULL ||
             !selection_has(in_use, name) || strcmp(interfaces_entry(name), *entries) == 0;
        if (!ok) {
            snprintf(why, size,
                     "\"%s\": between ranks that stay, the BTL is used on other interfaces "
                     "(\"%s\")",
                     *entries, interfaces_entry(name));
        }
        free(name);
    }
    opal_argv_free(in_use);
    return ok;
}

static void append_missing(char ***missing, char **entries)
{
    char **in_use = selection_in_use();
    for (; entries != NULL && *entries != NULL; entries++) {
        if (!selection_has_entry(in_use, *entries)) {
            opal_argv_append_nosize(missing, *entries);
        }
    }
    opal_argv_free(in_use);
}

/* A user who names interfaces wants to hear that nothing can be used there. A plain name means "if
 * possible". */
static bool found_the_interfaces(char **entries, char *why, size_t size)
{
    char **missing = NULL;
    append_missing(&missing, entries);
    bool ok = true;
    for (char **entry = missing; ok && entry != NULL && *entry != NULL; entry++) {
        ok = selection_interfaces(*entry) == NULL;
        if (!ok) {
            snprintf(why, size, "\"%s\": the BTL finds nothing there that it can use on %s", *entry,
                     ompi_process_info.nodename);
        }
    }
    opal_argv_free(missing);
    return ok;
}

void *btl_open(const char *list, uint32_t *size, char *why, size_t why_size)
{
    char **entries = selection_resolve(list);
    if (!endpoints_reserve(why, why_size)) {
        opal_argv_free(entries);
        return NULL;
    }
    take_back();
    make_room_for(entries);
    bool ok = selection_is_previous(list) || has_room_for(entries, why, why_size);
    append_missing(&opened, entries);
    opal_argv_free(entries);
    interfaces_refresh(selection_is_previous(list));
    modex_keep(true);
    ok = open_beside_the_open_ones(ok ? opened : NULL, why, why_size) && ok;
    modex_keep(false);
    endpoints_unreserve();
    return ok && found_the_interfaces(opened, why, why_size) ? modex_pack(size, why, why_size)
                                                             : NULL;
}

/* Returns whether there were any. */
static bool set_aside_shared_modules(void)
{
    mca_btl_base_selected_module_t *module, *next;
    bool any = false;
    OPAL_LIST_FOREACH_SAFE(module, next, &mca_btl_base_modules_initialized,
                           mca_btl_base_selected_module_t)
    {
        if (tcp_is_shared(module->btl_module)) {
            opal_list_remove_item(&mca_btl_base_modules_initialized, &module->super);
            opal_list_append(&set_aside, &module->super);
            any = true;
        }
    }
    return any;
}

/*
 * Which interfaces have an address that is another node's, too, is seen when the processes of that
 * node are connected. btl/tcp pairs the interfaces of two processes in their order, so all pairs
 * are made again without them.
 */
bool btl_connect(struct ninja_addresses *addresses, char *why, size_t size)
{
    modex_take(addresses);
    if (!endpoints_reserve(why, size)) {
        return false;
    }
    notes_listen();
    tcp_read_own_addresses();
    bool ok = endpoints_refill(why, size);
    if (set_aside_shared_modules()) {
        endpoints_vacate_refilled(NULL);
        endpoints_finalize_bml();
        ok = open_beside_the_open_ones(NULL, why, size) && endpoints_refill(why, size);
    }
    endpoints_unreserve();
    return ok;
}
