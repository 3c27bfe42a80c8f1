/*
 * Derived datatypes with gaps, small and large, under switches: sender and receiver describe the
 * same data by different types, and what lies in the gaps must stay as it was.
 */
#include "check.h"

#include <stddef.h>

#define ROWS 220
#define COLS 200
#define AREA (ROWS * COLS)
#define GAP  0xeeeeeeeeu

/* A way to lay out n words in AREA words: the type, and where word i lies. */
struct layout {
    const char *name;
    MPI_Datatype type;
    int count;
    size_t n;
    int *at;
};

struct mixed {
    uint32_t head;
    char gap[12];
    uint32_t pair[2];
    double unused;
};

enum { CONTIGUOUS, VECTOR, HVECTOR, INDEXED, BLOCKS, STRUCT, RESIZED, SUBARRAY, NESTED, LAYOUTS };

static uint32_t *out, *in;
static int right, left;

static void set_places(struct layout *l, size_t n)
{
    l->n = n;
    l->at = malloc((n + 1) * sizeof(*l->at));
}

static void make_vector(struct layout *l, size_t n, int h)
{
    set_places(l, n);
    l->name = h ? "hvector" : "vector";
    l->count = 1;
    if (h) {
        MPI_Type_create_hvector((int)n, 1, 3 * sizeof(uint32_t), MPI_UINT32_T, &l->type);
    } else {
        MPI_Type_vector((int)n, 1, 3, MPI_UINT32_T, &l->type);
    }
    for (size_t i = 0; i < n; i++) {
        l->at[i] = 3 * (int)i;
    }
}

/* Blocks of 1, 2, 3, 1, ... words with gaps of 2; backwards, so that the order of memory is
 * another. */
static void make_indexed(struct layout *l, size_t n)
{
    int blocks = 0, *lengths = malloc(n * sizeof(int)), *offsets = malloc(n * sizeof(int));
    size_t done = 0;
    set_places(l, n);
    l->name = "indexed";
    l->count = 1;
    for (int end = AREA; done < n; blocks++) {
        int length = 1 + blocks % 3;
        length = (size_t)length > n - done ? (int)(n - done) : length;
        end -= length + 2;
        lengths[blocks] = length;
        offsets[blocks] = end;
        for (int k = 0; k < length; k++) {
            l->at[done++] = end + k;
        }
    }
    MPI_Type_indexed(blocks, lengths, offsets, MPI_UINT32_T, &l->type);
    free(lengths);
    free(offsets);
}

static void make_blocks(struct layout *l, size_t n)
{
    int blocks = (int)(n / 2), *offsets = malloc((n + 1) * sizeof(int));
    set_places(l, n);
    l->name = "indexed_block";
    l->count = 1;
    for (int b = 0; b < blocks; b++) {
        offsets[b] = 5 * (b ^ 1);
        l->at[2 * b] = offsets[b];
        l->at[2 * b + 1] = offsets[b] + 1;
    }
    MPI_Type_create_indexed_block(blocks, 2, offsets, MPI_UINT32_T, &l->type);
    free(offsets);
}

static void make_struct(struct layout *l, size_t n)
{
    int lengths[] = {1, 2}, words = sizeof(struct mixed) / sizeof(uint32_t);
    MPI_Aint offsets[] = {offsetof(struct mixed, head), offsetof(struct mixed, pair)};
    MPI_Datatype types[] = {MPI_UINT32_T, MPI_UINT32_T}, packed;
    set_places(l, n);
    l->name = "struct";
    l->count = (int)(n / 3);
    MPI_Type_create_struct(2, lengths, offsets, types, &packed);
    MPI_Type_create_resized(packed, 0, sizeof(struct mixed), &l->type);
    MPI_Type_free(&packed);
    for (int i = 0; i < l->count; i++) {
        l->at[3 * i] = words * i;
        l->at[3 * i + 1] = words * i + 4;
        l->at[3 * i + 2] = words * i + 5;
    }
}

/* A column of a matrix, as one element that can be repeated. */
static void make_resized(struct layout *l, size_t n)
{
    MPI_Datatype column;
    set_places(l, n);
    l->name = "resized";
    l->count = (int)(n / ROWS);
    MPI_Type_vector(ROWS, 1, COLS, MPI_UINT32_T, &column);
    MPI_Type_create_resized(column, 0, sizeof(uint32_t), &l->type);
    MPI_Type_free(&column);
    for (size_t i = 0; i < n; i++) {
        l->at[i] = (int)(i % ROWS) * COLS + (int)(i / ROWS);
    }
}

