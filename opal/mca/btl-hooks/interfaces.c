/*
 * Theory of operation
 *
 * "tcp:lo+10.1.0.0/16" in a list opens tcp on these interfaces only. A component reads its
 * parameter if_include when it is opened, after it has registered it with the value that the job
 * was started with (environment, file, default). So the value is put in between the two, and is
 * gone when the component is opened again under its plain name. if_exclude, which may not be set
 * beside it, is cleared.
 *
 * A name that is no interface of this machine is an error here: tcp would take it for a wish to use
 * all.
 *
 * All components choose among the interfaces in opal_if_list. It is read afresh before they are
 * opened. For the list of what was in use before the release, interfaces that have come since then
 * are taken out of it.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "opal/mca/if/base/base.h"
#include "opal/util/argv.h"
#include "opal/util/if.h"

static char **chosen; /* the entries of open components that were opened on some interfaces only */
static opal_list_t remembered; /* of opal_if_t: what there was to choose from before the release */

/* An address as bytes, so that both families are compared in one way. */
struct address {
    int family;
    unsigned char bytes[16];
};

static bool is_name(const char *value)
{
    return isalpha((unsigned char)value[0]) && strchr(value, '/') == NULL;
}

/* "10.1.0.0/16" or "fd77::/64" */
static bool read_network(const char *value, struct address *network, long *prefix)
{
    char text[INET6_ADDRSTRLEN];
    size_t len = strcspn(value, "/");
    char *end;
    if (value[len] != '/' || len >= sizeof(text)) {
        return false;
    }
    memcpy(text, value, len);
    text[len] = '\0';
    network->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    *prefix = strtol(value + len + 1, &end, 10);
    return isdigit((unsigned char)value[len + 1]) && *end == '\0' &&
           *prefix <= (network->family == AF_INET6 ? 128 : 32) &&
           inet_pton(network->family, text, network->bytes) == 1;
}

static void read_address(int index, struct address *address)
{
    struct sockaddr_storage storage = {0};
    opal_ifindextoaddr(index, (struct sockaddr *)&storage, sizeof(storage));
    address->family = storage.ss_family;
    if (storage.ss_family == AF_INET6) {
        memcpy(address->bytes, &((struct sockaddr_in6 *)&storage)->sin6_addr, 16);
    } else {
        memcpy(address->bytes, &((struct sockaddr_in *)&storage)->sin_addr, 4);
    }
}

static bool is_in(const struct address *address, const struct address *network, long prefix)
{
    size_t whole = (size_t)prefix / 8;
    unsigned char rest = (unsigned char)(0xFF00 >> (prefix % 8));
    return address->family == network->family &&
           memcmp(address->bytes, network->bytes, whole) == 0 &&
           (prefix % 8 == 0 || ((address->bytes[whole] ^ network->bytes[whole]) & rest) == 0);
}

/*
 * Adds what is given to tcp. It reads networks of IPv4 only, so those of IPv6 are given as the
 * names of the interfaces that have an address in them.
 */
static bool add_ip_interfaces(const char *value, char ***values)
{
    struct address network, address;
    char name[64];
    long prefix;
    bool found = false;
    if (is_name(value)) {
        found = opal_ifnametokindex(value) >= 0;
    } else if (read_network(value, &network, &prefix)) {
        for (int i = opal_ifbegin(); i >= 0; i = opal_ifnext(i)) {
            read_address(i, &address);
            if (!is_in(&address, &network, prefix)) {
                continue;
            }
            found = true;
            if (network.family == AF_INET6 &&
                opal_ifindextoname(i, name, sizeof(name)) == OPAL_SUCCESS) {
                opal_argv_append_unique_nosize(values, name, false);
            }
        }
    }
    if (found && (is_name(value) || network.family == AF_INET)) {
        opal_argv_append_nosize(values, value);
    }
    return found;
}

/* The name may be followed by a port, as in "mlx5_0:1". */
bool interfaces_has_rdma_device(const char *value)
{
    char path[128];
    snprintf(path, sizeof(path), "/sys/class/infiniband/%.*s", (int)strcspn(value, ":/"), value);
    return access(path, F_OK) == 0;
}

