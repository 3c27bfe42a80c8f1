/*
 * A journal is read line by line. Its first line says what was begun; the last line may be cut off,
 * as whoever wrote it died; whatever is unknown is passed over, as a later version may have
 * written it.
 */
#include "host/journal/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/config/placement.h"
#include "host/journal/journal.h"

#define MAX_LINE    (1 << 20)
#define MAX_LINES   100000
#define MAX_JOURNAL 4096 /* path */

/* Where a VM is to be, by its own words or, of a version that knew no others, by all its words. */
static bool take_destination(int *to, const struct cluster *cluster, json_t *json,
                             const char *of_all, struct ninja_error *err)
{
    json_t *own = json_object_get(json, "to");
    const char *name = own != NULL ? json_text_in(json, "to") : of_all;
    *to = json_is_null(own) ? PLACEMENT_STAYS : cluster_find_site(cluster, name, NULL);
    return json_is_null(own) || *to >= 0 ||
           ninja_error_set(err, ERR_STATE, "the site \"%.100s\" is not in the cluster file", name);
}

/* The device of that name at a place; it is gone if the cluster file was changed. */
static bool take_device(const struct cluster_device **device, const struct cluster *cluster, int vm,
                        int place, json_t *json, const char *key, struct ninja_error *err)
{
    const char *id = json_text_in(json, key);
    *device = NULL;
    if (id[0] == '\0' || place < 0) {
        return true;
    }
    const struct cluster_devices may = cluster_devices(cluster, vm, place);
    for (int i = 0; i < may.n; i++) {
        if (strcmp(may.list[i].id, id) == 0) {
            *device = &may.list[i];
            return true;
        }
    }
    return ninja_error_set(err, ERR_STATE,
                           "the device \"%.100s\" of VM \"%.100s\" at \"%.100s\" is not in the "
                           "cluster file",
                           id, cluster->vms[vm], cluster->sites[place].name);
}

static bool take_vm(struct record *record, const struct cluster *cluster, json_t *json,
                    const char *of_all, struct ninja_error *err)
{
    int to, vm = cluster_find_vm(cluster, json_text_in(json, "name"), NULL);
    if (vm >= 0 && record->vms[vm].from >= 0) {
        return ninja_error_set(err, ERR_STATE, "VM \"%.100s\" is there twice", cluster->vms[vm]);
    }
    int from = vm >= 0 ? cluster_find_site(cluster, json_text_in(json, "at"), NULL) : -1;
    if (from < 0) {
        return ninja_error_set(err, ERR_STATE,
                               "VM \"%.100s\" at \"%.100s\" is not in the cluster file",
                               json_text_in(json, "name"), json_text_in(json, "at"));
    }
    if (!take_destination(&to, cluster, json, of_all, err)) {
        return false;
    }
    bool moves = json_is_true(json_object_get(json, "moves"));
    bool may_stay = record->checkpoint[0] != '\0'; /* a VM may be restarted where it was */
    if (moves && (to == PLACEMENT_STAYS || (to == from && !may_stay))) {
        return ninja_error_set(err, ERR_STATE, "VM \"%.100s\" moves, and stays at \"%.100s\"",
                               cluster->vms[vm], cluster->sites[from].name);
    }
    record->vms[vm] =
        (struct record_vm){.from = from,
                           .to = to,
                           .moves = moves,
                           .had_device = json_is_true(json_object_get(json, "device")),
                           .transfer = json_incref(json_object_get(json, "transfer")),
                           .method = json_incref(json_object_get(json, "method"))};
    return take_device(&record->vms[vm].leaves, cluster, vm, from, json, "leaves", err) &&
           take_device(&record->vms[vm].gets, cluster, vm, to, json, "gets", err);
}

static bool take_begin(struct record *record, const struct cluster *cluster, json_t *line,
                       struct ninja_error *err)
{
    size_t i;
    json_t *vm, *vms = json_object_get(line, "vms");
    if (json_array_size(vms) != (size_t)cluster->n_vms) {
        return ninja_error_set(err, ERR_STATE, "it was begun with %zu VMs, the cluster file has %d",
                               json_array_size(vms), cluster->n_vms);
    }
    snprintf(record->to, sizeof(record->to), "%s", json_text_in(line, "to"));
    snprintf(record->operation, sizeof(record->operation), "%s", json_text_in(line, "operation"));
    snprintf(record->checkpoint, sizeof(record->checkpoint), "%s",
             json_text_in(line, "checkpoint"));
    bool to_nowhere = record->checkpoint[0] != '\0' && record->to[0] == '\0';
    if (!to_nowhere && strcmp(record->to, PLACEMENT_SEVERAL) != 0 &&
        !cluster_has_site(cluster, record->to, NULL)) {
        return ninja_error_set(err, ERR_STATE, "the site \"%.100s\" is not in the cluster file",
                               record->to);
    }
    record->paused = strcmp(json_text_in(line, "mode"), "paused") == 0;
    record->transfer = json_incref(json_object_get(line, "transfer"));
    snprintf(record->began, sizeof(record->began), "%s", json_text_in(line, "time"));
    snprintf(record->key, sizeof(record->key), "%s", json_text_in(line, "key"));
    if (json_is_string(json_object_get(line, "asked"))) {
        record->asked = xstrdup(json_text_in(line, "asked"));
    }
    record->vms = xcalloc((size_t)cluster->n_vms, sizeof(*record->vms));
    record->n_vms = cluster->n_vms;
    for (int n = 0; n < cluster->n_vms; n++) {
        record->vms[n].from = -1;
    }
    json_array_foreach(vms, i, vm)
    {
        if (!take_vm(record, cluster, vm, json_text_in(line, "to"), err)) {
            return false;
        }
    }
    return true;
}

