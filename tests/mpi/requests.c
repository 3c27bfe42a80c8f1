/*
 * Requests in every state while switches come: persistent ones that are inactive, started, complete
 * and not waited for, kept through all rounds; receives and sends that are cancelled; sends that
 * are freed while they are active.
 */
#include "check.h"

#define SLOTS 12 /* persistent pairs with each neighbour */
#define MAX   40000

static const size_t sizes[] = {2, 1000, MAX, 0, 9000, 17};
static uint32_t *out[SLOTS], *in[SLOTS], *spare;
static MPI_Request sends[SLOTS], receives[SLOTS];
static int right, left;

static size_t size_of(int slot)
{
    return sizes[slot % 6];
}

/* Not buffered: Open MPI 4.1 itself sends garbage when such a request is started again. */
static void make_persistent(void)
{
    for (int i = 0; i < SLOTS; i++) {
        out[i] = malloc(MAX * sizeof(**out));
        in[i] = malloc(MAX * sizeof(**in));
        MPI_Recv_init(in[i], MAX, MPI_UINT32_T, i % 2 ? left : MPI_ANY_SOURCE, i, MPI_COMM_WORLD,
                      &receives[i]);
        (i % 3 == 0 ? MPI_Ssend_init : MPI_Send_init)(out[i], (int)size_of(i), MPI_UINT32_T, right,
                                                      i, MPI_COMM_WORLD, &sends[i]);
    }
}

static void free_persistent(void)
{
    for (int i = 0; i < SLOTS; i++) {
        MPI_Request_free(&sends[i]);
        MPI_Request_free(&receives[i]);
        free(out[i]);
        free(in[i]);
    }
}

/* An inactive request is complete, with an empty status. */
static void verify_inactive(MPI_Request *request, int round)
{
    MPI_Status status;
    int done, count = -1;
    MPI_Test(request, &done, &status);
    MPI_Get_count(&status, MPI_UINT32_T, &count);
    if (!done || count != 0 || status.MPI_SOURCE != MPI_ANY_SOURCE ||
        status.MPI_TAG != MPI_ANY_TAG) {
        fail("inactive request", round, status.MPI_SOURCE, (size_t)count);
    }
}

static void wait_for_slot(int i, int round)
{
    MPI_Status status;
    MPI_Wait(&receives[i], &status);
    verify_status(&status, left, i, size_of(i), round, "persistent receive");
    verify(in[i], size_of(i), left, my_rank, round, "persistent receive");
    MPI_Wait(&sends[i], &status);
    memset(out[i], 0x55, MAX * sizeof(**out));
}

/*
 * Some slots are not started, some only received for, some wait for their message, some are
 * complete: then all stay so for a while.
 */
static void persistent(int round)
{
    unsigned state = (unsigned)round; /* the same choice on all ranks */
    int started[SLOTS], early[SLOTS];
    for (int i = 0; i < SLOTS; i++) {
        started[i] = random_below(&state, 4) > 0;
        early[i] = random_below(&state, 2);
        fill(out[i], size_of(i), my_rank, right, round);
        if (started[i]) {
            MPI_Start(early[i] ? &receives[i] : &sends[i]);
        }
    }
    linger();
    for (int i = 0; i < SLOTS; i++) {
        if (started[i]) {
            MPI_Start(early[i] ? &sends[i] : &receives[i]);
        }
    }
    linger();
    for (int i = SLOTS - 1; i >= 0; i--) {
        if (started[i]) {
            wait_for_slot(i, round);
        } else {
            verify_inactive(&receives[i], round);
            verify_inactive(&sends[i], round);
        }
    }
}

/* A receive that nothing was sent for must be cancelled; it takes nothing from its neighbours. */
static void cancel_receives(int round)
{
    MPI_Request request[3];
    MPI_Status status;
    uint32_t before = 1, x = word(my_rank, right, round, 0), y = 0;
    int cancelled;
    MPI_Irecv(&before, 1, MPI_UINT32_T, left, 100, MPI_COMM_WORLD, &request[0]);
    MPI_Irecv(&y, 1, MPI_UINT32_T, left, 101, MPI_COMM_WORLD, &request[1]);
    linger();
    MPI_Cancel(&request[0]);
    MPI_Wait(&request[0], &status);
    MPI_Test_cancelled(&status, &cancelled);
    if (!cancelled || before != 1) {
        fail("a receive without a message was not cancelled", round, left, 0);
    }
    MPI_Send(&x, 1, MPI_UINT32_T, right, 101, MPI_COMM_WORLD);
    MPI_Wait(&request[1], &status);
    verify(&y, 1, left, my_rank, round, "beside a cancelled receive");
}

