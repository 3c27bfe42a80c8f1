/*
 * Communicators that come and go all the time, with small and large messages on them: a switch finds
 * ranks that have freed one, or not made it yet.
 */
#include "check.h"

#define N 40000

static void exchange(MPI_Comm comm, int round, size_t n, uint32_t *out, uint32_t *in)
{
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int right = (rank + 1) % size, left = (rank + size - 1) % size;
    fill(out, n, rank, right, round);
    memset(in, 0xee, n * sizeof(*in));
    MPI_Sendrecv(out, (int)n, MPI_UINT32_T, right, 1, in, (int)n, MPI_UINT32_T, left, 1, comm,
                 MPI_STATUS_IGNORE);
    verify(in, n, left, rank, round, "on a new communicator");
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    uint32_t *out = malloc(N * sizeof(*out)), *in = malloc(N * sizeof(*in));
    for (int round = 0; round < rounds; round++) {
        MPI_Comm dup, half, cart, idup;
        MPI_Request request;
        int dims[1] = {n_ranks}, periods[1] = {1};

        MPI_Comm_dup(MPI_COMM_WORLD, &dup);
        exchange(dup, round, round % 3 == 0 ? N : 10, out, in);
        MPI_Comm_split(dup, my_rank % 2, -my_rank, &half);
        exchange(half, round, 100, out, in);
        MPI_Comm_free(&dup);
        MPI_Comm_idup(MPI_COMM_WORLD, &idup, &request);
        exchange(half, round + 1, 1000, out, in);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        exchange(idup, round + 2, 10, out, in);
        MPI_Comm_free(&half);
        MPI_Cart_create(idup, 1, dims, periods, 0, &cart);
        exchange(cart, round + 3, 500, out, in);
        MPI_Comm_free(&idup);
        MPI_Comm_free(&cart);
    }
    return end("communicators");
}
