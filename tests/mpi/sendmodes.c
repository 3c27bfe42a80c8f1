/*
 * Every way to send: standard, buffered, synchronous and ready; blocking, nonblocking and
 * persistent; to a receive that waits, or long before one is posted. The sender's buffer is spoiled
 * as soon as the send is complete.
 */
#include "check.h"

#define MAX   150000
#define BURST 3
enum mode { STANDARD, BUFFERED, SYNCHRONOUS, READY, MODES };
enum kind { BLOCKING, NONBLOCKING, PERSISTENT, KINDS };

typedef int send_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm);
typedef int isend_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);

static send_fn *const sends[MODES] = {MPI_Send, MPI_Bsend, MPI_Ssend, MPI_Rsend};
static isend_fn *const isends[MODES] = {MPI_Isend, MPI_Ibsend, MPI_Issend, MPI_Irsend};
static isend_fn *const send_inits[MODES] = {MPI_Send_init, MPI_Bsend_init, MPI_Ssend_init,
                                            MPI_Rsend_init};
static const size_t sizes[] = {0, 1, 900, 1100, 16000, 40000, MAX};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static uint32_t *out[BURST], *in[BURST];
static char *space;
static const int space_size = BURST * (MAX * 4 + MPI_BSEND_OVERHEAD);

static size_t size_of(size_t n, int i)
{
    return i == 1 ? n / 2 : n;
}

static void spoil(int i)
{
    memset(out[i], 0x55, MAX * sizeof(**out));
}

static void attach(enum mode mode)
{
    if (mode == BUFFERED) {
        MPI_Buffer_attach(space, space_size);
    }
}

/* Waits until all has been taken from the buffer. */
static void detach(enum mode mode)
{
    void *detached;
    int size;
    if (mode == BUFFERED) {
        MPI_Buffer_detach(&detached, &size);
    }
}

static void send_all(enum mode mode, enum kind kind, size_t n, int to, int round)
{
    MPI_Request request[BURST];
    attach(mode);
    if (mode == READY) {
        MPI_Recv(NULL, 0, MPI_INT, to, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    for (int i = 0; i < BURST; i++) {
        int count = (int)size_of(n, i);
        fill(out[i], (size_t)count, my_rank, to, round + i);
        if (kind == BLOCKING) {
            sends[mode](out[i], count, MPI_UINT32_T, to, 2, MPI_COMM_WORLD);
            spoil(i);
        } else if (kind == NONBLOCKING) {
            isends[mode](out[i], count, MPI_UINT32_T, to, 2, MPI_COMM_WORLD, &request[i]);
        } else {
            send_inits[mode](out[i], count, MPI_UINT32_T, to, 2, MPI_COMM_WORLD, &request[i]);
            MPI_Start(&request[i]);
        }
    }
    for (int i = 0; i < BURST && kind != BLOCKING; i++) {
        MPI_Wait(&request[i], MPI_STATUS_IGNORE);
        spoil(i);
        if (kind == PERSISTENT) {
            MPI_Request_free(&request[i]);
        }
    }
    detach(mode);
}

static void receive_all(enum mode mode, size_t n, int from, int round)
{
    MPI_Request request[BURST];
    MPI_Status status;
    bool early = mode == READY || round % 3 == 0;
    for (int i = 0; i < BURST; i++) {
        memset(in[i], 0xee, MAX * sizeof(**in));
        if (early) {
            MPI_Irecv(in[i], MAX, MPI_UINT32_T, from, 2, MPI_COMM_WORLD, &request[i]);
        }
    }
    linger_alone();
    if (mode == READY) {
        MPI_Send(NULL, 0, MPI_INT, from, 1, MPI_COMM_WORLD);
    }
    for (int i = 0; i < BURST; i++) {
        size_t count = size_of(n, i);
        if (early) {
            MPI_Wait(&request[i], &status);
        } else {
            MPI_Recv(in[i], MAX, MPI_UINT32_T, from, 2, MPI_COMM_WORLD, &status);
        }
        verify_status(&status, from, 2, count, round, "status");
        verify(in[i], count, from, my_rank, round + i, "message");
        verify_guard(in[i], count, MAX, 0xeeeeeeee, round, "behind the message");
    }
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    space = malloc((size_t)space_size);
    for (int i = 0; i < BURST; i++) {
        out[i] = malloc(MAX * sizeof(**out));
        in[i] = malloc(MAX * sizeof(**in));
    }
    for (int round = 0; round < rounds; round++) {
        enum mode mode = (enum mode)(round % MODES);
        enum kind kind = (enum kind)(round / MODES % KINDS);
        size_t n = sizes[(size_t)round / MODES / KINDS % N_SIZES];
        int partner = (round / 2) % n_ranks - my_rank;
        partner = (partner + n_ranks) % n_ranks;
        if (partner > my_rank) {
            send_all(mode, kind, n, partner, round);
            receive_all(mode, n, partner, round);
        } else if (partner < my_rank) {
            receive_all(mode, n, partner, round);
            send_all(mode, kind, n, partner, round);
        }
    }
    return end("sendmodes");
}
