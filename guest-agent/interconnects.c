#include "guest-agent/interconnects.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/shortage.h"
#include "guest-agent/text.h"

#define MAX_ENTRIES 256

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Calls fn for each entry of a directory, in lexical order so that two scans can be compared. */
static void for_each_in(const char *dir, void (*fn)(const char *dir, const char *name, void *ctx),
                        void *ctx)
{
    struct dirent **names;
    int n = scandir(dir, &names, visible, alphasort);
    for (int i = 0; i < n; i++) {
        if (i < MAX_ENTRIES) {
            fn(dir, names[i]->d_name, ctx);
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    } else {
        shortage_note();
    }
}

static void set_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, text_json(value, strlen(value)));
}

static void add_counter(const char *dir, const char *name, void *counters)
{
    char value[64], *end;
    if (!text_first_line(value, sizeof(value), "%s/%s", dir, name)) {
        return;
    }
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno == 0 && end != value && *end == '\0' && number <= LLONG_MAX) {
        json_object_set_new(counters, name, json_integer((json_int_t)number));
    }
}

struct scan {
    const char *sys;
    bool counters;
    json_t *list;
    const struct ifaddrs *addresses;
    const char *device; /* the RDMA device whose ports are looked at */
};

/* "4: ACTIVE" without the number. */
static const char *state_word(const char *state)
{
    const char *word = strchr(state, ':');
    word = word != NULL ? word + 1 : state;
    return word + strspn(word, " ");
}

static void add_rdma_port(const char *dir, const char *name, void *ctx)
{
    struct scan *scan = ctx;
    char path[PATH_MAX], value[128];

    if (!isdigit((unsigned char)name[0]) ||
        !text_first_line(value, sizeof(value), "%s/%s/state", dir, name)) {
        return;
    }
    json_t *port = json_pack("{s:i}", "port", atoi(name));
    set_text(port, "name", scan->device);
    set_text(port, "state", state_word(value));
    if (text_first_line(value, sizeof(value), "%s/%s/link_layer", dir, name)) {
        set_text(port, "link_layer", value);
    }
    if ((text_first_line(value, sizeof(value), "%s/%s/gid_attrs/ndevs/0", dir, name) ||
         text_first_line(value, sizeof(value), "%s/class/infiniband/%s/parent", scan->sys,
                         scan->device)) &&
        value[0] != '\0') {
        set_text(port, "netdev", value);
    }
    if (scan->counters) {
        json_t *counters = json_object();
        if (text_path(path, "%s/%s/counters", dir, name)) {
            for_each_in(path, add_counter, counters);
        }
        if (text_path(path, "%s/%s/hw_counters", dir, name)) {
            for_each_in(path, add_counter, counters);
        }
        json_object_set_new(port, "counters", counters);
    }
    json_array_append_new(scan->list, port);
}

static void add_rdma_device(const char *dir, const char *name, void *ctx)
{
    struct scan *scan = ctx;
    char ports[PATH_MAX];
    scan->device = name;
    if (text_path(ports, "%s/%s/ports", dir, name)) {
        for_each_in(ports, add_rdma_port, scan);
    }
}

static bool is_pci_address(const char *s)
{
    unsigned domain, bus, slot, function;
    int n = 0;
    return sscanf(s, "%x:%x:%x.%x%n", &domain, &bus, &slot, &function, &n) == 4 && s[n] == '\0';
}

/* The PCI function that an interface belongs to: for virtio it is the parent of its device. */
static bool pci_of(const char *dir, const char *name, char *pci, size_t size)
{
    char link[PATH_MAX];
    bool found = false;
    char *path = text_path(link, "%s/%s/device", dir, name) ? realpath(link, NULL) : NULL;
    if (path == NULL) {
        shortage_note();
    }
    for (char *slash; path != NULL && !found && (slash = strrchr(path, '/')) != NULL;) {
        if (is_pci_address(slash + 1)) {
            snprintf(pci, size, "%s", slash + 1);
            found = true;
        }
        *slash = '\0';
    }
    free(path);
    return found;
}

