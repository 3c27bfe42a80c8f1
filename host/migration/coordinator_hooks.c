/*
 * The hooks of a migration: which stages there are is in docs/hooks.md; here is what their scripts
 * are told.
 */
#include "host/migration/coordinator_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/config/transfer.h"

static const char *site_name(const struct migration *m, int site)
{
    return site >= 0 ? m->cluster->sites[site].name : NULL;
}

static json_t *vms_to_json(const struct migration *m)
{
    json_t *vms = json_array();
    for (int i = 0; i < m->n; i++) {
        const struct migration_vm *vm = &m->vms[i];
        int at = vm->vmm->site;
        json_array_append_new(
            vms, json_pack("{s:s, s:s?, s:s?, s:s?, s:b, s:b, s:s?, s:s?}", "name",
                           m->cluster->vms[i], "from", site_name(m, vm->from), "to",
                           site_name(m, vm->to), "at", is_undecided(vm) ? NULL : site_name(m, at),
                           "moves", is_to_move(vm), "has_device", vm->vmm->has_device, "leaves",
                           vmm_device_text(vm->vmm, vm->from), "gets",
                           vmm_device_text(vm->vmm, vm->to)));
    }
    return vms;
}

static json_t *input_of(const struct migration *m, const char *outcome)
{
    json_t *input = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:O}", "migration",
                              journal_id(m->journal), "cluster", m->cluster->name, "cluster_file",
                              m->cluster->file, "from", came_from(m), "to", m->goes_to, "mode",
                              mode_name(m->options.mode), "rolling_back", is_going_back(m), "vms",
                              vms_to_json(m), "transfer", transfer_to_json(&m->cluster->transfer),
                              "warnings", m->warnings);
    if (is_taken_on(m)) {
        json_object_set_new(input, "taken_on_in", json_string(m->taken_on_in));
    }
    if (outcome != NULL) {
        json_object_set_new(input, "outcome", json_string(outcome));
    }
    if (ninja_error_is_set(&m->err)) {
        json_object_set_new(input, "reason", json_text(m->err.message));
    }
    return input;
}

/* The VMs that move, with blanks between them; malloc'ed. */
static char *names_of_vms(const struct migration *m)
{
    char *names = NULL;
    size_t size;
    const char *between = "";
    FILE *out = xopen_stream(&names, &size);
    for (int i = 0; i < m->n; i++) {
        if (is_to_move(&m->vms[i])) {
            fprintf(out, "%s%s", between, m->cluster->vms[i]);
            between = " ";
        }
    }
    fclose(out);
    return names;
}

static void on_veto(void *arg, const struct ninja_error *why)
{
    struct migration *m = arg;
    ninja_error_set(&m->hook.veto, ERR_REFUSED, "%s", why->message);
}

static void on_failed(void *arg, const struct ninja_error *why)
{
    add_warning(arg, why);
}

static void on_done(void *arg)
{
    struct migration *m = arg;
    hooks_free(m->hook.run);
    m->hook.run = NULL;
    m->hook.next(m);
}

static const struct hooks_handler veto_handler = {.failed = on_veto, .done = on_done};
static const struct hooks_handler warning_handler = {.failed = on_failed, .done = on_done};

void hooks_then(struct migration *m, const char *when, const char *what, bool may_veto,
                const char *outcome, void (*next)(struct migration *m))
{
    char name[HOOKS_MAX_STAGE];
    snprintf(name, sizeof(name), "%s-%s", when, what);
    m->hook.veto = (struct ninja_error)NINJA_ERROR_INIT;
    may_veto = may_veto && !is_taken_on(m);
    m->hook.next = next;
    if (m->hooks != NULL && m->hooks->dir != NULL) {
        char *vms = names_of_vms(m);
        json_t *input = input_of(m, outcome);
        const char *const env[][2] = {
            {"NINJA_MIGRATION", journal_id(m->journal)},
            {"NINJA_CLUSTER", m->cluster->name},
            {"NINJA_CLUSTER_FILE", m->cluster->file},
            {"NINJA_FROM", came_from(m)},
            {"NINJA_TO", m->goes_to},
            {"NINJA_VMS", vms},
            {"NINJA_OUTCOME", outcome ? outcome : ""},
        };
        struct hooks_stage stage = {name, may_veto, env, sizeof(env) / sizeof(env[0]), input};
        m->hook.run =
            hooks_start(m->base, m->hooks, &stage, may_veto ? &veto_handler : &warning_handler, m);
        json_decref(input);
        free(vms);
    }
    if (m->hook.run == NULL) {
        next(m);
    } else {
        journal_write(m->journal, json_pack("{s:s}", "hook", name));
    }
}
