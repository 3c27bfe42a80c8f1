/*
 * FT: a partial differential equation solved by three-dimensional Fourier transforms.
 *
 * Random numbers are transformed once; then, for each step of time, multiplied by decaying factors
 * and transformed back, of which 1024 points are summed up.
 *
 * The ranks cut the cube into slabs, across z in space and across y in the frequencies. In space x
 * runs fastest, then y; in the frequencies z, then x. A transform is two of the three in the
 * slab, a transposition of the whole cube (alltoall), and the third. The blocks that go to
 * each rank are [y][x][z], with the receiver's y and the sender's z.
 */
#include "ft_fft.h"
#include "ft_sums.h"
#include "npb.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALPHA      1e-6
#define EPSILON    1e-12
#define SUM_POINTS 1024
#define TILE       16

static const struct class
{
    int nx, ny, nz, iterations;
} classes[] = {
    {64, 64, 64, 6},     {128, 128, 32, 6},   {256, 256, 128, 6},
    {512, 256, 256, 20}, {512, 512, 512, 20}, {2048, 1024, 1024, 25},
};

static const struct class *class;
static const struct ft_complex *official;
static size_t nx, ny, nz;     /* of the cube */
static size_t ny_own, nz_own; /* of the slabs */
static size_t block;          /* numbers that go to one rank in a transposition */
static struct ft_plan along_x, along_y, along_z;
static struct ft_complex *frequencies, *field, *spare;
static double *decay; /* as `frequencies`: the factor of one step */
static struct ft_complex sums[FT_MOST_SUMS];

static const char *setup(char name)
{
    class = &classes[npb_class_index(name)];
    official = ft_sums[npb_class_index(name)];
    nx = (size_t) class->nx, ny = (size_t) class->ny, nz = (size_t) class->nz;
    if (npb_log2(npb_ranks) < 0)
        return "the number of ranks must be a power of two";
    if (npb_ranks > class->ny || npb_ranks > class->nz)
        return "there are more ranks than planes of the cube";
    ny_own = ny / (size_t)npb_ranks;
    nz_own = nz / (size_t)npb_ranks;
    block = nx * ny_own * nz_own;
    if (block > INT32_MAX / 2)
        return "the cube is too large for so few ranks";
    ft_plan_make(&along_x, class->nx);
    ft_plan_make(&along_y, class->ny);
    ft_plan_make(&along_z, class->nz);

    size_t points = nx * ny * nz_own;
    double total = (double)nx * (double)ny * (double)nz;

    frequencies = npb_allocate(points, sizeof(*frequencies));
    field = npb_allocate(points, sizeof(*field));
    spare = npb_allocate(points, sizeof(*spare));
    decay = npb_allocate(points, sizeof(*decay));
    snprintf(npb_size.text, sizeof(npb_size.text), "%dx%dx%d", class->nx, class->ny, class->nz);
    npb_size.iterations = class->iterations;
    npb_size.mop =
        1e-6 * total *
        (14.8157 + 7.19641 * log(total) + (5.23518 + 7.21113 * log(total)) * class->iterations);
    return NULL;
}

/* All is part of what is timed. */
static void prepare(void)
{
}

/* --- transposition ------------------------------------------------------------------------------
 */

/* A matrix of `rows` x `cols` numbers with `from_row` from row to row, into one in which a column's
   numbers are neighbours; in tiles, as one of the two is walked across its lines. */
static void transpose(const struct ft_complex *from, size_t from_row, struct ft_complex *to,
                      size_t to_row, size_t rows, size_t cols)
{
    for (size_t c0 = 0; c0 < cols; c0 += TILE)
        for (size_t r0 = 0; r0 < rows; r0 += TILE) {
            size_t c1 = c0 + TILE < cols ? c0 + TILE : cols;
            size_t r1 = r0 + TILE < rows ? r0 + TILE : rows;

            for (size_t c = c0; c < c1; c++)
                for (size_t r = r0; r < r1; r++)
                    to[c * to_row + r] = from[r * from_row + c];
        }
}

static void exchange_blocks(const struct ft_complex *out, struct ft_complex *in)
{
    MPI_Alltoall(out, 2 * (int)block, MPI_DOUBLE, in, 2 * (int)block, MPI_DOUBLE, MPI_COMM_WORLD);
}

/* `field`, space [z][y][x], to `to`, frequencies [y][x][z]; `field` is overwritten. */
static void space_to_frequencies(struct ft_complex *to)
{
    bool alone = npb_ranks == 1;
    struct ft_complex *out = alone ? to : spare;

    for (size_t y = 0; y < ny; y++)
        transpose(field + y * nx, nx * ny, out + y * nx * nz_own, nz_own, nz_own, nx);
    if (alone)
        return;
    exchange_blocks(spare, field);
    for (size_t line = 0; line < ny_own * nx; line++)
        for (size_t rank = 0; rank < (size_t)npb_ranks; rank++)
            memcpy(to + line * nz + rank * nz_own, field + rank * block + line * nz_own,
                   nz_own * sizeof(*to));
}

