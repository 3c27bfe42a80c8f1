#include "host/switch/counts.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

struct pair {
    int peer;
    uint32_t count;
};

struct row {
    struct pair *pairs; /* by peer, no zeros */
    size_t n;
};

struct counts {
    int size;
    struct row *rows;
};

struct counts *counts_new(int size)
{
    struct counts *counts = xcalloc(1, sizeof(*counts));
    counts->size = size;
    counts->rows = xcalloc((size_t)size, sizeof(*counts->rows));
    return counts;
}

void counts_free(struct counts *counts)
{
    if (counts == NULL) {
        return;
    }
    for (int i = 0; i < counts->size; i++) {
        free(counts->rows[i].pairs);
    }
    free(counts->rows);
    free(counts);
}

static int by_peer(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return (x->peer > y->peer) - (x->peer < y->peer);
}

static bool read_pair(const struct counts *counts, json_t *json, struct pair *pair)
{
    json_t *peer = json_array_get(json, 0), *count = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_integer(peer) || !json_is_integer(count) ||
        json_integer_value(peer) < 0 || json_integer_value(peer) >= counts->size ||
        json_integer_value(count) < 0 || json_integer_value(count) > UINT32_MAX) {
        return false;
    }
    pair->peer = (int)json_integer_value(peer);
    pair->count = (uint32_t)json_integer_value(count);
    return true;
}

static bool read_row(const struct counts *counts, json_t *json, struct row *row)
{
    size_t n = json_array_size(json);
    if ((json != NULL && !json_is_array(json)) || n > (size_t)counts->size) {
        return false;
    }
    row->pairs = xcalloc(n ? n : 1, sizeof(*row->pairs));
    row->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!read_pair(counts, json_array_get(json, i), &row->pairs[row->n])) {
            return false;
        }
        if (row->pairs[row->n].count != 0) {
            row->n++;
        }
    }
    qsort(row->pairs, row->n, sizeof(*row->pairs), by_peer);
    for (size_t i = 1; i < row->n; i++) {
        if (row->pairs[i].peer == row->pairs[i - 1].peer) {
            return false;
        }
    }
    return true;
}

static bool same(const struct row *a, const struct row *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (a->pairs[i].peer != b->pairs[i].peer || a->pairs[i].count != b->pairs[i].count) {
            return false;
        }
    }
    return true;
}

bool counts_set_row(struct counts *counts, int rank, json_t *json, bool *changed,
                    struct ninja_error *err)
{
    struct row row = {0};
    if (!read_row(counts, json, &row)) {
        free(row.pairs);
        return ninja_error_set(err, ERR_PROTOCOL, "rank %d reported a malformed table of counts",
                               rank);
    }
    if (!same(&row, &counts->rows[rank])) {
        *changed = true;
    }
    free(counts->rows[rank].pairs);
    counts->rows[rank] = row;
    return true;
}

json_t *counts_column(const struct counts *counts, int rank)
{
    json_t *column = json_array();
    for (int r = 0; r < counts->size; r++) {
        const struct row *row = &counts->rows[r];
        struct pair key = {.peer = rank};
        const struct pair *pair =
            row->n ? bsearch(&key, row->pairs, row->n, sizeof(key), by_peer) : NULL;
        if (pair != NULL) {
            json_array_append_new(column, json_pack("[i, I]", r, (json_int_t)pair->count));
        }
    }
    return column;
}