/*
 * Adds what an interface is called in the component's parameter, if it is there. A component of
 * which it is not known what its interfaces are decides for itself.
 */
static bool add_interfaces(const char *component, const char *value, char ***values)
{
    if (strcmp(component, "tcp") == 0) {
        return add_ip_interfaces(value, values);
    }
    opal_argv_append_nosize(values, value);
    return strcmp(component, "openib") != 0 || interfaces_has_rdma_device(value);
}

static bool set_variable(const char *component, const char *name, char *value,
                         mca_base_var_source_t source)
{
    const mca_base_var_t *found;
    int index = mca_base_var_find(NULL, "btl", component, name);
    if (index < 0 || mca_base_var_get(index, &found) != OPAL_SUCCESS) {
        return false;
    }
    mca_base_var_t *var = (mca_base_var_t *)found;
    mca_base_var_flag_t flags = var->mbv_flags;
    var->mbv_flags |= MCA_BASE_VAR_FLAG_SETTABLE;
    int rc =
        mca_base_var_set_value(index, value, value != NULL ? strlen(value) + 1 : 0, source, NULL);
    var->mbv_flags = flags;
    return rc == OPAL_SUCCESS;
}

static bool clear_exclude(const char *component)
{
    mca_base_var_source_t source = MCA_BASE_VAR_SOURCE_DEFAULT;
    int index = mca_base_var_find(NULL, "btl", component, "if_exclude");
    if (index < 0 || mca_base_var_get_value(index, NULL, &source, NULL) != OPAL_SUCCESS ||
        source == MCA_BASE_VAR_SOURCE_DEFAULT) {
        return true;
    }
    return set_variable(component, "if_exclude", NULL, MCA_BASE_VAR_SOURCE_DEFAULT);
}

static void tell_missing(const char *component, const char *value, char *why, size_t size)
{
    bool ipv6 = strcmp(component, "tcp") == 0 && strchr(value, ':') != NULL;
    snprintf(why, size, "the BTL %s cannot use \"%s\": %s %s", component, value,
             ompi_process_info.nodename,
             ipv6 && !OPAL_ENABLE_IPV6 ? "has an Open MPI that is built without IPv6"
                                       : "has no such interface");
}

static bool choose(const char *component, char **entries, char *why, size_t size)
{
    char **values = NULL;
    for (char **entry = entries; *entry != NULL; entry++) {
        if (!add_interfaces(component, *entry, &values)) {
            tell_missing(component, *entry, why, size);
            opal_argv_free(values);
            return false;
        }
    }
    char *joined = opal_argv_join(values, ',');
    opal_argv_free(values);
    bool ok = set_variable(component, "if_include", joined, MCA_BASE_VAR_SOURCE_SET) &&
              clear_exclude(component);
    free(joined);
    if (!ok) {
        snprintf(why, size, "the BTL %s has no parameter if_include", component);
    }
    return ok;
}

bool interfaces_choose(char **entries, char *why, size_t size)
{
    for (; entries != NULL && *entries != NULL; entries++) {
        const char *values = selection_interfaces(*entries);
        if (values == NULL) {
            continue;
        }
        char *component = selection_name(*entries);
        char **argv = opal_argv_split(values, '+');
        bool ok = component != NULL && argv != NULL;
        if (ok) {
            ok = choose(component, argv, why, size);
        } else {
            snprintf(why, size, "out of memory");
        }
        opal_argv_free(argv);
        free(component);
        if (!ok) {
            return false;
        }
        opal_argv_append_nosize(&chosen, *entries);
    }
    return true;
}

void interfaces_forget(const char *component)
{
    for (int i = 0; chosen != NULL && chosen[i] != NULL; i++) {
        char *one[] = {chosen[i], NULL};
        if (selection_has(one, component)) {
            int n = opal_argv_count(chosen);
            opal_argv_delete(&n, &chosen, i, 1);
            return;
        }
    }
}

const char *interfaces_entry(const char *component)
{
    for (char **entry = chosen; entry != NULL && *entry != NULL; entry++) {
        char *one[] = {*entry, NULL};
        if (selection_has(one, component)) {
            return *entry;
        }
    }
    return component;
}

