/*
 * The collective operations for collectives.c. Each is a pair of functions: one starts it, the
 * other checks what came out. It works on a slot, which has the buffers and the communicator.
 */
#ifndef NINJA_TESTS_MPI_COLLECTIVE_OPS_H
#define NINJA_TESTS_MPI_COLLECTIVE_OPS_H

#include "check.h"

#define LARGE    24000
#define ROOM     (LARGE + 1024)
#define MAX_SIZE 64

/* A communicator and, in it, the ranks that this one receives from and sends to. */
struct space {
    MPI_Comm comm;
    int rank, size;
    int n_in, in[2], n_out, out[2];
};

struct slot {
    const struct space *space;
    int round, root, n, part; /* words in all, and for each rank */
    uint32_t *out, *in;
    int counts[MAX_SIZE], at[MAX_SIZE], in_counts[MAX_SIZE], in_at[MAX_SIZE], bytes[MAX_SIZE];
    MPI_Aint offset[MAX_SIZE], in_offset[MAX_SIZE];
    MPI_Datatype types[MAX_SIZE];
};

struct op {
    const char *name;
    void (*start)(struct slot *s, MPI_Request *request); /* blocking if request is NULL */
    void (*check)(struct slot *s);
    int neighbours;
};

static MPI_Op compose;
static MPI_Datatype pair;

