/*
 * migrate and switch: the commands that begin something.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host-hook/history.h"
#include "host-hook/ninjactl.h"
#include "host-hook/progress.h"
#include "host-hook/report.h"
#include "host-hook/switch.h"
#include "host-hook/timer.h"

/* SIGINT, SIGTERM and SIGHUP call back from the event loop. */
struct interrupts {
    struct event *events[3];
};

static void interrupts_catch(struct interrupts *interrupts, struct event_base *base,
                             event_callback_fn callback, void *arg)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        interrupts->events[i] = evsignal_new(base, signals[i], callback, arg);
        event_add(interrupts->events[i], NULL);
    }
}

static void interrupts_release(struct interrupts *interrupts)
{
    for (int i = 0; i < 3; i++) {
        event_free(interrupts->events[i]);
    }
}

/* ---- migrate ---- */

int exit_code_named(const char *outcome, bool strict)
{
    static const enum exit_code codes[] = {
        [OUTCOME_DONE] = EXIT_DONE,         [OUTCOME_DEGRADED] = EXIT_DONE,
        [OUTCOME_REFUSED] = EXIT_REFUSED,   [OUTCOME_ROLLED_BACK] = EXIT_ROLLED_BACK,
        [OUTCOME_OPERATOR] = EXIT_OPERATOR,
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(outcome, outcome_name((enum outcome)i)) == 0) {
            return i == OUTCOME_DEGRADED && strict ? EXIT_FAILED : codes[i];
        }
    }
    return EXIT_FAILED;
}

static void on_changed(void *arg)
{
    struct session *session = arg;
    progress_changed(session->progress);
}

static void on_migrated(void *arg)
{
    struct session *session = arg;
    event_base_loopbreak(session->base);
}

static void on_interrupt(evutil_socket_t fd, short what, void *arg)
{
    migration_abort(arg);
}

const struct migration_handler session_migration_handler = {
    .changed = on_changed,
    .done = on_migrated,
};

static int finish_migration(struct migration *migration, struct journal *journal,
                            const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *report = migration_report(migration);
    enum outcome outcome = migration_outcome(migration);
    int code = exit_code_named(outcome_name(outcome), args->strict);
    if (!journal_write_report(journal, report, &err)) {
        complain(&err);
        code = code == EXIT_DONE ? EXIT_FAILED : code;
    }
    if (args->json && !args->detach) { /* a log is for people */
        print_json(report);
    } else {
        report_print(stdout, report);
    }
    if (outcome != OUTCOME_DONE) {
        fprintf(stderr, "ninjactl: %s: %s\n", outcome_name(outcome), migration_reason(migration));
    }
    json_decref(report);
    return code;
}

int session_run(struct session *session, struct migration *migration, struct journal *journal,
                const struct args *args)
{
    struct interrupts interrupts;
    session->progress =
        progress_start(session->base, migration, session->cluster->n_vms, journal_dir(journal),
                       settings_number(args->settings, "colours") != 0);
    interrupts_catch(&interrupts, session->base, on_interrupt, migration);
    event_base_dispatch(session->base);
    interrupts_release(&interrupts);
    progress_free(session->progress);
    session->progress = NULL;
    return finish_migration(migration, journal, args);
}

