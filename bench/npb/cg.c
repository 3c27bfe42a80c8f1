/*
 * CG: the smallest eigenvalue of a large sparse matrix, by inverse iteration with conjugate
 * gradients.
 *
 * The ranks form a grid of `rows` x `cols`, cols being rows or twice that. A rank has one block of
 * the matrix, and of each vector the part of its grid column; so the ranks of a grid row together
 * have the whole vector, and every grid row has it once. A product with the matrix: each rank
 * multiplies its block, the results are summed along the grid row, which gives the part of a grid
 * row, and a rank that has the wanted part sends it (the transposed one). Sums run along grid
 * rows, pairwise, so that all ranks get the same bits.
 *
 * The matrix itself is in cg_matrix.c.
 */
#include "cg_matrix.h"
#include "npb.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CG_STEPS 25
#define EPSILON  1e-10

enum { TAG_SUM = 1, TAG_TRANSPOSE };

static const struct class
{
    int n, per_row, iterations;
    double shift, zeta;
} classes[] = {
    {1400, 7, 15, 10, 8.5971775078648},     {7000, 8, 15, 12, 10.362595087124},
    {14000, 11, 15, 20, 17.130235054029},   {75000, 13, 75, 60, 22.712745482631},
    {150000, 15, 75, 110, 28.973605592845}, {1500000, 21, 100, 500, 52.514532105794},
};

static const struct class *class;

static struct {
    int rows, cols; /* a power of two each */
    int row, col;   /* this rank's */
    int transposed; /* the rank that sends it its part of a product, and wants the other's */
} grid;

static struct cg_range rows, cols; /* of this rank's block */
static int part;                   /* where, in the grid row's part of a vector, is what
                                      `transposed` wants */
static struct cg_matrix matrix;

static double *x, *z, *p, *q, *r; /* parts of the grid column */
static double *w, *other;         /* parts of the grid row */
static double zeta;

static struct cg_range block(int n, int blocks, int index)
{
    return (struct cg_range){(int)((int64_t)n * index / blocks),
                             (int)((int64_t)n * (index + 1) / blocks)};
}

/* When the grid is twice as wide as high, the grid columns 2i and 2i + 1 share the part of row i.
 */
static struct cg_range column_range(int n, int col)
{
    struct cg_range range = block(n, grid.rows, col * grid.rows / grid.cols);

    if (grid.cols > grid.rows) {
        int middle = range.begin + (range.end - range.begin + 1) / 2;

        if (col % 2 == 0)
            range.end = middle;
        else
            range.begin = middle;
    }
    return range;
}

static void make_grid(int n)
{
    int log = npb_log2(npb_ranks), wide;

    grid.rows = 1 << log / 2;
    grid.cols = npb_ranks / grid.rows;
    grid.row = npb_rank / grid.cols;
    grid.col = npb_rank % grid.cols;
    wide = grid.cols / grid.rows;
    rows = block(n, grid.rows, grid.row);
    cols = column_range(n, grid.col);

    int other_row = grid.col / wide, other_col = grid.row * wide + grid.col % wide;

    grid.transposed = other_row * grid.cols + other_col;
    part = column_range(n, other_col).begin - rows.begin;
}

static const char *setup(char name)
{
    class = &classes[npb_class_index(name)];
    if (npb_log2(npb_ranks) < 0)
        return "the number of ranks must be a power of two";
    if (npb_ranks > class->n)
        return "there are more ranks than rows";
    make_grid(class->n);
    cg_matrix_make(&matrix, class->n, class->per_row, class->shift, rows, cols);

    size_t n_cols = (size_t)(cols.end - cols.begin), n_rows = (size_t)(rows.end - rows.begin);
    double **vectors[] = {&x, &z, &p, &q, &r};

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        *vectors[i] = npb_allocate(n_cols, sizeof(double));
    w = npb_allocate(n_rows, sizeof(double));
    other = npb_allocate(n_rows, sizeof(double));

    double per_row = class->per_row * (class->per_row + 1);

    snprintf(npb_size.text, sizeof(npb_size.text), "%d", class->n);
    npb_size.iterations = class->iterations;
    npb_size.mop =
        2e-6 * class->iterations * class->n * (3 + per_row + CG_STEPS * (5 + per_row) + 3);
    return NULL;
}

/* --- sums ------------------------------------------------------------------------------------ */

/* The rank at distance `bit` in the hypercube of the own grid row. */
static int neighbour(int bit)
{
    return grid.row * grid.cols + (grid.col ^ bit);
}

