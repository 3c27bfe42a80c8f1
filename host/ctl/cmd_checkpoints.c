/*
 * checkpoints: which there are; whether one is whole; to remove one, or old ones.
 */
#include <stdio.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/shelf.h"
#include "host/ctl/ninjactl.h"

static void show(json_t *list)
{
    size_t i;
    json_t *entry;
    printf("%-24s %-11s %-30s %-12s %4s %10s\n", "NAME", "STATE", "MADE", "CLUSTER", "VMS",
           "STORED");
    json_array_foreach(list, i, entry)
    {
        char stored[32] = "-";
        json_t *bytes = json_object_get(entry, "stored_bytes");
        if (bytes != NULL) {
            units_bytes(stored, sizeof(stored), (double)json_integer_value(bytes));
        }
        printf("%-24s %-11s %-30s %-12s %4zu %10s\n", json_text_in(entry, "name"),
               json_text_in(entry, "state"), json_text_in(entry, "made"),
               json_text_in(entry, "cluster"), json_array_size(json_object_get(entry, "vms")),
               stored);
    }
}

static int list_all(const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *list = checkpoint_list(args->checkpoint_dir, &err);
    if (list == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    if (args->json) {
        print_object(json_pack("{s:o}", "checkpoints", list));
    } else {
        show(list);
        json_decref(list);
    }
    return EXIT_DONE;
}

/* Images can be read without the key, and only with it can nobody have changed them and their sums.
 */
static bool verify(const struct args *args, const char *name, struct ninja_error *err)
{
    struct image_key key;
    const struct image_key *found;
    struct checkpoint *checkpoint = checkpoint_use(args->checkpoint_dir, name, err);
    bool ok = checkpoint != NULL && read_key(args, &key, &found, err) &&
              (found == NULL || checkpoint_unlock(checkpoint, found, err)) &&
              checkpoint_verify(checkpoint, err);
    checkpoint_free(checkpoint);
    image_key_forget(&key);
    return ok;
}

static bool remove_one(const struct args *args, const char *name, struct ninja_error *err)
{
    struct checkpoint *checkpoint = checkpoint_in(args->checkpoint_dir, name, err);
    bool ok = checkpoint != NULL && checkpoint_remove(checkpoint, err);
    checkpoint_free(checkpoint);
    return ok;
}

static const struct verb {
    const char *word, *did;
    bool (*run)(const struct args *args, const char *name, struct ninja_error *err);
} verbs[] = {
    {"verify", "whole", verify},
    {"remove", "removed", remove_one},
};

static int failed(const struct ninja_error *err)
{
    complain(err);
    return err->class == ERR_BAD_ARGUMENT                        ? EXIT_USAGE
           : err->class == ERR_BUSY || err->class == ERR_REFUSED ? EXIT_REFUSED
                                                                 : EXIT_FAILED;
}

static int run_verb(const struct args *args, const struct verb *verb)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (!verb->run(args, args->words[1], &err)) {
        return failed(&err);
    }
    if (args->json) {
        print_object(json_pack("{s:s, s:s}", "name", args->words[1], "state", verb->did));
    } else {
        printf("%s: %s\n", args->words[1], verb->did);
    }
    return EXIT_DONE;
}

static void show_removed(json_t *removed)
{
    size_t i;
    json_t *name;
    json_array_foreach(removed, i, name)
    {
        printf("%s: removed\n", json_string_value(name));
    }
}

/* The one that needs a cluster file: for the cluster's name. */
static int keep(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    int n;
    if (!read_number("checkpoints keep", args->words[1], 1, MAX_KEEP, &n)) {
        return EXIT_USAGE;
    }
    int code = session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    json_t *removed = checkpoint_keep(args->checkpoint_dir, session.cluster->name, n, &err);
    session_close(&session);
    if (args->json) {
        print_object(json_pack("{s:o}", "removed", removed));
    } else {
        show_removed(removed);
        json_decref(removed);
    }
    return ninja_error_is_set(&err) ? failed(&err) : EXIT_DONE;
}

int cmd_checkpoints(const struct args *args)
{
    if (args->n_words == 0) {
        return list_all(args);
    }
    if (args->n_words == 2 && strcmp(args->word, "keep") == 0) {
        return keep(args);
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && args->n_words == 2; i++) {
        if (strcmp(args->word, verbs[i].word) == 0) {
            return run_verb(args, &verbs[i]);
        }
    }
    complain_of("checkpoints: expected nothing, verify NAME, remove NAME or keep N");
    return EXIT_USAGE;
}
