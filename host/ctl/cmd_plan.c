/*
 * plan: what a migration would do, without doing any of it.
 */
#include <stdio.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/ctl/ninjactl.h"
#include "host/migration/choice.h"
#include "host/migration/estimate.h"

static double number_in(json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static json_t *plan_of_vm(const struct session *session, int i, const struct placement *placement)
{
    const struct cluster *cluster = session->cluster;
    const struct vmm *vmm = survey_vms(session->survey)[i].vmm;
    int to = placement->to[i];
    bool asked = to != PLACEMENT_STAYS, moves = asked && vmm->site != to;
    bool gets = moves || (asked && vmm_lacks_device(vmm));
    return json_pack("{s:s, s:s, s:s?, s:b, s:s?, s:s?, s:s?, s:s?, s:s?}", "name", cluster->vms[i],
                     "from", cluster->sites[vmm->site].name, "to",
                     asked ? cluster->sites[to].name : NULL, "moves", moves, "leaves",
                     moves && vmm->has_device ? vmm_device(vmm)->text : NULL, "gets",
                     gets ? vmm_device_text(vmm, to) : NULL, "receive",
                     moves ? vmm_arrival(vmm, to).address : NULL, "stream",
                     moves ? vmm_arrival(vmm, to).stream : NULL, "why", placement->why[i]);
}

/* The scripts that would be run, and at which stages; NULL with err: one of them would be refused.
 */
static json_t *plan_of_hooks(const struct session *session, const struct migration_options *options,
                             struct ninja_error *err)
{
    size_t i;
    json_t *script, *list, *names = json_array();
    bool ok = hooks_list(&session->hooks, &list, err);
    json_array_foreach(list, i, script)
    {
        const char *name = json_text_in(script, "name"), *problem = json_text_in(script, "problem");
        json_array_append(names, json_object_get(script, "name"));
        if (problem[0] != '\0') {
            ok = ninja_error_set(err, ERR_REFUSED, "hook %s in %s is not run: %s", name,
                                 session->hooks.dir, problem);
        }
    }
    json_decref(list);
    if (!ok) {
        json_decref(names);
        return NULL;
    }
    json_t *stages = json_array_size(names) > 0
                         ? migration_plan_stages(session->survey, session->cluster, options)
                         : json_array();
    return json_pack("{s:s?, s:o, s:o}", "dir", session->hooks.dir, "scripts", names, "stages",
                     stages);
}

static json_t *make_plan(const struct session *session, const struct migration_options *options,
                         const struct args *args, struct ninja_error *err)
{
    const struct cluster *cluster = session->cluster;
    json_t *hooks = plan_of_hooks(session, options, err);
    if (hooks == NULL) {
        return NULL;
    }
    json_t *vms = json_array();
    for (int i = 0; i < cluster->n_vms; i++) {
        json_array_append_new(vms, plan_of_vm(session, i, &options->placement));
    }
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o*}", "cluster", cluster->name, "to",
        placement_name(cluster, options->placement.to), "mode", mode_name(options->mode), "vms",
        vms, "steps", migration_plan(session->survey, cluster, options), "hooks", hooks, "estimate",
        estimate_migration(cluster, session->looks, session->survey, options, args->state_dir),
        "methods", session_methods(session));
}

static void print_copy(json_t *vm)
{
    bool has_ram = json_is_integer(json_object_get(vm, "ram_bytes"));
    bool has_rate = json_is_integer(json_object_get(vm, "bytes_per_s"));
    const char *from = json_text_in(vm, "send_from");
    printf("  %-8s ", json_text_in(vm, "name"));
    if (!has_ram) {
        printf("no figure of its RAM");
    } else if (strcmp(from, "all of the RAM") == 0) {
        printf("%.0f MiB of RAM, at most all of it to send",
               number_in(vm, "ram_bytes") / UNITS_MIB);
    } else {
        printf("%.0f MiB of RAM, %.1f MiB to send, in proportion to %s",
               number_in(vm, "ram_bytes") / UNITS_MIB, number_in(vm, "send_bytes") / UNITS_MIB,
               from);
    }
    if (has_rate) {
        printf("; %.1f MiB/s, %s\n", number_in(vm, "bytes_per_s") / UNITS_MIB,
               json_text_in(vm, "rate_from"));
    } else {
        printf("; no figure of the rate: there is no limit and no earlier migration\n");
    }
}

