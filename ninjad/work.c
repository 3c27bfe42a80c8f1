/*
 * Theory of operation
 *
 * What touches VMs is done by ninjactl, in a process of its own: a look is a command that prints
 * JSON; a migration is begun with --detach, and is then no child of this process any more, but
 * is found in the state directory. So whatever ends this process, no migration ends with it.
 *
 * The QMP socket of a VM serves one at a time. So of each cluster one worker runs at a time, and
 * the others wait here, where they are told so if it takes too long, and not in the backlog of a
 * socket. An abort does not wait.
 *
 * A client that repeats a `migrate` with its key, as the first answer was lost, gets the migration
 * that has the key; or, while that is still being begun, the same answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/timer.h"
#include "ninjad/api.h"
#include "ninjad/asked.h"
#include "ninjad/clusters.h"
#include "ninjad/past.h"

#define QUEUE_S    120
#define URGENT_TOO 2 /* workers beyond the most that there may be */

/* ---- what a worker said ---- */

/* A ninjactl of another version may name a class that is not known here: that is a failure. */
static bool take_error(const char *text, struct ninja_error *err)
{
    json_t *json = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *error = json_object_get(json, "error");
    const char *desc = json_text_in(error, "desc");
    enum ninja_error_class class = ninja_error_class_of(json_text_in(error, "class"));
    bool said = desc[0] != '\0';
    if (said) {
        ninja_error_set(err, class == ERR_GENERIC ? ERR_FAILED : class, "%s", desc);
    }
    json_decref(json);
    return said;
}

static void set_error(const struct call *call, const struct worker_result *result,
                      struct ninja_error *err)
{
    const char *name = call->command->name;
    if (result->late) {
        ninja_error_set(err, ERR_TIMEOUT, "ninjactl %s had not ended after %d s", name,
                        call->command->limit_s);
    } else if (result->too_much) {
        ninja_error_set(err, ERR_TOO_LARGE, "ninjactl %s printed more than %u bytes", name,
                        WORKER_MAX_OUTPUT);
    } else if (take_error(result->error, err)) {
        return;
    } else if (result->code < 0) {
        ninja_error_set(err, ERR_FAILED, "ninjactl %s was ended by a signal", name);
    } else {
        ninja_error_set(err, ERR_FAILED,
                        "ninjactl %s ended with %d and did not say why; run it by hand to see",
                        name, result->code);
    }
}

/* The answer, or NULL with err. */
static json_t *read_result(struct call *call, const struct worker_result *result,
                           struct ninja_error *err)
{
    json_t *json = result->length > 0 && !result->too_much
                       ? json_loadb(result->output, result->length - 1, 0, NULL)
                       : NULL;
    bool begun = (call->command->flags & DETACHES) == 0 || result->code == 0;
    if (!json_is_object(json) || !begun) {
        json_decref(json);
        set_error(call, result, err);
        return NULL;
    }
    if (call->migration[0] != '\0' && json_object_get(json, "id") == NULL) {
        json_object_set_new(json, "id", json_string(call->migration));
    }
    return json;
}

/* ---- the key of a migration ---- */

/* A migration that an older ninjactl began says only where it went to. */
static bool is_same(const struct call *call, const char *cluster, json_t *entry)
{
    const char *asked = json_text_in(entry, "asked"), *site = call_text(call, "site");
    bool same_cluster = strcmp(call->cluster->name, cluster) == 0;
    if (asked[0] == '\0') {
        return same_cluster && site != NULL && strcmp(site, json_text_in(entry, "to")) == 0;
    }
    char *text = asked_text(call);
    bool same = same_cluster && strcmp(text, asked) == 0;
    free(text);
    return same;
}

static bool key_conflict(const struct call *call, const char *cluster, const char *asked,
                         struct ninja_error *err)
{
    return ninja_error_set(err, ERR_CONFLICT,
                           "the key \"%s\" is that of a migration of \"%.63s\" (%.200s); choose "
                           "another",
                           call_text(call, "key"), cluster, asked);
}

