/*
 * The commands that are answered at once, from memory and the state directory.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/journal/history.h"
#include "host/journal/watch.h"
#include "ninjad/api.h"
#include "ninjad/clusters.h"
#include "ninjad/past.h"

#define LIST_LAST 100 /* if nothing else is asked for */

json_t *tell_greeting(bool may_act)
{
    json_t *commands = json_array();
    for (size_t i = 0; i < api_n_commands; i++) {
        if (may_act || (api_commands[i].flags & TRUSTED) == 0) {
            json_array_append_new(commands, json_string(api_commands[i].name));
        }
    }
    return json_pack("{s:i, s:s, s:s, s:o}", "api", API_VERSION, "version", PACKAGE_VERSION,
                     "access", may_act ? "full" : "read-only", "commands", commands);
}

json_t *tell_version(struct call *call, struct ninja_error *err)
{
    return tell_greeting(call->peer.may_act);
}

json_t *tell_clusters(struct call *call, struct ninja_error *err)
{
    return json_pack("{s:o}", "clusters", clusters_names(call->ninjad->clusters));
}

json_t *tell_sites(struct call *call, struct ninja_error *err)
{
    struct cluster *cluster =
        clusters_open(call->ninjad->clusters, call_text(call, "cluster"), err);
    if (cluster == NULL) {
        return NULL;
    }
    json_t *all = cluster_to_json(cluster);
    cluster_free(cluster);
    return all;
}

json_t *tell_list(struct call *call, struct ninja_error *err)
{
    json_t *last = json_object_get(call->args, "last");
    if (!past_refresh(call->ninjad->past, err)) {
        return NULL;
    }
    return json_pack("{s:o}", "migrations",
                     past_list(call->ninjad->past, call_text(call, "cluster"),
                               last != NULL ? (int)json_integer_value(last) : LIST_LAST));
}

json_t *tell_find_migration(struct call *call, struct ninja_error *err)
{
    const char *id = call_text(call, "id"), *cluster = call_text(call, "cluster");
    struct past *past = call->ninjad->past;
    if (!past_refresh(past, err)) {
        return NULL;
    }
    json_t *entry = id != NULL ? past_find(past, id) : past_latest(past, cluster);
    if (entry == NULL && id != NULL) {
        ninja_error_set(err, ERR_NOT_FOUND,
                        "there is no migration \"%s\"; \"list\" tells those that "
                        "there are",
                        id);
    } else if (entry == NULL) {
        ninja_error_set(err, ERR_NOT_FOUND, "there is no migration%s%s yet", cluster ? " of " : "",
                        cluster ? cluster : "");
    } else if (cluster != NULL && strcmp(json_text_in(entry, "cluster"), cluster) != 0) {
        ninja_error_set(err, ERR_NOT_FOUND, "%s is a migration of \"%s\", not of \"%s\"", id,
                        json_text_in(entry, "cluster"), cluster);
        entry = NULL;
    } else {
        snprintf(call->migration, sizeof(call->migration), "%s", json_text_in(entry, "id"));
    }
    return entry;
}

json_t *tell_show(struct call *call, struct ninja_error *err)
{
    json_t *entry = tell_find_migration(call, err);
    struct watch *watch =
        entry ? watch_new(call->ninjad->options->state_dir, call->migration) : NULL;
    if (watch == NULL) {
        return entry ? json_incref(entry) : NULL;
    }
    json_t *line, *shown = json_copy(entry);
    while ((line = watch_next(watch)) != NULL) {
        json_decref(line);
    }
    json_object_set_new(shown, "state", json_string(watch_state(watch)));
    watch_free(watch);
    return shown;
}

json_t *tell_report(struct call *call, struct ninja_error *err)
{
    return tell_find_migration(call, err) != NULL
               ? report_read(call->ninjad->options->state_dir, call->migration, err)
               : NULL;
}
