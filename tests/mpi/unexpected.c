/*
 * Thousands of messages that nobody waits for yet, eager and rendezvous, received later and in
 * another order of tags; within one tag their order must hold. Some stay outstanding through
 * several switches.
 */
#include "check.h"

#define TAGS  4
#define BATCH 2000
#define MAX   40000

static size_t size_of(int i)
{
    static const size_t sizes[] = {1, 10, 40, 500, 2, 1500, 1, 3};
    return i % 50 == 0 ? MAX : sizes[i % 8];
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    int right = (my_rank + 1) % n_ranks, left = (my_rank + n_ranks - 1) % n_ranks;
    static uint32_t *out[BATCH];
    uint32_t *in = malloc(MAX * sizeof(*in));
    static MPI_Request request[BATCH];
    for (int i = 0; i < BATCH; i++) {
        out[i] = malloc(size_of(i) * sizeof(*in));
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < BATCH; i++) {
            fill(out[i], size_of(i), my_rank, right, round * BATCH + i);
            MPI_Isend(out[i], (int)size_of(i), MPI_UINT32_T, right, i % TAGS, MPI_COMM_WORLD,
                      &request[i]);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        linger();
        for (int tag = TAGS - 1; tag >= 0; tag--) {
            for (int i = tag; i < BATCH; i += TAGS) {
                MPI_Recv(in, MAX, MPI_UINT32_T, left, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                verify(in, size_of(i), left, my_rank, round * BATCH + i, "unexpected message");
            }
        }
        MPI_Waitall(BATCH, request, MPI_STATUSES_IGNORE);
    }
    return end("unexpected");
}
