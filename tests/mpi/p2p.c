/*
 * Point-to-point messages of all sizes around a ring: blocking, nonblocking, persistent, all send
 * modes, probe and matched probe, wildcards. Messages of one round are checked byte by byte.
 */
#include "check.h"

static const size_t sizes[] = {0, 1, 3, 64, 1000, 3000, 20000, 70000, 262144};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define MAX     262144

static uint32_t *out, *in;
static int right, left;

static void blocking(int round, size_t n)
{
    if (my_rank % 2 == 0) {
        MPI_Send(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD);
    }
    MPI_Recv(in, (int)n, MPI_UINT32_T, left, round % 100, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (my_rank % 2 != 0) {
        MPI_Send(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD);
    }
}

static void nonblocking(int round, size_t n)
{
    MPI_Request request[2];
    MPI_Irecv(in, (int)n, MPI_UINT32_T, left, round % 100, MPI_COMM_WORLD, &request[0]);
    MPI_Isend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD, &request[1]);
    MPI_Waitall(2, request, MPI_STATUSES_IGNORE);
}

static void polled(int round, size_t n)
{
    MPI_Request request[2];
    int done = 0;
    MPI_Isend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD, &request[0]);
    MPI_Irecv(in, (int)n, MPI_UINT32_T, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &request[1]);
    while (!done) {
        MPI_Testall(2, request, &done, MPI_STATUSES_IGNORE);
    }
}

static void synchronous(int round, size_t n)
{
    MPI_Request request;
    MPI_Issend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD, &request);
    MPI_Recv(in, (int)n, MPI_UINT32_T, left, MPI_ANY_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void ready(int round, size_t n)
{
    MPI_Request request;
    MPI_Irecv(in, (int)n, MPI_UINT32_T, left, round % 100, MPI_COMM_WORLD, &request);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Rsend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void buffered(int round, size_t n)
{
    static char space[MAX * 4 + 2 * MPI_BSEND_OVERHEAD];
    void *detached;
    int size;
    MPI_Buffer_attach(space, sizeof(space));
    MPI_Bsend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD);
    MPI_Recv(in, (int)n, MPI_UINT32_T, left, round % 100, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Buffer_detach(&detached, &size);
}

static void probed(int round, size_t n)
{
    MPI_Request request;
    MPI_Status status;
    int count;
    MPI_Isend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD, &request);
    MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
    MPI_Get_count(&status, MPI_UINT32_T, &count);
    if ((size_t)count != n || status.MPI_SOURCE != left || status.MPI_TAG != round % 100) {
        fail("probe", round, status.MPI_SOURCE, (size_t)count);
    }
    MPI_Recv(in, count, MPI_UINT32_T, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD, &status);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

/* The message is held between the matched probe and its receive, while others pass. */
static void matched_probe(int round, size_t n)
{
    MPI_Request request[2];
    MPI_Message message;
    MPI_Status status;
    int other = -1, mine = round;
    MPI_Isend(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD, &request[0]);
    MPI_Isend(&mine, 1, MPI_INT, right, 101, MPI_COMM_WORLD, &request[1]);
    MPI_Mprobe(MPI_ANY_SOURCE, round % 100, MPI_COMM_WORLD, &message, &status);
    MPI_Recv(&other, 1, MPI_INT, left, 101, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Mrecv(in, (int)n, MPI_UINT32_T, &message, &status);
    MPI_Waitall(2, request, MPI_STATUSES_IGNORE);
    if (other != round) {
        fail("overtaking message", round, left, 0);
    }
}

static void persistent(int round, size_t n)
{
    MPI_Request request[2];
    MPI_Recv_init(in, (int)n, MPI_UINT32_T, left, round % 100, MPI_COMM_WORLD, &request[0]);
    MPI_Send_init(out, (int)n, MPI_UINT32_T, right, round % 100, MPI_COMM_WORLD, &request[1]);
    for (int i = 0; i < 3; i++) {
        memset(in, 0xee, n * sizeof(*in));
        MPI_Startall(2, request);
        MPI_Waitall(2, request, MPI_STATUSES_IGNORE);
        verify(in, n, left, my_rank, round, "persistent");
    }
    MPI_Request_free(&request[0]);
    MPI_Request_free(&request[1]);
}

static void (*const ways[])(int round, size_t n) = {
    blocking, nonblocking, polled,        synchronous, ready,
    buffered, probed,      matched_probe, persistent,
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    out = malloc(MAX * sizeof(*out));
    in = malloc(MAX * sizeof(*in));
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    for (int round = 0; round < rounds; round++) {
        size_t n = sizes[(size_t)round / N_WAYS % N_SIZES];
        fill(out, n, my_rank, right, round);
        memset(in, 0xee, n * sizeof(*in));
        ways[(size_t)round % N_WAYS](round, n);
        verify(in, n, left, my_rank, round, "message");
        if ((size_t)round % N_WAYS == 2) {
            MPI_Barrier(MPI_COMM_WORLD); /* a wildcard must not take what comes next */
        }
    }
    return end("p2p");
}
