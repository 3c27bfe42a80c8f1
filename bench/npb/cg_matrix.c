/*
 * Making the block in three passes: all random vectors; for each row how many products fall into
 * it; the products themselves. Then each row is sorted by column, products for the same element
 * are added up, and the rows are closed up.
 */
#include "cg_matrix.h"
#include "npb.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CONDITION 0.1

struct element {
    int32_t col;
    double value;
};

/* The vectors: `room` places each, `used` of them taken. */
struct vectors {
    int n, room;
    int *used;
    struct element *elements; /* here `col` is the place in the vector */
};

static struct element *vector(const struct vectors *v, int index)
{
    return v->elements + (size_t)index * (size_t)v->room;
}

static struct element *find(struct element *elements, int used, int col)
{
    for (int i = 0; i < used; i++)
        if (elements[i].col == col)
            return &elements[i];
    return NULL;
}

/* Random places that occur once, with random values; the diagonal's place gets 0.5. */
static int make_vector(struct element *elements, int index, int n, int per_row, uint64_t *seed)
{
    int power = 1, used = 0;

    while (power < n)
        power *= 2;
    while (used < per_row) {
        double value = npb_random(seed, NPB_A);
        int col = (int)(power * npb_random(seed, NPB_A));

        if (col < n && find(elements, used, col) == NULL)
            elements[used++] = (struct element){col, value};
    }
    struct element *diagonal = find(elements, used, index);

    if (diagonal == NULL)
        diagonal = &elements[used++];
    *diagonal = (struct element){index, 0.5};
    return used;
}

static struct vectors make_vectors(int n, int per_row)
{
    struct vectors v = {.n = n, .room = per_row + 1};
    uint64_t seed = NPB_SEED;

    npb_random(&seed, NPB_A); /* one number is used up before */
    v.used = npb_allocate((size_t)n, sizeof(*v.used));
    v.elements = npb_allocate((size_t)n * (size_t)v.room, sizeof(*v.elements));
    for (int i = 0; i < n; i++)
        v.used[i] = make_vector(vector(&v, i), i, n, per_row, &seed);
    return v;
}

static bool within(struct cg_range range, int index)
{
    return index >= range.begin && index < range.end;
}

/* Leaves in begin[r + 1] the number of products for row r of the block. */
static void count_products(const struct vectors *v, struct cg_range rows, struct cg_range cols,
                           int64_t *begin)
{
    for (int i = 0; i < v->n; i++) {
        const struct element *e = vector(v, i);
        int columns = 0;

        for (int k = 0; k < v->used[i]; k++)
            columns += within(cols, e[k].col);
        for (int k = 0; k < v->used[i]; k++)
            if (within(rows, e[k].col))
                begin[e[k].col - rows.begin + 1] += columns;
    }
}

/* next: for each row where its next product goes */
static void place_products(const struct vectors *v, struct cg_range rows, struct cg_range cols,
                           double shift, int64_t *next, struct element *products)
{
    double weight = 1, ratio = pow(CONDITION, 1.0 / v->n);

    for (int i = 0; i < v->n; i++, weight *= ratio) {
        const struct element *e = vector(v, i);

        for (int k = 0; k < v->used[i]; k++) {
            if (!within(rows, e[k].col))
                continue;
            int64_t *to = &next[e[k].col - rows.begin];
            double scale = weight * e[k].value;

            for (int l = 0; l < v->used[i]; l++) {
                if (!within(cols, e[l].col))
                    continue;
                double value = e[l].value * scale;

                if (e[k].col == i && e[l].col == i)
                    value += CONDITION - shift;
                products[(*to)++] = (struct element){e[l].col - cols.begin, value};
            }
        }
    }
}

static int by_column(const void *a, const void *b)
{
    const struct element *x = a, *y = b;

    return (x->col > y->col) - (x->col < y->col);
}

/* Sorts the row, adds up what belongs together; returns how many elements are left. */
static int64_t merge(struct element *row, int64_t count)
{
    int64_t left = 0;

    qsort(row, (size_t)count, sizeof(*row), by_column);
    for (int64_t i = 0; i < count; i++) {
        if (left > 0 && row[left - 1].col == row[i].col)
            row[left - 1].value += row[i].value;
        else
            row[left++] = row[i];
    }
    return left;
}

static void close_up(struct cg_matrix *m, struct element *products)
{
    int64_t used = 0;

    for (int r = 0; r < m->rows; r++) {
        struct element *row = products + m->begin[r];
        int64_t left = merge(row, m->begin[r + 1] - m->begin[r]);

        memmove(products + used, row, (size_t)left * sizeof(*row));
        m->begin[r] = used;
        used += left;
    }
    m->begin[m->rows] = used;
    m->col = npb_allocate((size_t)used, sizeof(*m->col));
    m->value = npb_allocate((size_t)used, sizeof(*m->value));
    for (int64_t i = 0; i < used; i++) {
        m->col[i] = products[i].col;
        m->value[i] = products[i].value;
    }
}

void cg_matrix_make(struct cg_matrix *m, int n, int per_row, double shift, struct cg_range rows,
                    struct cg_range cols)
{
    struct vectors v = make_vectors(n, per_row);

    m->rows = rows.end - rows.begin;
    m->begin = npb_allocate((size_t)m->rows + 1, sizeof(*m->begin));
    count_products(&v, rows, cols, m->begin);
    for (int r = 0; r < m->rows; r++)
        m->begin[r + 1] += m->begin[r];

    int64_t *next = npb_allocate((size_t)m->rows + 1, sizeof(*next));
    struct element *products = npb_allocate((size_t)m->begin[m->rows], sizeof(*products));

    memcpy(next, m->begin, (size_t)m->rows * sizeof(*next));
    place_products(&v, rows, cols, shift, next, products);
    free(next);
    free(v.used);
    free(v.elements);
    close_up(m, products);
    free(products);
}

void cg_matrix_multiply(const struct cg_matrix *m, const double *in, double *out)
{
    const int32_t *restrict col = m->col;
    const double *restrict value = m->value;

    for (int r = 0; r < m->rows; r++) {
        int64_t i = m->begin[r], end = m->begin[r + 1];
        double even = 0, odd = 0;

        /* two sums, as one addition waits for the one before it */
        for (; i + 1 < end; i += 2) {
            even += value[i] * in[col[i]];
            odd += value[i + 1] * in[col[i + 1]];
        }
        if (i < end)
            even += value[i] * in[col[i]];
        out[r] = even + odd;
    }
}
