#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "opal/mca/base/mca_base_component_repository.h"
#include "opal/util/argv.h"

static const char *bypass_list;
static char *best_list;  /* what --mca btl said at the start: NULL, "a,b" or "^a,b" */
static char **installed; /* the names of all components */
static char **previous;  /* what was in use before the last release */
static char **devices;   /* and the RDMA devices that were open then */

static void find_installed(void)
{
    opal_list_t *components;
    mca_base_component_repository_item_t *item;
    const mca_base_component_t **built_in = opal_btl_base_framework.framework_static_components;
    for (; built_in != NULL && *built_in != NULL; built_in++) {
        opal_argv_append_unique_nosize(&installed, (*built_in)->mca_component_name, false);
    }
    if (mca_base_component_repository_get_components(&opal_btl_base_framework, &components) !=
        OPAL_SUCCESS) {
        return;
    }
    OPAL_LIST_FOREACH(item, components, mca_base_component_repository_item_t)
    {
        opal_argv_append_unique_nosize(&installed, item->ri_name, false);
    }
}

void selection_open(const char *bypass)
{
    bypass_list = bypass;
    best_list = opal_btl_base_framework.framework_selection != NULL
                    ? strdup(opal_btl_base_framework.framework_selection)
                    : NULL;
    find_installed();
}

void selection_close(void)
{
    free(best_list);
    best_list = NULL;
    opal_argv_free(installed);
    installed = NULL;
    opal_argv_free(previous);
    previous = NULL;
    opal_argv_free(devices);
    devices = NULL;
}

const char *selection_interfaces(const char *entry)
{
    const char *colon = strchr(entry, ':');
    return colon != NULL ? colon + 1 : NULL;
}

char *selection_name(const char *entry)
{
    return strndup(entry, strcspn(entry, ":"));
}

static bool has(char **entries, const char *name, size_t len)
{
    for (; entries != NULL && *entries != NULL; entries++) {
        if (strcspn(*entries, ":") == len && strncmp(*entries, name, len) == 0) {
            return true;
        }
    }
    return false;
}

bool selection_has(char **entries, const char *name)
{
    return has(entries, name, strlen(name));
}

bool selection_has_entry(char **entries, const char *entry)
{
    return has(entries, entry, strcspn(entry, ":"));
}

char **selection_in_use(void)
{
    char **entries = NULL;
    mca_base_component_list_item_t *item;
    OPAL_LIST_FOREACH(item, &opal_btl_base_framework.framework_components,
                      mca_base_component_list_item_t)
    {
        opal_argv_append_nosize(&entries,
                                interfaces_entry(item->cli_component->mca_component_name));
    }
    return entries;
}

void selection_remember(void)
{
    opal_argv_free(previous);
    previous = selection_in_use();
    opal_argv_free(devices);
    devices = evidence_devices();
}