/* A VM that arrived. */
static void take_arrival(struct record *record, const struct cluster *cluster, json_t *line)
{
    int vm = cluster_find_vm(cluster, json_text_in(line, "vm"), NULL);
    if (vm >= 0 && record->vms[vm].moves) {
        const char *to = cluster->sites[record->vms[vm].to].name;
        record->vms[vm].ran_there |= strcmp(json_text_in(line, "runs_at"), to) == 0;
    }
}

static void take_step(struct record *record, const char *step)
{
    snprintf(record->step, sizeof(record->step), "%s", step);
    if (strcmp(step, "unplug") == 0) {
        record->unplugs = true;
    } else if (strcmp(step, "copy") == 0) {
        record->unplugs = false;
    }
}

enum verdict {
    OTHER, /* of another cluster, or nothing in it */
    ENDED,
    INTERRUPTED,
    WRONG, /* err says how */
};

static enum verdict take_line(struct record *record, const struct cluster *cluster, bool first,
                              const char *text, enum verdict verdict, struct ninja_error *err)
{
    json_t *line = json_loads(text, 0, NULL);
    if (line == NULL) {
        return verdict; /* cut off */
    }
    if (first && strcmp(json_text_in(line, "cluster"), cluster->name) != 0) {
        verdict = OTHER;
    } else if (first) {
        verdict = take_begin(record, cluster, line, err) ? INTERRUPTED : WRONG;
    } else if (json_object_get(line, "outcome") != NULL) {
        verdict = ENDED;
    } else if (json_object_get(line, "runs_at") != NULL && verdict == INTERRUPTED) {
        take_arrival(record, cluster, line);
    } else if (json_object_get(line, "state") != NULL) {
        snprintf(record->state, sizeof(record->state), "%s", json_text_in(line, "state"));
    } else if (json_object_get(line, "step") != NULL) {
        take_step(record, json_text_in(line, "step"));
    }
    if (first) {
        snprintf(record->state, sizeof(record->state), "%s", json_text_in(line, "state"));
    }
    json_decref(line);
    return verdict;
}

static enum verdict read_journal(const char *state_dir, const struct cluster *cluster,
                                 const char *id, struct record *record, struct ninja_error *err)
{
    char path[MAX_JOURNAL];
    enum verdict verdict = OTHER;
    *record = (struct record){0};
    snprintf(record->id, sizeof(record->id), "%s", id);
    snprintf(path, sizeof(path), "%s/%s/journal", state_dir, id);
    int fd = plain_file_open(path, O_RDONLY, 0, ERR_STATE, err);
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *text = xmalloc(MAX_LINE);
    if (in == NULL) {
        ninja_error_set(err, ERR_STATE, "%s: %m", path);
        verdict = WRONG;
    }
    for (int n = 0; in != NULL && n < MAX_LINES; n++) {
        if (fgets(text, MAX_LINE, in) == NULL) {
            break;
        }
        verdict = take_line(record, cluster, n == 0, text, verdict, err);
        if (n == 0 && verdict != INTERRUPTED) {
            break;
        }
    }
    free(text);
    if (in != NULL) {
        fclose(in);
    }
    if (verdict == WRONG) {
        ninja_error_where(err, "%s", path);
    }
    if (verdict != INTERRUPTED) {
        record_clear(record);
    }
    return verdict;
}

static bool find_last(const char *state_dir, const struct cluster *cluster, struct record *record,
                      struct ninja_error *err)
{
    char(*ids)[JOURNAL_ID_SIZE];
    int n = journal_list(state_dir, &ids);
    enum verdict verdict = OTHER;
    for (int i = n - 1; i >= 0 && verdict == OTHER; i--) {
        verdict = read_journal(state_dir, cluster, ids[i], record, err);
    }
    free(ids);
    if (verdict == OTHER || verdict == ENDED) {
        ninja_error_set(err, ERR_NOTHING_INTERRUPTED, "no migration of \"%s\" was interrupted",
                        cluster->name);
    }
    return verdict == INTERRUPTED;
}

bool record_find(const char *state_dir, const struct cluster *cluster, const char *id,
                 struct record *record, struct ninja_error *err)
{
    if (id == NULL) {
        return find_last(state_dir, cluster, record, err);
    }
    if (strchr(id, '/') != NULL || strlen(id) >= JOURNAL_ID_SIZE) {
        return ninja_error_set(err, ERR_STATE, "\"%.60s\" is not the ID of a migration", id);
    }
    switch (read_journal(state_dir, cluster, id, record, err)) {
    case INTERRUPTED:
        return true;
    case ENDED:
        return ninja_error_set(err, ERR_ENDED, "migration %s has ended; see ninjactl report %s", id,
                               id);
    case OTHER:
        return ninja_error_set(err, ERR_STATE, "%s is not a migration of \"%s\"", id,
                               cluster->name);
    case WRONG:
        break;
    }
    return false;
}

void record_clear(struct record *record)
{
    for (int i = 0; record->vms != NULL && i < record->n_vms; i++) {
        json_decref(record->vms[i].transfer);
        json_decref(record->vms[i].method);
    }
    free(record->vms);
    record->vms = NULL;
    free(record->asked);
    record->asked = NULL;
    json_decref(record->transfer);
    record->transfer = NULL;
}