/* The answer if a migration has the key already; otherwise NULL, maybe with err. */
static json_t *find_key(const struct call *call, struct ninja_error *err)
{
    const char *key = call_text(call, "key");
    json_t *entry = NULL;
    if (key != NULL && past_refresh(call->ninjad->past, err)) {
        entry = past_find_key(call->ninjad->past, key);
    }
    if (entry == NULL) {
        return NULL;
    }
    const char *cluster = json_text_in(entry, "cluster"), *asked = json_text_in(entry, "asked");
    if (!is_same(call, cluster, entry)) {
        key_conflict(call, cluster, asked[0] != '\0' ? asked : json_text_in(entry, "to"), err);
        return NULL;
    }
    return json_pack("{s:s, s:b}", "id", json_text_in(entry, "id"), "repeated", true);
}

/* A migration with the key that is being begun. */
static struct call *find_pending_key(const struct call *call)
{
    const char *key = call_text(call, "key");
    struct call *other;
    TAILQ_FOREACH(other, calls_list(call->ninjad->calls), entry)
    {
        const char *its = other->state != CALL_NEW ? call_text(other, "key") : NULL;
        if (key != NULL && its != NULL && strcmp(key, its) == 0) {
            return other;
        }
    }
    return NULL;
}

/* Gives the answer to those that joined. */
static void answer_joined(struct call *call, json_t *result, const struct ninja_error *err)
{
    const char *key = call_text(call, "key");
    struct call *next;
    struct call *other = key != NULL ? TAILQ_FIRST(calls_list(call->ninjad->calls)) : NULL;
    for (; other != NULL; other = next) {
        next = TAILQ_NEXT(other, entry);
        if (other->state != CALL_JOINED || strcmp(call_text(other, "key"), key) != 0) {
            continue;
        }
        if (result != NULL) {
            json_t *same = json_copy(result);
            json_object_set_new(same, "repeated", json_true());
            call_return(other, same);
        } else {
            call_fail(other, err);
        }
    }
}

static void finish(struct call *call, json_t *result, struct ninja_error *err)
{
    struct ninja_error conflict = NINJA_ERROR_INIT;
    if (result == NULL) { /* another process may have begun it meanwhile */
        result = find_key(call, &conflict);
    }
    answer_joined(call, result, err);
    if (result != NULL) {
        call_return(call, result);
    } else {
        call_fail(call, err);
    }
}

/* ---- running ---- */

static void on_done(void *arg, const struct worker_result *result)
{
    struct call *call = arg;
    struct ninjad *ninjad = call->ninjad;
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *json = read_result(call, result, &err);
    if (json != NULL && call->command->run == work_migrate) {
        json_object_set_new(json, "repeated", json_false());
        ninja_log_info("migration %s of %s was begun for uid %u (pid %d)", json_text_in(json, "id"),
                       call->cluster->name, (unsigned)call->peer.uid, (int)call->peer.pid);
    }
    finish(call, json, &err);
    work_next(ninjad);
}

static void make_command_line(const struct call *call, struct command_line *line)
{
    const struct options *options = call->ninjad->options;
    bool places = call->command->run == work_migrate || call->command->run == work_plan;
    const char *site = call_text(call, "site");
    command_line_add(line, "%s", options->ninjactl);
    command_line_add(line, "%s", places ? asked_command(call) : call->command->name);
    if (call->command->run == work_plan && strcmp(asked_command(call), "plan") != 0) {
        command_line_add(line, "--dry-run");
    }
    command_line_add(line, "--cluster=%s", call->cluster->file);
    command_line_add(line, "--state-dir=%s", options->state_dir);
    command_line_add(line, "--json");
    if ((call->command->flags & DETACHES) != 0) {
        command_line_add(line, "--detach");
    }
    command_line_add_options(line, call->args, call->command->arguments);
    command_line_add(line, "--");
    if (places) {
        asked_add_words(call, line);
    } else if (call->command->run == work_switch) {
        command_line_add_words(line, json_object_get(call->args, "vms"));
    } else if (site != NULL || call->migration[0] != '\0') {
        command_line_add(line, "%s", site != NULL ? site : call->migration);
    }
}

static void start(struct call *call)
{
    struct command_line line = {.n = 0};
    struct ninja_error err = NINJA_ERROR_INIT;
    timer_free(&call->timer);
    make_command_line(call, &line);
    call_set_state(call, CALL_WORKS);
    call->worker = worker_start(call->ninjad->base, line.words, call->command->limit_s * 1000,
                                call->command->kind, on_done, call, &err);
    command_line_clear(&line);
    if (call->worker == NULL) {
        finish(call, NULL, &err);
    }
}

