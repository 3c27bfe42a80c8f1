/*
 * What lies at the edges: empty messages, messages that are too long for their receive, messages to
 * oneself, and partners that are nobody. Eager and rendezvous, expected and unexpected.
 */
#include "check.h"

#define MAX 50000
/*
 * Words. Open MPI 4.1 itself writes a longer message that is truncated over what lies behind the
 * buffer (by RDMA: vader with CMA, tcp), so there is room for it here.
 */
#define EAGER 1000

static const size_t sizes[] = {1, 800, 1200, 15000, MAX};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static uint32_t *out, *in;
static int right, left;
static MPI_Comm returning; /* errors come back */

static void expect(int rc, int class, const char *what, int round)
{
    int found = MPI_SUCCESS;
    if (rc != MPI_SUCCESS) {
        MPI_Error_class(rc, &found);
    }
    if (found != class) {
        fail(what, round, found, (size_t) class);
    }
}

/* Not by MPI_Waitall: that of Open MPI 4.1 itself hangs when one request has failed already. */
static void complete_some(MPI_Request request[3], MPI_Status status[3], int round)
{
    MPI_Status some[3];
    int index[3], n;
    for (int left_over = 3; left_over > 0; left_over -= n) {
        int rc = MPI_Waitsome(3, request, &n, index, some), failed = 0;
        for (int i = 0; i < n; i++) {
            int error = rc == MPI_SUCCESS ? MPI_SUCCESS : some[i].MPI_ERROR;
            expect(error, index[i] == 1 ? MPI_ERR_TRUNCATE : MPI_SUCCESS, "waitsome", round);
            failed += error != MPI_SUCCESS;
            status[index[i]] = some[i];
            request[index[i]] = MPI_REQUEST_NULL; /* Open MPI leaves a failed one as it is */
        }
        expect(rc, failed ? MPI_ERR_IN_STATUS : MPI_SUCCESS, "waitsome", round);
    }
}

/* The messages before and after a truncated one are whole, and nothing is written behind its
 * buffer. */
static void truncated(int round, size_t n)
{
    MPI_Request request[3];
    MPI_Status status[3];
    size_t room = n / 2;
    bool early = round % 2, together = round / 2 % 2;
    fill(out, n, my_rank, right, round);
    memset(in, 0xee, 3 * MAX * sizeof(*in));
    for (int i = 0; i < 3 && early; i++) {
        MPI_Irecv(in + i * MAX, (int)(i == 1 ? room : n), MPI_UINT32_T, left, 1, returning,
                  &request[i]);
    }
    MPI_Request sends[3];
    for (int i = 0; i < 3; i++) {
        MPI_Isend(out, (int)n, MPI_UINT32_T, right, 1, returning, &sends[i]);
    }
    linger();
    for (int i = 0; i < 3 && !early; i++) {
        MPI_Irecv(in + i * MAX, (int)(i == 1 ? room : n), MPI_UINT32_T, left, 1, returning,
                  &request[i]);
    }
    if (together) {
        complete_some(request, status, round);
    } else {
        for (int i = 0; i < 3; i++) {
            expect(MPI_Wait(&request[i], &status[i]), i == 1 ? MPI_ERR_TRUNCATE : MPI_SUCCESS,
                   "wait", round);
        }
    }
    for (int i = 0; i < 3; i += 2) {
        verify_status(&status[i], left, 1, n, round, "beside a truncated message");
        verify(in + i * MAX, n, left, my_rank, round, "beside a truncated message");
    }
    if (n <= EAGER) {
        verify_guard(in + MAX, room, MAX, 0xeeeeeeee, round, "behind a truncated message");
    }
    MPI_Waitall(3, sends, MPI_STATUSES_IGNORE);
}

static void truncated_blocking(int round, size_t n)
{
    MPI_Request send;
    MPI_Status status;
    MPI_Message message;
    fill(out, n, my_rank, right, round);
    memset(in, 0xee, MAX * sizeof(*in));
    MPI_Isend(out, (int)n, MPI_UINT32_T, right, 2, returning, &send);
    linger();
    if (round % 2) {
        expect(MPI_Recv(in, (int)(n / 3), MPI_UINT32_T, left, 2, returning, &status),
               MPI_ERR_TRUNCATE, "recv", round);
    } else {
        MPI_Mprobe(left, 2, returning, &message, &status);
        verify_status(&status, left, 2, n, round, "probe of what will be truncated");
        expect(MPI_Mrecv(in, (int)(n / 3), MPI_UINT32_T, &message, &status), MPI_ERR_TRUNCATE,
               "mrecv", round);
    }
    if (n <= EAGER) {
        verify_guard(in, n / 3, MAX, 0xeeeeeeee, round, "behind a truncated message");
    }
    MPI_Wait(&send, MPI_STATUS_IGNORE);
}

