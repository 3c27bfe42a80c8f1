/*
 * MPI-IO on files that stay open from begin to end: individual, collective, nonblocking and split
 * access, views with gaps, shared file pointers. What is read back is checked word by word, and the
 * bytes of the file in the end, by plain read(2), go into the result.
 *
 * The environment variable FILES_AT is a path to which suffixes are added.
 */
#include "check.h"

#include <stdbool.h>

static const int sizes[] = {1, 16, 1000, 3008, 16384, 65536};
#define N_SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))
#define MAX     65536
#define BLOCK   16 /* words that a rank has in a row in an interleaved view */
#define RECORD  8  /* words, by shared file pointer */

static MPI_File data, shared;
static uint32_t *out, *in;
static int right, left;
static char path[2][512];

static MPI_Offset block_of(int rank)
{
    return (MPI_Offset)rank * MAX * (MPI_Offset)sizeof(uint32_t);
}

/* What one rank wrote can be read by the others. */
static void publish(MPI_File file)
{
    MPI_File_sync(file);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_File_sync(file);
}

static void check_count(const MPI_Status *status, int n, const char *what, int round)
{
    int count;
    MPI_Get_count(status, MPI_UINT32_T, &count);
    if (count != n) {
        fail(what, round, my_rank, (size_t)count);
    }
}

static void flat_view(void)
{
    MPI_File_set_view(data, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL);
}

/* Blocks of each rank in turn. */
static void interleaved_view(void)
{
    MPI_Datatype block, filetype;
    MPI_Type_contiguous(BLOCK, MPI_UINT32_T, &block);
    MPI_Type_create_resized(block, 0, (MPI_Aint)n_ranks * BLOCK * (MPI_Aint)sizeof(uint32_t),
                            &filetype);
    MPI_Type_commit(&filetype);
    MPI_File_set_view(data, (MPI_Offset)my_rank * BLOCK * (MPI_Offset)sizeof(uint32_t),
                      MPI_UINT32_T, filetype, "native", MPI_INFO_NULL);
    MPI_Type_free(&filetype);
    MPI_Type_free(&block);
}

/* --- individual --------------------------------------------------------------------------- */

static void individual(int n, int round)
{
    MPI_Status status;
    flat_view();
    MPI_File_write_at(data, block_of(my_rank), out, n, MPI_UINT32_T, &status);
    check_count(&status, n, "write_at", round);
    publish(data);
    MPI_File_read_at(data, block_of(left), in, n, MPI_UINT32_T, &status);
    check_count(&status, n, "read_at", round);
    verify(in, (size_t)n, left, 0, round, "read_at");
}

static void nonblocking(int n, int round)
{
    MPI_Request request;
    int theirs = -1;
    flat_view();
    MPI_File_iwrite_at(data, block_of(my_rank), out, n, MPI_UINT32_T, &request);
    MPI_Sendrecv(&round, 1, MPI_INT, right, 1, &theirs, 1, MPI_INT, left, 1, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    publish(data);
    MPI_File_iread_at(data, block_of(left), in, n, MPI_UINT32_T, &request);
    for (int done = 0; !done;) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    }
    verify(in, (size_t)n, left, 0, theirs, "iread_at");
}

static void by_own_pointer(int n, int round)
{
    flat_view();
    MPI_File_seek(data, block_of(my_rank), MPI_SEEK_SET);
    MPI_File_write(data, out, n, MPI_UINT32_T, MPI_STATUS_IGNORE);
    publish(data);
    MPI_File_seek(data, block_of(left), MPI_SEEK_SET);
    MPI_File_read(data, in, n, MPI_UINT32_T, MPI_STATUS_IGNORE);
    verify(in, (size_t)n, left, 0, round, "read");
}

/* --- collective --------------------------------------------------------------------------- */

