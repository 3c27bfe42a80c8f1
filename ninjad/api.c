#include "ninjad/api.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/json_text.h"
#include "ninjad/metrics.h"

/* Arguments that several commands take. */
#define CLUSTER                                                                                    \
    {                                                                                              \
        "cluster", ARGUMENT_NAME, NULL, 0, NULL, false                                             \
    }
#define ID                                                                                         \
    {                                                                                              \
        "id", ARGUMENT_ID, NULL, 0, NULL, false                                                    \
    }
#define TIMEOUTS                                                                                   \
    {                                                                                              \
        "timeouts", ARGUMENT_TIMEOUTS, "--timeout", 0, NULL, false                                 \
    }
#define LIMITS                                                                                     \
    TIMEOUTS, {"bandwidth", ARGUMENT_NUMBER, "--bandwidth", TRANSFER_MAX_BANDWIDTH, NULL, false},  \
    {                                                                                              \
        "downtime-limit", ARGUMENT_NUMBER, "--downtime-limit", TRANSFER_MAX_DOWNTIME, NULL, false  \
    }
#define PLACES                                                                                     \
    {"site", ARGUMENT_NAME, NULL, 0, NULL, false},                                                 \
    {                                                                                              \
        "vms", ARGUMENT_PLACES, NULL, 0, NULL, false                                               \
    }
#define HOST(required)                                                                             \
    {"host", ARGUMENT_NAME, NULL, 0, NULL, required},                                              \
    {                                                                                              \
        "to", ARGUMENT_NAMES, "--to", 64, NULL, false                                              \
    }
#define MIGRATION                                                                                  \
    CLUSTER, LIMITS, {"mode", ARGUMENT_CHOICE, "--mode", 0, " live paused ", false},               \
        {"parallel", ARGUMENT_NUMBER, "--parallel", TRANSFER_MAX_PARALLEL, NULL, false},           \
        {"compress", ARGUMENT_CHOICE, "--compress", 0, " none zlib zstd ", false},                 \
        {"postcopy-bandwidth",                                                                     \
         ARGUMENT_NUMBER,                                                                          \
         "--postcopy-bandwidth",                                                                   \
         TRANSFER_MAX_BANDWIDTH,                                                                   \
         NULL,                                                                                     \
         false},                                                                                   \
        {"auto", ARGUMENT_FLAG, "--auto", 0, NULL, false},                                         \
        {"max-downtime", ARGUMENT_NUMBER, "--max-downtime", TRANSFER_MAX_DOWNTIME, NULL, false},   \
        {"max-total", ARGUMENT_NUMBER, "--max-total", 7 * 24 * 3600, NULL, false},                 \
        {"max-bytes", ARGUMENT_NUMBER, "--max-bytes", 1000000000, NULL, false},                       \
        {"priority", ARGUMENT_CHOICE, "--priority", 0, " latency throughput network ", false},     \
        {"postcopy", ARGUMENT_FLAG, "--postcopy", 0, NULL, false},                                 \
    {                                                                                              \
        "postcopy-if-stuck", ARGUMENT_FLAG, "--postcopy-if-stuck", 0, NULL, false                  \
    }

static const struct argument no_arguments[] = {{0}};
static const struct argument of_cluster[] = {CLUSTER, {0}};
static const struct argument of_survey[] = {CLUSTER, TIMEOUTS, {0}};
static const struct argument of_check[] = {
    CLUSTER, LIMITS, {"site", ARGUMENT_NAME, NULL, 0, NULL, false}, {0}};
static const struct argument of_plan[] = {MIGRATION, PLACES, HOST(false), {0}};
static const struct argument of_migrate[] = {
    MIGRATION, PLACES, {"key", ARGUMENT_KEY, "--key", 0, NULL, false}, {0}};
static const struct argument of_evacuate[] = {
    MIGRATION, HOST(true), {"key", ARGUMENT_KEY, "--key", 0, NULL, false}, {0}};
static const struct argument of_switch[] = {
    CLUSTER,
    TIMEOUTS,
    {"btl", ARGUMENT_LIST, "--btl", 0, NULL, false},
    {"release", ARGUMENT_LIST, "--release", 0, NULL, false},
    {"vms", ARGUMENT_NAMES, NULL, CLUSTER_MAX_VMS, NULL, false},
    {0}};
static const struct argument of_list[] = {
    CLUSTER, {"last", ARGUMENT_NUMBER, NULL, 1000, NULL, false}, {0}};
static const struct argument of_migration[] = {CLUSTER, ID, {0}};
static const struct argument of_wait[] = {
    CLUSTER, ID, {"timeout", ARGUMENT_NUMBER, NULL, 7 * 24 * 3600, NULL, false}, {0}};
static const struct argument of_recover[] = {CLUSTER, ID, TIMEOUTS, {0}};

/* Surveys end by the time-outs of the cluster file; the limit is for what they do not know of. */
#define SURVEY_S 300

