/*
 * migrate: the command that begins a migration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/ctl/ninjactl.h"
#include "host/journal/history.h"

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

/* A client repeats its request when the answer was lost; that does not migrate twice. */
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
