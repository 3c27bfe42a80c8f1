/*
 * What the driver "libvirt" wants of the cluster file.
 */
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/text_file.h"
#include "host/vmm/driver_libvirt.h"

#define HOST_KEYS(type, member)                                                                    \
    {.name = "uri", .value = CLUSTER_TEXT, .offset = offsetof(type, member uri)},                  \
        {.name = "peer-uri", .value = CLUSTER_TEXT, .offset = offsetof(type, member peer_uri)},    \
        {.name = "tls", .value = CLUSTER_TEXT, .offset = offsetof(type, member tls)},              \
    {                                                                                              \
        .name = "migration-uri", .value = CLUSTER_TEXT,                                            \
        .offset = offsetof(type, member migration_uri)                                             \
    }

const struct cluster_key libvirt_entry_keys[] = {
    HOST_KEYS(struct libvirt_entry, host.),
    {CLUSTER_KEY(struct libvirt_entry, domain), .value = CLUSTER_TEXT},
    {0},
};

const struct cluster_key libvirt_site_keys[] = {
    HOST_KEYS(struct libvirt_host, ),
    {0},
};

/* ---- the device ---- */

static char *read_xml(const char *file, struct ninja_error *err)
{
    int fd = plain_file_open(file, O_RDONLY, 0, ERR_DEVICE, err);
    char *text = fd < 0 ? NULL : text_file_read(fd, file, LIBVIRT_MAX_DEVICE, ERR_DEVICE, err);
    if (fd >= 0) {
        close(fd);
    }
    return text;
}

/* The name of its <alias>, which the caller frees; NULL: it has none. */
static char *alias_of(xmlDocPtr doc)
{
    char *alias = NULL;
    xmlNodePtr root = xmlDocGetRootElement(doc);
    for (xmlNodePtr node = root->children; node != NULL && alias == NULL; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, BAD_CAST "alias")) {
            xmlChar *name = xmlGetProp(node, BAD_CAST "name");
            alias = name != NULL ? xstrdup((const char *)name) : NULL;
            xmlFree(name);
        }
    }
    return alias;
}

/* libvirt keeps no other alias of ours, and names a device anew each time then. */
static bool is_lasting(const char *alias)
{
    return alias != NULL && strncmp(alias, "ua-", 3) == 0 && alias[3] != '\0';
}

static char *device_alias(const char *xml, struct ninja_error *err)
{
    xmlDocPtr doc = xmlReadMemory(xml, (int)strlen(xml), "device", NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (doc == NULL) {
        ninja_error_set(err, ERR_DEVICE,
                        "the device is no XML; expected what virsh attach-device takes, or the "
                        "path of a file with that");
        return NULL;
    }
    char *alias = alias_of(doc);
    xmlFreeDoc(doc);
    if (!is_lasting(alias)) {
        ninja_error_set(err, ERR_DEVICE,
                        "the device's XML is to have an alias that begins with \"ua-\", as in "
                        "<alias name='ua-bypass'/>; found \"%s\"",
                        alias != NULL ? alias : "");
        free(alias);
        return NULL;
    }
    return alias;
}

bool libvirt_read_device(struct cluster_device *device, struct ninja_error *err)
{
    if (device->spec[0] != '<') {
        char *xml = read_xml(device->spec, err);
        if (xml == NULL) {
            return false;
        }
        free(device->spec);
        device->spec = xml;
    }
    device->id = device_alias(device->spec, err);
    if (device->id == NULL) {
        return false;
    }
    device->text = xstrdup(device->id);
    return true;
}

/* ---- all of an entry ---- */

static const char *first(const char *own, const char *of_site)
{
    return own != NULL ? own : of_site;
}

static bool check_uri(const char *uri, struct ninja_error *err)
{
    if (strncmp(uri, "qemu:", 5) != 0 && strncmp(uri, "qemu+", 5) != 0) {
        return ninja_error_set(err, ERR_ADDRESS,
                               "expected a URI of libvirt's for QEMU, as qemu+ssh://HOST/system, "
                               "found \"%s\"",
                               uri);
    }
    return strlen(uri) <= LIBVIRT_MAX_URI ||
           ninja_error_set(err, ERR_ADDRESS, "a URI has at most %d bytes", LIBVIRT_MAX_URI);
}

bool libvirt_check(const struct cluster_entry *entry, const void *site, const char **key,
                   struct ninja_error *err)
{
    const struct libvirt_entry *own = entry->own;
    const struct libvirt_host *host = site;
    const char *uri = first(own->host.uri, host->uri),
               *peer = first(own->host.peer_uri, host->peer_uri);
    *key = "uri";
    if (uri == NULL) {
        return ninja_error_set(err, ERR_ADDRESS,
                               "expected the key \"uri\" here or in the site: how libvirt on the "
                               "VM's host is connected (driver \"libvirt\")");
    }
    if (!check_uri(uri, err)) {
        return false;
    }
    *key = "peer-uri";
    return peer == NULL || check_uri(peer, err);
}

static const struct libvirt_entry *entry_at(const struct cluster *cluster, int vm, int site)
{
    return cluster->sites[site].vms[vm].own;
}

static const struct libvirt_host *host_at(const struct cluster *cluster, int site)
{
    return cluster->sites[site].own;
}

const char *libvirt_uri(const struct cluster *cluster, int vm, int site)
{
    return first(entry_at(cluster, vm, site)->host.uri, host_at(cluster, site)->uri);
}

const char *libvirt_peer_uri(const struct cluster *cluster, int vm, int site)
{
    const char *peer =
        first(entry_at(cluster, vm, site)->host.peer_uri, host_at(cluster, site)->peer_uri);
    return peer != NULL ? peer : libvirt_uri(cluster, vm, site);
}

const char *libvirt_migration_uri(const struct cluster *cluster, int vm, int site)
{
    return first(entry_at(cluster, vm, site)->host.migration_uri,
                 host_at(cluster, site)->migration_uri);
}

const char *libvirt_tls(const struct cluster *cluster, int vm, int site)
{
    return first(entry_at(cluster, vm, site)->host.tls, host_at(cluster, site)->tls);
}

const char *libvirt_domain(const struct cluster *cluster, int vm, int site)
{
    return first(entry_at(cluster, vm, site)->domain, cluster->vms[vm]);
}

/* "qemu:///system" is another host for each host. */
static bool is_local(const char *uri)
{
    return strstr(uri, ":///") != NULL;
}

bool libvirt_may_move(const struct cluster *cluster, const struct transfer *transfer, int vm,
                      int to, struct ninja_error *err)
{
    const char *uri = libvirt_peer_uri(cluster, vm, to);
    if (transfer_has_post_copy(transfer) && transfer->post_copy_after != 0) {
        return ninja_error_set(
            err, ERR_REFUSED,
            "the driver \"libvirt\" does post-copy from the beginning only, as a "
            "copy that ends before could leave the VM running at both hosts; "
            "give post-copy = 0 in the cluster file");
    }
    return !is_local(uri) ||
           ninja_error_set(err, ERR_REFUSED,
                           "by %s no other host can connect to the one of site \"%s\"; say in "
                           "\"peer-uri\" how they can",
                           uri, cluster->sites[to].name);
}
