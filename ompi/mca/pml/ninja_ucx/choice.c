/*
 * The lists of a switch (opal/mca/btl-hooks/btl_hooks.h says how they look) in UCX's terms. UCX
 * gives back nothing but everything, so what a list for release names does not matter; of one to
 * open,
 *   @best      is what the environment says, as when the job was started
 *   @standby   what does not bypass the VMM
 *   @previous  what was open before
 * and names are those that UCX has for transports, with the devices on which they are to be used.
 * UCX has one list of devices for all transports.
 */
#include "ninja_ucx.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ompi/mca/rte/rte.h"
#include "opal/util/argv.h"

enum reach { SELF, NODE, ANYWHERE };

static const struct {
    const char *name;
    enum reach reach;
    bool bypasses;
} transports[] = {
    {"self", SELF, false},       {"tcp", ANYWHERE, false},     {"sm", NODE, false},
    {"shm", NODE, false},        {"mm", NODE, false},          {"posix", NODE, false},
    {"sysv", NODE, false},       {"cma", SELF, false},         {"knem", SELF, false},
    {"xpmem", NODE, false},      {"ib", ANYWHERE, true},       {"rc", ANYWHERE, true},
    {"rc_v", ANYWHERE, true},    {"rc_x", ANYWHERE, true},     {"rc_verbs", ANYWHERE, true},
    {"rc_mlx5", ANYWHERE, true}, {"ud", ANYWHERE, true},       {"ud_v", ANYWHERE, true},
    {"ud_x", ANYWHERE, true},    {"ud_verbs", ANYWHERE, true}, {"ud_mlx5", ANYWHERE, true},
    {"dc", ANYWHERE, true},      {"dc_x", ANYWHERE, true},     {"dc_mlx5", ANYWHERE, true},
    {"ugni", ANYWHERE, true},    {"all", ANYWHERE, false},
};
#define N_TRANSPORTS (int)(sizeof(transports) / sizeof(transports[0]))
#define STANDBY      "tcp,sm,self"

static int transport(const char *name, size_t length)
{
    for (int i = 0; i < N_TRANSPORTS; i++) {
        if (strlen(transports[i].name) == length && memcmp(transports[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

/* --- before anything is done --------------------------------------------------------------- */

static bool is_word_to_open(const char *list)
{
    return strcmp(list, "@best") == 0 || strcmp(list, "@standby") == 0 ||
           strcmp(list, "@previous") == 0;
}

static bool device_is_there(const char *name)
{
    char path[256];
    size_t length = strcspn(name, ":"); /* of mlx5_0:1 */
    snprintf(path, sizeof(path), "/sys/class/net/%.64s", name);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        snprintf(path, sizeof(path), "/sys/class/infiniband/%.*s", (int)(length < 64 ? length : 64),
                 name);
        dir = opendir(path);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return dir != NULL;
}

static bool devices_are_there(const char *devices, char *why, size_t size)
{
    char **names = opal_argv_split(devices, '+');
    bool ok = names != NULL;
    for (int i = 0; ok && names[i] != NULL; i++) {
        ok = device_is_there(names[i]);
        if (!ok) {
            snprintf(why, size, "there is no device \"%s\"", names[i]);
        }
    }
    if (names == NULL) {
        snprintf(why, size, "there is no device behind a colon");
    }
    opal_argv_free(names);
    return ok;
}

static bool has_rdma_device(void)
{
    DIR *dir = opendir("/sys/class/infiniband");
    struct dirent *entry = NULL;
    while (dir != NULL && (entry = readdir(dir)) != NULL && entry->d_name[0] == '.') {
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return entry != NULL;
}

static bool name_is_possible(const char *entry, enum reach *farthest, char *why, size_t size)
{
    size_t length = strcspn(entry, ":");
    int at = transport(entry, length);
    if (at < 0) {
        snprintf(why, size, "UCX has no transport \"%.*s\"", (int)length, entry);
        return false;
    }
    if (transports[at].bypasses && !has_rdma_device()) {
        return true; /* it need not be used; but alone it reaches nobody */
    }
    if (transports[at].reach > *farthest) {
        *farthest = transports[at].reach;
    }
    return entry[length] == '\0' || devices_are_there(entry + length + 1, why, size);
}

static bool reaches_all(enum reach farthest, char *why, size_t size)
{
    if (farthest == SELF && ompi_process_info.num_procs > 1) {
        snprintf(why, size, "no transport of the list reaches another process here");
        return false;
    }
    if (farthest < ANYWHERE &&
        (uint32_t)ompi_process_info.num_local_peers + 1 < ompi_process_info.num_procs) {
        snprintf(why, size, "no transport of the list reaches other nodes here");
        return false;
    }
    return true;
}

bool choice_is_possible(const char *list, char *why, size_t size)
{
    enum reach farthest = SELF;
    bool ok = true;
    if (is_word_to_open(list)) {
        return true;
    }
    char **entries = opal_argv_split(list, ',');
    for (int i = 0; ok && entries != NULL && entries[i] != NULL; i++) {
        ok = name_is_possible(entries[i], &farthest, why, size);
    }
    opal_argv_free(entries);
    return ok && reaches_all(farthest, why, size);
}

/* --- what a list means --------------------------------------------------------------------- */

bool choice_copy(struct choice *to, const struct choice *from)
{
    *to = (struct choice){from->transports != NULL ? strdup(from->transports) : NULL,
                          from->devices != NULL ? strdup(from->devices) : NULL};
    return (to->transports != NULL) == (from->transports != NULL) &&
           (to->devices != NULL) == (from->devices != NULL);
}

void choice_clear(struct choice *choice)
{
    free(choice->transports);
    free(choice->devices);
    *choice = (struct choice){NULL, NULL};
}

/* Where the environment names devices to use, those that bypass the VMM are no longer there. */
static bool standby(struct choice *choice)
{
    choice->transports = strdup(STANDBY);
    choice->devices = strdup("all");
    return choice->transports != NULL && choice->devices != NULL;
}

static bool take_names(const char *list, struct choice *choice)
{
    char **entries = opal_argv_split(list, ','), **names = NULL, **devices = NULL;
    for (int i = 0; entries != NULL && entries[i] != NULL; i++) {
        char *colon = strchr(entries[i], ':');
        char **on = colon != NULL ? opal_argv_split(colon + 1, '+') : NULL;
        for (int k = 0; on != NULL && on[k] != NULL; k++) {
            opal_argv_append_unique_nosize(&devices, on[k], false);
        }
        opal_argv_free(on);
        if (colon != NULL) {
            *colon = '\0';
        }
        opal_argv_append_unique_nosize(&names, entries[i], false);
    }
    opal_argv_append_unique_nosize(&names, "self", false); /* a rank always reaches itself */
    choice->transports = opal_argv_join(names, ',');
    choice->devices = devices != NULL ? opal_argv_join(devices, ',') : strdup("all");
    opal_argv_free(entries);
    opal_argv_free(names);
    opal_argv_free(devices);
    return choice->transports != NULL && choice->devices != NULL;
}

bool choice_of(const char *list, const struct choice *previous, struct choice *choice, char *why,
               size_t size)
{
    bool ok;
    *choice = (struct choice){NULL, NULL};
    if (strcmp(list, "@best") == 0) {
        return true;
    }
    if (strcmp(list, "@previous") == 0) {
        ok = choice_copy(choice, previous);
    } else if (strcmp(list, "@standby") == 0) {
        ok = standby(choice);
    } else {
        ok = take_names(list, choice);
    }
    if (!ok) {
        choice_clear(choice);
        snprintf(why, size, "out of memory");
    }
    return ok;
}