/* --- what there is to choose from --------------------------------------------------------- */

struct use {
    const char *name;
    bool by_tcp, any_by_tcp; /* this one; any one */
};

static void note_use(mca_bml_base_btl_t *by, void *arg)
{
    struct use *use = arg;
    char name[IF_NAMESIZE];
    if (tcp_interface(by->btl, name)) {
        use->any_by_tcp = true;
        use->by_tcp |= strcmp(name, use->name) == 0;
    }
}

static bool has_a_tcp_module(const char *interface)
{
    mca_btl_base_selected_module_t *module;
    char name[IF_NAMESIZE];
    OPAL_LIST_FOREACH(module, &mca_btl_base_modules_initialized, mca_btl_base_selected_module_t)
    {
        if (tcp_interface(module->btl_module, name) && strcmp(name, interface) == 0) {
            return true;
        }
    }
    return false;
}

/* tcp was opened on it, and other interfaces of tcp carry what this one does not. */
static bool is_left_out(const char *interface)
{
    struct use use = {.name = interface};
    endpoints_for_each(note_use, &use);
    return use.any_by_tcp && !use.by_tcp && has_a_tcp_module(interface);
}

static void forget_remembered(void)
{
    opal_list_item_t *item;
    while ((item = opal_list_remove_first(&remembered)) != NULL) {
        OBJ_RELEASE(item);
    }
}

void interfaces_remember(void)
{
    opal_if_t *interface;
    forget_remembered();
    OPAL_LIST_FOREACH(interface, &opal_if_list, opal_if_t)
    {
        opal_if_t *copy = is_left_out(interface->if_name) ? NULL : OBJ_NEW(opal_if_t);
        if (copy != NULL) {
            memcpy(copy->if_name, interface->if_name, sizeof(copy->if_name));
            copy->if_addr = interface->if_addr;
            opal_list_append(&remembered, &copy->super);
        }
    }
}

static bool is_same_address(const opal_if_t *a, const opal_if_t *b)
{
    const struct sockaddr_storage *left = &a->if_addr, *right = &b->if_addr;
    if (left->ss_family != right->ss_family) {
        return false;
    }
    return left->ss_family == AF_INET
               ? memcmp(&((const struct sockaddr_in *)left)->sin_addr,
                        &((const struct sockaddr_in *)right)->sin_addr, sizeof(struct in_addr)) == 0
               : memcmp(&((const struct sockaddr_in6 *)left)->sin6_addr,
                        &((const struct sockaddr_in6 *)right)->sin6_addr,
                        sizeof(struct in6_addr)) == 0;
}

/* Whether the interface was there, with_address: and had the same address. */
static bool was_there(const opal_if_t *interface, bool with_address)
{
    opal_if_t *before;
    OPAL_LIST_FOREACH(before, &remembered, opal_if_t)
    {
        if (strcmp(before->if_name, interface->if_name) == 0 &&
            (!with_address || is_same_address(before, interface))) {
            return true;
        }
    }
    return false;
}

/* One that has none of its former addresses any more is known by its name instead. */
static bool has_a_known_address(const char *name)
{
    opal_if_t *interface;
    OPAL_LIST_FOREACH(interface, &opal_if_list, opal_if_t)
    {
        if (strcmp(interface->if_name, name) == 0 && was_there(interface, true)) {
            return true;
        }
    }
    return false;
}

void interfaces_refresh(bool known_only)
{
    opal_if_t *interface, *next;
    mca_base_framework_close(&opal_if_base_framework);
    mca_base_framework_open(&opal_if_base_framework, 0);
    OPAL_LIST_FOREACH_SAFE(interface, next, &opal_if_list, opal_if_t)
    {
        if (known_only && !was_there(interface, has_a_known_address(interface->if_name))) {
            opal_list_remove_item(&opal_if_list, &interface->super);
            OBJ_RELEASE(interface);
        }
    }
}

void interfaces_open(void)
{
    OBJ_CONSTRUCT(&remembered, opal_list_t);
}

void interfaces_close(void)
{
    forget_remembered();
    opal_argv_free(chosen);
    chosen = NULL;
}
