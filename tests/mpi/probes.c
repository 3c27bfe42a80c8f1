/*
 * Probe, matched probe, and messages that are held between a matched probe and its receive while
 * switches come: eager and rendezvous, synchronous, empty; from any source, with any tag, on
 * communicators that are the same to the ranks but not to MPI. Some are held through several
 * rounds.
 */
#include "check.h"

#define MAX    40000
#define BATCH  6
#define KEPT   5 /* rounds through which the longest-held message is held */
#define N_COMM 2

static const size_t sizes[BATCH] = {MAX, 0, 700, 12000, 1, 3000};
static MPI_Comm comm[N_COMM];
static uint32_t *out[N_COMM][BATCH], *in;
static MPI_Request sends[N_COMM][BATCH];
static int right, left;

static size_t size_of(int i, int round)
{
    return sizes[(i + round) % BATCH];
}

static int sequence(int c, int i, int round)
{
    return (round * N_COMM + c) * BATCH + i;
}

static void start_sends(int round)
{
    for (int c = 0; c < N_COMM; c++) {
        for (int i = 0; i < BATCH; i++) {
            size_t n = size_of(i, round);
            fill(out[c][i], n, my_rank, right, sequence(c, i, round));
            (i % 3 == 2 ? MPI_Issend : MPI_Isend)(out[c][i], (int)n, MPI_UINT32_T, right, i,
                                                  comm[c], &sends[c][i]);
        }
    }
}

static void check(const MPI_Status *status, int c, int i, int round)
{
    size_t n = size_of(i, round);
    verify_status(status, left, i, n, round, "status of a probed message");
    verify(in, n, left, my_rank, sequence(c, i, round), "probed message");
    verify_guard(in, n, MAX, 0xeeeeeeee, round, "behind the message");
    memset(in, 0xee, MAX * sizeof(*in));
}

/* The order of arrival: a wildcard must find the oldest. */
static void by_wildcard_probe(int round)
{
    MPI_Status probed, status;
    int there;
    for (int i = 0; i < BATCH; i++) {
        for (int c = 0; c < N_COMM; c++) {
            MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm[c], &probed);
            verify_status(&probed, left, i, size_of(i, round), round, "wildcard probe");
            MPI_Iprobe(left, MPI_ANY_TAG, comm[c], &there, &probed);
            if (!there) {
                fail("a probed message is gone", round, left, (size_t)i);
            }
            verify_status(&probed, left, i, size_of(i, round), round, "repeated probe");
            MPI_Recv(in, MAX, MPI_UINT32_T, probed.MPI_SOURCE, probed.MPI_TAG, comm[c], &status);
            check(&status, c, i, round);
        }
    }
}

static void by_iprobe_backwards(int round)
{
    MPI_Status status;
    for (int i = BATCH - 1; i >= 0; i--) {
        for (int c = 0; c < N_COMM; c++) {
            int there = 0;
            while (!there) {
                MPI_Iprobe(MPI_ANY_SOURCE, i, comm[c], &there, &status);
            }
            verify_status(&status, left, i, size_of(i, round), round, "iprobe");
            MPI_Recv(in, MAX, MPI_UINT32_T, MPI_ANY_SOURCE, i, comm[c], &status);
            check(&status, c, i, round);
        }
    }
}

static void match(MPI_Message *message, int c, int i, int round, int blocking)
{
    MPI_Status status;
    int there = blocking;
    if (blocking) {
        MPI_Mprobe(MPI_ANY_SOURCE, i % 2 ? i : MPI_ANY_TAG, comm[c], message, &status);
    }
    while (!there) {
        MPI_Improbe(left, i % 2 ? MPI_ANY_TAG : i, comm[c], &there, message, &status);
    }
    verify_status(&status, left, i, size_of(i, round), round, "matched probe");
}

