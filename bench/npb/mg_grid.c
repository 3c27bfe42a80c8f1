/*
 * Halos are exchanged one axis after the other; each axis also passes on what came along the axes
 * before it, so that edges and corners arrive without messages of their own.
 *
 * On the lowest levels there are fewer points than ranks. There every rank has all points
 * (mg_gather), and does what all others do.
 */
#include "mg_grid.h"
#include "npb.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_UP = 1, TAG_DOWN };

static struct {
    int ranks[3]; /* along each axis */
    int at[3];    /* this rank */
    int below[3], above[3];
    double *out[2], *in[2];
    double *boxes; /* for mg_gather() */
} grid;

static int rank_at(int x, int y, int z)
{
    return x + grid.ranks[0] * (y + grid.ranks[1] * z);
}

static void find_neighbours(void)
{
    for (int axis = 0; axis < 3; axis++) {
        int at[3] = {grid.at[0], grid.at[1], grid.at[2]}, n = grid.ranks[axis];

        at[axis] = (grid.at[axis] + 1) % n;
        grid.above[axis] = rank_at(at[0], at[1], at[2]);
        at[axis] = (grid.at[axis] + n - 1) % n;
        grid.below[axis] = rank_at(at[0], at[1], at[2]);
    }
}

void mg_grid_init(int top)
{
    int log = npb_log2(npb_ranks);

    grid.ranks[0] = 1 << log / 3;
    grid.ranks[1] = 1 << (log - log / 3) / 2;
    grid.ranks[2] = npb_ranks / (grid.ranks[0] * grid.ranks[1]);
    grid.at[0] = npb_rank % grid.ranks[0];
    grid.at[1] = npb_rank / grid.ranks[0] % grid.ranks[1];
    grid.at[2] = npb_rank / (grid.ranks[0] * grid.ranks[1]);
    find_neighbours();

    /* the largest box, and the largest level that is whole: its side is a number of ranks */
    size_t longest[2] = {0, 0}, face;

    for (int axis = 0; axis < 3; axis++) {
        size_t n = (size_t)((1 << top) / grid.ranks[axis] + 2),
               whole = (size_t)grid.ranks[axis] + 2;

        longest[0] = n > longest[0] ? n : longest[0];
        longest[1] = whole > longest[1] ? whole : longest[1];
    }
    face = longest[0] > longest[1] ? longest[0] * longest[0] : longest[1] * longest[1];
    for (int i = 0; i < 2; i++) {
        grid.out[i] = npb_allocate(face, sizeof(double));
        grid.in[i] = npb_allocate(face, sizeof(double));
    }
}

bool mg_grid_fits(int level)
{
    for (int axis = 0; axis < 3; axis++)
        if (1 << level < grid.ranks[axis])
            return false;
    return true;
}

struct mg_box mg_box_make(int level, bool whole)
{
    struct mg_box b = {.whole = whole, .side = 1 << level};

    for (int axis = 0; axis < 3; axis++) {
        b.n[axis] = whole ? b.side : b.side / grid.ranks[axis];
        b.first[axis] = whole ? 0 : b.n[axis] * grid.at[axis];
    }
    b.u = npb_allocate(mg_points(&b), sizeof(double));
    b.r = npb_allocate(mg_points(&b), sizeof(double));
    return b;
}

/* --- halos ------------------------------------------------------------------------------------ */

/* The points of one layer across an axis: those that the axes before it have halos for, too. */
struct layer {
    size_t start, stride[2];
    int count[2];
};

static struct layer layer_at(const struct mg_box *b, int axis, int index)
{
    size_t stride[3] = {1, (size_t)(b->n[0] + 2), 0};
    struct layer l = {0};
    int d = 0;

    stride[2] = stride[1] * (size_t)(b->n[1] + 2);
    l.start = stride[axis] * (size_t)index;
    for (int other = 0; other < 3; other++) {
        if (other == axis)
            continue;
        l.stride[d] = stride[other];
        l.count[d++] = other < axis ? b->n[other] + 2 : b->n[other];
        l.start += other < axis ? 0 : stride[other];
    }
    return l;
}

