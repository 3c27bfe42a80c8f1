/*
 * More than the transports can take: all ranks send thousands of messages to one that is slow, and
 * computes now and then, so that what is sent waits in every queue there is; then long messages
 * go both ways between all pairs at once, posted and not.
 */
#include "check.h"

#include <unistd.h>

#define BURST 1500
#define SMALL 1000
#define LONG  3000000 /* words: 12 MB */

static const size_t sizes[] = {1, 900, 300, 1000, 20};

static size_t size_of(int i)
{
    return sizes[i % 5];
}

static void send_burst(int to, int round)
{
    static uint32_t out[BURST][SMALL];
    static MPI_Request request[BURST];
    for (int i = 0; i < BURST; i++) {
        fill(out[i], size_of(i), my_rank, to, round * BURST + i);
        MPI_Isend(out[i], (int)size_of(i), MPI_UINT32_T, to, 1, MPI_COMM_WORLD, &request[i]);
    }
    MPI_Waitall(BURST, request, MPI_STATUSES_IGNORE);
}

static void receive_bursts(int round)
{
    uint32_t in[SMALL];
    int next[64] = {0};
    MPI_Status status;
    for (int i = 0; i < BURST * (n_ranks - 1); i++) {
        MPI_Recv(in, SMALL, MPI_UINT32_T, MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, &status);
        int from = status.MPI_SOURCE, k = next[from]++;
        verify_status(&status, from, 1, size_of(k), round, "one of a flood");
        verify(in, size_of(k), from, my_rank, round * BURST + k, "one of a flood");
        if (i % 500 == 0 && linger_seconds() > 0) {
            usleep(3000); /* outside of MPI */
        }
    }
}

/* The receive of every second one is posted only after its message has been announced. */
static void long_ones(int round)
{
    static uint32_t *out, *in[2];
    MPI_Request request[2][2];
    if (out == NULL) {
        out = malloc(LONG * sizeof(*out));
        in[0] = malloc(LONG * sizeof(*out));
        in[1] = malloc(LONG * sizeof(*out));
    }
    fill(out, LONG, my_rank, 0, round);
    for (int i = 0; i < 2; i++) {
        int distance = 1 + (round + i) % (n_ranks - 1);
        int to = (my_rank + distance) % n_ranks, from = (my_rank + n_ranks - distance) % n_ranks;
        memset(in[i], 0xee, LONG * sizeof(*out));
        if (i == 0) {
            MPI_Irecv(in[i], LONG, MPI_UINT32_T, from, 2 + i, MPI_COMM_WORLD, &request[i][0]);
        }
        MPI_Isend(out, LONG, MPI_UINT32_T, to, 2 + i, MPI_COMM_WORLD, &request[i][1]);
        if (i == 1) {
            MPI_Probe(from, 2 + i, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Irecv(in[i], LONG, MPI_UINT32_T, from, 2 + i, MPI_COMM_WORLD, &request[i][0]);
        }
    }
    MPI_Waitall(4, &request[0][0], MPI_STATUSES_IGNORE);
    for (int i = 0; i < 2; i++) {
        int distance = 1 + (round + i) % (n_ranks - 1);
        verify(in[i], LONG, (my_rank + n_ranks - distance) % n_ranks, 0, round, "long message");
    }
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    for (int round = 0; round < rounds; round++) {
        int victim = round % n_ranks;
        if (my_rank == victim) {
            receive_bursts(round);
        } else {
            send_burst(victim, round);
        }
        long_ones(round);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    return end("flood");
}
