#include "host/config/placement.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

void placement_stay(struct placement *placement, const struct cluster *cluster)
{
    size_t n = (size_t)cluster->n_vms;
    *placement = (struct placement){.n_vms = cluster->n_vms};
    placement->to = xcalloc(n, sizeof(*placement->to));
    placement->may = xcalloc(n, sizeof(*placement->may));
    placement->why = xcalloc(n, sizeof(*placement->why));
    for (size_t i = 0; i < n; i++) {
        placement->to[i] = PLACEMENT_STAYS;
    }
}

/* Lets a VM go to that place, or any host of that site. */
static bool let_go(struct placement *placement, const struct cluster *cluster, int vm,
                   const char *name, struct ninja_error *err)
{
    if (!cluster_has_site(cluster, name, err)) {
        return false;
    }
    if (placement->may[vm] == NULL) {
        placement->may[vm] = xcalloc((size_t)cluster->n_sites, sizeof(bool));
    }
    for (int s = 0; s < cluster->n_sites; s++) {
        placement->may[vm][s] |= cluster_is_in(&cluster->sites[s], name);
    }
    return true;
}

static bool let_all_go(struct placement *placement, const struct cluster *cluster, const char *name,
                       struct ninja_error *err)
{
    for (int i = 0; i < cluster->n_vms; i++) {
        if (!let_go(placement, cluster, i, name, err)) {
            return false;
        }
    }
    return true;
}

/* ---- SITE, or VM=SITE ---- */

/* What a VM was said to go to before. */
static const char *word_before(char *const *words, int n, const char *vm, size_t len)
{
    for (int i = 0; i < n; i++) {
        if (strncmp(words[i], vm, len) == 0 && words[i][len] == '=') {
            return words[i];
        }
    }
    return NULL;
}

static bool take_one(struct placement *placement, const struct cluster *cluster, char *const *words,
                     int i, struct ninja_error *err)
{
    const char *word = words[i], *equals = strchr(word, '=');
    if (equals == NULL) {
        return ninja_error_set(err, ERR_BAD_ARGUMENT,
                               "expected one SITE for all VMs, or VM=SITE for each VM that is to "
                               "move; found \"%.100s\" among others",
                               word);
    }
    size_t len = (size_t)(equals - word);
    char *name = xstrndup(word, len);
    int vm = cluster_find_vm(cluster, name, err);
    free(name);
    const char *before = word_before(words, i, word, len);
    if (vm >= 0 && before != NULL) {
        return ninja_error_set(err, ERR_BAD_ARGUMENT,
                               "%s is named twice (%.100s and %.100s); name it once",
                               cluster->vms[vm], before, word);
    }
    return vm >= 0 && let_go(placement, cluster, vm, equals + 1, err);
}

bool placement_read(struct placement *placement, const struct cluster *cluster, char *const *words,
                    int n, struct ninja_error *err)
{
    placement_stay(placement, cluster);
    placement->by_name = n > 1 || strchr(words[0], '=') != NULL;
    if (!placement->by_name) {
        return let_all_go(placement, cluster, words[0], err);
    }
    for (int i = 0; i < n; i++) {
        if (!take_one(placement, cluster, words, i, err)) {
            return false;
        }
    }
    return true;
}

/* ---- evacuation ---- */

static bool let_all_go_to(struct placement *placement, const struct cluster *cluster,
                          const char *list, struct ninja_error *err)
{
    bool ok = true;
    while (ok && list != NULL) {
        const char *comma = strchr(list, ',');
        char *name = comma != NULL ? xstrndup(list, (size_t)(comma - list)) : xstrdup(list);
        ok = let_all_go(placement, cluster, name, err);
        free(name);
        list = comma != NULL ? comma + 1 : NULL;
    }
    return ok;
}

bool placement_read_evacuation(struct placement *placement, const struct cluster *cluster,
                               const char *host, const char *to, struct ninja_error *err)
{
    bool any = false;
    placement_stay(placement, cluster);
    if (!cluster_has_site(cluster, host, err) ||
        (to != NULL && !let_all_go_to(placement, cluster, to, err))) {
        return false;
    }
    for (int s = 0; to == NULL && s < cluster->n_sites; s++) {
        let_all_go(placement, cluster, cluster->sites[s].name, NULL);
    }
    placement->emptied = xcalloc((size_t)cluster->n_sites, sizeof(bool));
    placement->emptied_name = xstrdup(host);
    for (int s = 0; s < cluster->n_sites; s++) {
        placement->emptied[s] = cluster_is_in(&cluster->sites[s], host);
        for (int i = 0; i < cluster->n_vms; i++) {
            placement->may[i][s] &= !placement->emptied[s];
            any |= placement->may[i][s];
        }
    }
    return any || ninja_error_set(err, ERR_BAD_ARGUMENT,
                                  "there is nothing else that VMs could go to when they leave "
                                  "\"%.100s\"; name another site or host",
                                  host);
}

void placement_clear(struct placement *placement)
{
    for (int i = 0; i < placement->n_vms; i++) {
        free(placement->may[i]);
        free(placement->why[i]);
    }
    free(placement->may);
    free(placement->why);
    free(placement->emptied);
    free(placement->emptied_name);
    free(placement->to);
    *placement = (struct placement){0};
}

/* ---- its name ---- */

const char *placement_name(const struct cluster *cluster, const int *to)
{
    const char *place = NULL, *site = NULL;
    bool one_place = true, one_site = true;
    for (int i = 0; i < cluster->n_vms; i++) {
        if (to[i] == PLACEMENT_STAYS) {
            continue;
        }
        const struct cluster_site *at = &cluster->sites[to[i]];
        one_place = one_place && (place == NULL || strcmp(place, at->name) == 0);
        one_site = one_site && (site == NULL || strcmp(site, cluster_site_name(at)) == 0);
        place = at->name;
        site = cluster_site_name(at);
    }
    return place == NULL ? "" : one_place ? place : one_site ? site : PLACEMENT_SEVERAL;
}
