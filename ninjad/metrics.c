#include "config.h"

#include "host/base/memory.h"
#include "ninjad/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "common/log.h"
#include "host/base/json_text.h"
#include "host/base/whole_file.h"
#include "host/journal/history.h"
#include "ninjad/api.h"
#include "ninjad/clusters.h"
#include "ninjad/past.h"
#include "ninjad/server.h"

/* Readable for the collector, which is another user. */
#define MODE 0644

struct metrics {
    struct ninjad *ninjad;
    unsigned long (*requests)[2]; /* of each command, and of none: failed, ok */
    time_t began;
    struct ninja_error complained; /* of the last time */
};

struct metrics *metrics_new(struct ninjad *ninjad)
{
    struct metrics *metrics = xcalloc(1, sizeof(*metrics));
    metrics->ninjad = ninjad;
    metrics->began = time(NULL);
    metrics->requests = xcalloc(api_n_commands + 1, sizeof(*metrics->requests));
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics != NULL) {
        free(metrics->requests);
        free(metrics);
    }
}

void metrics_count_request(struct metrics *metrics, const char *command, bool ok)
{
    size_t i = 0;
    while (i < api_n_commands && (command == NULL || strcmp(api_commands[i].name, command) != 0)) {
        i++;
    }
    metrics->requests[i][ok]++;
}

/* ---- writing ---- */

static void family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(FILE *out, const char *name, const char *type, const char *help, double value)
{
    family(out, name, type, help);
    fprintf(out, "%s %.15g\n", name, value);
}

/* The value of a label: its three special characters are escaped. */
static void label(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"') {
            fputc('\\', out);
        }
        fputs(*text == '\n' ? "\\n" : (const char[]){*text, '\0'}, out);
    }
}

static void write_migrations(FILE *out, const struct past *past)
{
    static const char name[] = "ninja_migrations_total";
    family(out, name, "counter", "Migrations that ended, by outcome.");
    for (enum past_outcome o = 0; o < PAST_OPERATOR; o++) {
        fprintf(out, "%s{outcome=\"%s\"} %d\n", name, past_outcome_name(o), past_count(past, o));
    }
    single(out, "ninja_migrations_running", "gauge", "Migrations that run now.",
           past_count(past, PAST_RUNNING));
    single(out, "ninja_migrations_interrupted", "gauge",
           "Migrations whose coordinator ended before they did; ninjactl resume takes them on.",
           past_count(past, PAST_INTERRUPTED));
    single(out, "ninja_migrations_need_operator", "gauge",
           "Migrations that only a person can decide about.", past_count(past, PAST_OPERATOR));
}

/* The last one of a cluster that has ended, borrowed; NULL: there is none. */
static json_t *last_ended(const struct past *past, const char *cluster)
{
    json_t *list = past_list(past, cluster, 20), *found = NULL;
    for (size_t i = json_array_size(list); i > 0 && found == NULL; i--) {
        json_t *entry = json_array_get(list, i - 1);
        found = past_outcome_of(entry) < PAST_OPERATOR ? entry : NULL;
    }
    json_decref(list); /* the entries stay with past */
    return found;
}

static double seconds(json_t *entry, const char *key)
{
    return json_number_value(json_object_get(entry, key)) / 1000.0;
}

static double stall_of(const struct past *past, json_t *entry)
{
    return seconds(entry, "stall_ms");
}

static double duration_of(const struct past *past, json_t *entry)
{
    return seconds(entry, "duration_ms");
}

static double bytes_of(const struct past *past, json_t *entry)
{
    int64_t bytes = past_bytes(past, json_text_in(entry, "id"));
    return bytes > 0 ? (double)bytes : 0;
}

static double end_of(const struct past *past, json_t *entry)
{
    return (double)history_time_ms(json_text_in(entry, "end")) / 1000.0;
}

