/*
 * list, watch and wait: migrations seen from outside, by what they write in the state directory.
 * Nothing is asked of the process that runs one, so any number may look on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host-hook/history.h"
#include "host-hook/json_text.h"
#include "host-hook/ninjactl.h"
#include "host-hook/state.h"
#include "host-hook/timer.h"

#define LOOK_MS 200
#define SETTLE_MS                                                                                  \
    5000 /* from the outcome to the report, and from the directory to a first line                 \
          */

/* ---- list ---- */

static void print_seconds(json_t *ms)
{
    if (json_is_integer(ms)) {
        printf(" %9.3f s", (double)json_integer_value(ms) / 1000.0);
    } else {
        printf(" %9s  ", "-");
    }
}

static void print_list(json_t *list)
{
    size_t i;
    json_t *line;
    if (json_array_size(list) > 0) {
        printf("%-19s %-19s %-6s %-17s %-12s %11s %11s\n", "ID", "BEGIN", "MODE", "FROM -> TO",
               "OUTCOME", "STALL", "TIME");
    }
    json_array_foreach(list, i, line)
    {
        char way[140];
        snprintf(way, sizeof(way), "%s -> %s", json_text_in(line, "from"),
                 json_text_in(line, "to"));
        printf("%-19s %-19.19s %-6s %-17s %-12s", json_text_in(line, "id"),
               json_text_in(line, "begin"), json_text_in(line, "mode"), way,
               json_text_in(line, "outcome"));
        print_seconds(json_object_get(line, "stall_ms"));
        print_seconds(json_object_get(line, "duration_ms"));
        printf("\n");
        if (json_text_in(line, "reason")[0] != '\0') {
            printf("    %s\n", json_text_in(line, "reason"));
        }
    }
}

