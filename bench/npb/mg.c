/*
 * MG: a V-cycle multigrid solver for the Poisson equation on a periodic cube.
 *
 * The right side is zero but for ten points of +1 and ten of -1. A cycle takes the residual down to
 * a grid of 2^3 points, level by level, and brings a correction up again: interpolate, residual,
 * smooth. All four operators are stencils of 27 points; sums along lines that two neighbouring
 * points have in common are kept in two line buffers, so that each is computed once.
 *
 * mg_grid.c cuts the levels into boxes. Levels too small to be cut are whole on every rank; the
 * lowest that is cut also exists as a whole, as the way down and up between the two kinds.
 */
#include "mg_grid.h"
#include "npb.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHARGES      10
#define EPSILON      1e-8
#define LONGEST_LINE ((1 << MG_MAX_LEVEL) + 2)

static const struct class
{
    int top, iterations;
    double norm;
} classes[] = {
    {5, 4, 0.5307707005734e-04},  {7, 4, 0.6467329375339e-05},  {8, 4, 0.2433365309069e-05},
    {8, 20, 0.1800564401355e-05}, {9, 20, 0.5706732285740e-06}, {10, 50, 0.1583275060440e-09},
};

/* Centre, faces, edges, corners of the smoother; the second for the classes from B on. */
static const double smoothers[2][3] = {{-3.0 / 8, 1.0 / 32, -1.0 / 64},
                                       {-3.0 / 17, 1.0 / 33, -1.0 / 61}};

static const struct class *class;
static const double *smoother;
static struct mg_box boxes[MG_MAX_LEVEL + 1]; /* by level, from 1 */
static int lowest_cut;                        /* level; 1 if all are */
static struct mg_box lowest_whole;            /* the same level as a whole, if not all are cut */
static double *v;                             /* the right side */
static double line1[LONGEST_LINE], line2[LONGEST_LINE];

static const char *setup(char name)
{
    class = &classes[npb_class_index(name)];
    smoother = smoothers[npb_class_index(name) >= npb_class_index('B')];
    if (npb_log2(npb_ranks) < 0)
        return "the number of ranks must be a power of two";
    mg_grid_init(class->top);
    lowest_cut = 1;
    while (!mg_grid_fits(lowest_cut))
        lowest_cut++;
    if (lowest_cut >= class->top)
        return "there are too many ranks for a grid of this size";
    for (int level = 1; level <= class->top; level++)
        boxes[level] = mg_box_make(level, level < lowest_cut);
    if (lowest_cut > 1)
        lowest_whole = mg_box_make(lowest_cut, true);
    v = npb_allocate(mg_points(&boxes[class->top]), sizeof(double));

    int side = 1 << class->top;

    snprintf(npb_size.text, sizeof(npb_size.text), "%dx%dx%d", side, side, side);
    npb_size.iterations = class->iterations;
    npb_size.mop = 58e-6 * class->iterations * pow(side, 3);
    return NULL;
}

/* --- the right side ----------------------------------------------------------------------------
 */

/* The CHARGES largest values, largest first. The place is exact in a double. */
struct largest {
    double value[CHARGES], place[CHARGES];
};

static void insert(struct largest *l, double value, double place)
{
    int i = CHARGES - 1;

    if (value <= l->value[i])
        return;
    for (; i > 0 && value > l->value[i - 1]; i--) {
        l->value[i] = l->value[i - 1];
        l->place[i] = l->place[i - 1];
    }
    l->value[i] = value;
    l->place[i] = place;
}

/* of[0]: the largest random numbers of this rank's box; of[1]: the smallest, negated */
static void find_extremes(const struct mg_box *b, struct largest of[2])
{
    for (int k = 0; k < b->n[2]; k++) {
        for (int j = 0; j < b->n[1]; j++) {
            int64_t row = (int64_t)(b->first[2] + k) * b->side + b->first[1] + j;
            int64_t place = row * b->side + b->first[0];
            uint64_t x = NPB_SEED;

            npb_random(&x, npb_power(NPB_A, (uint64_t)place));
            for (int i = 0; i < b->n[0]; i++) {
                double value = npb_random(&x, NPB_A);

                insert(&of[0], value, (double)(place + i));
                insert(&of[1], -value, (double)(place + i));
            }
        }
    }
}

