/*
 * migrate: the command that begins a migration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/ctl/ninjactl.h"
#include "host/ctl/progress.h"
#include "host/journal/history.h"
#include "host/report/report.h"

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
        complain_of("%s: %s", outcome_name(outcome), migration_reason(migration));
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
    int code = session_log_to(session, journal, detach);
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
    migration_use_hooks(migration, &session->hooks);
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
    complain_of("migration %s was begun with the key \"%s\"; \"ninjactl wait %s\" tells how it "
                "ends",
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
            code = err.class == ERR_OPERATOR ? EXIT_OPERATOR : EXIT_REFUSED;
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
