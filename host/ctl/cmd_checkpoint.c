/*
 * checkpoint: the command that saves all VMs of a cluster.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/units.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/shelf.h"
#include "host/ctl/ninjactl.h"
#include "host/vmm/driver.h"
#include "host/vmm/looks.h"

static const struct look *look_at(const struct session *session, int vm)
{
    int site = survey_vms(session->survey)[vm].vmm->site;
    return looks_at(session->looks, vm, site);
}

static bool has_safe_disks(const struct session *session, const struct args *args, int vm,
                           struct ninja_error *err)
{
    const struct look *look = look_at(session, vm);
    const char *disk = json_string_value(json_array_get(look->written_disks, 0));
    return args->no_disks || disk == NULL ||
           ninja_error_set(err, ERR_REFUSED,
                           "%s writes to the disk %.200s, which would not be in the checkpoint; "
                           "with --no-disks it is left to you that it is the same at the restart",
                           session->cluster->vms[vm], disk);
}

static bool check(struct session *session, const struct args *args, struct ninja_error *err)
{
    const struct cluster *cluster = session->cluster;
    if (!survey_is_complete(session->survey, err)) {
        return false;
    }
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct look *look = look_at(session, i);
        if (look == NULL || ninja_error_is_set(&look->err)) {
            return ninja_error_set(err, ERR_NOT_READY, "%s could not be looked at: %s",
                                   cluster->vms[i], look != NULL ? look->err.message : "");
        }
        if (!has_safe_disks(session, args, i, err)) {
            return false;
        }
    }
    return true;
}

static int64_t memory_of_all(const struct session *session)
{
    int64_t memory = 0;
    for (int i = 0; i < session->cluster->n_vms; i++) {
        memory += look_at(session, i)->memory;
    }
    return memory;
}

static struct checkpoint *begin_checkpoint(const struct session *session, const struct args *args,
                                           const struct image_key *key, struct ninja_error *err)
{
    const struct cluster *cluster = session->cluster;
    struct checkpoint *checkpoint = checkpoint_new(args->checkpoint_dir, args->word, cluster->name,
                                                   memory_of_all(session), cluster->n_vms, err);
    if (checkpoint == NULL) {
        return NULL;
    }
    checkpoint_encrypt(checkpoint, key);
    checkpoint->driver = xstrdup(cluster->driver);
    checkpoint->mode = xstrdup(mode_name(args->mode));
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct vmm *vmm = survey_vms(session->survey)[i].vmm;
        const struct look *look = look_at(session, i);
        const char *device = vmm->has_device ? vmm_device_text(vmm, vmm->site) : NULL;
        checkpoint->vms[i] = (struct checkpoint_vm){
            .name = xstrdup(cluster->vms[i]),
            .site = xstrdup(cluster->sites[vmm->site].name),
            .device = device != NULL ? xstrdup(device) : NULL,
            .machine = xstrdup(look->machine),
            .version = xstrdup(look->version),
            .memory = look->memory,
        };
    }
    return checkpoint;
}

/* ---- what would be saved ---- */

static json_t *plan_of(const struct session *session, const struct args *args, double room)
{
    const struct cluster *cluster = session->cluster;
    json_t *vms = json_array();
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct vmm *vmm = survey_vms(session->survey)[i].vmm;
        char *image = xasprintf("%s/%s/%s.image", args->checkpoint_dir, args->word, vmm_name(vmm));
        json_array_append_new(
            vms, json_pack("{s:s, s:s, s:s*, s:I, s:s}", "name", cluster->vms[i], "at",
                           cluster->sites[vmm->site].name, "device",
                           vmm->has_device ? vmm_device_text(vmm, vmm->site) : NULL, "memory",
                           (json_int_t)look_at(session, i)->memory, "image", image));
        free(image);
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "name", args->word, "dir",
                     args->checkpoint_dir, "mode", mode_name(args->mode), "needed_bytes",
                     (json_int_t)memory_of_all(session), "free_bytes", (json_int_t)room, "vms",
                     vms);
}

static void print_plan(json_t *plan)
{
    size_t i;
    json_t *vm;
    char bytes[32], room[32];
    json_array_foreach(json_object_get(plan, "vms"), i, vm)
    {
        units_bytes(bytes, sizeof(bytes), json_number_value(json_object_get(vm, "memory")));
        printf("%s at %s, %s of memory, to %s%s%s\n", json_text_in(vm, "name"),
               json_text_in(vm, "at"), bytes, json_text_in(vm, "image"),
               json_object_get(vm, "device") != NULL ? "; unplugged meanwhile: " : "",
               json_text_in(vm, "device"));
    }
    printf(
        "%s at most, and %s are free\n",
        units_bytes(bytes, sizeof(bytes), json_number_value(json_object_get(plan, "needed_bytes"))),
        units_bytes(room, sizeof(room), json_number_value(json_object_get(plan, "free_bytes"))));
}

