#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/logs.h"
#include "host/base/memory.h"
#include "host/checkpoint/key.h"
#include "host/ctl/ninjactl.h"
#include "host/journal/history.h"
#include "host/migration/forecast.h"
#include "host/vmm/driver.h"
#include "host/vmm/looks.h"

void print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    printf("\n");
}

void print_object(json_t *object)
{
    json_t *out = json_pack("{s:i}", "version", NINJACTL_JSON_VERSION);
    json_object_update_missing(out, object);
    print_json(out);
    json_decref(out);
    json_decref(object);
}

/* What the command line says goes before what the cluster file says. */
static bool take_options(struct cluster *cluster, const struct args *args, struct ninja_error *err)
{
    struct transfer *transfer = &cluster->transfer;
    for (int i = 0; i < args->n_timeouts; i++) {
        if (!cluster_set_timeout(cluster, args->timeouts[i], err)) {
            return false;
        }
    }
    if (args->compress != NULL && !transfer_set_compress(transfer, args->compress, err)) {
        return false;
    }
    if (args->bandwidth >= 0) {
        transfer->bandwidth_mib = args->bandwidth;
    }
    if (args->downtime_limit >= 0) {
        transfer->downtime_limit_ms = args->downtime_limit;
    }
    if (args->postcopy && transfer->post_copy_after < 0) {
        transfer->post_copy_after = 1;
    }
    if (args->postcopy_if_stuck && transfer->post_copy_if_stuck < 0) {
        transfer->post_copy_if_stuck = TRANSFER_IF_STUCK;
    }
    if (args->postcopy_bandwidth >= 0) {
        transfer->post_copy_bandwidth_mib = args->postcopy_bandwidth;
    }
    if (args->parallel >= 0) {
        transfer->parallel = args->parallel;
    }
    return transfer_check(transfer, err);
}

int session_open(struct session *session, const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    *session = (struct session){.lock = -1};
    if (settings_number(args->settings, "hooks")) {
        session->hooks.dir = settings_text(args->settings, "hooks-dir");
        session->hooks.timeout_ms = settings_number(args->settings, "hook-timeout");
    }
    session->cluster = cluster_read(args->cluster_file, driver_in_file, &err);
    if (session->cluster == NULL) {
        complain(&err);
        return EXIT_CLUSTER_FILE;
    }
    if (!take_options(session->cluster, args, &err) || !session_take_limits(session, args, &err)) {
        complain(&err);
        session_close(session);
        return EXIT_USAGE;
    }
    session->base = event_base_new();
    return EXIT_DONE;
}

/* A QMP socket serves one client, so looking would disturb, and wait in vain. */
int session_open_to_look(struct session *session, const struct args *args)
{
    int code = session_open(session, args);
    pid_t busy = code == EXIT_DONE ? lock_holder(args->state_dir, session->cluster->name) : 0;
    if (busy < 0) {
        complain_of("%s/%s.lock: %s; run it as the user who migrates", args->state_dir,
                    session->cluster->name, strerror(EACCES));
        session_close(session);
        return EXIT_REFUSED;
    }
    if (busy > 0) {
        complain_of("a migration or switch of \"%s\" is running (process %d), so nobody "
                    "else can look now; see ninjactl watch",
                    session->cluster->name, (int)busy);
        session_close(session);
        return EXIT_REFUSED;
    }
    return code;
}

int session_lock(struct session *session, const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    session->lock = lock_take(args->state_dir, session->cluster->name, &err);
    if (session->lock < 0) {
        complain(&err);
        return err.class == ERR_BUSY ? EXIT_REFUSED : EXIT_FAILED;
    }
    return EXIT_DONE;
}

/* A client repeats its request when the answer was lost; that does not migrate twice. */
int session_refuse_used_key(const struct args *args)
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

