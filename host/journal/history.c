/*
 * A migration that ended has report.json. Before that, and for ever if its coordinator died, there
 * is only the journal: its first line says what was begun. Whether it still runs is told by the
 * lock of its cluster, which the kernel takes from a coordinator that died.
 */
#include "host/journal/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/journal/journal.h"

#define MAX_FILE_PATH 4096
#define MAX_LINE      (1 << 20)

int64_t history_time_ms(const char *text)
{
    struct tm tm = {0};
    long ms = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest != NULL && *rest == '.') {
        char *end;
        ms = strtol(rest + 1, &end, 10);
        rest = end - rest == 4 ? end : NULL;
    }
    struct tm zone = {0};
    if (rest == NULL || strptime(rest, "%z", &zone) == NULL) {
        return -1;
    }
    return ((int64_t)timegm(&tm) - zone.tm_gmtoff) * 1000 + ms;
}

/* A report may say anything. */
#define MAX_FIGURE 1000000000000

/* The wall clock may have been set meanwhile, and what the states took is not of it. */
int64_t history_duration_ms(json_t *report)
{
    json_t *states = json_object_get(report, "states");
    json_t *last = json_array_get(states, json_array_size(states) - 1);
    int64_t begin = history_time_ms(json_text_in(report, "begin"));
    int64_t end = history_time_ms(json_text_in(report, "end"));
    int64_t by_wall = begin >= 0 && end >= begin ? end - begin : -1;
    int64_t start = json_integer_value(json_object_get(last, "start_ms"));
    int64_t ms = json_integer_value(json_object_get(last, "ms"));
    if (last == NULL || start < 0 || start > MAX_FIGURE || ms < 0 || ms > MAX_FIGURE) {
        return by_wall;
    }
    int64_t by_states = start + ms;
    bool taken_on = json_object_get(report, "taken_on_in") != NULL; /* only since then */
    return taken_on && by_wall > by_states ? by_wall : by_states;
}

/* ---- following ---- */

struct follow {
    char path[MAX_FILE_PATH];
    FILE *in;
    char *line; /* MAX_LINE; the part of a line that is there is kept */
    size_t len;
    bool overlong;
};

struct follow *follow_new(const char *state_dir, const char *id, const char *file)
{
    struct follow *follow = xcalloc(1, sizeof(*follow));
    snprintf(follow->path, sizeof(follow->path), "%s/%s/%s", state_dir, id, file);
    follow->line = xmalloc(MAX_LINE);
    return follow;
}

/* Whether there is now a whole line in follow->line. */
static bool read_line(struct follow *follow)
{
    int c;
    clearerr(follow->in);
    while ((c = getc(follow->in)) != EOF) {
        if (c == '\n') {
            follow->line[follow->len] = '\0';
            follow->len = 0;
            return true;
        }
        if (follow->len < MAX_LINE - 1) {
            follow->line[follow->len++] = (char)c;
        } else {
            follow->overlong = true;
        }
    }
    return false;
}

json_t *follow_next(struct follow *follow)
{
    if (follow->in == NULL) {
        int fd = plain_file_open(follow->path, O_RDONLY, 0, ERR_STATE, NULL);
        follow->in = fd >= 0 ? fdopen(fd, "r") : NULL;
    }
    while (follow->in != NULL && follow->line != NULL && read_line(follow)) {
        json_t *json = follow->overlong ? NULL : json_loads(follow->line, 0, NULL);
        follow->overlong = false;
        if (json_is_object(json)) {
            return json;
        }
        json_decref(json);
    }
    return NULL;
}

void follow_free(struct follow *follow)
{
    if (follow != NULL) {
        if (follow->in != NULL) {
            fclose(follow->in);
        }
        free(follow->line);
        free(follow);
    }
}

/* ---- entries ---- */

static json_t *number_or_null(int64_t number)
{
    return number >= 0 ? json_integer(number) : json_null();
}

static json_t *of_report(json_t *report)
{
    static const char *const keys[] = {"id",    "cluster", "mode",    "from",  "to",
                                       "begin", "end",     "outcome", "reason"};
    json_t *entry = json_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_object_set_new(entry, keys[i], json_string(json_text_in(report, keys[i])));
    }
    static const char *const may_lack[] = {"key", "asked", "operation", "checkpoint"};
    for (size_t i = 0; i < sizeof(may_lack) / sizeof(may_lack[0]); i++) {
        if (json_object_get(report, may_lack[i]) != NULL) {
            json_object_set(entry, may_lack[i], json_object_get(report, may_lack[i]));
        }
    }
    /* Named stall_ms since there are lists (docs/ninjactl-json.md): that of all switches. */
    json_t *stall = json_object_get(report, "stall_total_ms");
    json_object_set(entry, "stall_ms", json_is_integer(stall) ? stall : json_null());
    json_object_set_new(entry, "duration_ms", number_or_null(history_duration_ms(report)));
    return entry;
}

/* The site that all VMs that move are at; if none is to, that where they are. */
static const char *comes_from(json_t *first)
{
    const char *from = "";
    size_t i;
    json_t *vm;
    json_array_foreach(json_object_get(first, "vms"), i, vm)
    {
        if (json_is_true(json_object_get(vm, "moves"))) {
            if (from[0] != '\0' && strcmp(from, json_text_in(vm, "at")) != 0) {
                return "several";
            }
            from = json_text_in(vm, "at");
        }
    }
    return from[0] != '\0' ? from : json_text_in(first, "to");
}