static bool is_busy(struct calls *calls, const char *cluster)
{
    struct call *call;
    TAILQ_FOREACH(call, calls_list(calls), entry)
    {
        if (call->state == CALL_WORKS && strcmp(call->cluster->name, cluster) == 0) {
            return true;
        }
    }
    return false;
}

static struct call *next_to_start(struct ninjad *ninjad)
{
    int room = ninjad->options->max_workers - calls_count(ninjad->calls, CALL_WORKS);
    struct call *call;
    TAILQ_FOREACH(call, calls_list(ninjad->calls), entry)
    {
        bool urgent = (call->command->flags & URGENT) != 0;
        if (call->state == CALL_QUEUED && room > (urgent ? -URGENT_TOO : 0) &&
            (urgent || !is_busy(ninjad->calls, call->cluster->name))) {
            return call;
        }
    }
    return NULL;
}

void work_next(struct ninjad *ninjad)
{
    struct call *call;
    while ((call = next_to_start(ninjad)) != NULL) {
        start(call);
    }
}

static void on_queue_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct call *call = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_TIMEOUT,
                    "other commands for \"%s\" have not ended for %d s; ask again",
                    call->cluster->name, QUEUE_S);
    finish(call, NULL, &err);
}

static void queue(struct call *call)
{
    call_set_state(call, CALL_QUEUED);
    call->timer = timer_start(call->ninjad->base, QUEUE_S * 1000, on_queue_timeout, call);
}

/* ---- commands ---- */

static bool open_cluster(struct call *call, const char *name, struct ninja_error *err)
{
    call->cluster = clusters_open(call->ninjad->clusters, name, err);
    return call->cluster != NULL;
}

json_t *work_look(struct call *call, struct ninja_error *err)
{
    struct ninja_error unknown = NINJA_ERROR_INIT;
    const char *site = call_text(call, "site");
    if (!open_cluster(call, call_text(call, "cluster"), err)) {
        return NULL;
    }
    if (site != NULL && !cluster_has_site(call->cluster, site, &unknown)) {
        ninja_error_set(err, ERR_NOT_FOUND, "%s", unknown.message);
        return NULL;
    }
    queue(call);
    return NULL;
}

json_t *work_plan(struct call *call, struct ninja_error *err)
{
    if (open_cluster(call, call_text(call, "cluster"), err) && asked_check(call, err)) {
        queue(call);
    }
    return NULL;
}

json_t *work_switch(struct call *call, struct ninja_error *err)
{
    return work_look(call, err);
}

/* With a migration that has the same key and is being begun. */
static void join(struct call *call, const struct call *pending, struct ninja_error *err)
{
    char *asked = asked_text(call), *its = asked_text(pending);
    if (strcmp(call->cluster->name, pending->cluster->name) == 0 && strcmp(asked, its) == 0) {
        call_set_state(call, CALL_JOINED);
    } else {
        key_conflict(call, pending->cluster->name, its, err);
    }
    free(asked);
    free(its);
}

json_t *work_migrate(struct call *call, struct ninja_error *err)
{
    if (!open_cluster(call, call_text(call, "cluster"), err) || !asked_check(call, err)) {
        return NULL;
    }
    json_t *known = find_key(call, err);
    const struct call *pending = find_pending_key(call);
    if (known != NULL || ninja_error_is_set(err)) {
        return known;
    }
    if (pending != NULL) {
        join(call, pending, err);
    } else {
        queue(call);
    }
    return NULL;
}

json_t *work_recover(struct call *call, struct ninja_error *err)
{
    json_t *entry = tell_find_migration(call, err);
    if (entry == NULL) {
        return NULL;
    }
    enum past_outcome outcome = past_outcome_of(entry);
    bool aborts = strcmp(call->command->name, "abort") == 0;
    if (outcome < PAST_OPERATOR) {
        ninja_error_set(err, ERR_ENDED, "migration %s has ended: %s; there is nothing to %s",
                        call->migration, json_text_in(entry, "outcome"), call->command->name);
    } else if (outcome == PAST_RUNNING && !aborts) {
        ninja_error_set(err, ERR_BUSY, "migration %s is running; \"wait\" tells how it ends",
                        call->migration);
    } else if (open_cluster(call, json_text_in(entry, "cluster"), err)) {
        queue(call);
    }
    return NULL;
}
