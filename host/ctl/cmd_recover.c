/*
 * resume and abort: what becomes of a migration that was begun. One that is going on is told by a
 * signal; one whose coordinator ended is taken on from its journal.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "host/ctl/ninjactl.h"
#include "host/journal/history.h"

/* A VM that cannot be looked at could run, or not: nothing may be decided without it. */
static int look_at_vms(const struct session *session)
{
    struct survey_vm *vms = survey_vms(session->survey);
    int code = EXIT_DONE;
    for (int i = 0; i < session->cluster->n_vms; i++) {
        if (ninja_error_is_set(&vms[i].vmm_err)) {
            complain(&vms[i].vmm_err);
            code = EXIT_OPERATOR;
        }
    }
    return code;
}

static int take_on(struct session *session, const struct record *record, bool back,
                   const struct args *args, struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = NULL;
    transfer_from_json(&session->cluster->transfer, record->transfer);
    session_survey(session, record);
    int code = look_at_vms(session);
    if (code != EXIT_DONE) {
        return code;
    }
    struct journal *journal = journal_open(args->state_dir, record->id, &err);
    if (journal == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    code = session_log_to(session, journal, detach);
    if (code != EXIT_DONE) {
        journal_free(journal);
        return code;
    }
    ninja_log_info("migration %s of %s to %s, interrupted while it was %s, is taken on", record->id,
                   session->cluster->name, record->to, record->state);
    if (record->checkpoint[0] != '\0') {
        checkpoint = checkpoint_at(record->checkpoint);
    }
    struct migration *migration =
        migration_take_on(session->base, session->cluster, session->survey, journal, record, back,
                          checkpoint, &session_migration_handler, session);
    session->survey = NULL;
    migration_use_hooks(migration, &session->hooks);
    if (detach != NULL) {
        detach_accept(detach, record->id);
    }
    code = session_run(session, migration, journal, args);
    migration_free(migration);
    checkpoint_free(checkpoint);
    journal_free(journal);
    return code;
}

static int recover(struct session *session, bool back, const struct args *args,
                   struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct record record;
    int code = session_lock(session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!record_find(args->state_dir, session->cluster, args->word, &record, &err)) {
        complain(&err);
        return EXIT_REFUSED;
    }
    code = take_on(session, &record, back, args, detach);
    record_clear(&record);
    return code;
}

static int resume(const struct args *args, struct detach *detach)
{
    struct session session;
    int code = session_open(&session, args);
    if (code == EXIT_DONE) {
        code = recover(&session, false, args, detach);
        session_close(&session);
    }
    return code;
}

int cmd_resume(const struct args *args)
{
    return session_may_detach(args, resume);
}

/* A migration that was begun since the ID was noted is not the one to be aborted. */
static bool is_meant(pid_t pid, const struct cluster *cluster, const struct args *args)
{
    char id[JOURNAL_ID_SIZE];
    bool migrates = history_find_running(args->state_dir, cluster->name, id);
    if (args->word == NULL || (migrates && strcmp(args->word, id) == 0)) {
        return true;
    }
    if (migrates) {
        complain_of("migration %s is running, not \"%.60s\"; nothing is aborted", id, args->word);
    } else {
        complain_of("process %d switches the jobs of \"%s\"; migration \"%.60s\" is not "
                    "running, and nothing is aborted",
                    (int)pid, cluster->name, args->word);
    }
    return false;
}

static int tell(pid_t pid, const struct args *args)
{
    if (kill(pid, SIGTERM) < 0) {
        complain_of("process %d: %s", (int)pid, strerror(errno));
        return EXIT_FAILED;
    }
    if (args->json) {
        print_object(json_pack("{s:i}", "told", (int)pid));
        return EXIT_DONE;
    }
    printf("process %d was told to abort; it rolls back, unless a VM has arrived\n", (int)pid);
    return EXIT_DONE;
}

static int abort_it(const struct args *args, struct detach *detach)
{
    struct session session;
    int code = session_open(&session, args);
    if (code == EXIT_DONE) {
        pid_t pid = lock_holder(args->state_dir, session.cluster->name);
        if (pid <= 0) {
            code = recover(&session, true, args, detach);
        } else {
            code = is_meant(pid, session.cluster, args) ? tell(pid, args) : EXIT_REFUSED;
        }
        session_close(&session);
    }
    return code;
}

int cmd_abort(const struct args *args)
{
    return session_may_detach(args, abort_it);
}