#define CALL(blocking, nonblocking, ...)                                                           \
    (request != NULL ? MPI_##nonblocking(__VA_ARGS__, request) : MPI_##blocking(__VA_ARGS__))

/* --- what the operations share ------------------------------------------------------------ */

/* Ranks get different amounts in the "v" operations, the first one often nothing. */
static int amount(const struct slot *s, int rank)
{
    return rank == 0 ? s->round % 2 * s->part : s->part + rank % 5;
}

static void lay_out(const struct slot *s, int n, int *counts, int *at)
{
    for (int i = 0, next = 0; i < n; i++) {
        counts[i] = amount(s, i);
        at[i] = next;
        next += counts[i] + 1;
    }
}

static void check_part(const struct slot *s, const uint32_t *buf, int n, int from, int to,
                       const char *what)
{
    verify(buf, (size_t)n, from, to, s->round, what);
}

static void fill_part(const struct slot *s, uint32_t *buf, int n, int to)
{
    fill(buf, (size_t)n, s->space->rank, to, s->round);
}

static int am_root(const struct slot *s)
{
    return s->space->rank == s->root;
}

/* --- barrier, broadcast, gather, scatter -------------------------------------------------- */

static void start_barrier(struct slot *s, MPI_Request *request)
{
    CALL(Barrier, Ibarrier, s->space->comm);
}

static void check_barrier(struct slot *s)
{
    (void)s;
}

static void start_bcast(struct slot *s, MPI_Request *request)
{
    if (am_root(s)) {
        fill_part(s, s->in, s->n, 0);
    }
    CALL(Bcast, Ibcast, s->in, s->n, MPI_UINT32_T, s->root, s->space->comm);
}

static void check_bcast(struct slot *s)
{
    check_part(s, s->in, s->n, s->root, 0, "bcast");
}

static void start_gather(struct slot *s, MPI_Request *request)
{
    fill_part(s, s->out, s->part, s->root);
    CALL(Gather, Igather, s->out, s->part, MPI_UINT32_T, s->in, s->part, MPI_UINT32_T, s->root,
         s->space->comm);
}

static void check_gather(struct slot *s)
{
    for (int r = 0; am_root(s) && r < s->space->size; r++) {
        check_part(s, s->in + r * s->part, s->part, r, s->root, "gather");
    }
}

static void start_gatherv(struct slot *s, MPI_Request *request)
{
    lay_out(s, s->space->size, s->counts, s->at);
    fill_part(s, s->out, s->counts[s->space->rank], s->root);
    CALL(Gatherv, Igatherv, s->out, s->counts[s->space->rank], MPI_UINT32_T, s->in, s->counts,
         s->at, MPI_UINT32_T, s->root, s->space->comm);
}

static void check_gatherv(struct slot *s)
{
    for (int r = 0; am_root(s) && r < s->space->size; r++) {
        check_part(s, s->in + s->at[r], s->counts[r], r, s->root, "gatherv");
    }
}

static void start_scatter(struct slot *s, MPI_Request *request)
{
    for (int r = 0; am_root(s) && r < s->space->size; r++) {
        fill_part(s, s->out + r * s->part, s->part, r);
    }
    CALL(Scatter, Iscatter, s->out, s->part, MPI_UINT32_T, s->in, s->part, MPI_UINT32_T, s->root,
         s->space->comm);
}

static void check_scatter(struct slot *s)
{
    check_part(s, s->in, s->part, s->root, s->space->rank, "scatter");
}

static void start_scatterv(struct slot *s, MPI_Request *request)
{
    lay_out(s, s->space->size, s->counts, s->at);
    for (int r = 0; am_root(s) && r < s->space->size; r++) {
        fill_part(s, s->out + s->at[r], s->counts[r], r);
    }
    CALL(Scatterv, Iscatterv, s->out, s->counts, s->at, MPI_UINT32_T, s->in,
         s->counts[s->space->rank], MPI_UINT32_T, s->root, s->space->comm);
}

static void check_scatterv(struct slot *s)
{
    check_part(s, s->in, s->counts[s->space->rank], s->root, s->space->rank, "scatterv");
}

/* --- all to all --------------------------------------------------------------------------- */

static void start_allgather(struct slot *s, MPI_Request *request)
{
    uint32_t *mine = s->round % 3 == 0 ? s->in + s->space->rank * s->part : s->out;
    fill_part(s, mine, s->part, 0);
    CALL(Allgather, Iallgather, mine == s->out ? s->out : MPI_IN_PLACE, s->part, MPI_UINT32_T,
         s->in, s->part, MPI_UINT32_T, s->space->comm);
}

static void check_allgather(struct slot *s)
{
    for (int r = 0; r < s->space->size; r++) {
        check_part(s, s->in + r * s->part, s->part, r, 0, "allgather");
    }
}

static void start_allgatherv(struct slot *s, MPI_Request *request)
{
    lay_out(s, s->space->size, s->counts, s->at);
    fill_part(s, s->out, s->counts[s->space->rank], 0);
    CALL(Allgatherv, Iallgatherv, s->out, s->counts[s->space->rank], MPI_UINT32_T, s->in, s->counts,
         s->at, MPI_UINT32_T, s->space->comm);
}

static void check_allgatherv(struct slot *s)
{
    for (int r = 0; r < s->space->size; r++) {
        check_part(s, s->in + s->at[r], s->counts[r], r, 0, "allgatherv");
    }
}

static void start_alltoall(struct slot *s, MPI_Request *request)
{
    for (int r = 0; r < s->space->size; r++) {
        fill_part(s, s->out + r * s->part, s->part, r);
    }
    CALL(Alltoall, Ialltoall, s->out, s->part, MPI_UINT32_T, s->in, s->part, MPI_UINT32_T,
         s->space->comm);
}

static void check_alltoall(struct slot *s)
{
    for (int r = 0; r < s->space->size; r++) {
        check_part(s, s->in + r * s->part, s->part, r, s->space->rank, "alltoall");
    }
}

/* What goes to a rank depends on the sum of both ranks, so both ends agree. */
static void lay_out_pairs(struct slot *s)
{
    int next = 0;
    for (int r = 0; r < s->space->size; r++) {
        s->counts[r] = amount(s, (r + s->space->rank) % s->space->size);
        s->at[r] = next;
        s->bytes[r] = 4 * next;
        next += s->counts[r] + 1;
        s->types[r] = MPI_UINT32_T;
        fill_part(s, s->out + s->at[r], s->counts[r], r);
    }
}

static void start_alltoallv(struct slot *s, MPI_Request *request)
{
    lay_out_pairs(s);
    CALL(Alltoallv, Ialltoallv, s->out, s->counts, s->at, MPI_UINT32_T, s->in, s->counts, s->at,
         MPI_UINT32_T, s->space->comm);
}

static void check_pairs(struct slot *s, const char *what)
{
    for (int r = 0; r < s->space->size; r++) {
        check_part(s, s->in + s->at[r], s->counts[r], r, s->space->rank, what);
    }
}

static void check_alltoallv(struct slot *s)
{
    check_pairs(s, "alltoallv");
}

static void start_alltoallw(struct slot *s, MPI_Request *request)
{
    lay_out_pairs(s);
    CALL(Alltoallw, Ialltoallw, s->out, s->counts, s->bytes, s->types, s->in, s->counts, s->bytes,
         s->types, s->space->comm);
}

static void check_alltoallw(struct slot *s)
{
    check_pairs(s, "alltoallw");
}

/* --- reductions --------------------------------------------------------------------------- */

/* x -> a x + b, one after the other: associative, but not commutative. */
static void compose_pairs(void *in, void *inout, int *n, MPI_Datatype *type)
{
    const uint32_t *f = in;
    uint32_t *g = inout;
    (void)type;
    for (int i = 0; i < *n; i++) {
        uint32_t a = f[2 * i] * g[2 * i], b = f[2 * i + 1] * g[2 * i] + g[2 * i + 1];
        g[2 * i] = a;
        g[2 * i + 1] = b;
    }
}

static void check_reduced(const struct slot *s, const uint32_t *buf, int first, int n, int ranks,
                          const char *what)
{
    for (int i = 0; i < n; i++) {
        uint32_t sum = 0;
        for (int r = 0; r < ranks; r++) {
            sum += word(r, 1, s->round, (size_t)(first + i));
        }
        if (buf[i] != sum) {
            fail(what, s->round, ranks, (size_t)i);
        }
    }
    add_to_digest(n > 0 ? buf[n - 1] : 0);
}

static void check_composed(const struct slot *s, int n, int ranks, const char *what)
{
    for (int i = 0; i < n; i++) {
        uint32_t a = 1, b = 0;
        for (int r = 0; r < ranks; r++) {
            uint32_t c = word(r, 1, s->round, 2 * (size_t)i);
            uint32_t d = word(r, 1, s->round, 2 * (size_t)i + 1);
            b = b * c + d;
            a *= c;
        }
        if (s->in[2 * i] != a || s->in[2 * i + 1] != b) {
            fail(what, s->round, ranks, (size_t)i);
        }
    }
}

static void start_reduce(struct slot *s, MPI_Request *request)
{
    fill_part(s, s->out, s->n, 1);
    CALL(Reduce, Ireduce, s->out, s->in, s->n / 2, pair, compose, s->root, s->space->comm);
}

static void check_reduce(struct slot *s)
{
    if (am_root(s)) {
        check_composed(s, s->n / 2, s->space->size, "reduce");
    }
}

static void start_allreduce(struct slot *s, MPI_Request *request)
{
    uint32_t *mine = s->round % 3 == 1 ? s->in : s->out;
    fill_part(s, mine, s->n, 1);
    CALL(Allreduce, Iallreduce, mine == s->out ? s->out : MPI_IN_PLACE, s->in, s->n, MPI_UINT32_T,
         MPI_SUM, s->space->comm);
}

static void check_allreduce(struct slot *s)
{
    check_reduced(s, s->in, 0, s->n, s->space->size, "allreduce");
}

static void start_reduce_scatter(struct slot *s, MPI_Request *request)
{
    lay_out(s, s->space->size, s->counts, s->at);
    fill_part(s, s->out, ROOM, 1);
    CALL(Reduce_scatter, Ireduce_scatter, s->out, s->in, s->counts, MPI_UINT32_T, MPI_SUM,
         s->space->comm);
}

static void check_reduce_scatter(struct slot *s)
{
    int rank = s->space->rank; /* so many gaps are before its part */
    check_reduced(s, s->in, s->at[rank] - rank, s->counts[rank], s->space->size, "reduce_scatter");
}

static void start_reduce_scatter_block(struct slot *s, MPI_Request *request)
{
    fill_part(s, s->out, s->part * s->space->size, 1);
    CALL(Reduce_scatter_block, Ireduce_scatter_block, s->out, s->in, s->part, MPI_UINT32_T, MPI_SUM,
         s->space->comm);
}

static void check_reduce_scatter_block(struct slot *s)
{
    check_reduced(s, s->in, s->space->rank * s->part, s->part, s->space->size,
                  "reduce_scatter_block");
}

static void start_scan(struct slot *s, MPI_Request *request)
{
    fill_part(s, s->out, s->n, 1);
    CALL(Scan, Iscan, s->out, s->in, s->n / 2, pair, compose, s->space->comm);
}

static void check_scan(struct slot *s)
{
    check_composed(s, s->n / 2, s->space->rank + 1, "scan");
}

static void start_exscan(struct slot *s, MPI_Request *request)
{
    fill_part(s, s->out, s->n, 1);
    CALL(Exscan, Iexscan, s->out, s->in, s->n, MPI_UINT32_T, MPI_SUM, s->space->comm);
}

static void check_exscan(struct slot *s)
{
    if (s->space->rank > 0) {
        check_reduced(s, s->in, 0, s->n, s->space->rank, "exscan");
    }
}

/* --- neighbours --------------------------------------------------------------------------- */

static void start_neighbor_allgather(struct slot *s, MPI_Request *request)
{
    fill_part(s, s->out, s->part, 0);
    CALL(Neighbor_allgather, Ineighbor_allgather, s->out, s->part, MPI_UINT32_T, s->in, s->part,
         MPI_UINT32_T, s->space->comm);
}

static void check_neighbor_allgather(struct slot *s)
{
    for (int i = 0; i < s->space->n_in; i++) {
        if (s->space->in[i] != MPI_PROC_NULL) {
            check_part(s, s->in + i * s->part, s->part, s->space->in[i], 0, "neighbor_allgather");
        }
    }
}

static void lay_out_neighbours(struct slot *s, int same_to_all)
{
    const struct space *space = s->space;
    for (int i = 0; i < 2; i++) {
        int to = i < space->n_out ? space->out[i] : MPI_PROC_NULL;
        int from = i < space->n_in ? space->in[i] : MPI_PROC_NULL;
        s->at[i] = s->in_at[i] = i * (LARGE / 2 + 7);
        s->offset[i] = s->in_offset[i] = 4 * s->at[i];
        s->types[i] = MPI_UINT32_T;
        s->counts[i] = to != MPI_PROC_NULL ? amount(s, space->rank) : 0;
        s->in_counts[i] = from != MPI_PROC_NULL ? amount(s, from) : 0;
        fill_part(s, s->out + s->at[i], s->counts[i], same_to_all ? 0 : to);
    }
}

static void check_neighbours(struct slot *s, int same_to_all, const char *what)
{
    for (int i = 0; i < s->space->n_in; i++) {
        check_part(s, s->in + s->in_at[i], s->in_counts[i], s->space->in[i],
                   same_to_all ? 0 : s->space->rank, what);
    }
}

static void start_neighbor_allgatherv(struct slot *s, MPI_Request *request)
{
    lay_out_neighbours(s, 1);
    fill_part(s, s->out, amount(s, s->space->rank), 0);
    CALL(Neighbor_allgatherv, Ineighbor_allgatherv, s->out, amount(s, s->space->rank), MPI_UINT32_T,
         s->in, s->in_counts, s->in_at, MPI_UINT32_T, s->space->comm);
}

static void check_neighbor_allgatherv(struct slot *s)
{
    check_neighbours(s, 1, "neighbor_allgatherv");
}

static void start_neighbor_alltoall(struct slot *s, MPI_Request *request)
{
    for (int i = 0; i < s->space->n_out; i++) {
        fill_part(s, s->out + i * s->part, s->part, s->space->out[i]);
    }
    CALL(Neighbor_alltoall, Ineighbor_alltoall, s->out, s->part, MPI_UINT32_T, s->in, s->part,
         MPI_UINT32_T, s->space->comm);
}

static void check_neighbor_alltoall(struct slot *s)
{
    for (int i = 0; i < s->space->n_in; i++) {
        if (s->space->in[i] != MPI_PROC_NULL) {
            check_part(s, s->in + i * s->part, s->part, s->space->in[i], s->space->rank,
                       "neighbor_alltoall");
        }
    }
}

static void start_neighbor_alltoallv(struct slot *s, MPI_Request *request)
{
    lay_out_neighbours(s, 0);
    CALL(Neighbor_alltoallv, Ineighbor_alltoallv, s->out, s->counts, s->at, MPI_UINT32_T, s->in,
         s->in_counts, s->in_at, MPI_UINT32_T, s->space->comm);
}

static void check_neighbor_alltoallv(struct slot *s)
{
    check_neighbours(s, 0, "neighbor_alltoallv");
}

static void start_neighbor_alltoallw(struct slot *s, MPI_Request *request)
{
    lay_out_neighbours(s, 0);
    CALL(Neighbor_alltoallw, Ineighbor_alltoallw, s->out, s->counts, s->offset, s->types, s->in,
         s->in_counts, s->in_offset, s->types, s->space->comm);
}

static void check_neighbor_alltoallw(struct slot *s)
{
    check_neighbours(s, 0, "neighbor_alltoallw");
}

#define OP(name)                                                                                   \
    {                                                                                              \
#name, start_##name, check_##name, 0                                                       \
    }
#define NEIGHBOUR(name)                                                                            \
    {                                                                                              \
        "neighbor_" #name, start_neighbor_##name, check_neighbor_##name, 1                         \
    }

static const struct op ops[] = {
    OP(barrier),
    OP(bcast),
    OP(gather),
    OP(gatherv),
    OP(scatter),
    OP(scatterv),
    OP(allgather),
    OP(allgatherv),
    OP(alltoall),
    OP(alltoallv),
    OP(alltoallw),
    OP(reduce),
    OP(allreduce),
    OP(reduce_scatter),
    OP(reduce_scatter_block),
    OP(scan),
    OP(exscan),
    NEIGHBOUR(allgather),
    NEIGHBOUR(allgatherv),
    NEIGHBOUR(alltoall),
    NEIGHBOUR(alltoallv),
    NEIGHBOUR(alltoallw),
};
#define N_OPS ((int)(sizeof(ops) / sizeof(ops[0])))

#endif
