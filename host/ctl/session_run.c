/*
 * The run of a migration, of the commands that begin one or take one on: from when it was started
 * until its report is shown.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/ctl/ninjactl.h"
#include "host/ctl/progress.h"
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

static void log_choices(const struct cluster *cluster, const struct placement *placement)
{
    for (int i = 0; i < cluster->n_vms; i++) {
        if (placement->why[i] != NULL) {
            ninja_log_info("%s goes to %s: %s", cluster->vms[i],
                           cluster->sites[placement->to[i]].name, placement->why[i]);
        }
    }
}

int session_begin(struct session *session, const struct migration_options *options,
                  const struct args *args, struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct journal *journal = journal_new(args->state_dir, &err);
    if (journal == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    if (options->kind == OPERATION_CHECKPOINT) {
        options->checkpoint->migration = xstrdup(journal_id(journal));
    }
    int code = session_log_to(session, journal, detach);
    if (code != EXIT_DONE) {
        journal_free(journal);
        return code;
    }
    if (options->checkpoint != NULL) {
        ninja_log_info("%s %s of %s, %s: %s", operation_kind_name(options->kind),
                       journal_id(journal), session->cluster->name, mode_name(options->mode),
                       options->checkpoint->path);
    } else {
        ninja_log_info("migration %s of %s to %s, %s", journal_id(journal), session->cluster->name,
                       placement_name(session->cluster, options->placement.to),
                       mode_name(options->mode));
    }
    struct migration *migration =
        migration_start(session->base, session->cluster, session->survey, journal, options,
                        &session_migration_handler, session);
    session->survey = NULL;
    log_choices(session->cluster, &options->placement);
    migration_use_hooks(migration, &session->hooks);
    if (detach != NULL) { /* now its journal says what it is */
        detach_accept(detach, journal_id(journal));
    }
    code = session_run(session, migration, journal, args);
    migration_free(migration);
    journal_free(journal);
    return code;
}
