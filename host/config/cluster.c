/*
 * Reading a cluster file.
 *
 * libconfig parses; each setting knows its line. A group is read against a table of the keys that
 * it may have (keys.c), so an unknown key, a wrong type and a missing key are found in one place;
 * then come the checks across the file. The first mistake ends it: what follows one is often its
 * echo.
 *
 * What is said of a VM at a site, and of a site, is the driver's: it has tables of keys, and a
 * struct of its own that they are read into.
 */
#include "host/config/cluster.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/text_file.h"
#include "host/config/cluster_sockets.h"
#include "host/config/keys.h"

static const struct {
    const char *name;
    int ms;
} timeouts[] = {
    [TIMEOUT_CONNECT] = {"connect", 10000},
    [TIMEOUT_COMMAND] = {"command", 10000},
    [TIMEOUT_JOBS] = {"jobs", 30000},
    [TIMEOUT_QUIESCE] = {"quiesce", 10000},
    [TIMEOUT_RELEASE] = {"release", 10000},
    [TIMEOUT_RESELECT] = {"reselect", 30000},
    [TIMEOUT_RETRY] = {"retry", 75000},
    [TIMEOUT_RESUME] = {"resume", 10000},
    [TIMEOUT_DETACH] = {"detach", 30000},
    [TIMEOUT_UNPLUG] = {"unplug", 30000},
    [TIMEOUT_PREPARE] = {"prepare", 60000},
    [TIMEOUT_COPY] = {"copy", 3600000},
    [TIMEOUT_START] = {"start", 30000},
    [TIMEOUT_PLUG] = {"plug", 30000},
    [TIMEOUT_ATTACH] = {"attach", 60000},
    [TIMEOUT_LINK] = {"link", 60000},
    [TIMEOUT_QUIT] = {"quit", 10000},
    [TIMEOUT_RECOVER] = {"recover", 600000},
    [TIMEOUT_RECONNECT] = {"reconnect", 135000},
};
_Static_assert(sizeof(timeouts) / sizeof(timeouts[0]) == TIMEOUTS, "a time-out has no name");

struct reader {
    struct key_reader in;
    struct cluster *cluster;
    cluster_drivers drivers;
};

#define wrong(reader, setting, ...)                                                                \
    keys_wrong(&(reader)->in, (int)config_setting_source_line(setting), __VA_ARGS__)

static config_setting_t *element(const config_setting_t *list, int i)
{
    return config_setting_get_elem(list, (unsigned int)i);
}

static bool read_vms(const struct reader *reader, const config_setting_t *list)
{
    struct cluster *cluster = reader->cluster;
    cluster->n_vms = config_setting_length(list);
    cluster->vms = xcalloc((size_t)cluster->n_vms, sizeof(*cluster->vms));
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct key keys[] = {{"name", CLUSTER_NAME, CLUSTER_NEEDS, &cluster->vms[i], 0, 0},
                                   {0}};
        if (!keys_read(&reader->in, element(list, i), keys, "a VM")) {
            return false;
        }
        for (int j = 0; j < i; j++) {
            if (strcmp(cluster->vms[i], cluster->vms[j]) == 0) {
                return wrong(reader, element(list, i), "there are two VMs \"%s\"", cluster->vms[i]);
            }
        }
    }
    return true;
}

static bool find_driver(struct reader *reader, const config_setting_t *setting)
{
    const struct cluster_driver *driver;
    char known[200] = "";
    for (size_t i = 0; (driver = reader->drivers(i)) != NULL; i++) {
        bool is_it = strcmp(driver->name, reader->cluster->driver) == 0;
        if (is_it && driver->missing != NULL) {
            return wrong(reader, setting, "driver \"%s\": %s", driver->name, driver->missing);
        }
        if (is_it) {
            reader->cluster->kind = driver;
            reader->in.driver = driver->name;
            return true;
        }
        size_t len = strlen(known);
        if (driver->missing == NULL) {
            snprintf(known + len, sizeof(known) - len, "%s\"%s\"", len ? " or " : "", driver->name);
        }
    }
    return wrong(reader, setting, "unknown driver \"%s\"; expected %s", reader->cluster->driver,
                 known);
}

/* Reads a group in which a driver has keys, too. */
static bool read_with_own(const struct reader *reader, const config_setting_t *group,
                          const struct key *keys, const struct cluster_part *part, void **own,
                          const char *what)
{
    if (part->keys != NULL) {
        *own = xcalloc(1, part->size);
    }
    struct key *all = keys_join(keys, part->keys, *own);
    bool ok = keys_read(&reader->in, group, all, what);
    free(all);
    return ok;
}