int cmd_list(const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *list = history_list(args->state_dir, args->last, &err);
    if (list == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    if (args->json) {
        print_object(json_pack("{s:O}", "migrations", list));
    } else {
        print_list(list);
    }
    json_decref(list);
    return EXIT_DONE;
}

/* ---- watch and wait ---- */

struct watch {
    const struct args *args;
    char id[JOURNAL_ID_SIZE];
    struct follow *journal, *progress;
    char cluster[CLUSTER_MAX_NAME + 1]; /* empty: its first line is not there yet */
    char state[24];                     /* the last one that was entered */
    char outcome[32];                   /* empty: it has none yet */
    char reason[1000];                  /* why it is not "done" */
    int64_t began_ms;
    bool print;
};

static const char *type_of(const struct watch *watch, json_t *line)
{
    static const char *const types[] = {"outcome", "taken_on_in", "failed", "abort",
                                        "warning", "step",        "vm"};
    if (watch->cluster[0] == '\0') {
        return "begin";
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (json_object_get(line, types[i]) != NULL) {
            return strcmp(types[i], "taken_on_in") == 0 ? "taken-on" : types[i];
        }
    }
    return json_object_get(line, "state") != NULL ? "state" : "other";
}

static void print_line(const struct watch *watch, const char *type, json_t *line)
{
    if (watch->print) {
        json_t *out = json_pack("{s:i, s:s, s:s}", "version", NINJACTL_JSON_VERSION, "id",
                                watch->id, "type", type);
        json_object_update_missing(out, line);
        json_dumpf(out, stdout, JSON_COMPACT);
        printf("\n");
        fflush(stdout);
        json_decref(out);
    }
}

static void take_journal(struct watch *watch)
{
    json_t *line;
    while (watch->outcome[0] == '\0' && (line = follow_next(watch->journal)) != NULL) {
        print_line(watch, type_of(watch, line), line);
        if (watch->cluster[0] == '\0') {
            snprintf(watch->cluster, sizeof(watch->cluster), "%s", json_text_in(line, "cluster"));
        }
        if (json_text_in(line, "state")[0] != '\0') {
            snprintf(watch->state, sizeof(watch->state), "%s", json_text_in(line, "state"));
        }
        snprintf(watch->outcome, sizeof(watch->outcome), "%s", json_text_in(line, "outcome"));
        snprintf(watch->reason, sizeof(watch->reason), "%s", json_text_in(line, "reason"));
        json_decref(line);
    }
}

static void take_progress(struct watch *watch, bool print)
{
    json_t *line;
    while ((line = follow_next(watch->progress)) != NULL) {
        if (print) {
            print_line(watch, "progress", line);
        }
        json_decref(line);
    }
}

static void rest(void)
{
    struct timespec time = {.tv_nsec = LOOK_MS * 1000000L};
    nanosleep(&time, NULL);
}

/* The report is written after the outcome; who waited for the end may want to read it next. */
static int ended(const struct watch *watch)
{
    int64_t until = now_ms() + SETTLE_MS;
    json_t *report = NULL;
    while ((report = report_read(watch->args->state_dir, watch->id, NULL)) == NULL &&
           lock_holder(watch->args->state_dir, watch->cluster) > 0 && now_ms() < until) {
        rest();
    }
    json_decref(report);
    if (watch->reason[0] != '\0') {
        fprintf(stderr, "ninjactl: migration %s: %s: %s\n", watch->id, watch->outcome,
                watch->reason);
    }
    return exit_code_named(watch->outcome, watch->args->strict);
}

/* It can be taken on, whether its coordinator died, or gave it up as it could not decide. */
static int interrupted(struct watch *watch)
{
    json_t *line = json_pack("{s:s}", "state", watch->state);
    print_line(watch, "interrupted", line);
    json_decref(line);
    if (strcmp(watch->state, state_name(STATE_NEEDS_OPERATOR)) == 0) {
        json_t *report = report_read(watch->args->state_dir, watch->id, NULL);
        fprintf(stderr,
                "ninjactl: migration %s needs an operator: %s\n"
                "ninjactl: when that is mended, \"ninjactl resume %s\" takes it on\n",
                watch->id, report != NULL ? json_text_in(report, "reason") : "it has no report",
                watch->id);
        json_decref(report);
    } else {
        fprintf(stderr,
                "ninjactl: migration %s was interrupted: its coordinator ended before it did; "
                "\"ninjactl resume %s\" takes it on, \"ninjactl abort %s\" takes it back\n",
                watch->id, watch->id, watch->id);
    }
    return EXIT_OPERATOR;
}

/* Whether nobody works on it any more. What was written before the lock went is read by then. */
static bool is_abandoned(struct watch *watch)
{
    bool began = watch->cluster[0] != '\0';
    bool held = began && lock_holder(watch->args->state_dir, watch->cluster) != 0;
    if (held || (!began && now_ms() - watch->began_ms < SETTLE_MS)) {
        return false;
    }
    take_journal(watch);
    return watch->outcome[0] == '\0';
}

static int watch_to_the_end(struct watch *watch)
{
    int64_t limit = (int64_t)watch->args->wait_seconds * 1000;
    take_progress(watch, false); /* of what was, the journal tells enough */
    for (;;) {
        take_journal(watch);
        take_progress(watch, true);
        if (watch->outcome[0] != '\0') {
            return ended(watch);
        }
        if (ferror(stdout)) { /* nobody reads it any more */
            return EXIT_FAILED;
        }
        if (is_abandoned(watch)) {
            return interrupted(watch);
        }
        if (watch->args->wait_seconds >= 0 && now_ms() - watch->began_ms >= limit) {
            fprintf(stderr, "ninjactl: migration %s has not ended within %d s; it goes on\n",
                    watch->id, watch->args->wait_seconds);
            return EXIT_NOT_ENDED;
        }
        rest();
    }
}

static int follow_migration(const struct args *args, bool print, char *id)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct watch watch = {.args = args, .print = print, .began_ms = now_ms()};
    if (!history_find(args->state_dir, args->word, id, &err)) {
        complain(&err);
        return EXIT_FAILED;
    }
    strcpy(watch.id, id); /* both are JOURNAL_ID_SIZE */
    watch.journal = follow_new(args->state_dir, id, "journal");
    watch.progress = follow_new(args->state_dir, id, "progress");
    int code = watch_to_the_end(&watch);
    follow_free(watch.journal);
    follow_free(watch.progress);
    return code;
}

int cmd_watch(const struct args *args)
{
    char id[JOURNAL_ID_SIZE];
    return follow_migration(args, true, id);
}

int cmd_wait(const struct args *args)
{
    char id[JOURNAL_ID_SIZE] = "";
    int code = follow_migration(args, false, id);
    json_t *entry = args->json && id[0] != '\0' ? history_entry(args->state_dir, id, NULL) : NULL;
    if (entry != NULL) {
        print_object(entry);
    }
    return code;
}
