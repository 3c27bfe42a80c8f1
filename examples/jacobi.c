/*
 * Two-dimensional Jacobi iteration, as any MPI program would write it.
 *
 * The grid is cut into blocks of rows, one a rank. Neighbours exchange their edge rows in every
 * iteration, in turn by nonblocking messages and by MPI_Sendrecv; every EXCHANGE_EVERY iterations
 * each rank sends a slab of rows (a rendezvous message) around a ring; every RESIDUAL_EVERY
 * iterations the residual is summed over all ranks. All that was received goes into the grid or
 * the digest, so a lost, doubled or changed message changes the result.
 *
 * usage: jacobi [--size N] [--iterations N] [--progress N] [--until FILE]
 *
 * With --until it ends when rank 0 sees that file, even if there are iterations left.
 *
 * Rank 0 ends with one line of JSON. The digest is a 64-bit FNV-1a hash over the grid in rank order
 * and the slabs; the longest gap is the longest time between the ends of two iterations on any
 * rank.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESIDUAL_EVERY 10
#define EXCHANGE_EVERY 25
#define SLAB_BYTES     (128 * 1024)
#define FNV_OFFSET     UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME      UINT64_C(0x100000001b3)

enum { TAG_UP = 1, TAG_DOWN, TAG_SLAB, TAG_GATHER };

struct grid {
    int rank, ranks;
    int size;           /* columns, and rows of the whole grid */
    int rows;           /* of this rank, without the two halo rows */
    double *now, *next; /* (rows + 2) x size */
    double *slab;
    size_t slab_doubles;
    uint64_t slab_digest;
};

static uint64_t fnv(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * FNV_PRIME;
    return hash;
}

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count, size);

    if (p == NULL) {
        fprintf(stderr, "jacobi: out of memory\n");
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return p;
}

static double *row(const struct grid *g, double *cells, int index)
{
    return cells + (size_t)index * (size_t)g->size;
}

static void grid_init(struct grid *g, int size)
{
    MPI_Comm_rank(MPI_COMM_WORLD, &g->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &g->ranks);
    int first = (int)((int64_t)size * g->rank / g->ranks);
    g->size = size;
    g->rows = (int)((int64_t)size * (g->rank + 1) / g->ranks) - first;
    g->now = allocate((size_t)(g->rows + 2) * (size_t)size, sizeof(double));
    g->next = allocate((size_t)(g->rows + 2) * (size_t)size, sizeof(double));
    g->slab_doubles = SLAB_BYTES / sizeof(double);
    g->slab = allocate(g->slab_doubles, sizeof(double));
    g->slab_digest = FNV_OFFSET;

    for (int i = 1; i <= g->rows; i++)
        for (int j = 0; j < size; j++)
            row(g, g->now, i)[j] = (double)(((first + i) * 7919 + j * j * 31) % 1009) / 1009.0;
    memcpy(g->next, g->now, (size_t)(g->rows + 2) * (size_t)size * sizeof(double));
}

static void grid_free(struct grid *g)
{
    free(g->now);
    free(g->next);
    free(g->slab);
}