const struct command api_commands[] = {
    {"version", tell_version, 0, no_arguments, 0, 0},
    {"clusters", tell_clusters, 0, no_arguments, 0, 0},
    {"sites", tell_sites, 0, of_cluster, 0, 0},
    {"check", work_look, TRUSTED | WORKS, of_check, WORKER_LOOKS, SURVEY_S},
    {"devices", work_look, TRUSTED | WORKS, of_survey, WORKER_LOOKS, SURVEY_S},
    {"plan", work_plan, TRUSTED | WORKS, of_plan, WORKER_LOOKS, SURVEY_S},
    {"status", work_look, TRUSTED | WORKS, of_survey, WORKER_LOOKS, SURVEY_S},
    {"migrate", work_migrate, TRUSTED | WORKS | DETACHES, of_migrate, WORKER_BEGINS, SURVEY_S},
    {"evacuate", work_migrate, TRUSTED | WORKS | DETACHES, of_evacuate, WORKER_BEGINS, SURVEY_S},
    {"switch", work_switch, TRUSTED | WORKS, of_switch, WORKER_CHANGES, 3600},
    {"list", tell_list, 0, of_list, 0, 0},
    {"show", tell_show, 0, of_migration, 0, 0},
    {"report", tell_report, 0, of_migration, 0, 0},
    {"watch", follow_watch, 0, of_migration, 0, 0},
    {"wait", follow_wait, 0, of_wait, 0, 0},
    {"abort", work_recover, TRUSTED | WORKS | DETACHES | URGENT, of_recover, WORKER_BEGINS,
     SURVEY_S},
    {"resume", work_recover, TRUSTED | WORKS | DETACHES, of_recover, WORKER_BEGINS, SURVEY_S},
};
const size_t api_n_commands = sizeof(api_commands) / sizeof(api_commands[0]);

/* ---- answers ---- */

void api_answer(struct client *client, json_t *id, json_t *result, const struct ninja_error *err)
{
    json_t *line = err == NULL ? json_pack("{s:O}", "return", result)
                               : json_pack("{s:{s:s, s:o}}", "error", "class",
                                           ninja_error_class_name(err->class), "desc",
                                           json_text(err->message));
    if (id != NULL) {
        json_object_set(line, "id", id);
    }
    client_send(client, line);
    json_decref(line);
}

void api_event(struct client *client, const char *name, json_t *id, json_t *data)
{
    json_t *line = json_pack("{s:s, s:o}", "event", name, "data", data);
    if (id != NULL) {
        json_object_set(line, "id", id);
    }
    client_send(client, line);
    json_decref(line);
}

/* ---- requests ---- */

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < api_n_commands; i++) {
        if (strcmp(api_commands[i].name, name) == 0) {
            return &api_commands[i];
        }
    }
    return NULL;
}

static bool only_known_members(json_t *request, struct ninja_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(request, key, value)
    {
        if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 &&
            strcmp(key, "id") != 0) {
            return ninja_error_set(err, ERR_BAD_REQUEST,
                                   "there is no member \"%.60s\" in a request; there are: execute, "
                                   "arguments, id",
                                   key);
        }
    }
    return true;
}

/* The command of a request whose form is right; otherwise NULL with err. */
static const struct command *check(const struct client *client, json_t *request,
                                   struct ninja_error *err)
{
    json_t *args = json_object_get(request, "arguments");
    const char *name = json_string_value(json_object_get(request, "execute"));
    if (!only_known_members(request, err)) {
        return NULL;
    }
    if (name == NULL) {
        ninja_error_set(err, ERR_BAD_REQUEST, "\"execute\" must be the name of a command");
        return NULL;
    }
    if (args != NULL && !json_is_object(args)) {
        ninja_error_set(err, ERR_BAD_REQUEST, "\"arguments\" must be an object");
        return NULL;
    }
    const struct command *command = find_command(name);
    if (command == NULL) {
        ninja_error_set(err, ERR_COMMAND_NOT_FOUND,
                        "there is no command \"%.60s\"; \"version\" tells those that there are",
                        name);
        return NULL;
    }
    if ((command->flags & TRUSTED) != 0 && !client_peer(client)->may_act) {
        ninja_error_set(err, ERR_FORBIDDEN, "\"%s\" is not for a read-only connection", name);
        return NULL;
    }
    return arguments_check(args, command->arguments, err) ? command : NULL;
}

static void tell_log(const struct call *call)
{
    char *args = call->args != NULL ? json_dumps(call->args, JSON_COMPACT) : NULL;
    if ((call->command->flags & WORKS) != 0) {
        ninja_log_info("uid %u (pid %d) asks for %s %.300s", (unsigned)call->peer.uid,
                       (int)call->peer.pid, call->command->name, args != NULL ? args : "");
    } else {
        ninja_log_debug("uid %u (pid %d) asks for %s %.300s", (unsigned)call->peer.uid,
                        (int)call->peer.pid, call->command->name, args != NULL ? args : "");
    }
    free(args);
}

static void run(struct call *call)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    tell_log(call);
    json_t *result = call->command->run(call, &err);
    if (result != NULL) {
        call_return(call, result);
    } else if (ninja_error_is_set(&err)) {
        call_fail(call, &err);
    } else {
        work_next(call->ninjad); /* it may be done with before this returns */
    }
}

void api_request(struct ninjad *ninjad, struct client *client, json_t *request, const char *wrong)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *id = json_object_get(request, "id");
    const struct command *command = NULL;
    struct call *call = NULL;
    if (request == NULL) {
        ninja_error_set(&err, ERR_BAD_REQUEST, "%s", wrong);
    } else {
        command = check(client, request, &err);
    }
    if (command != NULL) {
        call = call_new(ninjad, client, command, id, json_object_get(request, "arguments"), &err);
    }
    if (call != NULL) {
        run(call);
        return;
    }
    metrics_count_request(ninjad->metrics, command != NULL ? command->name : NULL, false);
    api_answer(client, id, NULL, &err);
}

void api_resume(struct ninjad *ninjad, const char *id)
{
    json_t *args = json_pack("{s:s}", "id", id);
    struct call *call = call_new(ninjad, NULL, find_command("resume"), NULL, args, NULL);
    json_decref(args);
    if (call != NULL) {
        run(call);
    }
}