static int run_migration(struct session *session, const struct migration_options *options,
                         const struct args *args, struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct journal *journal = journal_new(args->state_dir, &err);
    if (journal == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    int code = session_log_to(journal, detach);
    if (code != EXIT_DONE) {
        journal_free(journal);
        return code;
    }
    ninja_log_info("migration %s of %s to %s, %s", journal_id(journal), session->cluster->name,
                   session->cluster->sites[options->to].name, mode_name(options->mode));
    struct migration *migration =
        migration_start(session->base, session->cluster, session->survey, journal, options,
                        &session_migration_handler, session);
    session->survey = NULL;
    if (detach != NULL) { /* now its journal says what it is */
        detach_accept(detach, journal_id(journal));
    }
    code = session_run(session, migration, journal, args);
    migration_free(migration);
    journal_free(journal);
    return code;
}

/* Who repeats a request, as the answer to the first one was lost, does not migrate twice. */
static int refuse_used_key(const struct args *args)
{
    char id[JOURNAL_ID_SIZE];
    if (args->key == NULL || !history_find_key(args->state_dir, args->key, id)) {
        return EXIT_DONE;
    }
    fprintf(
        stderr,
        "ninjactl: migration %s was begun with the key \"%s\"; \"ninjactl wait %s\" tells how it "
        "ends\n",
        id, args->key, id);
    return EXIT_REFUSED;
}

static int migrate(const struct args *args, struct detach *detach)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct migration_options options = {.mode = args->mode, .key = args->key};
    int code = session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    options.to = cluster_find_site(session.cluster, args->word, &err);
    if (options.to < 0) {
        complain(&err);
        code = EXIT_REFUSED;
    } else if ((code = session_lock(&session, args)) == EXIT_DONE &&
               (code = refuse_used_key(args)) == EXIT_DONE &&
               (code = session_refuse_interrupted(&session, args)) == EXIT_DONE) {
        session_survey(&session, NULL);
        if (migration_check(session.survey, session.cluster, &options, &err)) {
            code = run_migration(&session, &options, args, detach);
        } else {
            complain(&err);
            code = strcmp(err.class, "Operator") == 0 ? EXIT_OPERATOR : EXIT_REFUSED;
        }
    }
    session_close(&session);
    return code;
}

int cmd_migrate(const struct args *args)
{
    if (args->dry_run) {
        return cmd_plan(args);
    }
    return session_may_detach(args, migrate);
}

/* ---- switch ---- */

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
    const char *class = switching->err.class;
    if (class[0] == '\0') {
        return EXIT_DONE;
    }
    if (strcmp(class, "Resume") == 0) {
        return EXIT_OPERATOR;
    }
    if (switch_has_released(switching->sw)) {
        return EXIT_FAILED;
    }
    return strcmp(class, "Refused") == 0 || strcmp(class, "NotReady") == 0 ? EXIT_REFUSED
                                                                           : EXIT_ROLLED_BACK;
}

static int run_switch(struct session *session, const struct args *args)
{
    struct switching switching = {.base = session->base};
    struct interrupts interrupts;
    struct switch_options options = {
        .cluster = session->cluster,
        .release = btl_list(args->release),
        .reselect = btl_list(args->btl),
        .since_ms = now_ms(),
    };
    switching.sw = switch_start(session->base, survey_agents(session->survey),
                                session->cluster->n_vms, &options, &switch_handler, &switching);
    interrupts_catch(&interrupts, session->base, on_switch_interrupt, &switching);
    event_base_dispatch(session->base);
    interrupts_release(&interrupts);
    if (!ninja_error_is_set(&switching.err) && switch_jobs(switching.sw) == 0) {
        ninja_error_set(&switching.err, "Refused", "there is no MPI job to switch");
    }
    json_t *report = switch_report(switching.sw);
    if (args->json) {
        print_object(json_incref(report));
    } else if (switch_jobs(switching.sw) > 0) {
        report_print_switch(stdout, report);
    }
    json_decref(report);
    if (ninja_error_is_set(&switching.err)) {
        complain(&switching.err);
    }
    int code = switch_exit_code(&switching);
    switch_free(switching.sw);
    return code;
}

int cmd_switch(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    int code = session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    code = session_lock(&session, args);
    if (code == EXIT_DONE) {
        code = session_refuse_interrupted(&session, args);
    }
    if (code == EXIT_DONE) {
        session_survey(&session, NULL);
        if (survey_is_complete(session.survey, &err)) {
            code = run_switch(&session, args);
        } else {
            complain(&err);
            code = EXIT_REFUSED;
        }
    }
    session_close(&session);
    return code;
}