static int refuse(const struct ninja_error *err)
{
    complain(err);
    return err->class == ERR_OPERATOR       ? EXIT_OPERATOR
           : err->class == ERR_BAD_ARGUMENT ? EXIT_USAGE
                                            : EXIT_REFUSED;
}

static int tell(struct session *session, const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_key key;
    const struct image_key *found;
    double room;
    bool has_key = read_key(args, &key, &found, &err);
    image_key_forget(&key);
    session_look(session);
    session_survey(session, NULL);
    if (!has_key || !check(session, args, &err) ||
        !checkpoint_may_be_new(args->checkpoint_dir, args->word, memory_of_all(session), &room,
                               &err)) {
        return refuse(&err);
    }
    json_t *plan = plan_of(session, args, room);
    if (args->json) {
        print_object(plan);
    } else {
        print_plan(plan);
        json_decref(plan);
    }
    return EXIT_DONE;
}

/* ---- the run ---- */

/* After one that was made; which it is, whatever becomes of the others. */
static int keep(const struct session *session, const struct args *args, int code)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *removed =
               checkpoint_keep(args->checkpoint_dir, session->cluster->name, args->keep, &err),
           *name;
    size_t i;
    json_array_foreach(removed, i, name)
    {
        ninja_log_info("checkpoint %s: removed", json_string_value(name));
    }
    json_decref(removed);
    if (ninja_error_is_set(&err)) {
        complain(&err);
        return code == EXIT_DONE ? EXIT_FAILED : code;
    }
    return code;
}

static int save(struct session *session, const struct args *args, const struct image_key *key,
                struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT, ignored = NINJA_ERROR_INIT;
    struct migration_options options = {
        .kind = OPERATION_CHECKPOINT, .mode = args->mode, .key = args->key};
    session_look(session);
    session_survey(session, NULL);
    options.checkpoint =
        check(session, args, &err) ? begin_checkpoint(session, args, key, &err) : NULL;
    if (options.checkpoint == NULL) {
        return refuse(&err);
    }
    placement_stay(&options.placement, session->cluster);
    int code = session_begin(session, &options, args, detach);
    placement_clear(&options.placement);
    if (!checkpoint_is_written(options.checkpoint)) {
        checkpoint_remove(options.checkpoint, &ignored); /* it was refused before its first step */
    } else if (args->keep > 0) {
        code = keep(session, args, code);
    }
    checkpoint_free(options.checkpoint);
    return code;
}

static int run(struct session *session, const struct args *args, struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_key key;
    const struct image_key *found;
    int code =
        read_key(args, &key, &found, &err) ? save(session, args, found, detach) : refuse(&err);
    image_key_forget(&key);
    return code;
}

static int checkpoint(const struct args *args, struct detach *detach)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    int code = args->dry_run ? session_open_to_look(&session, args) : session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!driver_makes_images(session.cluster->driver, &err)) {
        complain(&err);
        code = EXIT_REFUSED;
    } else if (args->dry_run) {
        code = tell(&session, args);
    } else if ((code = session_lock(&session, args)) == EXIT_DONE &&
               (code = session_refuse_used_key(args)) == EXIT_DONE &&
               (code = session_refuse_interrupted(&session, args)) == EXIT_DONE) {
        code = run(&session, args, detach);
    }
    session_close(&session);
    return code;
}

/* Of the time, in a form that is sorted by it. */
static void draw_name(char name[CHECKPOINT_MAX_NAME + 1])
{
    struct tm tm;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t length = strftime(name, CHECKPOINT_MAX_NAME + 1, "%Y%m%dT%H%M%S", &tm);
    snprintf(name + length, CHECKPOINT_MAX_NAME + 1 - length, ".%03ldZ", now.tv_nsec / 1000000);
}

int cmd_checkpoint(const struct args *args)
{
    struct args named = *args;
    char name[CHECKPOINT_MAX_NAME + 1];
    if (args->word == NULL) {
        draw_name(name);
        named.word = name;
    } else if (!checkpoint_name_is_valid(args->word)) {
        complain_of("\"%.80s\" cannot be the name of a checkpoint: expected 1 to %d letters, "
                    "digits and \"._-\", with no dot first",
                    args->word, CHECKPOINT_MAX_NAME);
        return EXIT_USAGE;
    }
    return args->dry_run ? checkpoint(&named, NULL) : session_may_detach(&named, checkpoint);
}
