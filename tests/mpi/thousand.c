/*
 * A thousand communicators alive, with messages on them at any time: small ones that nobody waits
 * for yet and large ones on some of them; one is replaced now and then.
 */
#include "check.h"

#define ALIVE 1000
#define BATCH 50
#define LARGE 6000

static MPI_Comm comm[ALIVE];
static int right, left;

static size_t size_of(int c, int round)
{
    return (c + round) % 9 == 0 ? LARGE : (size_t)(c % 4);
}

/* All ranks are in each; they differ in the order of the ranks, which is turned by c. */
static void make(int c)
{
    MPI_Comm_split(MPI_COMM_WORLD, 0, (my_rank + c) % n_ranks, &comm[c]);
}

static int rank_in(int c, int rank)
{
    return (rank + c) % n_ranks;
}

static void batch(int round)
{
    static uint32_t out[BATCH][LARGE], in[LARGE];
    MPI_Request request[BATCH];
    MPI_Status status;
    unsigned state = (unsigned)round;
    int of[BATCH];
    for (int i = 0; i < BATCH; i++) {
        int c = of[i] = random_below(&state, ALIVE);
        fill(out[i], size_of(c, round), my_rank, right, round * BATCH + i);
        MPI_Isend(out[i], (int)size_of(c, round), MPI_UINT32_T, rank_in(c, right), i, comm[c],
                  &request[i]);
    }
    linger();
    for (int i = BATCH - 1; i >= 0; i--) {
        int c = of[i];
        MPI_Recv(in, LARGE, MPI_UINT32_T, rank_in(c, left), i, comm[c], &status);
        verify_status(&status, rank_in(c, left), i, size_of(c, round), round, "status");
        verify(in, size_of(c, round), left, my_rank, round * BATCH + i, "one of many");
    }
    MPI_Waitall(BATCH, request, MPI_STATUSES_IGNORE);
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    for (int c = 0; c < ALIVE; c++) {
        make(c);
    }
    for (int round = 0; round < rounds; round++) {
        int c = round * 7 % ALIVE;
        batch(round);
        MPI_Comm_free(&comm[c]);
        make(c);
    }
    for (int c = 0; c < ALIVE; c++) {
        MPI_Comm_free(&comm[c]);
    }
    return end("thousand");
}
