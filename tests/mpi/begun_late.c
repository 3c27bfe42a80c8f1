/*
 * Communicators and collectives that are begun by a thread which then computes, outside of MPI:
 * with a helper thread that serves the switch, they are begun at any moment of it.
 *
 * Each is on a communicator of its own: Open MPI 4.1 itself mixes up those that are begun beside
 * MPI_Comm_idup on the same one, when several threads make progress.
 */
#include "check.h"

#include <unistd.h>

#define DUPS 3

static void compute(unsigned *state, int microseconds)
{
    if (linger_seconds() > 0) {
        usleep((unsigned)random_below(state, microseconds));
    }
}

static void one_round(MPI_Comm *parents, int round, unsigned *state)
{
    MPI_Comm dup[DUPS];
    MPI_Request request[DUPS + 1];
    uint32_t mine = word(my_rank, 0, round, 0), sum = 0, want = 0;
    compute(state, 40000);
    for (int i = 0; i < DUPS; i++) {
        MPI_Comm_idup(parents[i], &dup[i], &request[i]);
        compute(state, 2000);
    }
    MPI_Iallreduce(&mine, &sum, 1, MPI_UINT32_T, MPI_SUM, parents[DUPS], &request[DUPS]);
    compute(state, 4000);
    MPI_Waitall(DUPS + 1, request, MPI_STATUSES_IGNORE);
    for (int r = 0; r < n_ranks; r++) {
        want += word(r, 0, round, 0);
    }
    if (sum != want) {
        fail("iallreduce", round, -1, sum);
    }
    add_to_digest(sum);
    for (int i = 0; i < DUPS; i++) {
        uint32_t out = word(my_rank, i, round, 1), in = 0;
        int left = (my_rank + n_ranks - 1) % n_ranks;
        MPI_Sendrecv(&out, 1, MPI_UINT32_T, (my_rank + 1) % n_ranks, 1, &in, 1, MPI_UINT32_T, left,
                     1, dup[i], MPI_STATUS_IGNORE);
        if (in != word(left, i, round, 1)) {
            fail("on a new communicator", round, left, in);
        }
        MPI_Comm_free(&dup[i]);
    }
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    MPI_Comm parents[DUPS + 1];
    unsigned state = (unsigned)my_rank;
    for (int i = 0; i <= DUPS; i++) {
        MPI_Comm_dup(MPI_COMM_WORLD, &parents[i]);
    }
    for (int round = 0; round < rounds; round++) {
        one_round(parents, round, &state);
    }
    for (int i = 0; i <= DUPS; i++) {
        MPI_Comm_free(&parents[i]);
    }
    return end("begun_late");
}
