/*
 * What has which name in a cluster file.
 */
#include <stdio.h>
#include <string.h>

#include "host/config/cluster.h"

/* Adds a name to a list of them. */
static void add_known(char *known, size_t size, const char *name)
{
    size_t len = strlen(known);
    snprintf(known + len, size - len, "%s%s", len ? ", " : "", name);
}

int cluster_find_vm(const struct cluster *cluster, const char *name, struct ninja_error *err)
{
    char known[300] = "";
    for (int i = 0; i < cluster->n_vms; i++) {
        if (strcmp(cluster->vms[i], name) == 0) {
            return i;
        }
        add_known(known, sizeof(known), cluster->vms[i]);
    }
    ninja_error_set(err, ERR_NO_SUCH_VM, "%s has no VM \"%s\"; there are: %s", cluster->file, name,
                    known);
    return -1;
}

bool cluster_is_in(const struct cluster_site *place, const char *name)
{
    return strcmp(place->name, name) == 0 ||
           (place->host_of != NULL && strcmp(place->host_of, name) == 0);
}

const char *cluster_site_name(const struct cluster_site *place)
{
    return place->host_of != NULL ? place->host_of : place->name;
}

/* Hosts of a site are one after the other. */
static bool begins_site(const struct cluster *cluster, int i)
{
    return i == 0 || strcmp(cluster_site_name(&cluster->sites[i]),
                            cluster_site_name(&cluster->sites[i - 1])) != 0;
}

static bool has_no_such_site(const struct cluster *cluster, const char *name,
                             struct ninja_error *err)
{
    char known[300] = "";
    bool hosts = false;
    for (int i = 0; i < cluster->n_sites; i++) {
        const struct cluster_site *place = &cluster->sites[i];
        if (begins_site(cluster, i)) {
            add_known(known, sizeof(known), cluster_site_name(place));
        }
        if (place->host_of != NULL) {
            add_known(known, sizeof(known), place->name);
        }
        hosts |= place->host_of != NULL;
    }
    return ninja_error_set(err, ERR_NO_SUCH_SITE, "%s has no %s \"%s\"; there are: %s",
                           cluster->file, hosts ? "site or host" : "site", name, known);
}

int cluster_find_site(const struct cluster *cluster, const char *name, struct ninja_error *err)
{
    for (int i = 0; i < cluster->n_sites; i++) {
        if (strcmp(cluster->sites[i].name, name) == 0) {
            return i;
        }
    }
    has_no_such_site(cluster, name, err);
    return -1;
}

bool cluster_has_site(const struct cluster *cluster, const char *name, struct ninja_error *err)
{
    for (int i = 0; i < cluster->n_sites; i++) {
        if (cluster_is_in(&cluster->sites[i], name)) {
            return true;
        }
    }
    return has_no_such_site(cluster, name, err);
}

struct cluster_devices cluster_devices(const struct cluster *cluster, int vm, int site)
{
    const struct cluster_site *place = &cluster->sites[site];
    const struct cluster_device *own = &place->vms[vm].device;
    return place->host_of != NULL ? (struct cluster_devices){place->devices, place->n_devices}
                                  : (struct cluster_devices){own, own->id != NULL};
}

/* What the file does not say is null. */
static json_t *host_to_json(const struct cluster_site *host)
{
    return json_pack("{s:s, s:s, s:i, s:o, s:o}", "name", host->name, "site", host->host_of,
                     "devices", host->n_devices, "memory_mib",
                     host->memory_mib > 0 ? json_integer(host->memory_mib) : json_null(), "cpus",
                     host->cpus > 0 ? json_integer(host->cpus) : json_null());
}

json_t *cluster_to_json(const struct cluster *cluster)
{
    json_t *vms = json_array(), *sites = json_array(), *hosts = json_array();
    for (int i = 0; i < cluster->n_vms; i++) {
        json_array_append_new(vms, json_string(cluster->vms[i]));
    }
    for (int i = 0; i < cluster->n_sites; i++) {
        const struct cluster_site *place = &cluster->sites[i];
        if (begins_site(cluster, i)) {
            json_array_append_new(sites, json_string(cluster_site_name(place)));
        }
        if (place->host_of != NULL) {
            json_array_append_new(hosts, host_to_json(place));
        }
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "cluster", cluster->name, "driver",
                     cluster->driver, "vms", vms, "sites", sites, "hosts", hosts);
}