static void put_charge(const struct mg_box *b, int64_t place, double charge)
{
    int i = (int)(place % b->side) - b->first[0];
    int j = (int)(place / b->side % b->side) - b->first[1];
    int k = (int)(place / b->side / b->side) - b->first[2];

    if (i >= 0 && i < b->n[0] && j >= 0 && j < b->n[1] && k >= 0 && k < b->n[2])
        v[mg_row(b, j + 1, k + 1) + (size_t)i + 1] = charge;
}

static void prepare(void)
{
    const struct mg_box *top = &boxes[class->top];
    struct largest mine[2], overall[2], *all = npb_allocate((size_t)npb_ranks, sizeof(mine));
    int count = 2 * (int)(sizeof(struct largest) / sizeof(double));

    for (int i = 0; i < CHARGES; i++)
        for (int sign = 0; sign < 2; sign++)
            mine[sign].value[i] = overall[sign].value[i] = -DBL_MAX;
    find_extremes(top, mine);
    MPI_Allgather(mine, count, MPI_DOUBLE, all, count, MPI_DOUBLE, MPI_COMM_WORLD);
    for (int i = 0; i < 2 * npb_ranks; i++)
        for (int c = 0; c < CHARGES; c++)
            insert(&overall[i % 2], all[i].value[c], all[i].place[c]);
    free(all);

    memset(top->u, 0, mg_points(top) * sizeof(double));
    memset(v, 0, mg_points(top) * sizeof(double));
    for (int c = 0; c < CHARGES; c++) {
        put_charge(top, (int64_t)overall[0].place[c], 1);
        put_charge(top, (int64_t)overall[1].place[c], -1);
    }
}

/* --- the operators ------------------------------------------------------------------------------
 */

/* The sums that neighbouring points share: line1 of the four nearest lines around the line (j, k),
   line2 of the four diagonal ones. */
static void sum_lines(const struct mg_box *b, const double *a, int j, int k)
{
    const double *s = a + mg_row(b, j - 1, k), *n = a + mg_row(b, j + 1, k);
    const double *d = a + mg_row(b, j, k - 1), *u = a + mg_row(b, j, k + 1);
    const double *sd = a + mg_row(b, j - 1, k - 1), *nd = a + mg_row(b, j + 1, k - 1);
    const double *su = a + mg_row(b, j - 1, k + 1), *nu = a + mg_row(b, j + 1, k + 1);

    for (int i = 0; i < b->n[0] + 2; i++) {
        line1[i] = s[i] + n[i] + d[i] + u[i];
        line2[i] = sd[i] + nd[i] + su[i] + nu[i];
    }
}

/* r = right - A u; r may be `right`. The coefficient of the faces is zero. */
static void residual(const struct mg_box *b, const double *right)
{
    for (int k = 1; k <= b->n[2]; k++) {
        for (int j = 1; j <= b->n[1]; j++) {
            const double *u = b->u + mg_row(b, j, k), *f = right + mg_row(b, j, k);
            double *r = b->r + mg_row(b, j, k);

            sum_lines(b, b->u, j, k);
#pragma GCC ivdep
            for (int i = 1; i <= b->n[0]; i++)
                r[i] = f[i] + 8.0 / 3 * u[i] - 1.0 / 6 * (line2[i] + line1[i - 1] + line1[i + 1]) -
                       1.0 / 12 * (line2[i - 1] + line2[i + 1]);
        }
    }
    mg_halo(b, b->r);
}

/* u += S r. The coefficient of the corners is zero. */
static void smooth(const struct mg_box *b)
{
    for (int k = 1; k <= b->n[2]; k++) {
        for (int j = 1; j <= b->n[1]; j++) {
            const double *r = b->r + mg_row(b, j, k);
            double *u = b->u + mg_row(b, j, k);

            sum_lines(b, b->r, j, k);
#pragma GCC ivdep
            for (int i = 1; i <= b->n[0]; i++)
                u[i] += smoother[0] * r[i] + smoother[1] * (r[i - 1] + r[i + 1] + line1[i]) +
                        smoother[2] * (line2[i] + line1[i - 1] + line1[i + 1]);
        }
    }
    mg_halo(b, b->u);
}

/* The residual of the next coarser level: a weighted mean of each 27 points of the finer one. */
static void restrict_residual(const struct mg_box *fine, const struct mg_box *coarse)
{
    for (int k = 1; k <= coarse->n[2]; k++) {
        for (int j = 1; j <= coarse->n[1]; j++) {
            const double *r = fine->r + mg_row(fine, 2 * j, 2 * k);
            double *out = coarse->r + mg_row(coarse, j, k);

            sum_lines(fine, fine->r, 2 * j, 2 * k);
            for (int i = 1; i <= coarse->n[0]; i++) {
                int c = 2 * i;

                out[i] = 0.5 * r[c] + 0.25 * (r[c - 1] + r[c + 1] + line1[c]) +
                         0.125 * (line1[c - 1] + line1[c + 1] + line2[c]) +
                         0.0625 * (line2[c - 1] + line2[c + 1]);
            }
        }
    }
    mg_halo(coarse, coarse->r);
}

