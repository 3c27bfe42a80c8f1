/*
 * Blocking and nonblocking collectives, small and large; several nonblocking ones outstanding on
 * several communicators while point-to-point messages pass.
 */
#include "check.h"

#define LARGE  30000
#define N_COMM 3

static uint32_t *a, *b;

static void broadcast(int round, int n)
{
    int root = round % n_ranks;
    if (my_rank == root) {
        fill(a, (size_t)n, root, 0, round);
    } else {
        memset(a, 0, (size_t)n * sizeof(*a));
    }
    MPI_Bcast(a, n, MPI_UINT32_T, root, MPI_COMM_WORLD);
    verify(a, (size_t)n, root, 0, round, "bcast");
}

static void all_to_all(int round, int n)
{
    n = n / n_ranks + 1;
    for (int to = 0; to < n_ranks; to++) {
        fill(a + to * n, (size_t)n, my_rank, to, round);
    }
    MPI_Alltoall(a, n, MPI_UINT32_T, b, n, MPI_UINT32_T, MPI_COMM_WORLD);
    for (int from = 0; from < n_ranks; from++) {
        verify(b + from * n, (size_t)n, from, my_rank, round, "alltoall");
    }
}

static void all_reduce(int round, int n)
{
    for (int i = 0; i < n; i++) {
        a[i] = word(my_rank, 0, round, (size_t)i);
    }
    MPI_Allreduce(a, b, n, MPI_UINT32_T, MPI_SUM, MPI_COMM_WORLD);
    for (int i = 0; i < n; i++) {
        uint32_t sum = 0;
        for (int from = 0; from < n_ranks; from++) {
            sum += word(from, 0, round, (size_t)i);
        }
        if (b[i] != sum) {
            fail("allreduce", round, -1, (size_t)i);
        }
    }
    add_to_digest(b[n - 1]);
}

static void gather_scatter(int round, int n)
{
    n = n / n_ranks + 1;
    int root = round % n_ranks;
    fill(a, (size_t)n, my_rank, root, round);
    MPI_Gather(a, n, MPI_UINT32_T, b, n, MPI_UINT32_T, root, MPI_COMM_WORLD);
    if (my_rank == root) {
        for (int from = 0; from < n_ranks; from++) {
            verify(b + from * n, (size_t)n, from, root, round, "gather");
        }
    }
    MPI_Scatter(b, n, MPI_UINT32_T, a, n, MPI_UINT32_T, root, MPI_COMM_WORLD);
    verify(a, (size_t)n, my_rank, root, round, "scatter");
    MPI_Allgather(a, n, MPI_UINT32_T, b, n, MPI_UINT32_T, MPI_COMM_WORLD);
    for (int from = 0; from < n_ranks; from++) {
        verify(b + from * n, (size_t)n, from, root, round, "allgather");
    }
}

/* One of each on several communicators at once, completed in another order. */
static void nonblocking(MPI_Comm *comm, int round, int n)
{
    static uint32_t bc[N_COMM][LARGE], to[N_COMM][LARGE + 64], from[N_COMM][LARGE + 64];
    static uint32_t mine[N_COMM], sum[N_COMM];
    MPI_Request request[3 * N_COMM];
    int part = n / n_ranks + 1;
    for (int c = 0; c < N_COMM; c++) {
        int root = (round + c) % n_ranks;
        if (my_rank == root) {
            fill(bc[c], (size_t)n, root, c, round);
        }
        mine[c] = word(my_rank, c, round, 0);
        for (int r = 0; r < n_ranks; r++) {
            fill(to[c] + r * part, (size_t)part, my_rank, r, round + c);
        }
        MPI_Ibcast(bc[c], n, MPI_UINT32_T, root, comm[c], &request[3 * c]);
        MPI_Iallreduce(&mine[c], &sum[c], 1, MPI_UINT32_T, MPI_SUM, comm[c], &request[3 * c + 1]);
        MPI_Ialltoall(to[c], part, MPI_UINT32_T, from[c], part, MPI_UINT32_T, comm[c],
                      &request[3 * c + 2]);
    }
    uint32_t x = word(my_rank, 7, round, 7), y;
    MPI_Sendrecv(&x, 1, MPI_UINT32_T, (my_rank + 1) % n_ranks, 5, &y, 1, MPI_UINT32_T,
                 (my_rank + n_ranks - 1) % n_ranks, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Waitall(3 * N_COMM, request, MPI_STATUSES_IGNORE);
    for (int c = 0; c < N_COMM; c++) {
        uint32_t want = 0;
        for (int r = 0; r < n_ranks; r++) {
            want += word(r, c, round, 0);
            verify(from[c] + r * part, (size_t)part, r, my_rank, round + c, "ialltoall");
        }
        if (sum[c] != want) {
            fail("iallreduce", round, c, 0);
        }
        verify(bc[c], (size_t)n, (round + c) % n_ranks, c, round, "ibcast");
    }
}

int main(int argc, char **argv)
{
    static const int sizes[] = {1, 100, 5000, LARGE};
    int rounds = begin(argc, argv);
    MPI_Comm comm[N_COMM];
    a = calloc(LARGE + 64, sizeof(*a));
    b = calloc(LARGE + 64, sizeof(*b));
    for (int c = 0; c < N_COMM; c++) {
        MPI_Comm_dup(MPI_COMM_WORLD, &comm[c]);
    }
    for (int round = 0; round < rounds; round++) {
        int n = sizes[round % 4];
        broadcast(round, n);
        all_to_all(round, n);
        all_reduce(round, n);
        gather_scatter(round, n);
        nonblocking(comm, round, n);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    for (int c = 0; c < N_COMM; c++) {
        MPI_Comm_free(&comm[c]);
    }
    return end("collectives");
}