int session_refuse_interrupted(const struct session *session, const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct record record;
    if (record_find(args->state_dir, session->cluster, NULL, &record, &err)) {
        complain_of("migration %s was interrupted while it was %s; \"ninjactl resume %s\" "
                    "takes it on, \"ninjactl abort %s\" takes it back",
                    record.id, record.state, record.id, record.id);
        record_clear(&record);
        return EXIT_REFUSED;
    }
    if (err.class != ERR_NOTHING_INTERRUPTED) {
        complain(&err); /* of a cluster file that has changed since, perhaps: no reason to stop */
    }
    return EXIT_DONE;
}

bool read_key(const struct args *args, struct image_key *room, const struct image_key **found,
              struct ninja_error *err)
{
    *room = (struct image_key){0};
    *found = strcmp(args->key_file, IMAGE_KEY_NONE) != 0 ? room : NULL;
    return *found == NULL || image_key_read(room, args->key_file, err);
}

char *session_asked(const struct args *args)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = xopen_stream(&text, &size);
    fprintf(out, "%s", args->evacuates ? "evacuate" : "migrate");
    for (int i = 0; i < args->n_words; i++) {
        fprintf(out, " %s", args->words[i]);
    }
    if (args->to != NULL) {
        fprintf(out, " --to %s", args->to);
    }
    fclose(out);
    return text;
}

bool session_read_placement(const struct session *session, const struct args *args,
                            struct placement *placement, struct ninja_error *err)
{
    return args->evacuates
               ? placement_read_evacuation(placement, session->cluster, args->word, args->to, err)
               : placement_read(placement, session->cluster, args->words, args->n_words, err);
}

static void on_looks(void *arg)
{
    struct session *session = arg;
    event_base_loopbreak(session->base);
}

void session_look(struct session *session)
{
    session->looks = looks_start(session->base, driver_find(session->cluster->driver),
                                 session->cluster, on_looks, session);
    event_base_dispatch(session->base);
}

static void on_survey(void *arg)
{
    struct session *session = arg;
    event_base_loopbreak(session->base);
}

void session_survey(struct session *session, const struct record *interrupted)
{
    session->survey =
        survey_start(session->base, session->cluster, interrupted, on_survey, session);
    event_base_dispatch(session->base);
}

void session_survey_nowhere(struct session *session)
{
    session->survey = survey_start_nowhere(session->base, session->cluster, on_survey, session);
    event_base_dispatch(session->base);
}

void session_close(struct session *session)
{
    log_file_close(session->log);
    forecast_free(session->forecast);
    survey_free(session->survey);
    looks_free(session->looks);
    cluster_free(session->cluster);
    if (session->lock >= 0) {
        lock_release(session->lock);
    }
    if (session->base != NULL) {
        event_base_free(session->base);
    }
}

int session_may_detach(const struct args *args, session_command *run)
{
    struct detach detach;
    char id[JOURNAL_ID_SIZE];
    int code;
    if (!args->detach) {
        return run(args, NULL);
    }
    if (detach_fork(&detach, id, sizeof(id), &code)) {
        code = run(args, &detach);
        complaints_end(code);
        exit(code);
    }
    if (id[0] != '\0' && args->json) {
        print_object(json_pack("{s:s}", "id", id));
    } else if (id[0] != '\0') {
        printf("%s\n", id);
    }
    return code;
}

int session_log_to(struct session *session, const struct journal *journal,
                   const struct detach *detach)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[4200];
    snprintf(path, sizeof(path), "%s/log", journal_dir(journal));
    if (detach != NULL && !detach_to_log(path, &err)) {
        complain(&err);
        return EXIT_FAILED;
    }
    ninja_log_about(NINJA_LOG_MIGRATION, journal_id(journal));
    ninja_log_about(NINJA_LOG_CLUSTER, session->cluster->name);
    session->log = log_file_open(journal_dir(journal), detach != NULL);
    return EXIT_DONE;
}

void interrupts_catch(struct interrupts *interrupts, struct event_base *base,
                      event_callback_fn callback, void *arg)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        interrupts->events[i] = evsignal_new(base, signals[i], callback, arg);
        event_add(interrupts->events[i], NULL);
    }
}

void interrupts_release(struct interrupts *interrupts)
{
    for (int i = 0; i < 3; i++) {
        event_free(interrupts->events[i]);
    }
}