static void free_own(const struct cluster_part *part, void *own)
{
    for (const struct cluster_key *key = part->keys; own != NULL && key->name != NULL; key++) {
        if (key->value != CLUSTER_NUMBER) {
            free(*(char **)((char *)own + key->offset));
        }
    }
    free(own);
}

static void device_clear(struct cluster_device *device)
{
    free(device->spec);
    free(device->text);
    free(device->id);
}

static void entry_clear(const struct cluster *cluster, struct cluster_entry *entry)
{
    free_own(&cluster->kind->entry, entry->own);
    device_clear(&entry->device);
}

static bool read_device(const struct reader *reader, const config_setting_t *setting,
                        struct cluster_device *device)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    return reader->cluster->kind->read_device(device, &err) ||
           wrong(reader, setting, "%s", err.message);
}

static bool check_entry(const struct reader *reader, const config_setting_t *group,
                        const struct cluster_site *site, struct cluster_entry *entry)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct cluster_driver *driver = reader->cluster->kind;
    const char *key = NULL;
    if (driver->check != NULL && !driver->check(entry, site->own, &key, &err)) {
        const config_setting_t *setting = config_setting_get_member(group, key);
        return wrong(reader, setting != NULL ? setting : group, "%s", err.message);
    }
    return entry->device.spec == NULL ||
           read_device(reader, config_setting_get_member(group, "device"), &entry->device);
}

static bool read_entry(const struct reader *reader, const config_setting_t *group,
                       struct cluster_site *site)
{
    struct cluster_entry entry = {.line = (int)config_setting_source_line(group)};
    char *name = NULL;
    const struct key keys[] = {
        {"name", CLUSTER_NAME, CLUSTER_NEEDS, &name, 0, 0},
        {"device", CLUSTER_TEXT, CLUSTER_MAY_MISS, &entry.device.spec, 0, 0},
        {0},
    };
    bool ok = read_with_own(reader, group, keys, &reader->cluster->kind->entry, &entry.own,
                            "a VM of a site") &&
              check_entry(reader, group, site, &entry);
    int i = ok ? cluster_find_vm(reader->cluster, name, NULL) : -1;
    if (ok && i < 0) {
        ok = wrong(reader, group, "site \"%s\" has a VM \"%s\" that is not in the list \"vms\"",
                   site->name, name);
    } else if (ok && site->vms[i].line > 0) {
        ok = wrong(reader, group, "site \"%s\" has VM \"%s\" twice", site->name, name);
    }
    free(name);
    if (ok) {
        site->vms[i] = entry;
    } else {
        entry_clear(reader->cluster, &entry);
    }
    return ok;
}

static bool read_entries(const struct reader *reader, const config_setting_t *group,
                         const config_setting_t *vms, struct cluster_site *site)
{
    const struct cluster *cluster = reader->cluster;
    for (int i = 0; i < config_setting_length(vms); i++) {
        if (!read_entry(reader, element(vms, i), site)) {
            return false;
        }
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        if (site->vms[i].line == 0) {
            return wrong(reader, group,
                         "site \"%s\" lacks VM \"%s\"; expected an entry for every VM", site->name,
                         cluster->vms[i]);
        }
    }
    return true;
}

/* ---- hosts ---- */

static bool read_devices(const struct reader *reader, config_setting_t *list,
                         struct cluster_site *host)
{
    int n = list != NULL ? config_setting_length(list) : 0;
    host->devices = xcalloc((size_t)n + 1, sizeof(*host->devices));
    for (int i = 0; i < n; i++) {
        struct cluster_device *device = &host->devices[host->n_devices++];
        device->spec = xstrdup(config_setting_get_string_elem(list, i));
        if (!read_device(reader, element(list, i), device)) {
            return false;
        }
        for (int other = 0; other < i; other++) {
            if (strcmp(host->devices[other].id, device->id) == 0) {
                return wrong(reader, element(list, i),
                             "host \"%s\" has two devices \"%s\"; each needs a name of its own, as "
                             "that tells which one a VM has",
                             host->name, device->id);
            }
        }
    }
    return true;
}