static void exchange(const double *out, double *in, int count, int peer, int tag)
{
    MPI_Request request;

    MPI_Irecv(in, count, MPI_DOUBLE, peer, tag, MPI_COMM_WORLD, &request);
    MPI_Send(out, count, MPI_DOUBLE, peer, tag, MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

/* Sums of whole vectors, from those of the own part. */
static void sum_numbers(double *numbers, int count)
{
    double theirs[2];

    for (int bit = 1; bit < grid.cols; bit *= 2) {
        exchange(numbers, theirs, count, neighbour(bit), TAG_SUM);
        for (int i = 0; i < count; i++)
            numbers[i] += theirs[i];
    }
}

static double dot(const double *a, const double *b)
{
    double sum = 0;

    for (int i = 0; i < cols.end - cols.begin; i++)
        sum += a[i] * b[i];
    sum_numbers(&sum, 1);
    return sum;
}

/* out = A in */
static void multiply(const double *in, double *out)
{
    int n_rows = rows.end - rows.begin, n_cols = cols.end - cols.begin;

    cg_matrix_multiply(&matrix, in, w);
    for (int bit = 1; bit < grid.cols; bit *= 2) {
        exchange(w, other, n_rows, neighbour(bit), TAG_SUM);
        for (int i = 0; i < n_rows; i++)
            w[i] += other[i];
    }
    if (grid.transposed == npb_rank) {
        memcpy(out, w + part, (size_t)n_cols * sizeof(double));
        return;
    }
    /* the part that the other wants is of the other's size: that of its grid column */
    MPI_Request request;
    struct cg_range theirs = column_range(class->n, grid.transposed % grid.cols);

    MPI_Irecv(out, n_cols, MPI_DOUBLE, grid.transposed, TAG_TRANSPOSE, MPI_COMM_WORLD, &request);
    MPI_Send(w + part, theirs.end - theirs.begin, MPI_DOUBLE, grid.transposed, TAG_TRANSPOSE,
             MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

/* --- the iteration --------------------------------------------------------------------------- */

static void conjugate_gradients(void)
{
    int n = cols.end - cols.begin;
    size_t bytes = (size_t)n * sizeof(double);

    memset(z, 0, bytes);
    memcpy(r, x, bytes);
    memcpy(p, x, bytes);
    double rho = dot(r, r);
    for (int step = 0; step < CG_STEPS; step++) {
        multiply(p, q);
        double alpha = rho / dot(p, q), before = rho, sum = 0;

        for (int i = 0; i < n; i++) {
            z[i] += alpha * p[i];
            r[i] -= alpha * q[i];
            sum += r[i] * r[i];
        }
        sum_numbers(&sum, 1);
        rho = sum;
        double beta = rho / before;

        for (int i = 0; i < n; i++)
            p[i] = r[i] + beta * p[i];
    }
}

/* |x - A z|; part of what is timed, and otherwise only of interest to a reader. */
static double residual(void)
{
    double sum = 0;

    multiply(z, r);
    for (int i = 0; i < cols.end - cols.begin; i++)
        sum += (x[i] - r[i]) * (x[i] - r[i]);
    sum_numbers(&sum, 1);
    return sqrt(sum);
}

static void prepare(void)
{
    for (int i = 0; i < cols.end - cols.begin; i++)
        x[i] = 1;
    zeta = 0;
}

static void run(int iterations)
{
    int n = cols.end - cols.begin;

    for (int it = 0; it < iterations; it++) {
        conjugate_gradients();
        double norm = residual(), products[2] = {0, 0};

        if (!isfinite(norm))
            break;
        for (int i = 0; i < n; i++) {
            products[0] += x[i] * z[i];
            products[1] += z[i] * z[i];
        }
        sum_numbers(products, 2);
        zeta = class->shift + 1 / products[0];
        double scale = 1 / sqrt(products[1]);

        for (int i = 0; i < n; i++)
            x[i] = scale * z[i];
    }
}

static bool verify(bool print)
{
    return npb_agrees(print, "zeta", zeta, class->zeta, EPSILON);
}

int main(int argc, char **argv)
{
    static const struct npb_benchmark cg = {.name = "CG",
                                            .operations = "floating point",
                                            .setup = setup,
                                            .prepare = prepare,
                                            .run = run,
                                            .verify = verify};

    return npb_main(argc, argv, &cg);
}
