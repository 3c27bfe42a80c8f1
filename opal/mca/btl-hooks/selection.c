#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opal/mca/base/mca_base_component_repository.h"
#include "opal/util/argv.h"

static const char *bypass_list;
static char *best_list; /* what --mca btl said at the start: NULL, "a,b" or "^a,b" */

void selection_open(const char *bypass)
{
    bypass_list = bypass;
    best_list = opal_btl_base_framework.framework_selection != NULL
                    ? strdup(opal_btl_base_framework.framework_selection)
                    : NULL;
}

void selection_close(void)
{
    free(best_list);
    best_list = NULL;
}

bool selection_has(char **names, const char *name)
{
    for (; names != NULL && *names != NULL; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

bool selection_is_open(const char *name)
{
    mca_base_component_list_item_t *item;
    OPAL_LIST_FOREACH(item, &opal_btl_base_framework.framework_components,
                      mca_base_component_list_item_t) {
        if (strcmp(item->cli_component->mca_component_name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* All components that are installed. */
static char **installed(void)
{
    char **names = NULL;
    opal_list_t *components;
    mca_base_component_repository_item_t *item;
    if (mca_base_component_repository_get_components(&opal_btl_base_framework, &components) !=
        OPAL_SUCCESS) {
        return NULL;
    }
    OPAL_LIST_FOREACH(item, components, mca_base_component_repository_item_t) {
        opal_argv_append_unique_nosize(&names, item->ri_name, false);
    }
    return names;
}

/* Appends those of from that are (or are not) in the list. */
static void append_where(char ***to, char **from, char **list, bool in_list)
{
    for (; from != NULL && *from != NULL; from++) {
        if (selection_has(list, *from) == in_list) {
            opal_argv_append_unique_nosize(to, *from, false);
        }
    }
}

static char **best(void)
{
    if (best_list != NULL && best_list[0] != '^') {
        return opal_argv_split(best_list, ',');
    }
    char **names = NULL;
    char **all = installed();
    char **excluded = best_list != NULL ? opal_argv_split(best_list + 1, ',') : NULL;
    append_where(&names, all, excluded, false);
    opal_argv_free(all);
    opal_argv_free(excluded);
    return names;
}

static char **standby(void)
{
    char **names = NULL;
    char **all = best();
    char **bypass = opal_argv_split(bypass_list, ',');
    append_where(&names, all, bypass, false);
    opal_argv_append_unique_nosize(&names, "tcp", false);
    opal_argv_free(all);
    opal_argv_free(bypass);
    return names;
}

/* All but some. */
static char **all_but(char **kept)
{
    char **names = NULL;
    char **all = installed();
    append_where(&names, all, kept, false);
    opal_argv_free(all);
    return names;
}

char **selection_resolve(const char *list)
{
    char *self[] = {"self", NULL};
    char *within_node[] = {"self", "vader", "sm", "smcuda", NULL};
    if (strcmp(list, "@all") == 0) {
        return all_but(self);
    }
    if (strcmp(list, "@network") == 0) {
        return all_but(within_node);
    }
    if (strcmp(list, "@bypass") == 0) {
        return opal_argv_split(bypass_list, ',');
    }
    if (strcmp(list, "@best") == 0) {
        return best();
    }
    if (strcmp(list, "@standby") == 0) {
        return standby();
    }
    return opal_argv_split(list, ',');
}