/* Nothing but their order and tags tells empty messages apart. */
static void empty(int round)
{
    enum { N = 40 };
    MPI_Request request[N];
    MPI_Status status;
    for (int i = 0; i < N; i++) {
        (i % 5 == 0 ? MPI_Issend : MPI_Isend)(NULL, 0, MPI_UINT32_T, right, 10 + i / 2,
                                              MPI_COMM_WORLD, &request[i]);
    }
    linger();
    for (int i = 0; i < N; i++) {
        MPI_Recv(NULL, 0, MPI_UINT32_T, i % 2 ? left : MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD,
                 &status);
        verify_status(&status, left, 10 + i / 2, 0, round, "empty message");
        add_to_digest((uint64_t)status.MPI_TAG);
    }
    MPI_Waitall(N, request, MPI_STATUSES_IGNORE);
}

static void to_oneself(int round, size_t n)
{
    static const MPI_Comm comms[] = {MPI_COMM_SELF, MPI_COMM_WORLD};
    MPI_Comm comm = comms[round % 2];
    int me = round % 2 ? my_rank : 0, there;
    MPI_Request request[4];
    MPI_Status status;
    fill(out, n, my_rank, my_rank, round);
    memset(in, 0xee, 3 * MAX * sizeof(*in));
    MPI_Irecv(in, MAX, MPI_UINT32_T, MPI_ANY_SOURCE, 3, comm, &request[0]);
    MPI_Issend(out, (int)n, MPI_UINT32_T, me, 4, comm, &request[1]);
    MPI_Isend(out, (int)n, MPI_UINT32_T, me, 5, comm, &request[2]);
    linger();
    MPI_Isend(out, (int)n, MPI_UINT32_T, me, 3, comm, &request[3]);
    MPI_Iprobe(me, 5, comm, &there, &status);
    MPI_Recv(in + MAX, MAX, MPI_UINT32_T, me, 5, comm, &status);
    verify_status(&status, me, 5, n, round, "message to oneself");
    MPI_Recv(in + 2 * MAX, MAX, MPI_UINT32_T, me, MPI_ANY_TAG, comm, &status);
    verify_status(&status, me, 4, n, round, "synchronous message to oneself");
    MPI_Waitall(4, request, MPI_STATUSES_IGNORE);
    for (int i = 0; i < 3; i++) {
        verify(in + i * MAX, n, my_rank, my_rank, round, "message to oneself");
    }
    MPI_Sendrecv_replace(in, (int)n, MPI_UINT32_T, me, 6, me, 6, comm, &status);
    verify(in, n, my_rank, my_rank, round, "message to oneself in place");
}

/* A line instead of a ring. */
static void nobody(int round, size_t n)
{
    int up = my_rank + 1 < n_ranks ? my_rank + 1 : MPI_PROC_NULL;
    int down = my_rank > 0 ? my_rank - 1 : MPI_PROC_NULL;
    MPI_Status status;
    memset(in, 0xee, MAX * sizeof(*in));
    fill(out, n, my_rank, up, round);
    MPI_Sendrecv(out, (int)n, MPI_UINT32_T, up, 7, in, MAX, MPI_UINT32_T, down, 7, MPI_COMM_WORLD,
                 &status);
    if (down == MPI_PROC_NULL) {
        verify_status(&status, MPI_PROC_NULL, MPI_ANY_TAG, 0, round, "from nobody");
        verify_guard(in, 0, MAX, 0xeeeeeeee, round, "from nobody");
    } else {
        verify_status(&status, down, 7, n, round, "along a line");
        verify(in, n, down, my_rank, round, "along a line");
    }
    MPI_Sendrecv_replace(out, (int)n, MPI_UINT32_T, right, 8, left, 8, MPI_COMM_WORLD, &status);
    int of = left + 1 < n_ranks ? left + 1 : MPI_PROC_NULL;
    verify(out, n, left, of, round, "in place");
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    out = malloc(MAX * sizeof(*out));
    in = malloc(3 * MAX * sizeof(*in));
    MPI_Comm_dup(MPI_COMM_WORLD, &returning);
    MPI_Comm_set_errhandler(returning, MPI_ERRORS_RETURN);
    for (int round = 0; round < rounds; round++) {
        size_t n = sizes[(size_t)round / 4 % N_SIZES];
        truncated(round, n);
        truncated_blocking(round, n);
        empty(round);
        to_oneself(round, n);
        nobody(round, n);
    }
    MPI_Comm_free(&returning);
    return end("edges");
}
