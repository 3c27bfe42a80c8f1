/*
 * Reading a cluster file.
 *
 * libconfig parses; each setting knows its line. A group is read against a table of the keys that
 * it may have, so an unknown key, a wrong type and a missing key are found in one place; then come
 * the checks across the file. The first mistake ends it: what follows one is often its echo.
 */
#include "host/config/cluster.h"

#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/plain_file.h"
#include "host/base/text_file.h"
#include "host/base/unix_socket.h"
#include "host/config/cluster_sockets.h"
#include "host/config/device.h"
#include "host/config/transfer.h"

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

enum value {
    TEXT,   /* char * */
    NAME,   /* char *, checked by check_name() */
    SOCKET, /* char *, the path of a UNIX socket */
    NUMBER, /* int, from min to max */
    LIST,   /* config_setting_t *, of groups, at least one */
    GROUP,  /* config_setting_t * */
};

struct key {
    const char *name;
    enum value value;
    bool required;
    void *to;
    int min, max;
};

struct reader {
    const char *file;
    struct cluster *cluster;
    cluster_drivers drivers;
    const struct cluster_driver *driver; /* the one that the file names, from its root on */
    struct ninja_error *err;
};

static bool wrong_at(const struct reader *reader, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool wrong_at(const struct reader *reader, int line, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return ninja_error_set(reader->err, ERR_CLUSTER_FILE, "%s:%d: %s", reader->file,
                           line > 0 ? line : 1, what); /* the file as a whole has line 0 */
}

#define wrong(reader, setting, ...)                                                                \
    wrong_at(reader, (int)config_setting_source_line(setting), __VA_ARGS__)

static bool check_name(const struct reader *reader, const config_setting_t *setting,
                       const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    if (len == 0 || len > CLUSTER_MAX_NAME || strspn(name, allowed) != len || name[0] == '.' ||
        name[0] == '-') {
        return wrong(reader, setting,
                     "expected a name of letters, digits, '.', '_' and '-' (at most %d, beginning "
                     "with a letter, a digit or '_'), found \"%s\"",
                     CLUSTER_MAX_NAME, name);
    }
    return true;
}

/* Whoever is to listen there could not, and nobody could connect. */
static bool check_socket(const struct reader *reader, const config_setting_t *setting,
                         const char *path)
{
    return strlen(path) <= UNIX_SOCKET_MAX_PATH ||
           wrong(reader, setting, "the path of a socket has at most %zu characters, \"%s\" has %zu",
                 UNIX_SOCKET_MAX_PATH, path, strlen(path));
}

static bool read_text(const struct reader *reader, const struct key *key,
                      const config_setting_t *setting)
{
    const char *text = config_setting_get_string(setting);
    if (text == NULL || text[0] == '\0') {
        return wrong(reader, setting, "expected \"%s\" to be a string that is not empty",
                     key->name);
    }
    if (key->value == NAME && !check_name(reader, setting, text)) {
        return false;
    }
    if (key->value == SOCKET && !check_socket(reader, setting, text)) {
        return false;
    }
    *(char **)key->to = strdup(text);
    return true;
}

static bool read_number(const struct reader *reader, const struct key *key,
                        const config_setting_t *setting)
{
    int type = config_setting_type(setting);
    long long number = config_setting_get_int64(setting);
    if (type == CONFIG_TYPE_INT) {
        number = config_setting_get_int(setting);
    }
    if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || number < key->min ||
        number > key->max) {
        return wrong(reader, setting, "expected \"%s\" to be a whole number from %d to %d",
                     key->name, key->min, key->max);
    }
    *(int *)key->to = (int)number;
    return true;
}

static bool read_list(const struct reader *reader, const struct key *key, config_setting_t *setting)
{
    if (!config_setting_is_list(setting)) {
        return wrong(reader, setting, "expected \"%s\" to be a list of groups: ( { ... }, ... )",
                     key->name);
    }
    for (int i = 0; i < config_setting_length(setting); i++) {
        config_setting_t *element = config_setting_get_elem(setting, (unsigned int)i);
        if (!config_setting_is_group(element)) {
            return wrong(reader, element, "expected a group, { ... }, in the list \"%s\"",
                         key->name);
        }
    }
    if (config_setting_length(setting) == 0 || config_setting_length(setting) > key->max) {
        return wrong(reader, setting, "expected \"%s\" to have 1 to %d groups, found %d", key->name,
                     key->max, config_setting_length(setting));
    }
    *(config_setting_t **)key->to = setting;
    return true;
}