/* Appends the entries of from whose component is not in the list. */
static void append_others(char ***to, char **from, char **list)
{
    for (; from != NULL && *from != NULL; from++) {
        if (!selection_has_entry(list, *from)) {
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
    char **excluded = best_list != NULL ? opal_argv_split(best_list + 1, ',') : NULL;
    append_others(&names, installed, excluded);
    opal_argv_free(excluded);
    return names;
}

static char **standby(void)
{
    char **names = NULL;
    char **all = best();
    char **bypass = opal_argv_split(bypass_list, ',');
    append_others(&names, all, bypass);
    opal_argv_append_unique_nosize(&names, "tcp", false);
    opal_argv_free(all);
    opal_argv_free(bypass);
    return names;
}

/* All components but some. */
static char **all_but(char **kept)
{
    char **names = NULL;
    append_others(&names, installed, kept);
    return names;
}

bool selection_of_only(char **entries, char **selection)
{
    char **others = all_but(entries);
    char *list = opal_argv_join(others, ',');
    bool ok = list != NULL;
    *selection = NULL;
    if (ok && list[0] != '\0' && asprintf(selection, "^%s", list) < 0) {
        *selection = NULL;
        ok = false;
    }
    opal_argv_free(others);
    free(list);
    return ok;
}

static char *only_self[] = {"self", NULL};
static char *within_node[] = {"self", "vader", "sm", "smcuda", NULL};
static char **const shared_memory = within_node + 1;

static char **all_but_self(void)
{
    return all_but(only_self);
}

static char **network(void)
{
    return all_but(within_node);
}

static char **bypass(void)
{
    return opal_argv_split(bypass_list, ',');
}

static char **devices_still_there(void)
{
    char **there = NULL;
    for (char **device = devices; device != NULL && *device != NULL; device++) {
        if (interfaces_has_rdma_device(*device)) {
            opal_argv_append_nosize(&there, *device);
        }
    }
    return there;
}

/* openib by its plain name takes all devices, so it gets those that it had before. If none of them
 * is left, it is to look for others. */
static char **what_was_before(void)
{
    char **entries = opal_argv_copy(previous), **there = devices_still_there();
    for (char **entry = entries; there != NULL && entry != NULL && *entry != NULL; entry++) {
        if (strcmp(*entry, "openib") == 0) {
            char *joined = opal_argv_join(there, '+'), *with_devices;
            if (joined != NULL && asprintf(&with_devices, "openib:%s", joined) > 0) {
                free(*entry);
                *entry = with_devices;
            }
            free(joined);
        }
    }
    opal_argv_free(there);
    return entries;
}

bool selection_is_previous(const char *list)
{
    return strcmp(list, "@previous") == 0;
}

static const struct {
    const char *word;
    char **(*entries)(void);
} words[] = {
    {"@all", all_but_self}, {"@network", network}, {"@bypass", bypass},
    {"@best", best},        {"@standby", standby}, {"@previous", what_was_before},
};
#define N_WORDS (sizeof(words) / sizeof(words[0]))

static size_t word_of(const char *list)
{
    size_t i = 0;
    while (i < N_WORDS && strcmp(words[i].word, list) != 0) {
        i++;
    }
    return i;
}

char **selection_resolve(const char *list)
{
    size_t word = word_of(list);
    return word < N_WORDS ? words[word].entries() : opal_argv_split(list, ',');
}

/* --- what can be seen to be impossible before anything is done -------------------------------- */

static bool interfaces_are_possible(const char *name, const char *interfaces, char *why,
                                    size_t size)
{
    size_t len = strlen(interfaces);
    if (selection_has(within_node, name)) {
        snprintf(why, size, "the BTL %s has no interfaces to choose from, as \"%s:%s\" does", name,
                 name, interfaces);
        return false;
    }
    if (len == 0 || interfaces[0] == '+' || interfaces[len - 1] == '+' ||
        strstr(interfaces, "++") != NULL) {
        snprintf(why, size, "\"%s:%s\": an interface is missing; it is NAME:INTERFACE+INTERFACE...",
                 name, interfaces);
        return false;
    }
    return true;
}

static bool entry_is_possible(const char *entry, bool is_release, char *why, size_t size)
{
    const char *interfaces = selection_interfaces(entry);
    char *name = selection_name(entry);
    bool ok = false;
    if (name == NULL) {
        snprintf(why, size, "out of memory");
    } else if (!selection_has(installed, name)) {
        char *all = opal_argv_join(installed, ' ');
        snprintf(why, size, "there is no BTL \"%s\" on %s; there are: %s", name,
                 ompi_process_info.nodename, all);
        free(all);
    } else if (is_release && (interfaces != NULL || strcmp(name, "self") == 0)) {
        snprintf(why, size, "\"%s\" cannot be released: %s", entry,
                 interfaces != NULL ? "only all of a BTL can" : "a process always needs it");
    } else {
        ok = interfaces == NULL || interfaces_are_possible(name, interfaces, why, size);
    }
    free(name);
    return ok;
}

static size_t name_length(const char *entry)
{
    return strcspn(entry, ":");
}

static bool is_named_before(char **entries, int n)
{
    for (int i = 0; i < n; i++) {
        if (name_length(entries[i]) == name_length(entries[n]) &&
            strncmp(entries[i], entries[n], name_length(entries[n])) == 0) {
            return true;
        }
    }
    return false;
}

static bool list_is_possible(const char *list, bool is_release, char *why, size_t size)
{
    if (word_of(list) < N_WORDS) {
        return true;
    }
    char **entries = opal_argv_split(list, ',');
    bool ok = entries != NULL;
    if (list[0] == '@' || !ok) {
        snprintf(why, size, "\"%s\" is no set of transports", list);
        ok = false;
    }
    for (int i = 0; ok && entries[i] != NULL; i++) {
        ok = entry_is_possible(entries[i], is_release, why, size);
        if (ok && is_named_before(entries, i)) {
            snprintf(why, size, "\"%s\" names a transport twice (interfaces are joined by +)",
                     list);
            ok = false;
        }
    }
    opal_argv_free(entries);
    return ok;
}

/* Whether one of the entries is not of the names. */
static bool has_others(char **entries, char **names)
{
    char **others = NULL;
    append_others(&others, entries, names);
    bool any = others != NULL;
    opal_argv_free(others);
    return any;
}

/* Whether what is left after the release, with what is opened then, reaches every process. */
static bool reaches_all(const char *release, const char *open, char *why, size_t size)
{
    const uint32_t here = (uint32_t)ompi_process_info.num_local_peers + 1;
    char **in_use = selection_in_use(), **released = selection_resolve(release);
    char **opened = selection_resolve(open), **kept = NULL;
    append_others(&kept, in_use, released);
    append_others(&kept, opened, NULL);
    bool off_node = has_others(kept, within_node), off_self = has_others(kept, only_self);
    opal_argv_free(in_use);
    opal_argv_free(released);
    opal_argv_free(opened);
    opal_argv_free(kept);
    if (!off_node && ompi_process_info.num_procs > here) {
        snprintf(why, size, "\"%s\" reaches no other node, and the job is on several", open);
        return false;
    }
    if (!off_self && here > 1) {
        snprintf(why, size, "\"%s\" reaches no other process", open);
        return false;
    }
    return true;
}

bool btl_check(const char *release, const char *open, char *why, size_t size)
{
    return list_is_possible(release, true, why, size) && list_is_possible(open, false, why, size) &&
           endpoints_can_part(shared_memory, why, size) && reaches_all(release, open, why, size);
}