/* The keys of a host are those of an entry, for each VM with its names in them. */
static bool read_host_entry(const struct reader *reader, const config_setting_t *group,
                            struct cluster_site *host, int vm)
{
    char n[16], *name = NULL;
    config_setting_t *devices = NULL;
    snprintf(n, sizeof(n), "%02d", vm + 1);
    const struct key_names names = {reader->cluster->vms[vm], host->name, host->host_of, n};
    struct reader named = *reader;
    struct cluster_entry *entry = &host->vms[vm];
    const struct key keys[] = {
        {"name", CLUSTER_NAME, CLUSTER_NEEDS, &name, 0, 0},
        {"devices", CLUSTER_TEXTS, CLUSTER_MAY_MISS, &devices, 0, CLUSTER_MAX_DEVICES},
        {"memory", CLUSTER_NUMBER, CLUSTER_MAY_MISS, &host->memory_mib, 1, INT_MAX},
        {"cpus", CLUSTER_NUMBER, CLUSTER_MAY_MISS, &host->cpus, 1, 1000000},
        {0},
    };
    named.in.names = &names;
    entry->line = (int)config_setting_source_line(group);
    bool ok = read_with_own(&named, group, keys, &reader->cluster->kind->entry, &entry->own,
                            "a host of a site") &&
              check_entry(reader, group, host, entry);
    free(name);
    reader->cluster->limits_room |= host->memory_mib > 0 || host->cpus > 0;
    return ok && (vm > 0 || read_devices(reader, devices, host));
}

/* The name of a group that is not checked yet. */
static const char *name_in(const config_setting_t *group)
{
    const char *name = NULL;
    if (group != NULL) {
        config_setting_lookup_string(group, "name", &name);
    }
    return name;
}

static bool read_host(const struct reader *reader, const config_setting_t *group,
                      struct cluster_site *host)
{
    const char *name = name_in(group);
    host->name = xstrdup(name != NULL ? name : ""); /* looked at with the other keys */
    for (int i = 0; i < reader->cluster->n_vms; i++) {
        if (!read_host_entry(reader, group, host, i)) {
            return false;
        }
    }
    return true;
}

/* ---- sites ---- */

/* The keys of a site itself; each host of it has its own copy. */
static bool read_site_keys(const struct reader *reader, const config_setting_t *group,
                           struct cluster_site *place, config_setting_t **vms,
                           config_setting_t **hosts)
{
    const struct key keys[] = {
        {"name", CLUSTER_NAME, CLUSTER_NEEDS, &place->name, 0, 0},
        {"vms", CLUSTER_LIST, CLUSTER_MAY_MISS, vms, 0, CLUSTER_MAX_VMS},
        {"hosts", CLUSTER_LIST, CLUSTER_MAY_MISS, hosts, 0, CLUSTER_MAX_HOSTS},
        {0},
    };
    if (!read_with_own(reader, group, keys, &reader->cluster->kind->site, &place->own, "a site")) {
        return false;
    }
    if ((*vms == NULL) == (*hosts == NULL)) {
        return wrong(reader, group,
                     "expected the key \"vms\" in a site, or in its place \"hosts\" of which each "
                     "can have every VM");
    }
    place->vms = xcalloc((size_t)reader->cluster->n_vms, sizeof(*place->vms));
    return true;
}

/* How many hosts a site has; 0 also if the list is none, which is found when it is read. */
static int count_hosts(const config_setting_t *site)
{
    const config_setting_t *hosts = config_setting_get_member(site, "hosts");
    return hosts != NULL ? config_setting_length(hosts) : 0;
}

/* Adds a site to the places, or a host of it. */
static bool read_place(const struct reader *reader, const config_setting_t *group, int i)
{
    struct cluster *cluster = reader->cluster;
    struct cluster_site *place = &cluster->sites[cluster->n_sites++];
    config_setting_t *vms = NULL, *hosts = NULL;
    const config_setting_t *host =
        count_hosts(group) > 0 ? element(config_setting_get_member(group, "hosts"), i) : NULL;
    const struct key_names names = {.host = name_in(host), .site = name_in(group)};
    struct reader named = *reader;
    named.in.names = host != NULL ? &names : NULL;
    if (!read_site_keys(&named, group, place, &vms, &hosts)) {
        return false;
    }
    if (hosts == NULL) {
        return read_entries(reader, group, vms, place);
    }
    place->host_of = place->name;
    place->name = NULL;
    return read_host(reader, host, place);
}

static bool read_site(const struct reader *reader, const config_setting_t *group)
{
    int n = count_hosts(group) > 0 ? count_hosts(group) : 1;
    for (int i = 0; i < n; i++) {
        if (!read_place(reader, group, i)) {
            return false;
        }
    }
    return true;
}