static void make_subarray(struct layout *l, size_t n)
{
    int rows = n < 100 ? 2 : 120, columns = (int)n / rows;
    int sizes[] = {ROWS, COLS}, subsizes[] = {rows, columns}, starts[] = {7, 11};
    set_places(l, n);
    l->name = "subarray";
    l->count = 1;
    MPI_Type_create_subarray(2, sizes, subsizes, starts, MPI_ORDER_C, MPI_UINT32_T, &l->type);
    for (size_t i = 0; i < n; i++) {
        l->at[i] = (7 + (int)i / columns) * COLS + 11 + (int)i % columns;
    }
}

static void make_nested(struct layout *l, size_t n)
{
    MPI_Datatype inner;
    set_places(l, n);
    l->name = "nested";
    l->count = (int)(n / 6);
    MPI_Type_vector(3, 1, 2, MPI_UINT32_T, &inner);
    MPI_Type_create_hvector(2, 1, 9 * sizeof(uint32_t), inner, &l->type);
    MPI_Type_free(&inner);
    MPI_Aint lower, extent;
    MPI_Type_get_extent(l->type, &lower, &extent);
    for (size_t i = 0; i < n; i++) {
        l->at[i] = (int)(i / 6) * (int)(extent / 4) + (int)(i / 3 % 2) * 9 + (int)(i % 3) * 2;
    }
}

static void make(struct layout *l, int kind, size_t n)
{
    switch (kind) {
    case CONTIGUOUS:
        set_places(l, n);
        l->name = "contiguous";
        l->count = 1;
        MPI_Type_contiguous((int)n, MPI_UINT32_T, &l->type);
        for (size_t i = 0; i < n; i++) {
            l->at[i] = (int)i;
        }
        break;
    case VECTOR:
    case HVECTOR:
        make_vector(l, n, kind == HVECTOR);
        break;
    case INDEXED:
        make_indexed(l, n);
        break;
    case BLOCKS:
        make_blocks(l, n);
        break;
    case STRUCT:
        make_struct(l, n);
        break;
    case RESIZED:
        make_resized(l, n);
        break;
    case SUBARRAY:
        make_subarray(l, n);
        break;
    case NESTED:
        make_nested(l, n);
        break;
    }
    MPI_Type_commit(&l->type);
}

static void drop(struct layout *l)
{
    MPI_Type_free(&l->type);
    free(l->at);
}

static void verify_layout(const struct layout *l, int round)
{
    static char used[AREA];
    memset(used, 0, sizeof(used));
    for (size_t i = 0; i < l->n; i++) {
        if (in[l->at[i]] != word(left, my_rank, round, i)) {
            fail(l->name, round, left, i);
        }
        used[l->at[i]] = 1;
    }
    for (size_t i = 0; i < AREA; i++) {
        if (!used[i] && in[i] != GAP) {
            fail("a gap was written to", round, left, i);
        }
    }
    add_to_digest(in[l->at[l->n - 1]]);
}

static void exchange(const struct layout *from, const struct layout *to, int round)
{
    MPI_Request request[2];
    MPI_Status status;
    int elements;
    for (size_t i = 0; i < AREA; i++) {
        out[i] = in[i] = GAP;
    }
    for (size_t i = 0; i < from->n; i++) {
        out[from->at[i]] = word(my_rank, right, round, i);
    }
    if (round % 2) {
        MPI_Irecv(in, to->count, to->type, left, 1, MPI_COMM_WORLD, &request[0]);
    }
    (round % 3 ? MPI_Isend : MPI_Issend)(out, from->count, from->type, right, 1, MPI_COMM_WORLD,
                                         &request[1]);
    linger();
    if (round % 2 == 0) {
        MPI_Irecv(in, to->count, to->type, left, 1, MPI_COMM_WORLD, &request[0]);
    }
    MPI_Wait(&request[0], &status);
    MPI_Get_elements(&status, to->type, &elements);
    if (elements != (int)to->n) {
        fail("number of elements", round, left, (size_t)elements);
    }
    MPI_Wait(&request[1], MPI_STATUS_IGNORE);
    verify_layout(to, round);
}

int main(int argc, char **argv)
{
    /* multiples of 6 and 2; the large ones of 120 and ROWS, too */
    static const size_t sizes[] = {60, 6600, 13200};
    int rounds = begin(argc, argv);
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    out = malloc(AREA * sizeof(*out));
    in = malloc(AREA * sizeof(*in));
    for (int round = 0; round < rounds; round++) {
        size_t n = sizes[round % 3];
        int a = round / 3 % LAYOUTS, b = (a + 1 + round / 3 / LAYOUTS) % LAYOUTS;
        struct layout from, to;
        a = n % ROWS != 0 && a == RESIZED ? VECTOR : a;
        b = n % ROWS != 0 && b == RESIZED ? STRUCT : b;
        make(&from, a, n);
        make(&to, b, n);
        exchange(&from, &to, round);
        drop(&from);
        drop(&to);
    }
    return end("datatypes");
}
