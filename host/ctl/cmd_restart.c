/*
 * restart: the command that starts the VMs of a cluster from a checkpoint.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/units.h"
#include "host/checkpoint/manifest.h"
#include "host/ctl/ninjactl.h"
#include "host/migration/choice.h"
#include "host/vmm/driver.h"

/* ---- whether it is of this cluster ---- */

static const struct checkpoint_vm *saved_of(const struct checkpoint *checkpoint, const char *vm)
{
    for (int i = 0; i < checkpoint->n; i++) {
        if (strcmp(checkpoint->vms[i].name, vm) == 0) {
            return &checkpoint->vms[i];
        }
    }
    return NULL;
}

static bool is_of_cluster(const struct checkpoint *checkpoint, const struct cluster *cluster,
                          struct ninja_error *err)
{
    if (strcmp(checkpoint->cluster, cluster->name) != 0) {
        return ninja_error_set(err, ERR_REFUSED, "checkpoint \"%s\" is of the cluster \"%.60s\"",
                               checkpoint->name, checkpoint->cluster);
    }
    if (strcmp(checkpoint->driver, cluster->driver) != 0) {
        return ninja_error_set(
            err, ERR_REFUSED,
            "checkpoint \"%s\" was made by the driver \"%.60s\", and the cluster "
            "file has \"%s\"",
            checkpoint->name, checkpoint->driver, cluster->driver);
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        if (saved_of(checkpoint, cluster->vms[i]) == NULL) {
            return ninja_error_set(err, ERR_REFUSED, "checkpoint \"%s\" has no VM \"%s\"",
                                   checkpoint->name, cluster->vms[i]);
        }
    }
    return checkpoint->n == cluster->n_vms ||
           ninja_error_set(err, ERR_REFUSED,
                           "checkpoint \"%s\" has %d VMs, and the cluster file has %d",
                           checkpoint->name, checkpoint->n, cluster->n_vms);
}

/* ---- where to ---- */

static bool is_named(const char *vm, char *const *words, int n)
{
    size_t len = strlen(vm);
    for (int i = 0; i < n; i++) {
        if (strncmp(words[i], vm, len) == 0 && words[i][len] == '=') {
            return true;
        }
    }
    return false;
}

/* Each where it was, unless it was told another place: as words, which say that of all VMs. */
static bool read_words(struct placement *placement, const struct checkpoint *checkpoint,
                       const struct cluster *cluster, char *const *words, int n,
                       struct ninja_error *err)
{
    char **all = xcalloc((size_t)(n + cluster->n_vms), sizeof(*all));
    int given = 0;
    for (; given < n; given++) {
        all[given] = xstrdup(words[given]);
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct checkpoint_vm *saved = saved_of(checkpoint, cluster->vms[i]);
        if (!is_named(saved->name, words, n)) {
            all[given++] = xasprintf("%s=%s", saved->name, saved->site);
        }
    }
    bool ok = placement_read(placement, cluster, all, given, err);
    for (int i = 0; i < given; i++) {
        free(all[i]);
    }
    free(all);
    return ok;
}

static bool read_placement(struct placement *placement, const struct checkpoint *checkpoint,
                           const struct cluster *cluster, const struct args *args,
                           struct ninja_error *err)
{
    char *site = (char *)args->site;
    char *const *words = site != NULL ? &site : args->words + 1;
    int n = site != NULL ? 1 : args->n_words - 1;
    if (site != NULL && args->n_words > 1) {
        return ninja_error_set(err, ERR_BAD_ARGUMENT,
                               "give either --site or VM=SITE, and not both");
    }
    if (n > 0 && site == NULL && strchr(words[0], '=') == NULL) {
        return ninja_error_set(err, ERR_BAD_ARGUMENT,
                               "expected VM=SITE, found \"%.80s\"; one site for all is given by "
                               "--site",
                               words[0]);
    }
    return site != NULL ? placement_read(placement, cluster, words, n, err)
                        : read_words(placement, checkpoint, cluster, words, n, err);
}

static bool all_are_nowhere(struct session *session, struct ninja_error *err)
{
    session_survey_nowhere(session);
    for (int i = 0; i < session->cluster->n_vms; i++) {
        const struct ninja_error *why = &survey_vms(session->survey)[i].vmm_err;
        if (ninja_error_is_set(why)) {
            *err = *why;
            return false;
        }
    }
    return true;
}

static void tell_devices(const struct checkpoint *checkpoint, const struct session *session,
                         const int *to)
{
    const struct cluster *cluster = session->cluster;
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct checkpoint_vm *saved = saved_of(checkpoint, cluster->vms[i]);
        const struct vmm *vmm = survey_vms(session->survey)[i].vmm;
        if (saved->device != NULL && vmm_device_at(vmm, to[i]) == NULL) {
            ninja_log_info("%s had the device \"%s\" at %s; %s has none for it, so its jobs take "
                           "what else connects them",
                           saved->name, saved->device, saved->site, cluster->sites[to[i]].name);
        }
    }
}