static bool read_value(const struct reader *reader, const struct key *key,
                       config_setting_t *setting)
{
    switch (key->value) {
    case TEXT:
    case NAME:
    case SOCKET:
        return read_text(reader, key, setting);
    case NUMBER:
        return read_number(reader, key, setting);
    case LIST:
        return read_list(reader, key, setting);
    case GROUP:
        if (!config_setting_is_group(setting)) {
            return wrong(reader, setting, "expected \"%s\" to be a group, { ... }", key->name);
        }
        *(config_setting_t **)key->to = setting;
        return true;
    }
    return false;
}

/* The last key of the table has no name. what: for messages, e.g. "a site". */
static bool read_group(const struct reader *reader, const config_setting_t *group,
                       const struct key *keys, const char *what)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        config_setting_t *setting = config_setting_get_elem(group, (unsigned int)i);
        const struct key *key = keys;
        char known[400] = "";
        while (key->name != NULL && strcmp(key->name, config_setting_name(setting)) != 0) {
            size_t len = strlen(known);
            snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "", key->name);
            key++;
        }
        if (key->name == NULL) {
            return wrong(reader, setting, "unknown key \"%s\" in %s; expected one of: %s",
                         config_setting_name(setting), what, known);
        }
        if (!read_value(reader, key, setting)) {
            return false;
        }
    }
    for (const struct key *key = keys; key->name != NULL; key++) {
        if (key->required && config_setting_get_member(group, key->name) == NULL) {
            return wrong(reader, group, "expected the key \"%s\" in %s", key->name, what);
        }
    }
    return true;
}

static config_setting_t *element(const config_setting_t *list, int i)
{
    return config_setting_get_elem(list, (unsigned int)i);
}