/* Adds to a fine line, and to the points in between, `sum` of `count` coarse lines. */
static void add_line(double *to, const double *sum, double share, int coarse_points)
{
    for (int i = 0; i <= coarse_points; i++) {
        to[2 * i] += share * sum[i];
        to[2 * i + 1] += 0.5 * share * (sum[i] + sum[i + 1]);
    }
}

/* Adds the coarse correction, trilinearly, to the finer one; halos included. */
static void interpolate(const struct mg_box *coarse, const struct mg_box *fine)
{
    int n = coarse->n[0];

    for (int k = 0; k <= coarse->n[2]; k++) {
        for (int j = 0; j <= coarse->n[1]; j++) {
            const double *c = coarse->u + mg_row(coarse, j, k);
            const double *north = coarse->u + mg_row(coarse, j + 1, k);
            const double *up = coarse->u + mg_row(coarse, j, k + 1);
            const double *both = coarse->u + mg_row(coarse, j + 1, k + 1);

            add_line(fine->u + mg_row(fine, 2 * j, 2 * k), c, 1, n);
            for (int i = 0; i < n + 2; i++) {
                line1[i] = c[i] + north[i];
                line2[i] = c[i] + up[i];
            }
            add_line(fine->u + mg_row(fine, 2 * j + 1, 2 * k), line1, 0.5, n);
            add_line(fine->u + mg_row(fine, 2 * j, 2 * k + 1), line2, 0.5, n);
            for (int i = 0; i < n + 2; i++)
                line1[i] += up[i] + both[i];
            add_line(fine->u + mg_row(fine, 2 * j + 1, 2 * k + 1), line1, 0.25, n);
        }
    }
}

/* --- the cycle ----------------------------------------------------------------------------------
 */

static void clear(const struct mg_box *b)
{
    memset(b->u, 0, mg_points(b) * sizeof(double));
}

static void go_down(int level)
{
    const struct mg_box *fine = &boxes[level];

    if (level == lowest_cut && lowest_cut > 1) {
        mg_gather(fine, fine->r, &lowest_whole, lowest_whole.r);
        fine = &lowest_whole;
    }
    restrict_residual(fine, &boxes[level - 1]);
}

/* The correction of a level, from that of the one below. */
static void go_up(int level)
{
    const struct mg_box *b = &boxes[level], *coarse = &boxes[level - 1];

    if (level == lowest_cut && lowest_cut > 1) {
        clear(&lowest_whole);
        interpolate(coarse, &lowest_whole);
        mg_cut(&lowest_whole, lowest_whole.u, b, b->u);
    } else {
        clear(b);
        interpolate(coarse, b);
    }
    residual(b, b->r);
    smooth(b);
}

static void cycle(void)
{
    const struct mg_box *top = &boxes[class->top];

    for (int level = class->top; level > 1; level--)
        go_down(level);
    clear(&boxes[1]);
    smooth(&boxes[1]);
    for (int level = 2; level < class->top; level++)
        go_up(level);
    interpolate(&boxes[class->top - 1], top);
    residual(top, v);
    smooth(top);
}

static void run(int iterations)
{
    const struct mg_box *top = &boxes[class->top];

    residual(top, v);
    for (int it = 0; it < iterations; it++) {
        cycle();
        residual(top, v);
    }
}

static bool verify(bool print)
{
    const struct mg_box *b = &boxes[class->top];
    double sum = 0, all;

    for (int k = 1; k <= b->n[2]; k++)
        for (int j = 1; j <= b->n[1]; j++)
            for (int i = 1; i <= b->n[0]; i++) {
                double r = b->r[mg_row(b, j, k) + (size_t)i];

                sum += r * r;
            }
    MPI_Allreduce(&sum, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return npb_agrees(print, "L2 norm", sqrt(all / pow(b->side, 3)), class->norm, EPSILON);
}

int main(int argc, char **argv)
{
    static const struct npb_benchmark mg = {.name = "MG",
                                            .operations = "floating point",
                                            .setup = setup,
                                            .prepare = prepare,
                                            .run = run,
                                            .verify = verify};

    return npb_main(argc, argv, &mg);
}