static json_t *of_journal(const char *state_dir, const char *id)
{
    struct follow *follow = follow_new(state_dir, id, "journal");
    json_t *first = follow_next(follow), *line;
    json_t *entry = NULL;
    if (first != NULL) {
        pid_t holder = lock_holder(state_dir, json_text_in(first, "cluster"));
        entry = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:n, s:s, s:s, s:n, s:n, s:O*, s:O*}",
                          "id", id, "cluster", json_text_in(first, "cluster"), "mode",
                          json_text_in(first, "mode"), "from", comes_from(first), "to",
                          json_text_in(first, "to"), "begin", json_text_in(first, "time"), "end",
                          "outcome",
                          holder > 0    ? "running"
                          : holder == 0 ? "interrupted"
                                        : "unknown",
                          "reason", "", "stall_ms", "duration_ms", "key",
                          json_object_get(first, "key"), "asked", json_object_get(first, "asked"));
        if (json_object_get(first, "checkpoint") != NULL) {
            json_object_set(entry, "operation", json_object_get(first, "operation"));
            json_object_set(entry, "checkpoint", json_object_get(first, "checkpoint"));
        }
    }
    while ((line = follow_next(follow)) != NULL) {
        if (json_object_get(line, "outcome") != NULL) { /* its report could not be written */
            json_object_set(entry, "outcome", json_object_get(line, "outcome"));
            json_object_set(entry, "reason", json_object_get(line, "reason"));
            json_object_set(entry, "end", json_object_get(line, "time"));
        }
        json_decref(line);
    }
    json_decref(first);
    follow_free(follow);
    return entry;
}

json_t *history_entry(const char *state_dir, const char *id, struct ninja_error *err)
{
    json_t *report = report_read(state_dir, id, NULL);
    json_t *entry = report != NULL ? of_report(report) : of_journal(state_dir, id);
    json_decref(report);
    if (report != NULL && strcmp(json_text_in(entry, "outcome"), "operator") == 0) {
        json_t *now = of_journal(state_dir, id);
        if (strcmp(json_text_in(now, "outcome"), "running") == 0) { /* it was taken on */
            json_object_update(entry, now);
        }
        json_decref(now);
    }
    if (entry == NULL) {
        ninja_error_set(err, ERR_STATE, "%s/%s/journal: nothing was begun there", state_dir, id);
    }
    return entry;
}

static bool is_running(json_t *entry)
{
    return strcmp(json_text_in(entry, "outcome"), "running") == 0;
}

/* The lock that is held is that of the one that runs now. */
void history_only_one_runs(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *entry = json_array_get(list, i);
        bool runs = is_running(entry);
        for (size_t k = i + 1; runs && k < json_array_size(list); k++) {
            json_t *later = json_array_get(list, k);
            runs = !is_running(later) ||
                   strcmp(json_text_in(entry, "cluster"), json_text_in(later, "cluster")) != 0;
        }
        if (is_running(entry) && !runs) {
            json_object_set_new(entry, "outcome", json_string("interrupted"));
        }
    }
}

json_t *history_list(const char *state_dir, int last, struct ninja_error *err)
{
    char(*ids)[JOURNAL_ID_SIZE];
    int n = journal_list(state_dir, &ids);
    if (n < 0) {
        ninja_error_set(err, ERR_STATE, "%s: %m (--state-dir DIR names another)", state_dir);
        return NULL;
    }
    json_t *list = json_array();
    for (int i = last > 0 && n > last ? n - last : 0; i < n; i++) {
        json_t *entry = history_entry(state_dir, ids[i], NULL);
        if (entry != NULL) {
            json_array_append_new(list, entry);
        }
    }
    history_only_one_runs(list);
    free(ids);
    return list;
}

bool history_find(const char *state_dir, const char *word, char *id, struct ninja_error *err)
{
    char(*ids)[JOURNAL_ID_SIZE];
    int n = journal_list(state_dir, &ids);
    bool found = false;
    if (n < 0) {
        return ninja_error_set(err, ERR_STATE, "%s: %m (--state-dir DIR names another)", state_dir);
    }
    for (int i = n - 1; i >= 0 && !found; i--) {
        found = word == NULL || strcmp(word, ids[i]) == 0;
        if (found) {
            strcpy(id, ids[i]); /* both are JOURNAL_ID_SIZE */
        }
    }
    free(ids);
    if (!found && word != NULL) {
        return ninja_error_set(err, ERR_STATE,
                               "%s: there is no migration \"%.60s\"; ninjactl list shows those "
                               "that there are",
                               state_dir, word);
    }
    return found ||
           ninja_error_set(err, ERR_STATE, "%s: there is no migration here yet", state_dir);
}

bool history_find_running(const char *state_dir, const char *cluster, char *id)
{
    char(*ids)[JOURNAL_ID_SIZE];
    int n = journal_list(state_dir, &ids);
    bool found = false, passed = false;
    for (int i = n - 1; i >= 0 && !found && !passed; i--) {
        json_t *entry = history_entry(state_dir, ids[i], NULL);
        passed = entry != NULL && strcmp(json_text_in(entry, "cluster"), cluster) == 0;
        found = passed && is_running(entry);
        if (found) {
            strcpy(id, ids[i]); /* both are JOURNAL_ID_SIZE */
        }
        json_decref(entry);
    }
    if (n > 0) {
        free(ids);
    }
    return found;
}

bool history_find_key(const char *state_dir, const char *key, char *id)
{
    char(*ids)[JOURNAL_ID_SIZE];
    int n = journal_list(state_dir, &ids);
    bool found = false;
    for (int i = n - 1; i >= 0 && !found; i--) {
        struct follow *follow = follow_new(state_dir, ids[i], "journal");
        json_t *first = follow_next(follow);
        found = strcmp(json_text_in(first, "key"), key) == 0;
        if (found) {
            strcpy(id, ids[i]); /* both are JOURNAL_ID_SIZE */
        }
        json_decref(first);
        follow_free(follow);
    }
    if (n > 0) {
        free(ids);
    }
    return found;
}
