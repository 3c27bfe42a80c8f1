/*
 * switch: the jobs choose their transports anew where they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/ctl/ninjactl.h"
#include "host/report/report.h"
#include "host/switch/switch.h"

struct switching {
    struct event_base *base;
    struct transport_switch *sw;
    struct ninja_error err;
};

static void on_switched(void *arg, const struct ninja_error *err)
{
    struct switching *switching = arg;
    if (err != NULL) {
        switching->err = *err;
    }
    event_base_loopbreak(switching->base);
}

static void on_switch_interrupt(evutil_socket_t fd, short what, void *arg)
{
    struct switching *switching = arg;
    switch_abort(switching->sw);
}

static const struct switch_handler switch_handler = {.done = on_switched};

/* "best" is for people, "@best" for ranks. */
static const char *btl_list(const char *text)
{
    static const char *const words[] = {"@best", "@standby", "@all", "@network", "@bypass"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i] + 1, text) == 0) {
            return words[i];
        }
    }
    return text;
}

static int switch_exit_code(const struct switching *switching)
{
    enum ninja_error_class class = switching->err.class;
    if (class == ERR_NONE) {
        return EXIT_DONE;
    }
    if (class == ERR_RESUME) {
        return EXIT_OPERATOR;
    }
    if (switch_has_released(switching->sw)) {
        return EXIT_FAILED;
    }
    return class == ERR_REFUSED || class == ERR_NOT_READY ? EXIT_REFUSED : EXIT_ROLLED_BACK;
}

/* ---- hooks ---- */

struct told {
    struct event_base *base;
    struct hooks_run *run;
    bool may_veto;
    struct ninja_error veto;
};

static void on_hook_failed(void *arg, const struct ninja_error *err)
{
    struct told *told = arg;
    if (told->may_veto) {
        ninja_error_set(&told->veto, ERR_REFUSED, "%s", err->message);
    } else {
        ninja_log_warning("%s", err->message);
    }
}

static void on_told(void *arg)
{
    struct told *told = arg;
    event_base_loopbreak(told->base);
}

static void on_hook_interrupt(evutil_socket_t fd, short what, void *arg)
{
    struct told *told = arg;
    if (told->may_veto) {
        ninja_error_set(&told->veto, ERR_REFUSED, "interrupted before anything was touched");
        hooks_stop(told->run);
    }
}

/*
 * Runs the hooks of pre-switch or post-switch.
 *
 * @param input    taken over
 * @param outcome  of the switch; NULL: it was not yet
 * @return false with err: it is not to be
 */
static bool tell_hooks(struct session *session, const char *outcome, json_t *input,
                       struct ninja_error *err)
{
    static const struct hooks_handler handler = {.failed = on_hook_failed, .done = on_told};
    const char *name = session->cluster->name;
    const char *const env[][2] = {{"NINJA_CLUSTER", name},
                                  {"NINJA_CLUSTER_FILE", session->cluster->file},
                                  {"NINJA_OUTCOME", outcome ? outcome : ""}};
    struct hooks_stage stage = {outcome ? "post-switch" : "pre-switch", outcome == NULL, env, 3,
                                input};
    struct told told = {.base = session->base, .may_veto = stage.may_veto};
    json_object_set_new(input, "cluster", json_string(name));
    json_object_set_new(input, "cluster_file", json_string(session->cluster->file));
    told.run = hooks_start(session->base, &session->hooks, &stage, &handler, &told);
    json_decref(input);
    if (told.run != NULL) {
        struct interrupts interrupts;
        interrupts_catch(&interrupts, session->base, on_hook_interrupt, &told);
        event_base_dispatch(session->base);
        interrupts_release(&interrupts);
        hooks_free(told.run);
    }
    *err = told.veto;
    return !ninja_error_is_set(err);
}

/* ---- the switch ---- */

static int run_switch(struct session *session, const struct args *args, const bool *leaving)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct switching switching = {.base = session->base};
    struct interrupts interrupts;
    struct switch_options options = {
        .cluster = session->cluster,
        .release = btl_list(args->release),
        .reselect = btl_list(args->btl),
        .leaving = leaving,
        .since_ms = now_ms(),
    };
    json_t *input = json_pack("{s:s, s:s}", "release", args->release, "reselect", args->btl);
    if (!tell_hooks(session, NULL, input, &err)) {
        complain(&err);
        return EXIT_REFUSED;
    }
    switching.sw = switch_start(session->base, survey_agents(session->survey),
                                session->cluster->n_vms, &options, &switch_handler, &switching);
    interrupts_catch(&interrupts, session->base, on_switch_interrupt, &switching);
    event_base_dispatch(session->base);
    interrupts_release(&interrupts);
    if (!ninja_error_is_set(&switching.err) && switch_jobs(switching.sw) == 0) {
        ninja_error_set(&switching.err, ERR_REFUSED, "there is no MPI job to switch");
    }
    json_t *report = switch_report(switching.sw);
    if (args->json) {
        print_object(json_incref(report));
    } else if (switch_jobs(switching.sw) > 0) {
        report_print_switch(stdout, report);
    }
    tell_hooks(session, json_text_in(report, "outcome"), report, &err);
    if (ninja_error_is_set(&switching.err)) {
        complain(&switching.err);
    }
    int code = switch_exit_code(&switching);
    switch_free(switching.sw);
    return code;
}

/* The VMs that are named; NULL: none is. The caller frees it. False with err: there is no such VM. */
static bool read_vms(const struct cluster *cluster, const struct args *args, bool **named,
                     struct ninja_error *err)
{
    *named = args->n_words > 0 ? xcalloc((size_t)cluster->n_vms, sizeof(**named)) : NULL;
    for (int i = 0; i < args->n_words; i++) {
        int vm = cluster_find_vm(cluster, args->words[i], err);
        if (vm < 0) {
            return false;
        }
        (*named)[vm] = true;
    }
    return true;
}

int cmd_switch(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    bool *leaving = NULL;
    int code = session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    if (read_vms(session.cluster, args, &leaving, &err)) {
        code = session_lock(&session, args);
    } else {
        complain(&err);
        code = EXIT_REFUSED;
    }
    if (code == EXIT_DONE) {
        code = session_refuse_interrupted(&session, args);
    }
    if (code == EXIT_DONE) {
        session_survey(&session, NULL);
        if (survey_is_complete(session.survey, &err)) {
            code = run_switch(&session, args, leaving);
        } else {
            complain(&err);
            code = EXIT_REFUSED;
        }
    }
    free(leaving);
    session_close(&session);
    return code;
}
