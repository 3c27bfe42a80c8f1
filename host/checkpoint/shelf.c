#include "host/checkpoint/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/checkpoint/lock.h"
#include "host/checkpoint/manifest.h"

#define MAX_LISTED 10000

/* ---- the list ---- */

/* Of one that cannot be read: what is there, and why. */
static json_t *entry_of_other(const struct checkpoint *checkpoint, const struct ninja_error *err)
{
    bool is_written = err->class != ERR_INCOMPLETE;
    char *cluster = lock_cluster(checkpoint->path);
    json_t *entry = json_pack("{s:s, s:s, s:o*, s:o}", "name", checkpoint->name, "state",
                              is_written                       ? "wrong"
                              : lock_is_held(checkpoint->path) ? "writing"
                                                               : "incomplete",
                              "cluster", cluster != NULL ? json_text(cluster) : NULL, "reason",
                              json_text(err->message));
    free(cluster);
    return entry;
}

/* Which needs no reading of them. */
static bool images_are_there(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    bool ok = true;
    for (int i = 0; i < checkpoint->n && ok; i++) {
        struct stat status;
        char *path = checkpoint_image(checkpoint, checkpoint->vms[i].name);
        if (stat(path, &status) < 0) {
            ok = ninja_error_set(err, ERR_IO, "%s: %m", path);
        } else if (status.st_size != checkpoint->vms[i].image.stored) {
            ok = ninja_error_set(err, ERR_CHANGED, "%s has not the size that was written", path);
        }
        free(path);
    }
    return ok;
}

static json_t *entry_of_read(const struct checkpoint *checkpoint)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *entry = checkpoint_to_json(checkpoint);
    json_int_t memory = 0, stored = 0;
    for (int i = 0; i < checkpoint->n; i++) {
        memory += checkpoint->vms[i].memory;
        stored += checkpoint->vms[i].image.stored;
    }
    json_object_set_new(entry, "name", json_string(checkpoint->name));
    json_object_set_new(entry, "memory_bytes", json_integer(memory));
    json_object_set_new(entry, "stored_bytes", json_integer(stored));
    if (images_are_there(checkpoint, &err)) {
        json_object_set_new(entry, "state", json_string("complete"));
    } else {
        json_object_set_new(entry, "state", json_string("wrong"));
        json_object_set_new(entry, "reason", json_text(err.message));
    }
    return entry;
}

static json_t *entry_of(const char *dir, const char *name)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = checkpoint_read(dir, name, &err);
    bool is_read = checkpoint != NULL;
    if (!is_read) {
        checkpoint = checkpoint_in(dir, name, &err);
    }
    json_t *entry = is_read ? entry_of_read(checkpoint) : entry_of_other(checkpoint, &err);
    checkpoint_free(checkpoint);
    return entry;
}

static int is_named_well(const struct dirent *entry)
{
    return checkpoint_name_is_valid(entry->d_name) && entry->d_type != DT_REG;
}

json_t *checkpoint_list(const char *dir, struct ninja_error *err)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_named_well, alphasort);
    if (n < 0 && errno != ENOENT) {
        ninja_error_set(err, ERR_IO, "%s: %m", dir);
        return NULL;
    }
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        if (i < MAX_LISTED) {
            json_array_append_new(list, entry_of(dir, names[i]->d_name));
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return list;
}

/* ---- to keep only some ---- */

struct kept {
    json_t *entry;
    int64_t made_us; /* 0: without a manifest, there is no time */
};

static bool has(const json_t *entry, const char *key, const char *value)
{
    return strcmp(json_text_in(entry, key), value) == 0;
}

static int newest_first(const void *one, const void *other)
{
    const struct kept *a = one, *b = other;
    return (a->made_us < b->made_us) - (a->made_us > b->made_us);
}

/* Only those of the cluster of which it is known when they were made, or that they were left. */
static size_t choose(json_t *list, const char *cluster, struct kept *kept)
{
    size_t i, n = 0;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        int64_t made_us = 0;
        bool is_made = wall_clock_read(json_text_in(entry, "made"), &made_us);
        if (has(entry, "cluster", cluster) && (is_made || has(entry, "state", "incomplete"))) {
            kept[n++] = (struct kept){entry, made_us};
        }
    }
    qsort(kept, n, sizeof(*kept), newest_first);
    return n;
}

/* Whether it is what was listed, now that nobody else can change it. */
static bool is_the_same(const char *dir, const json_t *entry)
{
    struct ninja_error ignored = NINJA_ERROR_INIT;
    struct checkpoint *now = checkpoint_read(dir, json_text_in(entry, "name"), &ignored);
    bool is = has(entry, "made", now != NULL ? now->made : "");
    checkpoint_free(now);
    return is;
}

static bool remove_listed(const char *dir, const json_t *entry, struct ninja_error *err)
{
    struct checkpoint *checkpoint = checkpoint_in(dir, json_text_in(entry, "name"), err);
    bool ok = lock_to_change(checkpoint->path, &checkpoint->lock, err) &&
              (is_the_same(dir, entry) ||
               ninja_error_set(err, ERR_BUSY, "%s has changed just now", checkpoint->path)) &&
              checkpoint_remove(checkpoint, err);
    checkpoint_free(checkpoint);
    return ok;
}

/* One that is in use is for the next time. */
static void remove_or_tell(const char *dir, const json_t *entry, json_t *removed,
                           struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    if (remove_listed(dir, entry, &why)) {
        json_array_append(removed, json_object_get(entry, "name"));
    } else if (why.class == ERR_BUSY) {
        ninja_log_info("%s, so it is kept", why.message);
    } else if (!ninja_error_is_set(err)) {
        *err = why;
    }
}

json_t *checkpoint_keep(const char *dir, const char *cluster, int n, struct ninja_error *err)
{
    json_t *list = checkpoint_list(dir, err), *removed = json_array();
    struct kept *kept = xcalloc(json_array_size(list) + 1, sizeof(*kept));
    size_t n_kept = choose(list, cluster, kept);
    int whole = 0;
    for (size_t i = 0; i < n_kept; i++) {
        const json_t *entry = kept[i].entry;
        if (whole == n || has(entry, "state", "incomplete")) {
            remove_or_tell(dir, entry, removed, err);
        } else {
            whole += has(entry, "state", "complete");
        }
    }
    free(kept);
    json_decref(list);
    return removed;
}