/* All messages are held at once, and received in another order. */
static void held(int round, int blocking)
{
    MPI_Message message[N_COMM][BATCH];
    MPI_Request request;
    MPI_Status status;
    int order[N_COMM * BATCH];
    unsigned state = (unsigned)(round + my_rank);
    for (int i = 0; i < BATCH; i++) {
        for (int c = 0; c < N_COMM; c++) {
            match(&message[c][i], c, i, round, blocking);
        }
    }
    linger();
    shuffle(order, N_COMM * BATCH, &state);
    for (int k = 0; k < N_COMM * BATCH; k++) {
        int c = order[k] % N_COMM, i = order[k] / N_COMM;
        if (blocking) {
            MPI_Mrecv(in, MAX, MPI_UINT32_T, &message[c][i], &status);
        } else {
            MPI_Imrecv(in, MAX, MPI_UINT32_T, &message[c][i], &request);
            MPI_Wait(&request, &status);
        }
        if (message[c][i] != MPI_MESSAGE_NULL) {
            fail("a received message is not null", round, left, (size_t)i);
        }
        check(&status, c, i, round);
    }
}

/* One message a round, received KEPT rounds later. */
static void keep_long(int round, int rounds)
{
    static uint32_t *buffer[KEPT];
    static MPI_Request request[KEPT];
    static MPI_Message message[KEPT];
    MPI_Status status;
    int at = round % KEPT;
    if (round >= KEPT) {
        size_t n = sizes[(round - KEPT) % BATCH];
        MPI_Mrecv(in, MAX, MPI_UINT32_T, &message[at], &status);
        verify_status(&status, left, 50, n, round, "status of a message that was held long");
        verify(in, n, left, my_rank, round - KEPT, "message that was held long");
        MPI_Wait(&request[at], MPI_STATUS_IGNORE);
        memset(in, 0xee, MAX * sizeof(*in));
    } else {
        buffer[at] = malloc(MAX * sizeof(**buffer));
    }
    if (round < rounds) {
        size_t n = sizes[round % BATCH];
        fill(buffer[at], n, my_rank, right, round);
        MPI_Isend(buffer[at], (int)n, MPI_UINT32_T, right, 50, MPI_COMM_WORLD, &request[at]);
        MPI_Mprobe(left, 50, MPI_COMM_WORLD, &message[at], MPI_STATUS_IGNORE);
    }
}

static void nobody(int round)
{
    MPI_Message message;
    MPI_Status status;
    int there;
    MPI_Mprobe(MPI_PROC_NULL, 1, MPI_COMM_WORLD, &message, &status);
    verify_status(&status, MPI_PROC_NULL, MPI_ANY_TAG, 0, round, "probe of MPI_PROC_NULL");
    if (message != MPI_MESSAGE_NO_PROC) {
        fail("message of MPI_PROC_NULL", round, -1, 0);
    }
    MPI_Mrecv(in, MAX, MPI_UINT32_T, &message, &status);
    verify_status(&status, MPI_PROC_NULL, MPI_ANY_TAG, 0, round, "receive from MPI_PROC_NULL");
    MPI_Improbe(left, 77, MPI_COMM_WORLD, &there, &message, &status);
    if (there) {
        fail("a message that nobody sent", round, left, 0);
    }
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    in = malloc(MAX * sizeof(*in));
    memset(in, 0xee, MAX * sizeof(*in));
    for (int c = 0; c < N_COMM; c++) {
        MPI_Comm_dup(MPI_COMM_WORLD, &comm[c]);
        for (int i = 0; i < BATCH; i++) {
            out[c][i] = malloc(MAX * sizeof(*in));
        }
    }
    for (int round = 0; round < rounds + KEPT; round++) {
        keep_long(round, rounds);
        start_sends(round);
        linger();
        switch (round % 4) {
        case 0:
            by_wildcard_probe(round);
            break;
        case 1:
            by_iprobe_backwards(round);
            break;
        case 2:
            held(round, 1);
            break;
        case 3:
            held(round, 0);
            break;
        }
        nobody(round);
        MPI_Waitall(N_COMM * BATCH, &sends[0][0], MPI_STATUSES_IGNORE);
    }
    for (int c = 0; c < N_COMM; c++) {
        MPI_Comm_free(&comm[c]);
    }
    return end("probes");
}