/* `spare`, frequencies [y][x][z], to `field`, space [z][y][x]; `spare` is overwritten. */
static void frequencies_to_space(void)
{
    bool alone = npb_ranks == 1;
    const struct ft_complex *in = spare;

    if (!alone) {
        for (size_t line = 0; line < ny_own * nx; line++)
            for (size_t rank = 0; rank < (size_t)npb_ranks; rank++)
                memcpy(field + rank * block + line * nz_own, spare + line * nz + rank * nz_own,
                       nz_own * sizeof(*field));
        exchange_blocks(field, spare);
    }
    for (size_t y = 0; y < ny; y++)
        transpose(in + y * nx * nz_own, nz_own, field + y * nx, nx * ny, nx, nz_own);
}

/* --- transforms ---------------------------------------------------------------------------------
 */

static void transform_y(int sign)
{
    for (size_t z = 0; z < nz_own; z++) {
        struct ft_complex *plane = field + z * nx * ny;

        ft_transform(&along_y, sign, plane, plane, nx, 1, nx);
    }
}

static void to_frequencies(void)
{
    ft_transform(&along_x, 1, field, field, ny * nz_own, nx, 1);
    transform_y(1);
    space_to_frequencies(frequencies);
    ft_transform(&along_z, 1, frequencies, frequencies, ny_own * nx, nz, 1);
}

static void to_space(void)
{
    ft_transform(&along_z, -1, frequencies, spare, ny_own * nx, nz, 1);
    frequencies_to_space();
    transform_y(-1);
    ft_transform(&along_x, -1, field, field, ny * nz_own, nx, 1);
}

/* --- the equation -------------------------------------------------------------------------------
 */

static void random_field(void)
{
    uint64_t first = 2 * nx * ny * nz_own * (uint64_t)npb_rank, x = NPB_SEED;

    npb_random(&x, npb_power(NPB_A, first));
    for (size_t i = 0; i < nx * ny * nz_own; i++) {
        field[i].re = npb_random(&x, NPB_A);
        field[i].im = npb_random(&x, NPB_A);
    }
}

/* The square of the wave number that an index stands for. */
static double square(size_t index, size_t n)
{
    double k = index < n / 2 ? (double)index : (double)index - (double)n;

    return k * k;
}

static void make_decay(void)
{
    double *d = decay;

    for (size_t y = ny_own * (size_t)npb_rank; y < ny_own * ((size_t)npb_rank + 1); y++)
        for (size_t i = 0; i < nx; i++) {
            double k2 = square(y, ny) + square(i, nx);

            for (size_t z = 0; z < nz; z++)
                *d++ = exp(-4 * ALPHA * M_PI * M_PI * (k2 + square(z, nz)));
        }
}

static void evolve(void)
{
    for (size_t i = 0; i < ny_own * nx * nz; i++) {
        frequencies[i].re *= decay[i];
        frequencies[i].im *= decay[i];
    }
}

static struct ft_complex checksum(void)
{
    size_t first = nz_own * (size_t)npb_rank;
    double mine[2] = {0, 0}, all[2] = {0, 0}, total = (double)nx * (double)ny * (double)nz;

    for (size_t j = 1; j <= SUM_POINTS; j++) {
        size_t x = j % nx, y = 3 * j % ny, z = 5 * j % nz;

        if (z >= first && z < first + nz_own) {
            mine[0] += field[((z - first) * ny + y) * nx + x].re;
            mine[1] += field[((z - first) * ny + y) * nx + x].im;
        }
    }
    MPI_Reduce(mine, all, 2, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    return (struct ft_complex){all[0] / total, all[1] / total};
}

static void run(int iterations)
{
    random_field();
    make_decay();
    to_frequencies();
    for (int it = 0; it < iterations; it++) {
        evolve();
        to_space();
        sums[it] = checksum();
    }
}

static bool verify(bool print)
{
    int right = 1;

    for (int it = 0; npb_rank == 0 && it < class->iterations; it++) {
        char name[32];

        snprintf(name, sizeof(name), "checksum %d re", it + 1);
        right &= npb_agrees(print, name, sums[it].re, official[it].re, EPSILON);
        memcpy(strrchr(name, 'r'), "im", 2);
        right &= npb_agrees(print, name, sums[it].im, official[it].im, EPSILON);
    }
    return right;
}

int main(int argc, char **argv)
{
    static const struct npb_benchmark ft = {.name = "FT",
                                            .operations = "floating point",
                                            .setup = setup,
                                            .prepare = prepare,
                                            .run = run,
                                            .verify = verify};

    return npb_main(argc, argv, &ft);
}