static int prefix_length(const struct sockaddr *mask)
{
    const unsigned char *bytes;
    size_t n;
    int bits = 0;
    if (mask == NULL) {
        return 0;
    }
    if (mask->sa_family == AF_INET) {
        bytes = (const unsigned char *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr;
        n = 4;
    } else {
        bytes =
            (const unsigned char *)&((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
        n = 16;
    }
    for (size_t i = 0; i < n; i++) {
        bits += __builtin_popcount(bytes[i]);
    }
    return bits;
}

static json_t *address_json(const struct ifaddrs *ifa)
{
    char text[INET6_ADDRSTRLEN];
    const void *address;
    if (ifa->ifa_addr->sa_family == AF_INET) {
        address = &((const struct sockaddr_in *)(const void *)ifa->ifa_addr)->sin_addr;
    } else {
        address = &((const struct sockaddr_in6 *)(const void *)ifa->ifa_addr)->sin6_addr;
    }
    if (inet_ntop(ifa->ifa_addr->sa_family, address, text, sizeof(text)) == NULL) {
        return NULL;
    }
    return json_sprintf("%s/%d", text, prefix_length(ifa->ifa_netmask));
}

static json_t *addresses_of(const struct ifaddrs *addresses, const char *name)
{
    json_t *list = json_array();
    for (const struct ifaddrs *ifa = addresses; ifa != NULL; ifa = ifa->ifa_next) {
        if (ifa->ifa_addr == NULL || strcmp(ifa->ifa_name, name) != 0 ||
            (ifa->ifa_addr->sa_family != AF_INET && ifa->ifa_addr->sa_family != AF_INET6) ||
            json_array_size(list) >= MAX_ENTRIES) {
            continue;
        }
        json_array_append_new(list, address_json(ifa));
    }
    return list;
}

static void add_interface(const char *dir, const char *name, void *ctx)
{
    static const char *const counter_names[] = {"rx_bytes",   "tx_bytes",  "rx_packets",
                                                "tx_packets", "rx_errors", "tx_errors"};
    struct scan *scan = ctx;
    char value[128], path[PATH_MAX];

    /* No type: a file such as bonding_masters, or an interface that has just gone. */
    if (!text_first_line(value, sizeof(value), "%s/%s/type", dir, name) ||
        atoi(value) == ARPHRD_LOOPBACK) {
        return;
    }
    json_t *net = json_object();
    set_text(net, "name", name);
    if (text_first_line(value, sizeof(value), "%s/%s/operstate", dir, name)) {
        set_text(net, "state", value);
    }
    if (text_first_line(value, sizeof(value), "%s/%s/address", dir, name) && value[0] != '\0') {
        set_text(net, "mac", value);
    }
    if (pci_of(dir, name, value, sizeof(value))) {
        set_text(net, "pci", value);
    }
    json_object_set_new(net, "addresses", addresses_of(scan->addresses, name));
    if (scan->counters) {
        json_t *counters = json_object();
        bool fits = text_path(path, "%s/%s/statistics", dir, name);
        for (size_t i = 0; fits && i < sizeof(counter_names) / sizeof(counter_names[0]); i++) {
            add_counter(path, counter_names[i], counters);
        }
        json_object_set_new(net, "counters", counters);
    }
    json_array_append_new(scan->list, net);
}

json_t *interconnects_scan(const char *sys, bool counters)
{
    struct ifaddrs *addresses = NULL;
    char dir[PATH_MAX];
    json_t *rdma = json_array(), *net = json_array();
    struct scan scan = {.sys = sys, .counters = counters, .list = rdma};

    if (text_path(dir, "%s/class/infiniband", sys)) {
        for_each_in(dir, add_rdma_device, &scan);
    }

    if (getifaddrs(&addresses) != 0) {
        shortage_note();
        addresses = NULL;
    }
    scan.list = net;
    scan.addresses = addresses;
    if (text_path(dir, "%s/class/net", sys)) {
        for_each_in(dir, add_interface, &scan);
    }
    freeifaddrs(addresses);
    return json_pack("{s:o, s:o}", "rdma", rdma, "net", net);
}