static void write_last(FILE *out, const struct past *past, json_t *clusters)
{
    static const struct {
        const char *name, *help;
        double (*value)(const struct past *past, json_t *entry);
    } gauges[] = {
        {"ninja_last_migration_stall_seconds",
         "How long jobs stood still in the last migration of the cluster, in all.", stall_of},
        {"ninja_last_migration_duration_seconds",
         "How long the last migration of the cluster took.", duration_of},
        {"ninja_last_migration_transferred_bytes",
         "What the VMs sent in the last migration of the cluster.", bytes_of},
        {"ninja_last_migration_end_timestamp_seconds",
         "When the last migration of the cluster ended.", end_of},
    };
    for (size_t g = 0; g < sizeof(gauges) / sizeof(gauges[0]); g++) {
        size_t i;
        json_t *name;
        family(out, gauges[g].name, "gauge", gauges[g].help);
        json_array_foreach(clusters, i, name)
        {
            json_t *entry = last_ended(past, json_string_value(name));
            if (entry != NULL) {
                fprintf(out, "%s{cluster=\"", gauges[g].name);
                label(out, json_string_value(name));
                fprintf(out, "\"} %.15g\n", gauges[g].value(past, entry));
            }
        }
    }
}

static void write_requests(FILE *out, const struct metrics *metrics)
{
    static const char name[] = "ninjad_requests_total";
    static const char *const results[] = {"error", "ok"};
    family(out, name, "counter", "Answered requests, by command and result.");
    for (size_t i = 0; i <= api_n_commands; i++) {
        const char *command = i < api_n_commands ? api_commands[i].name : "none";
        for (int ok = 0; ok < 2; ok++) {
            if (metrics->requests[i][ok] > 0) {
                fprintf(out, "%s{command=\"%s\",result=\"%s\"} %lu\n", name, command, results[ok],
                        metrics->requests[i][ok]);
            }
        }
    }
}

static void write_service(FILE *out, const struct metrics *metrics)
{
    const struct ninjad *ninjad = metrics->ninjad;
    family(out, "ninjad_info", "gauge", "The version of the service; always 1.");
    fprintf(out, "ninjad_info{version=\"%s\",api=\"%d\"} 1\n", PACKAGE_VERSION, API_VERSION);
    single(out, "ninjad_start_timestamp_seconds", "gauge", "When the service was started.",
           (double)metrics->began);
    single(out, "ninjad_clients", "gauge", "Connections.", server_clients(ninjad->server));
    single(out, "ninjad_workers", "gauge", "Commands that run.",
           calls_count(ninjad->calls, CALL_WORKS));
    single(out, "ninjad_queued_requests", "gauge", "Requests that wait for a worker.",
           calls_count(ninjad->calls, CALL_QUEUED));
    family(out, "ninjad_refused_connections_total", "counter", "Refused connections, by reason.");
    fprintf(out, "ninjad_refused_connections_total{reason=\"stranger\"} %lu\n",
            server_refused(ninjad->server, REFUSED_STRANGER));
    fprintf(out, "ninjad_refused_connections_total{reason=\"too-many\"} %lu\n",
            server_refused(ninjad->server, REFUSED_TOO_MANY));
    write_requests(out, metrics);
}

static char *make_text(const struct metrics *metrics, size_t *size)
{
    char *text = NULL;
    json_t *clusters = clusters_names(metrics->ninjad->clusters);
    FILE *out = xopen_stream(&text, size);
    write_migrations(out, metrics->ninjad->past);
    write_last(out, metrics->ninjad->past, clusters);
    write_service(out, metrics);
    fclose(out);
    json_decref(clusters);
    return text;
}

void metrics_write(struct metrics *metrics)
{
    const char *path = metrics->ninjad->options->metrics;
    struct ninja_error err = NINJA_ERROR_INIT;
    size_t size = 0;
    if (path == NULL) {
        return;
    }
    past_refresh(metrics->ninjad->past, NULL);
    char *text = make_text(metrics, &size);
    whole_file_write(path, MODE, text, size, &err);
    free(text);
    if (ninja_error_is_set(&err) && strcmp(err.message, metrics->complained.message) != 0) {
        ninja_log_error("%s; metrics are not written", err.message);
    }
    metrics->complained = err;
}