/* ---- what would be started ---- */

static json_t *plan_of_vm(const struct session *session, const struct checkpoint_vm *saved, int i,
                          const struct placement *placement)
{
    const struct vmm *vmm = survey_vms(session->survey)[i].vmm;
    int to = placement->to[i];
    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:I, s:I}", "name", saved->name,
                     "was_at", saved->site, "to", session->cluster->sites[to].name, "had",
                     saved->device, "gets", vmm_device_text(vmm, to), "receive",
                     vmm_arrival(vmm, to).address, "why", placement->why[i], "memory",
                     (json_int_t)saved->memory, "stored", (json_int_t)saved->image.stored);
}

static void print_plan(json_t *vms)
{
    size_t i;
    json_t *vm;
    char memory[32], stored[32];
    json_array_foreach(vms, i, vm)
    {
        const char *had = json_text_in(vm, "had"), *gets = json_text_in(vm, "gets");
        units_bytes(memory, sizeof(memory), json_number_value(json_object_get(vm, "memory")));
        units_bytes(stored, sizeof(stored), json_number_value(json_object_get(vm, "stored")));
        printf("%s starts at %s, received at %s: %s of memory from an image of %s\n",
               json_text_in(vm, "name"), json_text_in(vm, "to"), json_text_in(vm, "receive"),
               memory, stored);
        printf("  was at %s with %s, gets %s\n", json_text_in(vm, "was_at"),
               had[0] ? had : "no device", gets[0] ? gets : "no device");
    }
}

static void show_plan(const struct session *session, const struct migration_options *options,
                      const struct args *args)
{
    const struct checkpoint *checkpoint = options->checkpoint;
    const struct cluster *cluster = session->cluster;
    json_t *vms = json_array();
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct checkpoint_vm *saved = saved_of(checkpoint, cluster->vms[i]);
        json_array_append_new(vms, plan_of_vm(session, saved, i, &options->placement));
    }
    if (args->json) {
        print_object(json_pack("{s:s, s:s, s:s, s:o}", "checkpoint", checkpoint->path, "made",
                               checkpoint->made, "cluster", cluster->name, "vms", vms));
    } else {
        print_plan(vms);
        json_decref(vms);
    }
}

/* ---- the run ---- */

static int run(struct session *session, struct migration_options *options, const struct args *args,
               struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct cluster *cluster = session->cluster;
    struct checkpoint *checkpoint = options->checkpoint;
    int code = EXIT_DONE;
    bool may = driver_makes_images(cluster->driver, &err) &&
               is_of_cluster(checkpoint, cluster, &err) &&
               read_placement(&options->placement, checkpoint, cluster, args, &err) &&
               all_are_nowhere(session, &err) &&
               choice_make(&options->placement, cluster, session->survey, &err);
    if (!may) {
        complain(&err);
        code = err.class == ERR_BAD_ARGUMENT ? EXIT_USAGE : EXIT_REFUSED;
    } else if (args->dry_run) {
        show_plan(session, options, args);
    }
    err = (struct ninja_error)NINJA_ERROR_INIT;
    if ((may || args->dry_run) && !checkpoint_verify(checkpoint, &err)) {
        complain(&err);
        code = code == EXIT_DONE ? EXIT_REFUSED : code;
    }
    if (code != EXIT_DONE || args->dry_run) {
        return code;
    }
    tell_devices(checkpoint, session, options->placement.to);
    return session_begin(session, options, args, detach);
}

static int restart(const struct args *args, struct detach *detach)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_key key;
    const struct image_key *found;
    struct migration_options options = {.kind = OPERATION_RESTART,
                                        .mode = MODE_PAUSED,
                                        .key = args->key,
                                        .set_clock = args->set_clock};
    int code = args->dry_run ? session_open_to_look(&session, args) : session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    session.cluster->transfer = TRANSFER_DEFAULT; /* an image is one plain stream */
    options.checkpoint = checkpoint_use(args->checkpoint_dir, args->word, &err);
    if (!read_key(args, &key, &found, &err) || options.checkpoint == NULL ||
        !checkpoint_unlock(options.checkpoint, found, &err)) {
        complain(&err);
        code = err.class == ERR_BAD_ARGUMENT ? EXIT_USAGE : EXIT_REFUSED;
    } else if ((args->dry_run || (code = session_lock(&session, args)) == EXIT_DONE) &&
               (code = session_refuse_used_key(args)) == EXIT_DONE &&
               (code = session_refuse_interrupted(&session, args)) == EXIT_DONE) {
        code = run(&session, &options, args, detach);
    }
    placement_clear(&options.placement);
    checkpoint_free(options.checkpoint);
    image_key_forget(&key);
    session_close(&session);
    return code;
}

int cmd_restart(const struct args *args)
{
    return args->dry_run ? restart(args, NULL) : session_may_detach(args, restart);
}
