/*
 * Dynamic sparse data exchange: synchronous sends to a random few, wildcard probes, and a
 * nonblocking barrier once all own sends are matched. It is right only if a synchronous send never
 * completes before its receiver has matched it; a message would be left behind otherwise.
 */
#include "check.h"

#define MAX_WORDS 30000

static int receive_if_any(uint32_t *in, int round)
{
    int there, n;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, 9, MPI_COMM_WORLD, &there, &status);
    if (!there) {
        return 0;
    }
    MPI_Get_count(&status, MPI_UINT32_T, &n);
    MPI_Recv(in, n, MPI_UINT32_T, status.MPI_SOURCE, 9, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int i = 0; i < n; i++) {
        if (in[i] != word(status.MPI_SOURCE, my_rank, round, (size_t)i)) {
            fail("sparse exchange", round, status.MPI_SOURCE, (size_t)i);
        }
    }
    return 1;
}

static void one_round(int round, uint32_t **out, uint32_t *in)
{
    unsigned state = (unsigned)(round * 1000 + my_rank);
    int to[4], n_to = 1 + random_below(&state, 4), received = 0, in_barrier = 0, done = 0;
    MPI_Request send[4], barrier;
    int *expected = calloc((size_t)n_ranks, sizeof(int)), mine;

    for (int i = 0; i < n_to; i++) {
        size_t n = (size_t)(random_below(&state, 2) ? 10 : random_below(&state, MAX_WORDS));
        to[i] = random_below(&state, n_ranks);
        expected[to[i]]++;
        fill(out[i], n, my_rank, to[i], round);
        MPI_Issend(out[i], (int)n, MPI_UINT32_T, to[i], 9, MPI_COMM_WORLD, &send[i]);
    }
    while (!done) {
        received += receive_if_any(in, round);
        if (in_barrier) {
            MPI_Test(&barrier, &done, MPI_STATUS_IGNORE);
        } else {
            MPI_Testall(n_to, send, &in_barrier, MPI_STATUSES_IGNORE);
            if (in_barrier) {
                MPI_Ibarrier(MPI_COMM_WORLD, &barrier);
            }
        }
    }
    MPI_Reduce_scatter_block(expected, &mine, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (mine != received) {
        fail("a synchronous send completed before it was matched", round, mine, (size_t)received);
    }
    add_to_digest((uint64_t)received);
    free(expected);
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    uint32_t *out[4], *in = malloc(MAX_WORDS * sizeof(*in));
    for (int i = 0; i < 4; i++) {
        out[i] = malloc(MAX_WORDS * sizeof(**out));
    }
    for (int round = 0; round < rounds; round++) {
        one_round(round, out, in);
    }
    return end("sparse");
}
