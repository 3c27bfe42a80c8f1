/*
 * Every way to complete requests: wait and test for one, any, some and all, and
 * MPI_Request_get_status; among them null and inactive requests, which must be ignored. Receives
 * are posted before the messages are sent or long after, some with wildcards.
 */
#include "check.h"

#define EACH 4 /* messages between each pair */
#define MAX  30000
#define IDLE 2 /* requests that take part without being active */

static const size_t sizes[] = {3, 0, 1000, MAX, 1, 12000, 20000, 500};
static uint32_t *out[64 * EACH], *in[64 * EACH];
static MPI_Request request[2 * 64 * EACH + IDLE];
static MPI_Status status[2 * 64 * EACH + IDLE];
static int n_messages, n_requests; /* receives first, then sends, then idle ones */

static size_t size_of(int from, int to, int k, int round)
{
    return sizes[(unsigned)(from * 3 + to * 5 + k + round) % 8];
}

static int tag_of(int from, int k)
{
    return from * EACH + k;
}

static void post_receives(int round)
{
    for (int from = 0; from < n_ranks; from++) {
        for (int k = 0; k < EACH; k++) {
            int i = from * EACH + k;
            memset(in[i], 0xee, MAX * sizeof(**in));
            MPI_Irecv(in[i], MAX, MPI_UINT32_T, (round + k) % 2 ? from : MPI_ANY_SOURCE,
                      tag_of(from, k), MPI_COMM_WORLD, &request[i]);
        }
    }
}

static void start_sends(int round)
{
    for (int to = 0; to < n_ranks; to++) {
        for (int k = 0; k < EACH; k++) {
            int i = to * EACH + k;
            size_t n = size_of(my_rank, to, k, round);
            fill(out[i], n, my_rank, to, round * EACH + k);
            (k == 1 ? MPI_Issend : MPI_Isend)(out[i], (int)n, MPI_UINT32_T, to, tag_of(my_rank, k),
                                              MPI_COMM_WORLD, &request[n_messages + i]);
        }
    }
}

static void is_done(int i, const MPI_Status *s, int round)
{
    if (i < n_messages) {
        int from = i / EACH, k = i % EACH;
        size_t n = size_of(from, my_rank, k, round);
        verify_status(s, from, tag_of(from, k), n, round, "status");
        verify(in[i], n, from, my_rank, round * EACH + k, "message");
        verify_guard(in[i], n, MAX, 0xeeeeeeee, round, "behind the message");
        memset(in[i], 0, sizeof(**in)); /* nobody completes it twice */
    } else if (i < 2 * n_messages) {
        memset(out[i - n_messages], 0x55, MAX * sizeof(**out));
    } else {
        fail("an idle request was completed", round, i, 0);
    }
}

static void each_by_wait(int round, const int *order)
{
    for (int i = 0; i < 2 * n_messages; i++) {
        MPI_Wait(&request[order[i]], &status[0]);
        is_done(order[i], &status[0], round);
    }
}

static void each_by_test(int round, const int *order)
{
    for (int left = 2 * n_messages; left > 0;) {
        for (int i = 0; i < 2 * n_messages; i++) {
            int done = 0;
            if (request[order[i]] != MPI_REQUEST_NULL) {
                MPI_Test(&request[order[i]], &done, &status[0]);
            }
            if (done) {
                is_done(order[i], &status[0], round);
                left--;
            }
        }
    }
}

static void any(int round, int test)
{
    for (int left = 2 * n_messages; left > 0;) {
        int i, done = 1;
        if (test) {
            MPI_Testany(n_requests, request, &i, &done, &status[0]);
        } else {
            MPI_Waitany(n_requests, request, &i, &status[0]);
        }
        if (done && i == MPI_UNDEFINED) {
            fail("no request is active", round, left, 0);
        } else if (done) {
            is_done(i, &status[0], round);
            left--;
        }
    }
}

static void some(int round, int test)
{
    static int indices[2 * 64 * EACH + IDLE];
    for (int left = 2 * n_messages; left > 0;) {
        int n;
        (test ? MPI_Testsome : MPI_Waitsome)(n_requests, request, &n, indices, status);
        if (n == MPI_UNDEFINED) {
            fail("no request is active", round, left, 0);
        }
        for (int i = 0; i < n; i++) {
            is_done(indices[i], &status[i], round);
        }
        left -= n;
    }
}

static void all(int round, int test)
{
    int done = 0;
    if (!test) {
        MPI_Waitall(n_requests, request, status);
    }
    while (test && !done) {
        MPI_Testall(n_requests, request, &done, status);
    }
    for (int i = 0; i < 2 * n_messages; i++) {
        is_done(i, &status[i], round);
    }
}

static void looked_at_first(int round, const int *order)
{
    for (int i = 0; i < 2 * n_messages; i++) {
        int done = 0, again;
        while (!done) {
            MPI_Request_get_status(request[order[i]], &done, &status[0]);
        }
        MPI_Request_get_status(request[order[i]], &again, &status[0]);
        if (!again) {
            fail("a complete request is not complete any more", round, i, 0);
        }
        MPI_Wait(&request[order[i]], &status[0]);
        is_done(order[i], &status[0], round);
    }
}

static void complete(int round, const int *order)
{
    switch (round / 2 % 9) {
    case 0:
        each_by_wait(round, order);
        break;
    case 1:
        each_by_test(round, order);
        break;
    case 2:
        any(round, 0);
        break;
    case 3:
        any(round, 1);
        break;
    case 4:
        some(round, 0);
        break;
    case 5:
        some(round, 1);
        break;
    case 6:
        all(round, 0);
        break;
    case 7:
        all(round, 1);
        break;
    case 8:
        looked_at_first(round, order);
        break;
    }
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv), order[2 * 64 * EACH];
    uint32_t idle;
    n_messages = n_ranks * EACH;
    n_requests = 2 * n_messages + IDLE;
    for (int i = 0; i < n_messages; i++) {
        out[i] = malloc(MAX * sizeof(**out));
        in[i] = malloc(MAX * sizeof(**in));
    }
    request[2 * n_messages] = MPI_REQUEST_NULL;
    MPI_Recv_init(&idle, 1, MPI_UINT32_T, 0, 9999, MPI_COMM_WORLD, &request[2 * n_messages + 1]);
    for (int round = 0; round < rounds; round++) {
        unsigned state = (unsigned)(round * n_ranks + my_rank);
        shuffle(order, 2 * n_messages, &state);
        if (round % 2 == 0) {
            post_receives(round);
            linger();
            start_sends(round);
        } else {
            start_sends(round);
            linger();
            post_receives(round);
        }
        complete(round, order);
        MPI_Barrier(MPI_COMM_WORLD); /* a wildcard must not take what comes next */
    }
    MPI_Request_free(&request[2 * n_messages + 1]);
    return end("completion");
}
