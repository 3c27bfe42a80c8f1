/*
 * migrate and evacuate: the commands that begin a migration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/ctl/ninjactl.h"
#include "host/migration/choice.h"

static int migrate(const struct args *args, struct detach *detach)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct migration_options options = {.mode = args->mode, .key = args->key};
    int code = session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    char *asked = session_asked(args);
    options.asked = asked;
    if (!session_read_placement(&session, args, &options.placement, &err)) {
        complain(&err);
        code = err.class == ERR_BAD_ARGUMENT ? EXIT_USAGE : EXIT_REFUSED;
    } else if ((code = session_lock(&session, args)) == EXIT_DONE &&
               (code = session_refuse_used_key(args)) == EXIT_DONE &&
               (code = session_refuse_interrupted(&session, args)) == EXIT_DONE) {
        if (session.is_automatic) {
            session_look(&session);
        }
        session_survey(&session, NULL);
        if (choice_make(&options.placement, session.cluster, session.survey, &err) &&
            migration_check(session.survey, session.cluster, &options, &err) &&
            session_choose_methods(&session, args, options.placement.to, &err)) {
            options.methods = session_methods(&session);
            code = session_begin(&session, &options, args, detach);
            json_decref(options.methods);
        } else {
            complain(&err);
            code = err.class == ERR_OPERATOR ? EXIT_OPERATOR : EXIT_REFUSED;
        }
    }
    placement_clear(&options.placement);
    free(asked);
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

int cmd_evacuate(const struct args *args)
{
    return cmd_migrate(args);
}