static int count_places(const config_setting_t *list)
{
    int n = 0;
    for (int i = 0; i < config_setting_length(list); i++) {
        n += count_hosts(element(list, i)) > 0 ? count_hosts(element(list, i)) : 1;
    }
    return n;
}

static bool same_name(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* A name says one place, or all hosts of one site. */
static bool names_differ(const struct cluster_site *a, const struct cluster_site *b)
{
    return !same_name(a->name, b->name) && !same_name(a->name, b->host_of) &&
           !same_name(a->host_of, b->name);
}

/* Of the place that was read last, and of those before `first`, which are of other sites. */
static bool check_names(const struct reader *reader, const config_setting_t *group, int first)
{
    const struct cluster *cluster = reader->cluster;
    for (int i = first; i < cluster->n_sites; i++) {
        const struct cluster_site *place = &cluster->sites[i];
        if (same_name(place->name, place->host_of)) {
            return wrong(reader, group, "site \"%s\" has a host of that name", place->name);
        }
        for (int j = 0; j < i; j++) {
            const struct cluster_site *other = &cluster->sites[j];
            if (!names_differ(place, other) ||
                (j < first && same_name(place->host_of, other->host_of))) {
                return wrong(
                    reader, group, "there are two %s \"%s\"",
                    place->host_of != NULL || other->host_of != NULL ? "sites or hosts" : "sites",
                    same_name(place->name, other->name) ? place->name : cluster_site_name(place));
            }
        }
    }
    return true;
}

static bool read_sites(const struct reader *reader, const config_setting_t *list)
{
    struct cluster *cluster = reader->cluster;
    int n = count_places(list);
    if (n > CLUSTER_MAX_HOSTS || n * cluster->n_vms > CLUSTER_MAX_ENTRIES) {
        return wrong(reader, list,
                     "expected at most %d sites and hosts, and at most %d of them times VMs, found "
                     "%d",
                     CLUSTER_MAX_HOSTS, CLUSTER_MAX_ENTRIES, n);
    }
    cluster->sites = xcalloc((size_t)n, sizeof(*cluster->sites));
    for (int i = 0; i < config_setting_length(list); i++) {
        int first = cluster->n_sites;
        if (!read_site(reader, element(list, i)) || !check_names(reader, element(list, i), first)) {
            return false;
        }
    }
    return true;
}

static bool read_timeouts(const struct reader *reader, const config_setting_t *group)
{
    struct key keys[TIMEOUTS + 1] = {0};
    for (int i = 0; i < TIMEOUTS; i++) {
        keys[i] = (struct key){timeouts[i].name,
                               CLUSTER_NUMBER,
                               CLUSTER_MAY_MISS,
                               &reader->cluster->timeouts[i],
                               1,
                               CLUSTER_MAX_TIMEOUT_MS};
    }
    return keys_read(&reader->in, group, keys, "\"timeouts\"");
}

static bool read_migration(const struct reader *reader, const config_setting_t *group)
{
    char *compress = NULL;
    struct transfer *transfer = &reader->cluster->transfer;
    struct key keys[1 + TRANSFER_NUMBERS + 1] = {
        {"compress", CLUSTER_TEXT, CLUSTER_MAY_MISS, &compress, 0, 0}};
    const struct transfer_number *number = transfer_numbers;
    for (struct key *key = &keys[1]; number->key != NULL; key++, number++) {
        *key = (struct key){number->key,      CLUSTER_NUMBER,
                            CLUSTER_MAY_MISS, transfer_value(transfer, number),
                            number->min,      number->max};
    }
    struct ninja_error err = NINJA_ERROR_INIT;
    bool ok = keys_read(&reader->in, group, keys, "\"migration\"");
    if (ok && ((compress != NULL && !transfer_set_compress(transfer, compress, &err)) ||
               !transfer_check(transfer, &err))) {
        ok = wrong(reader, group, "%s", err.message);
    }
    free(compress);
    return ok;
}

static bool check_sockets(const struct reader *reader)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    int line = cluster_sockets_check(reader->cluster, &err);
    return line == 0 || keys_wrong(&reader->in, line, "%s", err.message);
}

