#include "ninjad/past.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/journal/history.h"
#include "host/journal/journal.h"

struct one {
    char id[JOURNAL_ID_SIZE];
    json_t *entry; /* NULL: nothing was begun there yet */
    enum past_outcome outcome;
    enum past_outcome told; /* by past_next_stuck(); PAST_DONE: nothing */
    int64_t bytes;          /* -1: there is no report */
};

struct past {
    const char *state_dir;
    struct one *ones; /* in the order of their IDs */
    int n;
    int removed[PAST_OUTCOMES];
};

static const char *const names[] = {
    [PAST_DONE] = "done",
    [PAST_DEGRADED] = "degraded",
    [PAST_REFUSED] = "refused",
    [PAST_ROLLED_BACK] = "rolled-back",
    [PAST_OPERATOR] = "operator",
    [PAST_RUNNING] = "running",
    [PAST_INTERRUPTED] = "interrupted",
    [PAST_UNKNOWN] = "unknown",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == PAST_OUTCOMES, "an outcome has no name");

struct past *past_new(const char *state_dir)
{
    struct past *past = xcalloc(1, sizeof(*past));
    past->state_dir = state_dir;
    past_refresh(past, NULL);
    return past;
}

static void free_ones(struct one *ones, int n)
{
    for (int i = 0; i < n; i++) {
        json_decref(ones[i].entry);
    }
    free(ones);
}

void past_free(struct past *past)
{
    if (past != NULL) {
        free_ones(past->ones, past->n);
        free(past);
    }
}

const char *past_outcome_name(enum past_outcome outcome)
{
    return names[outcome];
}

enum past_outcome past_outcome_of(json_t *entry)
{
    enum past_outcome outcome = 0;
    while (outcome < PAST_UNKNOWN && strcmp(names[outcome], json_text_in(entry, "outcome")) != 0) {
        outcome++;
    }
    return outcome;
}

/* Its report is there as well, which comes after the outcome and has what an entry tells of it. */
static bool has_ended(const struct one *one)
{
    return one->entry != NULL && one->outcome < PAST_OPERATOR && one->bytes >= 0;
}

static int64_t bytes_sent(json_t *report)
{
    int64_t bytes = report != NULL ? 0 : -1;
    size_t i;
    json_t *vm;
    json_array_foreach(json_object_get(report, "vms"), i, vm)
    {
        bytes += json_integer_value(json_object_get(vm, "transferred_bytes"));
    }
    return bytes;
}

static void look(const struct past *past, struct one *one)
{
    json_decref(one->entry);
    one->entry = history_entry(past->state_dir, one->id, NULL);
    one->outcome = past_outcome_of(one->entry);
    one->bytes = -1;
    if (one->outcome < PAST_OPERATOR) {
        json_t *report = report_read(past->state_dir, one->id, NULL);
        one->bytes = bytes_sent(report);
        json_decref(report);
    }
}

/* Moves what is known of an ID from the old list, of which those before `from` are done with. */
static int take_known(struct past *past, struct one *to, const char *id, int from)
{
    int i = from;
    while (i < past->n && strcmp(past->ones[i].id, id) != 0) {
        i++;
    }
    if (i == past->n) {
        strcpy(to->id, id); /* both are JOURNAL_ID_SIZE */
        return from;
    }
    *to = past->ones[i];
    past->ones[i].entry = NULL;
    return i + 1;
}

static void count_removed(struct past *past)
{
    for (int i = 0; i < past->n; i++) {
        if (past->ones[i].entry != NULL) {
            past->removed[past->ones[i].outcome]++;
        }
    }
}

static void only_one_runs(struct past *past)
{
    json_t *list = past_list(past, NULL, past->n);
    history_only_one_runs(list);
    json_decref(list);
    for (int i = 0; i < past->n; i++) {
        if (!has_ended(&past->ones[i])) {
            past->ones[i].outcome = past_outcome_of(past->ones[i].entry);
        }
    }
}

bool past_refresh(struct past *past, struct ninja_error *err)
{
    char(*ids)[JOURNAL_ID_SIZE];
    int n = journal_list(past->state_dir, &ids), known = 0;
    if (n < 0 && errno == ENOENT) {
        n = 0; /* nothing was migrated yet */
    }
    if (n < 0) {
        return ninja_error_set(err, ERR_STATE, "%s: %m", past->state_dir);
    }
    struct one *ones = xcalloc((size_t)n + 1, sizeof(*ones));
    for (int i = 0; i < n; i++) {
        known = take_known(past, &ones[i], ids[i], known);
        if (!has_ended(&ones[i])) {
            look(past, &ones[i]);
        }
    }
    free(ids);
    count_removed(past);
    free_ones(past->ones, past->n);
    past->ones = ones;
    past->n = n;
    only_one_runs(past);
    return true;
}

static bool is_of(const struct one *one, const char *cluster)
{
    return one->entry != NULL &&
           (cluster == NULL || strcmp(json_text_in(one->entry, "cluster"), cluster) == 0);
}

json_t *past_list(const struct past *past, const char *cluster, int last)
{
    json_t *list = json_array();
    int begin = past->n;
    while (begin > 0 && last > 0) {
        last -= is_of(&past->ones[--begin], cluster);
    }
    for (int i = begin; i < past->n; i++) {
        if (is_of(&past->ones[i], cluster)) {
            json_array_append(list, past->ones[i].entry);
        }
    }
    return list;
}

static const struct one *find(const struct past *past, const char *id)
{
    for (int i = past->n - 1; i >= 0; i--) {
        if (strcmp(past->ones[i].id, id) == 0) {
            return &past->ones[i];
        }
    }
    return NULL;
}

json_t *past_find(const struct past *past, const char *id)
{
    const struct one *one = find(past, id);
    return one != NULL ? one->entry : NULL;
}

json_t *past_find_key(const struct past *past, const char *key)
{
    for (int i = past->n - 1; i >= 0; i--) {
        if (strcmp(json_text_in(past->ones[i].entry, "key"), key) == 0) {
            return past->ones[i].entry;
        }
    }
    return NULL;
}

json_t *past_latest(const struct past *past, const char *cluster)
{
    for (int i = past->n - 1; i >= 0; i--) {
        if (is_of(&past->ones[i], cluster)) {
            return past->ones[i].entry;
        }
    }
    return NULL;
}

json_t *past_next_stuck(struct past *past)
{
    for (int i = 0; i < past->n; i++) {
        struct one *one = &past->ones[i];
        bool stuck = one->outcome == PAST_INTERRUPTED || one->outcome == PAST_OPERATOR;
        if (one->entry != NULL && stuck && one->outcome != one->told) {
            one->told = one->outcome;
            return one->entry;
        }
    }
    return NULL;
}

int past_count(const struct past *past, enum past_outcome outcome)
{
    int n = outcome < PAST_OPERATOR ? past->removed[outcome] : 0;
    for (int i = 0; i < past->n; i++) {
        n += past->ones[i].entry != NULL && past->ones[i].outcome == outcome;
    }
    return n;
}

int64_t past_bytes(const struct past *past, const char *id)
{
    const struct one *one = find(past, id);
    return one != NULL ? one->bytes : -1;
}