static int pack(const struct layer *l, const double *array, double *out)
{
    for (int j = 0; j < l->count[1]; j++) {
        const double *from = array + l->start + (size_t)j * l->stride[1];

        for (int i = 0; i < l->count[0]; i++)
            *out++ = from[(size_t)i * l->stride[0]];
    }
    return l->count[0] * l->count[1];
}

static void unpack(const struct layer *l, double *array, const double *in)
{
    for (int j = 0; j < l->count[1]; j++) {
        double *to = array + l->start + (size_t)j * l->stride[1];

        for (int i = 0; i < l->count[0]; i++)
            to[(size_t)i * l->stride[0]] = *in++;
    }
}

static void halo_along(const struct mg_box *b, double *array, int axis)
{
    struct layer first = layer_at(b, axis, 1), last = layer_at(b, axis, b->n[axis]);
    struct layer before = layer_at(b, axis, 0), after = layer_at(b, axis, b->n[axis] + 1);
    MPI_Request requests[2];
    int count = pack(&last, array, grid.out[0]);

    pack(&first, array, grid.out[1]);
    if (b->whole || grid.ranks[axis] == 1) {
        unpack(&before, array, grid.out[0]);
        unpack(&after, array, grid.out[1]);
        return;
    }
    MPI_Irecv(grid.in[0], count, MPI_DOUBLE, grid.below[axis], TAG_UP, MPI_COMM_WORLD,
              &requests[0]);
    MPI_Irecv(grid.in[1], count, MPI_DOUBLE, grid.above[axis], TAG_DOWN, MPI_COMM_WORLD,
              &requests[1]);
    MPI_Send(grid.out[0], count, MPI_DOUBLE, grid.above[axis], TAG_UP, MPI_COMM_WORLD);
    MPI_Send(grid.out[1], count, MPI_DOUBLE, grid.below[axis], TAG_DOWN, MPI_COMM_WORLD);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    unpack(&before, array, grid.in[0]);
    unpack(&after, array, grid.in[1]);
}

void mg_halo(const struct mg_box *b, double *array)
{
    for (int axis = 0; axis < 3; axis++)
        halo_along(b, array, axis);
}

/* --- whole levels ------------------------------------------------------------------------------
 */

void mg_gather(const struct mg_box *b, const double *array, const struct mg_box *all, double *to)
{
    size_t row = (size_t)b->n[0], points = row * (size_t)b->n[1] * (size_t)b->n[2];
    double *mine;

    if (grid.boxes == NULL)
        grid.boxes = npb_allocate(points * (size_t)npb_ranks, sizeof(double));
    mine = grid.boxes + points * (size_t)npb_rank;
    for (int k = 1; k <= b->n[2]; k++)
        for (int j = 1; j <= b->n[1]; j++, mine += row)
            memcpy(mine, array + mg_row(b, j, k) + 1, row * sizeof(double));
    MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, grid.boxes, (int)points, MPI_DOUBLE,
                  MPI_COMM_WORLD);

    const double *from = grid.boxes;

    for (int rank = 0; rank < npb_ranks; rank++) {
        int x = rank % grid.ranks[0] * b->n[0];
        int y = rank / grid.ranks[0] % grid.ranks[1] * b->n[1];
        int z = rank / (grid.ranks[0] * grid.ranks[1]) * b->n[2];

        for (int k = 1; k <= b->n[2]; k++)
            for (int j = 1; j <= b->n[1]; j++, from += row)
                memcpy(to + mg_row(all, y + j, z + k) + x + 1, from, row * sizeof(double));
    }
    mg_halo(all, to);
}

void mg_cut(const struct mg_box *all, const double *from, const struct mg_box *b, double *to)
{
    for (int k = 0; k <= b->n[2] + 1; k++)
        for (int j = 0; j <= b->n[1] + 1; j++)
            memcpy(to + mg_row(b, j, k),
                   from + mg_row(all, b->first[1] + j, b->first[2] + k) + b->first[0],
                   (size_t)(b->n[0] + 2) * sizeof(double));
}
