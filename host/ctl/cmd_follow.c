/*
 * list, watch and wait: migrations seen from outside, by what they write in the state directory.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/base/json_text.h"
#include "host/base/timer.h"
#include "host/ctl/ninjactl.h"
#include "host/journal/history.h"
#include "host/journal/watch.h"
#include "host/migration/state.h"

/* ---- list ---- */

static void print_seconds(json_t *ms)
{
    if (json_is_integer(ms)) {
        printf(" %9.3f s", (double)json_integer_value(ms) / 1000.0);
    } else {
        printf(" %9s  ", "-");
    }
}

/* Nothing moves in a checkpoint, and a restart is from its images. */
static void way_of(json_t *line, char *way, size_t size)
{
    const char *operation = json_text_in(line, "operation");
    if (strcmp(operation, "checkpoint") == 0) {
        snprintf(way, size, "%s", operation);
    } else {
        snprintf(way, size, "%s -> %s", operation[0] ? operation : json_text_in(line, "from"),
                 json_text_in(line, "to"));
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
        way_of(line, way, sizeof(way));
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

static void print_line(json_t *line)
{
    json_t *out = json_pack("{s:i}", "version", NINJACTL_JSON_VERSION);
    json_object_update_missing(out, line);
    json_dumpf(out, stdout, JSON_COMPACT);
    printf("\n");
    fflush(stdout);
    json_decref(out);
}

static void rest(void)
{
    struct timespec time = {.tv_nsec = WATCH_LOOK_MS * 1000000L};
    nanosleep(&time, NULL);
}

static int ended(const struct watch *watch, const struct args *args)
{
    if (watch_reason(watch)[0] != '\0') {
        complain_of("migration %s: %s: %s", watch_id(watch), watch_outcome(watch),
                    watch_reason(watch));
    }
    return exit_code_named(watch_outcome(watch), args->strict);
}

/* It can be taken on, whether its coordinator died, or gave it up as it could not decide. */
static int interrupted(const struct watch *watch, const struct args *args)
{
    const char *id = watch_id(watch);
    if (strcmp(watch_state(watch), state_name(STATE_NEEDS_OPERATOR)) == 0) {
        json_t *report = report_read(args->state_dir, id, NULL);
        complain_of("migration %s needs an operator: %s", id,
                    report != NULL ? json_text_in(report, "reason") : "it has no report");
        complain_of("when that is mended, \"ninjactl resume %s\" takes it on", id);
        json_decref(report);
    } else {
        complain_of("migration %s was interrupted: its coordinator ended before it did; "
                    "\"ninjactl resume %s\" takes it on, \"ninjactl abort %s\" takes it back",
                    id, id, id);
    }
    return EXIT_OPERATOR;
}

static int watch_to_the_end(struct watch *watch, const struct args *args, bool print)
{
    int64_t until = now_ms() + (int64_t)args->wait_seconds * 1000;
    for (;; rest()) {
        json_t *line;
        while ((line = watch_next(watch)) != NULL) {
            if (print) {
                print_line(line);
            }
            json_decref(line);
        }
        switch (watch_verdict(watch)) {
        case WATCH_ENDED:
            return ended(watch, args);
        case WATCH_INTERRUPTED:
            return interrupted(watch, args);
        case WATCH_GOES_ON:
            break;
        }
        if (ferror(stdout)) { /* a full disk, or nobody reads it any more */
            return EXIT_OUTPUT;
        }
        if (args->wait_seconds >= 0 && now_ms() >= until) {
            complain_of("migration %s has not ended within %d s; it goes on", watch_id(watch),
                        args->wait_seconds);
            return EXIT_NOT_ENDED;
        }
    }
}

static int follow_migration(const struct args *args, bool print, char *id)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (!history_find(args->state_dir, args->word, id, &err)) {
        complain(&err);
        return EXIT_FAILED;
    }
    struct watch *watch = watch_new(args->state_dir, id);
    int code = watch_to_the_end(watch, args, print);
    watch_free(watch);
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
