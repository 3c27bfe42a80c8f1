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
        json_array_append_new(vms, json_pack("{s:s, s:s?, s:s?, s:b, s:b, s:s?, s:s?}", "name",
                                             m->cluster->vms[i], "from", site_name(m, vm->from),
                                             "at", vm->undecided ? NULL : site_name(m, at), "moves",
                                             vm->moves, "has_device", vm->vmm->has_device, "leaves",
                                             m->cluster->sites[vm->from].vms[i].device, "gets",
                                             m->cluster->sites[m->options.to].vms[i].device));
    }
    return vms;
}

static json_t *input_of(const struct migration *m, const char *outcome)
{
    json_t *input = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:O}", "migration", journal_id(m->journal),
        "cluster", m->cluster->name, "cluster_file", m->cluster->file, "from", came_from(m), "to",
        m->cluster->sites[m->options.to].name, "mode", mode_name(m->options.mode), "rolling_back",
        m->rolling_back, "vms", vms_to_json(m), "transfer", transfer_to_json(m->cluster),
        "warnings", m->warnings);
    if (m->taken_on_in[0] != '\0') {
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
    FILE *out = open_memstream(&names, &size);
    for (int i = 0; i < m->n; i++) {
        if (m->vms[i].moves) {
            fprintf(out, "%s%s", ftell(out) > 0 ? " " : "", m->cluster->vms[i]);
        }
    }
    fclose(out);
    return names;
}

static void on_failed(void *arg, const struct ninja_error *why)
{
    struct migration *m = arg;
    if (m->hook.may_veto) {
        ninja_error_set(&m->hook.veto, ERR_REFUSED, "%s", why->message);
    } else {
        add_warning(m, why);
    }
}

static void on_done(void *arg)
{
    struct migration *m = arg;
    hooks_free(m->hook.run);
    m->hook.run = NULL;
    m->hook.next(m);
}

static const struct hooks_handler handler = {.failed = on_failed, .done = on_done};

void hooks_then(struct migration *m, const char *when, const char *what, bool may_veto,
                const char *outcome, void (*next)(struct migration *m))
{
    char name[HOOKS_MAX_STAGE];
    snprintf(name, sizeof(name), "%s-%s", when, what);
    m->hook.veto = (struct ninja_error)NINJA_ERROR_INIT;
    m->hook.may_veto = may_veto && m->taken_on_in[0] == '\0';
    m->hook.next = next;
    if (m->hooks != NULL && m->hooks->dir != NULL) {
        char *vms = names_of_vms(m);
        json_t *input = input_of(m, outcome);
        const char *const env[][2] = {
            {"NINJA_MIGRATION", journal_id(m->journal)},
            {"NINJA_CLUSTER", m->cluster->name},
            {"NINJA_CLUSTER_FILE", m->cluster->file},
            {"NINJA_FROM", came_from(m)},
            {"NINJA_TO", m->cluster->sites[m->options.to].name},
            {"NINJA_VMS", vms},
            {"NINJA_OUTCOME", outcome ? outcome : ""},
        };
        struct hooks_stage stage = {name, m->hook.may_veto, env, sizeof(env) / sizeof(env[0]),
                                    input};
        m->hook.run = hooks_start(m->base, m->hooks, &stage, &handler, m);
        json_decref(input);
        free(vms);
    }
    if (m->hook.run == NULL) {
        next(m);
    } else {
        journal_write(m->journal, json_pack("{s:s}", "hook", name));
    }
}