/* The message may have arrived, or not: it goes to this receive, or to the next one. */
static void cancel_in_time_or_not(int round)
{
    MPI_Request request[2];
    MPI_Status status;
    size_t n = size_of(round % SLOTS);
    int cancelled;
    memset(in[0], 0xee, n * sizeof(**in));
    MPI_Irecv(in[0], MAX, MPI_UINT32_T, left, 102, MPI_COMM_WORLD, &request[0]);
    fill(out[0], n, my_rank, right, round);
    MPI_Isend(out[0], (int)n, MPI_UINT32_T, right, 102, MPI_COMM_WORLD, &request[1]);
    if (round % 2 == 0) {
        linger();
    }
    MPI_Cancel(&request[0]);
    MPI_Wait(&request[0], &status);
    MPI_Test_cancelled(&status, &cancelled);
    if (cancelled) {
        MPI_Recv(in[0], MAX, MPI_UINT32_T, left, 102, MPI_COMM_WORLD, &status);
    }
    verify_status(&status, left, 102, n, round, "cancelled in time or not");
    verify(in[0], n, left, my_rank, round, "cancelled in time or not");
    MPI_Wait(&request[1], MPI_STATUS_IGNORE);
}

/* MPI allows it to be cancelled or to be sent; the receiver must see what the sender was told. */
static void cancel_sends(int round)
{
    MPI_Request request[2];
    MPI_Status status;
    size_t n = size_of(round % SLOTS);
    int cancelled, sent;
    fill(out[1], n, my_rank, right, round);
    memset(in[1], 0xee, n * sizeof(**in));
    (round % 2 ? MPI_Issend : MPI_Isend)(out[1], (int)n, MPI_UINT32_T, right, 103, MPI_COMM_WORLD,
                                         &request[0]);
    linger();
    MPI_Cancel(&request[0]);
    MPI_Irecv(in[1], MAX, MPI_UINT32_T, left, 103, MPI_COMM_WORLD, &request[1]);
    MPI_Wait(&request[0], &status);
    MPI_Test_cancelled(&status, &cancelled);
    cancelled = !cancelled;
    MPI_Sendrecv(&cancelled, 1, MPI_INT, right, 104, &sent, 1, MPI_INT, left, 104, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    if (!sent) {
        MPI_Cancel(&request[1]);
    }
    MPI_Wait(&request[1], &status);
    MPI_Test_cancelled(&status, &cancelled);
    if (cancelled == sent) {
        fail("cancelled send", round, left, n);
    } else if (sent) {
        verify(in[1], n, left, my_rank, round, "of a send that was to be cancelled");
    }
}

static void freed_while_active(int round)
{
    MPI_Request request;
    MPI_Status status;
    fill(spare, MAX, my_rank, right, round);
    for (int i = 0; i < 3; i++) {
        MPI_Isend(spare, (int)size_of(i), MPI_UINT32_T, right, 105, MPI_COMM_WORLD, &request);
        MPI_Request_free(&request);
    }
    linger();
    for (int i = 0; i < 3; i++) {
        memset(in[2], 0xee, MAX * sizeof(**in));
        MPI_Recv(in[2], MAX, MPI_UINT32_T, left, 105, MPI_COMM_WORLD, &status);
        verify_status(&status, left, 105, size_of(i), round, "of a freed request");
        verify(in[2], size_of(i), left, my_rank, round, "of a freed request");
    }
    /* all has been received, but the sender's request may live on for a moment */
    MPI_Sendrecv(NULL, 0, MPI_INT, left, 106, NULL, 0, MPI_INT, right, 106, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    spare = malloc(MAX * sizeof(*spare));
    make_persistent();
    for (int round = 0; round < rounds; round++) {
        persistent(round);
        cancel_receives(round);
        cancel_in_time_or_not(round);
        cancel_sends(round);
        freed_while_active(round);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    free_persistent();
    return end("requests");
}