static void print_way(json_t *way)
{
    const char *breaks = json_text_in(way, "breaks");
    char stands[32], all[32], behind[32], bytes[32];
    printf("    %-25s ", json_text_in(way, "name"));
    if (!json_is_true(json_object_get(way, "possible"))) {
        printf("cannot be had\n");
    } else if (!json_is_true(json_object_get(way, "ends"))) {
        printf("does not end, as the VM writes as fast as its memory is sent\n");
    } else {
        printf("stands %s, all is there after %s (%s without), %s%s%s\n",
               units_ms(stands, sizeof(stands), number_in(way, "downtime_ms")),
               units_ms(all, sizeof(all), number_in(way, "copy_ms")),
               units_ms(behind, sizeof(behind), number_in(way, "behind_ms")),
               units_bytes(bytes, sizeof(bytes), number_in(way, "bytes")),
               breaks[0] != '\0' ? ": breaks --" : "", breaks);
    }
}

static void print_methods(json_t *methods)
{
    const char *name;
    json_t *method, *way;
    size_t i;
    printf("%s", methods != NULL ? "\nChosen, by what VMs write now\n" : "");
    json_object_foreach(methods, name, method)
    {
        printf("  %-8s %s: %s\n", name, json_text_in(method, "name"), json_text_in(method, "why"));
        if (json_is_integer(json_object_get(method, "written_1s"))) {
            printf("    written  %.0f MiB in 1 s, %.0f MiB in 3 s\n",
                   number_in(method, "written_1s") / UNITS_MIB,
                   number_in(method, "written_3s") / UNITS_MIB);
        }
        json_array_foreach(json_object_get(method, "ways"), i, way)
        {
            print_way(way);
        }
    }
}

static void print_estimate(json_t *estimate, bool jobs)
{
    size_t i;
    json_t *vm;
    printf("\nEstimates\n");
    json_array_foreach(json_object_get(estimate, "vms"), i, vm)
    {
        print_copy(vm);
    }
    if (json_is_integer(json_object_get(estimate, "copy_ms"))) {
        printf("  copy     about %.1f s, all VMs at once\n", number_in(estimate, "copy_ms") / 1000);
    } else {
        printf("  copy     no figure\n");
    }
    if (!jobs) {
        printf("  stall    none, there is no job\n");
    } else if (json_is_integer(json_object_get(estimate, "stall_ms"))) {
        printf("  stall    about %.0f ms, as in %s\n", number_in(estimate, "stall_ms"),
               json_text_in(estimate, "stall_from"));
    } else {
        printf("  stall    no figure: no job was migrated in this mode yet\n");
    }
}

static void print_hooks(json_t *hooks)
{
    size_t i;
    json_t *name;
    if (json_array_size(json_object_get(hooks, "scripts")) == 0) {
        return;
    }
    printf("\nHooks in %s\n  scripts ", json_text_in(hooks, "dir"));
    json_array_foreach(json_object_get(hooks, "scripts"), i, name)
    {
        printf(" %s", json_string_value(name));
    }
    printf("\n  stages  ");
    json_array_foreach(json_object_get(hooks, "stages"), i, name)
    {
        printf(" %s", json_string_value(name));
    }
    printf("\n");
}

static void print_choices(json_t *vms)
{
    size_t i;
    json_t *vm;
    bool any = false;
    json_array_foreach(vms, i, vm)
    {
        if (json_is_string(json_object_get(vm, "why"))) {
            printf("%s  %-8s to %s (%s)\n", any ? "" : "\nChosen, from what is free now\n",
                   json_text_in(vm, "name"), json_text_in(vm, "to"), json_text_in(vm, "why"));
            any = true;
        }
    }
}

static void print_plan(json_t *plan, bool jobs)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(plan, "steps"), i, line)
    {
        printf("%2zu. %s\n", i + 1, json_string_value(line));
    }
    print_choices(json_object_get(plan, "vms"));
    print_methods(json_object_get(plan, "methods"));
    print_hooks(json_object_get(plan, "hooks"));
    print_estimate(json_object_get(plan, "estimate"), jobs);
}

int cmd_plan(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct migration_options options = {.mode = args->mode};
    int code = session_open_to_look(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    bool is_read = session_read_placement(&session, args, &options.placement, &err);
    if (is_read) {
        session_look(&session);
        session_survey(&session, NULL);
    }
    json_t *plan = NULL;
    if (is_read && choice_make(&options.placement, session.cluster, session.survey, &err) &&
        migration_check(session.survey, session.cluster, &options, &err) &&
        session_choose_methods(&session, args, options.placement.to, &err)) {
        plan = make_plan(&session, &options, args, &err);
    }
    if (plan != NULL) {
        if (args->json) {
            print_object(plan);
        } else {
            print_plan(plan, survey_jobs(session.survey)->n > 0);
            json_decref(plan);
        }
    } else {
        complain(&err);
        code = err.class == ERR_BAD_ARGUMENT ? EXIT_USAGE : EXIT_REFUSED;
    }
    placement_clear(&options.placement);
    session_close(&session);
    return code;
}
