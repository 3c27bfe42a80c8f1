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
    /* All columns, one after the other; NULL: to be made of the rows again. */
    struct pair *columns;
    size_t *column_ends; /* by rank */
};

struct counts *counts_new(int size)
{
    struct counts *counts = xcalloc(1, sizeof(*counts));
    counts->size = size;
    counts->rows = xcalloc((size_t)size, sizeof(*counts->rows));
    return counts;
}

static void forget_columns(struct counts *counts)
{
    free(counts->columns);
    free(counts->column_ends);
    counts->columns = NULL;
    counts->column_ends = NULL;
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
    forget_columns(counts);
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
    if (same(&row, &counts->rows[rank])) {
        free(row.pairs);
        return true;
    }
    *changed = true;
    free(counts->rows[rank].pairs);
    counts->rows[rank] = row;
    forget_columns(counts);
    return true;
}

/*
 * All at once, as looking through all rows for each column would take time with the square of the
 * ranks. The ends begin as starts, and each pair that is put in moves the one of its column.
 */
static void make_columns(struct counts *counts)
{
    size_t n = 0;
    counts->column_ends = xcalloc((size_t)counts->size, sizeof(*counts->column_ends));
    for (int r = 0; r < counts->size; r++) {
        for (size_t i = 0; i < counts->rows[r].n; i++) {
            counts->column_ends[counts->rows[r].pairs[i].peer]++;
        }
    }
    for (int r = 0; r < counts->size; r++) {
        size_t in_column = counts->column_ends[r];
        counts->column_ends[r] = n;
        n += in_column;
    }
    counts->columns = xcalloc(n ? n : 1, sizeof(*counts->columns));
    for (int r = 0; r < counts->size; r++) {
        for (size_t i = 0; i < counts->rows[r].n; i++) {
            const struct pair *pair = &counts->rows[r].pairs[i];
            counts->columns[counts->column_ends[pair->peer]++] = (struct pair){r, pair->count};
        }
    }
}

json_t *counts_column(struct counts *counts, int rank)
{
    json_t *column = json_array();
    if (counts->columns == NULL) {
        make_columns(counts);
    }
    for (size_t i = rank > 0 ? counts->column_ends[rank - 1] : 0; i < counts->column_ends[rank];
         i++) {
        const struct pair *pair = &counts->columns[i];
        json_array_append_new(column, json_pack("[i, I]", pair->peer, (json_int_t)pair->count));
    }
    return column;
}