static bool read_vms(const struct reader *reader, const config_setting_t *list)
{
    struct cluster *cluster = reader->cluster;
    cluster->n_vms = config_setting_length(list);
    cluster->vms = calloc((size_t)cluster->n_vms, sizeof(*cluster->vms));
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct key keys[] = {{"name", NAME, true, &cluster->vms[i], 0, 0}, {0}};
        if (!read_group(reader, element(list, i), keys, "a VM")) {
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

static int find_vm(const struct cluster *cluster, const char *name)
{
    for (int i = 0; i < cluster->n_vms; i++) {
        if (strcmp(cluster->vms[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool find_driver(struct reader *reader, const config_setting_t *setting)
{
    const struct cluster_driver *driver;
    char known[200] = "";
    for (size_t i = 0; (driver = reader->drivers(i)) != NULL; i++) {
        if (strcmp(driver->name, reader->cluster->driver) == 0) {
            reader->driver = driver;
            return true;
        }
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s\"%s\"", len ? " or " : "", driver->name);
    }
    return wrong(reader, setting, "unknown driver \"%s\"; expected %s", reader->cluster->driver,
                 known);
}

static bool check_entry(const struct reader *reader, const config_setting_t *group,
                        struct cluster_entry *entry)
{
    if (reader->driver->needs_qmp && (entry->qmp == NULL || entry->receive == NULL)) {
        return wrong(reader, group, "expected the key \"%s\" in a VM of a site (driver \"%s\")",
                     entry->qmp == NULL ? "qmp" : "receive", reader->driver->name);
    }
    if (entry->receive != NULL && strncmp(entry->receive, "unix:", 5) == 0 &&
        !check_socket(reader, config_setting_get_member(group, "receive"), entry->receive + 5)) {
        return false;
    }
    if (entry->device != NULL) {
        const config_setting_t *setting = config_setting_get_member(group, "device");
        struct ninja_error err = NINJA_ERROR_INIT;
        json_t *device = device_parse(entry->device, &err);
        if (device == NULL) {
            return wrong(reader, setting, "device \"%s\": %s", entry->device, err.message);
        }
        entry->device_id = strdup(json_string_value(json_object_get(device, "id")));
        json_decref(device);
    }
    return true;
}

static bool read_entry(const struct reader *reader, const config_setting_t *group,
                       struct cluster_site *site)
{
    struct cluster_entry entry = {.line = (int)config_setting_source_line(group)};
    char *name = NULL;
    const struct key keys[] = {
        {"name", NAME, true, &name, 0, 0},
        {"qmp", SOCKET, false, &entry.qmp, 0, 0},
        {"agent", SOCKET, true, &entry.agent, 0, 0},
        {"receive", TEXT, false, &entry.receive, 0, 0},
        {"device", TEXT, false, &entry.device, 0, 0},
        {0},
    };
    bool ok =
        read_group(reader, group, keys, "a VM of a site") && check_entry(reader, group, &entry);
    int i = ok ? find_vm(reader->cluster, name) : -1;
    if (ok && i < 0) {
        ok = wrong(reader, group, "site \"%s\" has a VM \"%s\" that is not in the list \"vms\"",
                   site->name, name);
    } else if (ok && site->vms[i].agent != NULL) {
        ok = wrong(reader, group, "site \"%s\" has VM \"%s\" twice", site->name, name);
    }
    free(name);
    if (ok) {
        site->vms[i] = entry;
    } else {
        free(entry.qmp);
        free(entry.agent);
        free(entry.receive);
        free(entry.device);
        free(entry.device_id);
    }
    return ok;
}

static bool read_site(const struct reader *reader, const config_setting_t *group,
                      struct cluster_site *site)
{
    struct cluster *cluster = reader->cluster;
    config_setting_t *vms = NULL;
    const struct key keys[] = {
        {"name", NAME, true, &site->name, 0, 0},
        {"prepare", TEXT, false, &site->prepare, 0, 0},
        {"release", TEXT, false, &site->release, 0, 0},
        {"vms", LIST, true, &vms, 0, CLUSTER_MAX_VMS},
        {0},
    };
    if (!read_group(reader, group, keys, "a site")) {
        return false;
    }
    site->vms = calloc((size_t)cluster->n_vms, sizeof(*site->vms));
    for (int i = 0; i < config_setting_length(vms); i++) {
        if (!read_entry(reader, element(vms, i), site)) {
            return false;
        }
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        if (site->vms[i].agent == NULL) {
            return wrong(reader, group,
                         "site \"%s\" lacks VM \"%s\"; expected an entry for every VM", site->name,
                         cluster->vms[i]);
        }
    }
    return true;
}

static bool read_sites(const struct reader *reader, const config_setting_t *list)
{
    struct cluster *cluster = reader->cluster;
    cluster->n_sites = config_setting_length(list);
    cluster->sites = calloc((size_t)cluster->n_sites, sizeof(*cluster->sites));
    for (int i = 0; i < cluster->n_sites; i++) {
        if (!read_site(reader, element(list, i), &cluster->sites[i])) {
            return false;
        }
        for (int j = 0; j < i; j++) {
            if (strcmp(cluster->sites[i].name, cluster->sites[j].name) == 0) {
                return wrong(reader, element(list, i), "there are two sites \"%s\"",
                             cluster->sites[i].name);
            }
        }
    }
    return true;
}

static bool read_timeouts(const struct reader *reader, const config_setting_t *group)
{
    struct key keys[TIMEOUTS + 1] = {0};
    for (int i = 0; i < TIMEOUTS; i++) {
        keys[i] =
            (struct key){timeouts[i].name,      NUMBER, false, &reader->cluster->timeouts[i], 1,
                         CLUSTER_MAX_TIMEOUT_MS};
    }
    return read_group(reader, group, keys, "\"timeouts\"");
}

static bool read_migration(const struct reader *reader, const config_setting_t *group)
{
    char *compress = NULL;
    struct key keys[8] = {{"compress", TEXT, false, &compress, 0, 0}};
    const struct transfer_number *number = transfer_numbers;
    for (struct key *key = &keys[1]; number->key != NULL; key++, number++) {
        *key = (struct key){number->key, NUMBER,     false, transfer_value(reader->cluster, number),
                            number->min, number->max};
    }
    struct ninja_error err = NINJA_ERROR_INIT;
    bool ok = read_group(reader, group, keys, "\"migration\"");
    if (ok && ((compress != NULL && !cluster_set_compress(reader->cluster, compress, &err)) ||
               !cluster_check_transfer(reader->cluster, &err))) {
        ok = wrong(reader, group, "%s", err.message);
    }
    free(compress);
    return ok;
}

static bool check_sockets(const struct reader *reader)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    int line = cluster_sockets_check(reader->cluster, reader->driver->may_keep_agent, &err);
    return line == 0 || wrong_at(reader, line, "%s", err.message);
}

static bool read_root(struct reader *reader, const config_setting_t *root)
{
    struct cluster *cluster = reader->cluster;
    config_setting_t *vms = NULL, *sites = NULL, *migration = NULL, *times = NULL;
    const struct key keys[] = {
        {"name", NAME, false, &cluster->name, 0, 0},
        {"driver", TEXT, true, &cluster->driver, 0, 0},
        {"vms", LIST, true, &vms, 0, CLUSTER_MAX_VMS},
        {"sites", LIST, true, &sites, 0, CLUSTER_MAX_SITES},
        {"migration", GROUP, false, &migration, 0, 0},
        {"quiesce-attempts", NUMBER, false, &cluster->quiesce_attempts, 1, 100},
        {"quiesce-pause", NUMBER, false, &cluster->quiesce_pause_ms, 0, 600000},
        {"timeouts", GROUP, false, &times, 0, 0},
        {0},
    };
    if (!read_group(reader, root, keys, "the cluster file")) {
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
    char *name = strdup(slash ? slash + 1 : file);
    char *dot = strrchr(name, '.');
    if (dot != NULL && dot != name) {
        *dot = '\0';
    }
    return name;
}

static struct cluster *cluster_new(const char *file)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    cluster->file = strdup(file);
    cluster->downtime_limit_ms = 300;
    cluster->post_copy_after = -1;
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
    int fd = plain_file_open(reader->file, O_RDONLY, 0, ERR_CLUSTER_FILE, &why);
    if (fd < 0) {
        ninja_error_set(reader->err, why.class, "%s; name the cluster file with --cluster FILE",
                        why.message);
        return NULL;
    }
    char *text = text_file_read(fd, reader->file, CLUSTER_MAX_FILE, ERR_CLUSTER_FILE, reader->err);
    close(fd);
    return text;
}

struct cluster *cluster_read(const char *file, cluster_drivers drivers, struct ninja_error *err)
{
    struct cluster *cluster = cluster_new(file);
    struct reader reader = {.file = file, .cluster = cluster, .drivers = drivers, .err = err};
    bool ok = false;
    config_t config;
    config_init(&config);
    char *text = read_file(&reader);
    if (text != NULL && !config_read_string(&config, text)) {
        wrong_at(&reader, config_error_line(&config), "%s before here (expected: key = value;)",
                 config_error_text(&config));
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

static void site_clear(struct cluster_site *site, int n_vms)
{
    for (int i = 0; site->vms != NULL && i < n_vms; i++) {
        free(site->vms[i].qmp);
        free(site->vms[i].agent);
        free(site->vms[i].receive);
        free(site->vms[i].device);
        free(site->vms[i].device_id);
    }
    free(site->vms);
    free(site->name);
    free(site->prepare);
    free(site->release);
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    for (int i = 0; cluster->sites != NULL && i < cluster->n_sites; i++) {
        site_clear(&cluster->sites[i], cluster->n_vms);
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

int cluster_find_site(const struct cluster *cluster, const char *name, struct ninja_error *err)
{
    char known[300] = "";
    for (int i = 0; i < cluster->n_sites; i++) {
        if (strcmp(cluster->sites[i].name, name) == 0) {
            return i;
        }
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "", cluster->sites[i].name);
    }
    ninja_error_set(err, ERR_NO_SUCH_SITE, "%s has no site \"%s\"; there are: %s", cluster->file,
                    name, known);
    return -1;
}

const char *cluster_timeout_name(enum timeout timeout)
{
    return timeouts[timeout].name;
}
