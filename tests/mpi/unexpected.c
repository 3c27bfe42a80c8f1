/*
 * Many messages that nobody waits for yet, eager and rendezvous, received later and in another
 * order of tags; within one tag their order must hold. Some stay outstanding through several switches.
 */
#include "check.h"

#define TAGS 4

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1, 10, 40000, 500, 2, 5000, 1, 3};
    int rounds = begin(argc, argv);
    int right = (my_rank + 1) % n_ranks, left = (my_rank + n_ranks - 1) % n_ranks;
    enum { BATCH = 200 };
    static uint32_t *out[BATCH];
    uint32_t *in = malloc(40000 * sizeof(*in));
    MPI_Request request[BATCH];
    for (int i = 0; i < BATCH; i++) {
        out[i] = malloc(sizes[i % 8] * sizeof(*in));
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < BATCH; i++) {
            fill(out[i], sizes[i % 8], my_rank, right, round * BATCH + i);
            MPI_Isend(out[i], (int)sizes[i % 8], MPI_UINT32_T, right, i % TAGS, MPI_COMM_WORLD,
                      &request[i]);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        for (int tag = TAGS - 1; tag >= 0; tag--) {
            for (int i = tag; i < BATCH; i += TAGS) {
                MPI_Recv(in, 40000, MPI_UINT32_T, left, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                verify(in, sizes[i % 8], left, my_rank, round * BATCH + i, "unexpected message");
            }
        }
        MPI_Waitall(BATCH, request, MPI_STATUSES_IGNORE);
    }
    return end("unexpected");
}
