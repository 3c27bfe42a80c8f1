/*
 * The journal tells what happens, the file "progress" how far it is. A migration has ended when its
 * journal has an outcome; it was interrupted when the lock of its cluster is free and there is
 * none. The report is written after the outcome, and whoever waited for the end may want to read it
 * next: so the end is told when the report is there, or can no longer come.
 */
#include "host/journal/watch.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/config/cluster.h"
#include "host/journal/history.h"
#include "host/journal/journal.h"

/* From the outcome to the report, and from the directory to a first line. */
#define SETTLE_MS 5000

struct watch {
    const char *state_dir;
    char id[JOURNAL_ID_SIZE];
    struct follow *journal, *progress;
    char cluster[CLUSTER_MAX_NAME + 1]; /* empty: its first line is not there yet */
    char state[24];
    char outcome[32];
    char reason[1000]; /* why it is not "done" */
    int64_t began_ms, ended_ms;
    bool interrupted;
};

static const char *type_of(const struct watch *watch, json_t *line)
{
    static const char *const types[] = {"outcome", "taken_on_in", "failed", "abort",
                                        "warning", "step",        "hook",   "vm"};
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

/* Takes the line over. */
static json_t *of_type(const struct watch *watch, const char *type, json_t *line)
{
    json_t *out = json_pack("{s:s, s:s}", "id", watch->id, "type", type);
    json_object_update_missing(out, line);
    json_decref(line);
    return out;
}

static void take(char *to, size_t size, json_t *line, const char *key)
{
    if (json_text_in(line, key)[0] != '\0') {
        snprintf(to, size, "%s", json_text_in(line, key));
    }
}

static json_t *next_of_journal(struct watch *watch)
{
    json_t *line = watch->outcome[0] == '\0' ? follow_next(watch->journal) : NULL;
    if (line == NULL) {
        return NULL;
    }
    const char *type = type_of(watch, line);
    if (watch->cluster[0] == '\0') {
        take(watch->cluster, sizeof(watch->cluster), line, "cluster");
    }
    take(watch->state, sizeof(watch->state), line, "state");
    take(watch->outcome, sizeof(watch->outcome), line, "outcome");
    if (watch->outcome[0] != '\0') {
        take(watch->reason, sizeof(watch->reason), line, "reason");
        watch->ended_ms = now_ms();
    }
    return of_type(watch, type, line);
}

static json_t *next_of_progress(struct watch *watch)
{
    json_t *line = follow_next(watch->progress);
    return line != NULL ? of_type(watch, "progress", line) : NULL;
}

static bool nobody_works_on_it(const struct watch *watch)
{
    if (watch->cluster[0] == '\0') {
        return now_ms() - watch->began_ms >= SETTLE_MS;
    }
    return lock_holder(watch->state_dir, watch->cluster) == 0;
}

struct watch *watch_new(const char *state_dir, const char *id)
{
    struct watch *watch = xcalloc(1, sizeof(*watch));
    watch->state_dir = state_dir;
    watch->began_ms = now_ms();
    snprintf(watch->id, sizeof(watch->id), "%s", id);
    watch->journal = follow_new(state_dir, id, "journal");
    watch->progress = follow_new(state_dir, id, "progress");
    json_t *line;
    while ((line = follow_next(watch->progress)) != NULL) {
        json_decref(line); /* of what was, the journal tells enough */
    }
    return watch;
}

json_t *watch_next(struct watch *watch)
{
    json_t *line = watch->interrupted ? NULL : next_of_journal(watch);
    if (line == NULL) {
        line = next_of_progress(watch);
    }
    if (line == NULL && watch->outcome[0] == '\0' && !watch->interrupted &&
        nobody_works_on_it(watch) && (line = next_of_journal(watch)) == NULL) {
        /* What was written before the lock went has been read. */
        watch->interrupted = true;
        line = of_type(watch, "interrupted", json_pack("{s:s}", "state", watch->state));
    }
    return line;
}

enum watch_verdict watch_verdict(struct watch *watch)
{
    if (watch->interrupted) {
        return WATCH_INTERRUPTED;
    }
    if (watch->outcome[0] == '\0') {
        return WATCH_GOES_ON;
    }
    json_t *report = report_read(watch->state_dir, watch->id, NULL);
    bool settled = report != NULL || lock_holder(watch->state_dir, watch->cluster) == 0 ||
                   now_ms() - watch->ended_ms >= SETTLE_MS;
    json_decref(report);
    return settled ? WATCH_ENDED : WATCH_GOES_ON;
}

const char *watch_id(const struct watch *watch)
{
    return watch->id;
}

const char *watch_state(const struct watch *watch)
{
    return watch->state;
}

const char *watch_outcome(const struct watch *watch)
{
    return watch->outcome;
}

const char *watch_reason(const struct watch *watch)
{
    return watch->reason;
}

void watch_free(struct watch *watch)
{
    if (watch != NULL) {
        follow_free(watch->journal);
        follow_free(watch->progress);
        free(watch);
    }
}