static bool read_root(struct reader *reader, const config_setting_t *root)
{
    struct cluster *cluster = reader->cluster;
    config_setting_t *vms = NULL, *sites = NULL, *migration = NULL, *times = NULL;
    const struct key keys[] = {
        {"name", CLUSTER_NAME, CLUSTER_MAY_MISS, &cluster->name, 0, 0},
        {"driver", CLUSTER_TEXT, CLUSTER_NEEDS, &cluster->driver, 0, 0},
        {"vms", CLUSTER_LIST, CLUSTER_NEEDS, &vms, 0, CLUSTER_MAX_VMS},
        {"sites", CLUSTER_LIST, CLUSTER_NEEDS, &sites, 0, CLUSTER_MAX_SITES},
        {"migration", CLUSTER_GROUP, CLUSTER_MAY_MISS, &migration, 0, 0},
        {"quiesce-attempts", CLUSTER_NUMBER, CLUSTER_MAY_MISS, &cluster->quiesce_attempts, 1, 100},
        {"quiesce-pause", CLUSTER_NUMBER, CLUSTER_MAY_MISS, &cluster->quiesce_pause_ms, 0, 600000},
        {"timeouts", CLUSTER_GROUP, CLUSTER_MAY_MISS, &times, 0, 0},
        {0},
    };
    if (!keys_read(&reader->in, root, keys, "the cluster file")) {
        return false;
    }
    return find_driver(reader, config_setting_get_member(root, "driver")) &&
           read_vms(reader, vms) && read_sites(reader, sites) &&
           (migration == NULL || read_migration(reader, migration)) &&
           (times == NULL || read_timeouts(reader, times)) && check_sockets(reader);
}

static char *name_of_file(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *name = xstrdup(slash ? slash + 1 : file);
    char *dot = strrchr(name, '.');
    if (dot != NULL && dot != name) {
        *dot = '\0';
    }
    return name;
}

static struct cluster *cluster_new(const char *file)
{
    struct cluster *cluster = xcalloc(1, sizeof(*cluster));
    cluster->file = xstrdup(file);
    cluster->transfer = TRANSFER_DEFAULT;
    cluster->quiesce_attempts = 3;
    cluster->quiesce_pause_ms = 500;
    for (int i = 0; i < TIMEOUTS; i++) {
        cluster->timeouts[i] = timeouts[i].ms;
    }
    return cluster;
}

/* All of a file, malloc'ed; NULL with err. */
static char *read_file(const struct reader *reader)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    const char *file = reader->in.file;
    int fd = plain_file_open(file, O_RDONLY, 0, ERR_CLUSTER_FILE, &why);
    if (fd < 0) {
        ninja_error_set(reader->in.err, why.class, "%s; name the cluster file with --cluster FILE",
                        why.message);
        return NULL;
    }
    char *text = text_file_read(fd, file, CLUSTER_MAX_FILE, ERR_CLUSTER_FILE, reader->in.err);
    close(fd);
    return text;
}

struct cluster *cluster_read(const char *file, cluster_drivers drivers, struct ninja_error *err)
{
    struct cluster *cluster = cluster_new(file);
    struct reader reader = {
        .in = {.file = file, .err = err}, .cluster = cluster, .drivers = drivers};
    bool ok = false;
    config_t config;
    config_init(&config);
    char *text = read_file(&reader);
    if (text != NULL && !config_read_string(&config, text)) {
        keys_wrong(&reader.in, config_error_line(&config),
                   "%s before here (expected: key = value;)", config_error_text(&config));
    } else if (text != NULL) {
        ok = read_root(&reader, config_root_setting(&config));
    }
    free(text);
    config_destroy(&config);
    if (!ok) {
        cluster_free(cluster);
        return NULL;
    }
    if (cluster->name == NULL) {
        cluster->name = name_of_file(file);
    }
    return cluster;
}

static void site_clear(const struct cluster *cluster, struct cluster_site *site)
{
    for (int i = 0; site->vms != NULL && i < cluster->n_vms; i++) {
        entry_clear(cluster, &site->vms[i]);
    }
    for (int i = 0; i < site->n_devices; i++) {
        device_clear(&site->devices[i]);
    }
    free(site->devices);
    free(site->vms);
    free(site->name);
    free(site->host_of);
    free_own(&cluster->kind->site, site->own);
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    for (int i = 0; cluster->sites != NULL && i < cluster->n_sites; i++) {
        site_clear(cluster, &cluster->sites[i]);
    }
    free(cluster->sites);
    for (int i = 0; cluster->vms != NULL && i < cluster->n_vms; i++) {
        free(cluster->vms[i]);
    }
    free(cluster->vms);
    free(cluster->driver);
    free(cluster->name);
    free(cluster->file);
    free(cluster);
}

const char *cluster_timeout_name(enum timeout timeout)
{
    return timeouts[timeout].name;
}