static void collective(int n, int round)
{
    MPI_Status status;
    interleaved_view();
    MPI_File_write_at_all(data, 0, out, n, MPI_UINT32_T, &status);
    check_count(&status, n, "write_at_all", round);
    publish(data);
    memset(in, 0xee, (size_t)n * sizeof(*in));
    MPI_File_read_at_all(data, 0, in, n, MPI_UINT32_T, &status);
    check_count(&status, n, "read_at_all", round);
    verify(in, (size_t)n, my_rank, 0, round, "read_at_all");

    /* the same words, where they must lie in the file */
    flat_view();
    for (int i = 0; i < n; i += BLOCK * 64) {
        int words = n - i < BLOCK ? n - i : BLOCK;
        MPI_Offset at = ((MPI_Offset)(i / BLOCK) * n_ranks + left) * BLOCK * 4;
        MPI_File_read_at(data, at, in, words, MPI_UINT32_T, MPI_STATUS_IGNORE);
        for (int k = 0; k < words; k++) {
            if (in[k] != word(left, 0, round, (size_t)(i + k))) {
                fail("interleaved", round, left, (size_t)(i + k));
            }
        }
    }
}

static void nonblocking_collective(int n, int round)
{
    MPI_Request request;
    uint32_t sum = 0, mine = (uint32_t)round;
    interleaved_view();
    MPI_File_iwrite_at_all(data, 0, out, n, MPI_UINT32_T, &request);
    MPI_Allreduce(&mine, &sum, 1, MPI_UINT32_T, MPI_SUM, MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    publish(data);
    memset(in, 0xee, (size_t)n * sizeof(*in));
    MPI_File_seek(data, 0, MPI_SEEK_SET);
    MPI_File_iread_all(data, in, n, MPI_UINT32_T, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    verify(in, (size_t)n, my_rank, 0, round, "iread_all");
    add_to_digest(sum);
}

static void split_collective(int n, int round)
{
    interleaved_view();
    MPI_File_write_at_all_begin(data, 0, out, n, MPI_UINT32_T);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_File_write_at_all_end(data, out, MPI_STATUS_IGNORE);
    publish(data);
    memset(in, 0xee, (size_t)n * sizeof(*in));
    MPI_File_read_at_all_begin(data, 0, in, n, MPI_UINT32_T);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_File_read_at_all_end(data, in, MPI_STATUS_IGNORE);
    verify(in, (size_t)n, my_rank, 0, round, "read_at_all_end");
}

/* Nobody writes to the last of the ranks' blocks; it must stay as it was. */
static void with_gaps(int n, int round)
{
    int writers = n_ranks - 1, all = n * n_ranks;
    n = n < 4096 ? n : 4096; /* rank 0 writes and reads the space of all */
    all = (n + BLOCK) * n_ranks;
    flat_view();
    if (my_rank == 0) {
        memset(in, 0x5a, (size_t)all * sizeof(*in));
        MPI_File_write_at(data, 0, in, all, MPI_UINT32_T, MPI_STATUS_IGNORE);
    }
    publish(data);
    interleaved_view();
    MPI_File_write_all(data, out, my_rank < writers ? n : 0, MPI_UINT32_T, MPI_STATUS_IGNORE);
    publish(data);
    flat_view();
    MPI_File_read_at_all(data, 0, in, all, MPI_UINT32_T, MPI_STATUS_IGNORE);
    for (int i = 0; i < all; i++) {
        int block = i / BLOCK, of = block % n_ranks, k = block / n_ranks * BLOCK + i % BLOCK;
        uint32_t wanted = of < writers && k < n ? word(of, 0, round, (size_t)k) : 0x5a5a5a5a;
        if (in[i] != wanted) {
            fail("view with gaps", round, of, (size_t)i);
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* --- shared file pointer ------------------------------------------------------------------ */

#define PER_RANK 6

static void fill_record(uint32_t *record, int k, int round)
{
    fill(record, RECORD, my_rank, k, round);
    record[0] = (uint32_t)my_rank;
    record[1] = (uint32_t)k;
}

/* Each record once, whatever the order. */
static void verify_records(const uint32_t *records, int round, const char *what)
{
    static bool seen[1024];
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < n_ranks * PER_RANK; i++) {
        const uint32_t *r = records + (size_t)i * RECORD;
        uint32_t id = r[0] * PER_RANK + r[1];
        if (r[0] >= (uint32_t)n_ranks || r[1] >= PER_RANK || id >= 1024 || seen[id]) {
            fail(what, round, (int)r[0], r[1]);
        }
        seen[id] = true;
        for (size_t k = 2; k < RECORD; k++) {
            if (r[k] != word((int)r[0], (int)r[1], round, k)) {
                fail(what, round, (int)r[0], k);
            }
        }
    }
}

static void by_shared_pointer(int n, int round)
{
    uint32_t record[RECORD], *all = in + (size_t)n_ranks * PER_RANK * RECORD;
    (void)n;
    MPI_File_seek_shared(shared, 0, MPI_SEEK_SET);
    for (int k = 0; k < PER_RANK; k++) {
        fill_record(record, k, round);
        MPI_File_write_shared(shared, record, RECORD, MPI_UINT32_T, MPI_STATUS_IGNORE);
    }
    publish(shared);
    MPI_File_seek_shared(shared, 0, MPI_SEEK_SET);
    for (int k = 0; k < PER_RANK; k++) {
        MPI_File_read_shared(shared, in + (size_t)k * RECORD, RECORD, MPI_UINT32_T,
                             MPI_STATUS_IGNORE);
    }
    MPI_Allgather(in, PER_RANK * RECORD, MPI_UINT32_T, all, PER_RANK * RECORD, MPI_UINT32_T,
                  MPI_COMM_WORLD);
    verify_records(all, round, "read_shared");
}

static void in_order(int n, int round)
{
    uint32_t record[RECORD];
    (void)n;
    MPI_File_seek_shared(shared, 0, MPI_SEEK_SET);
    for (int k = 0; k < PER_RANK; k++) {
        fill_record(record, k, round);
        MPI_File_write_ordered(shared, record, RECORD, MPI_UINT32_T, MPI_STATUS_IGNORE);
    }
    publish(shared);
    MPI_File_read_at_all(shared, 0, in, n_ranks * PER_RANK * RECORD, MPI_UINT32_T,
                         MPI_STATUS_IGNORE);
    verify_records(in, round, "write_ordered");
    for (int i = 0; i < n_ranks * PER_RANK; i++) {
        if (in[(size_t)i * RECORD] != (uint32_t)(i % n_ranks)) {
            fail("order of write_ordered", round, i % n_ranks, (size_t)i);
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void (*const ways[])(int n, int round) = {
    individual, collective,       nonblocking, by_shared_pointer, nonblocking_collective,
    with_gaps,  split_collective, in_order,    by_own_pointer,
};
#define N_WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

static void open_file(int i, MPI_File *file)
{
    const char *prefix = getenv("FILES_AT");
    snprintf(path[i], sizeof(path[i]), "%s.%d", prefix != NULL ? prefix : "files.tmp", i);
    int rc = MPI_File_open(MPI_COMM_WORLD, path[i], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL,
                           file);
    if (rc != MPI_SUCCESS) {
        fail(path[i], 0, my_rank, (size_t)rc);
    }
    MPI_File_set_errhandler(*file, MPI_ERRORS_ARE_FATAL);
}

static void close_file(int i, MPI_File *file)
{
    MPI_File_close(file);
    MPI_Barrier(MPI_COMM_WORLD);
    if (my_rank == 0) {
        FILE *f = fopen(path[i], "rb");
        for (int c; f != NULL && i == 0 && (c = getc(f)) != EOF;) {
            add_to_digest((uint64_t)c);
        }
        if (f == NULL || fclose(f) != 0 || remove(path[i]) != 0) {
            fail(path[i], 0, 0, 0);
        }
    }
}

/* Open MPI's romio321 crashes in nonblocking collective access, with and without switches. */
static bool is_supported(void (*way)(int n, int round))
{
    const char *io = getenv("OMPI_MCA_io");
    return way != nonblocking_collective || io == NULL || strncmp(io, "romio", 5) != 0;
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    out = malloc((size_t)n_ranks * MAX * sizeof(*out));
    in = malloc((size_t)n_ranks * MAX * sizeof(*in));
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    open_file(0, &data);
    open_file(1, &shared);
    MPI_File_set_view(shared, 0, MPI_UINT32_T, MPI_UINT32_T, "native", MPI_INFO_NULL);
    for (int round = 0; round < rounds; round++) {
        int n = sizes[round / N_WAYS % N_SIZES];
        fill(out, (size_t)n, my_rank, 0, round);
        memset(in, 0xee, (size_t)n * sizeof(*in));
        if (is_supported(ways[round % N_WAYS])) {
            ways[round % N_WAYS](n, round);
        }
        MPI_Barrier(MPI_COMM_WORLD);
    }
    close_file(0, &data);
    close_file(1, &shared);
    return end("files");
}