static void exchange_halo(struct grid *g, int iteration)
{
    int up = g->rank > 0 ? g->rank - 1 : MPI_PROC_NULL;
    int down = g->rank < g->ranks - 1 ? g->rank + 1 : MPI_PROC_NULL;
    double *top = row(g, g->now, 1), *bottom = row(g, g->now, g->rows);
    double *above = row(g, g->now, 0), *below = row(g, g->now, g->rows + 1);

    if (iteration % 2 == 0) {
        MPI_Request requests[4];

        MPI_Irecv(above, g->size, MPI_DOUBLE, up, TAG_DOWN, MPI_COMM_WORLD, &requests[0]);
        MPI_Irecv(below, g->size, MPI_DOUBLE, down, TAG_UP, MPI_COMM_WORLD, &requests[1]);
        MPI_Isend(top, g->size, MPI_DOUBLE, up, TAG_UP, MPI_COMM_WORLD, &requests[2]);
        MPI_Isend(bottom, g->size, MPI_DOUBLE, down, TAG_DOWN, MPI_COMM_WORLD, &requests[3]);
        MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
    } else {
        MPI_Sendrecv(top, g->size, MPI_DOUBLE, up, TAG_UP, below, g->size, MPI_DOUBLE, down, TAG_UP,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Sendrecv(bottom, g->size, MPI_DOUBLE, down, TAG_DOWN, above, g->size, MPI_DOUBLE, up,
                     TAG_DOWN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
}

/* Sends the first cells of the block around the ring, as one large message. */
static void exchange_slab(struct grid *g)
{
    int to = (g->rank + 1) % g->ranks, from = (g->rank + g->ranks - 1) % g->ranks;
    size_t cells = (size_t)g->rows * (size_t)g->size;
    int count = (int)(cells < g->slab_doubles ? cells : g->slab_doubles);
    MPI_Status status;
    MPI_Request request;
    int received;

    MPI_Irecv(g->slab, (int)g->slab_doubles, MPI_DOUBLE, from, TAG_SLAB, MPI_COMM_WORLD, &request);
    MPI_Send(row(g, g->now, 1), count, MPI_DOUBLE, to, TAG_SLAB, MPI_COMM_WORLD);
    MPI_Wait(&request, &status);
    MPI_Get_count(&status, MPI_DOUBLE, &received);
    g->slab_digest = fnv(g->slab_digest, g->slab, (size_t)received * sizeof(double));
}

/* One step; returns the sum of the squared changes. The cells at the grid's border stay. */
static double relax(struct grid *g)
{
    double sum = 0.0;
    int first = g->rank == 0 ? 2 : 1;
    int last = g->rank == g->ranks - 1 ? g->rows - 1 : g->rows;

    for (int i = first; i <= last; i++) {
        const double *above = row(g, g->now, i - 1), *here = row(g, g->now, i);
        const double *below = row(g, g->now, i + 1);
        double *out = row(g, g->next, i);

        for (int j = 1; j < g->size - 1; j++) {
            out[j] = 0.25 * (above[j] + below[j] + here[j - 1] + here[j + 1]);
            sum += (out[j] - here[j]) * (out[j] - here[j]);
        }
    }
    double *swap = g->now;
    g->now = g->next;
    g->next = swap;
    return sum;
}

/* The hash over all blocks in rank order; valid on rank 0. */
static uint64_t digest(struct grid *g)
{
    uint64_t hash = FNV_OFFSET;

    if (g->rank != 0) {
        MPI_Send(row(g, g->now, 1), g->rows * g->size, MPI_DOUBLE, 0, TAG_GATHER, MPI_COMM_WORLD);
        MPI_Send(&g->slab_digest, 1, MPI_UINT64_T, 0, TAG_GATHER, MPI_COMM_WORLD);
        return 0;
    }
    size_t most = ((size_t)g->size / (size_t)g->ranks + 1) * (size_t)g->size;
    double *block = allocate(most, sizeof(double));
    hash = fnv(hash, row(g, g->now, 1), (size_t)g->rows * (size_t)g->size * sizeof(double));
    hash = fnv(hash, &g->slab_digest, sizeof(g->slab_digest));
    for (int r = 1; r < g->ranks; r++) {
        MPI_Status status;
        uint64_t slab;
        int count;

        MPI_Recv(block, (int)most, MPI_DOUBLE, r, TAG_GATHER, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_DOUBLE, &count);
        hash = fnv(hash, block, (size_t)count * sizeof(double));
        MPI_Recv(&slab, 1, MPI_UINT64_T, r, TAG_GATHER, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        hash = fnv(hash, &slab, sizeof(slab));
    }
    free(block);
    return hash;
}

struct timing {
    double start, last, longest;
};

static void timing_mark(struct timing *t)
{
    double now = MPI_Wtime();

    if (now - t->last > t->longest)
        t->longest = now - t->last;
    t->last = now;
}

/* Whether rank 0 sees the file. */
static bool is_there(const char *file)
{
    int there = access(file, F_OK) == 0;

    MPI_Bcast(&there, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return there;
}

/* Returns the residual; *iterations becomes what was done. */
static double iterate(struct grid *g, int *iterations, int progress, const char *until,
                      struct timing *t)
{
    double residual = 0.0;

    for (int i = 1; i <= *iterations; i++) {
        exchange_halo(g, i);
        double sum = relax(g);
        if (i % EXCHANGE_EVERY == 0)
            exchange_slab(g);
        if (until != NULL && i % RESIDUAL_EVERY == 0 && is_there(until))
            *iterations = i;
        if (i % RESIDUAL_EVERY == 0 || i == *iterations) {
            MPI_Allreduce(&sum, &residual, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
            residual = sqrt(residual);
        }
        timing_mark(t);
        if (g->rank == 0 && progress > 0 && i % progress == 0) {
            printf("iteration %d of %d, residual %g\n", i, *iterations, residual);
            fflush(stdout);
        }
    }
    return residual;
}

static void run(int size, int iterations, int progress, const char *until)
{
    struct grid g;
    struct timing t = {0};
    double longest;

    grid_init(&g, size);
    /* Opens the connections, so that this is not taken for a gap between iterations. */
    exchange_halo(&g, 0);
    exchange_slab(&g);
    MPI_Barrier(MPI_COMM_WORLD);
    t.start = t.last = MPI_Wtime();
    double residual = iterate(&g, &iterations, progress, until, &t);
    double seconds = t.last - t.start;
    MPI_Reduce(&t.longest, &longest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    uint64_t hash = digest(&g);
    if (g.rank == 0)
        printf("{\"ranks\": %d, \"size\": %d, \"iterations\": %d, \"digest\": \"%016" PRIx64
               "\", \"residual\": \"%a\", \"seconds\": %.3f, \"longest_gap_ms\": %.1f}\n",
               g.ranks, size, iterations, hash, residual, seconds, longest * 1e3);
    grid_free(&g);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"iterations", required_argument, NULL, 'i'},
                                            {"progress", required_argument, NULL, 'p'},
                                            {"until", required_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    int size = 512, iterations = 1000, progress = 0, option, ranks;
    const char *until = NULL;

    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            size = atoi(optarg);
        else if (option == 'i')
            iterations = atoi(optarg);
        else if (option == 'p')
            progress = atoi(optarg);
        else if (option == 'u')
            until = optarg;
        else
            MPI_Abort(MPI_COMM_WORLD, 64);
    }
    if (size < 2 * ranks || size > 16384 || iterations < 1) {
        fprintf(stderr, "jacobi: --size must be from twice the ranks to 16384, --iterations at "
                        "least 1\n");
        MPI_Abort(MPI_COMM_WORLD, 64);
    }
    run(size, iterations, progress, until);
    MPI_Finalize();
    return 0;
}
