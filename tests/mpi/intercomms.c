/*
 * Intercommunicators: made, used for messages and collectives, merged and freed in a loop, with
 * several of them and their local groups alive at once.
 */
#include "check.h"

#define MAX 30000

static const size_t sizes[] = {1, 1000, MAX, 0, 9000};
static uint32_t *out, *in;

struct sides {
    MPI_Comm local, inter;
    int side, rank, size, remote; /* rank and size: in the own group */
};

static int make(struct sides *s, MPI_Comm peer, int side, int tag)
{
    s->side = side;
    MPI_Comm_split(peer, side, my_rank, &s->local);
    MPI_Comm_rank(s->local, &s->rank);
    MPI_Comm_size(s->local, &s->size);
    /* the leaders are the first ranks of both sides */
    int leader[2] = {side == 0 ? my_rank : n_ranks, side == 1 ? my_rank : n_ranks};
    MPI_Allreduce(MPI_IN_PLACE, leader, 2, MPI_INT, MPI_MIN, peer);
    MPI_Intercomm_create(s->local, 0, peer, leader[!side], tag, &s->inter);
    return MPI_Comm_remote_size(s->inter, &s->remote);
}

static void drop(struct sides *s)
{
    MPI_Comm_free(&s->inter);
    MPI_Comm_free(&s->local);
}

/* Ranks of both sides are told apart by adding this. */
static int identity(int side, int rank)
{
    return side * 100 + rank;
}

/* Each rank to every rank of the other side; receives are posted late. */
static void messages(const struct sides *s, int round)
{
    enum { MOST = 16 };
    static uint32_t *to[MOST];
    MPI_Request request[MOST];
    MPI_Status status;
    size_t n = sizes[round % 5];
    int me = identity(s->side, s->rank);
    for (int r = 0; r < s->remote; r++) {
        to[r] = to[r] != NULL ? to[r] : malloc(MAX * sizeof(*out));
        fill(to[r], n, me, identity(!s->side, r), round);
        (r % 2 ? MPI_Issend : MPI_Isend)(to[r], (int)n, MPI_UINT32_T, r, 7, s->inter, &request[r]);
    }
    linger();
    for (int r = 0; r < s->remote; r++) {
        memset(in, 0xee, MAX * sizeof(*in));
        MPI_Probe(round % 2 ? r : MPI_ANY_SOURCE, 7, s->inter, &status);
        MPI_Recv(in, MAX, MPI_UINT32_T, status.MPI_SOURCE, 7, s->inter, &status);
        verify_status(&status, status.MPI_SOURCE, 7, n, round, "between groups");
        verify(in, n, identity(!s->side, status.MPI_SOURCE), me, round, "between groups");
    }
    MPI_Waitall(s->remote, request, MPI_STATUSES_IGNORE);
    MPI_Barrier(s->inter); /* a wildcard must not take what comes next */
}

static void broadcast(const struct sides *s, int round)
{
    int from = round % 2, root = MPI_PROC_NULL;
    size_t n = sizes[round % 3];
    if (s->side == from) {
        root = s->rank == 0 ? MPI_ROOT : MPI_PROC_NULL;
        fill(in, n, identity(from, 0), 1, round);
    } else {
        root = 0;
        memset(in, 0xee, MAX * sizeof(*in));
    }
    if (round % 4 < 2) {
        MPI_Bcast(in, (int)n, MPI_UINT32_T, root, s->inter);
    } else {
        MPI_Request request;
        MPI_Ibcast(in, (int)n, MPI_UINT32_T, root, s->inter, &request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    verify(in, n, identity(from, 0), 1, round, "broadcast between groups");
}

static void reduce(const struct sides *s, int round)
{
    uint32_t mine = word(identity(s->side, s->rank), 2, round, 0), sum[2] = {0, 0}, want = 0;
    MPI_Request request;
    MPI_Iallreduce(&mine, &sum[1], 1, MPI_UINT32_T, MPI_SUM, s->inter, &request);
    MPI_Allreduce(&mine, &sum[0], 1, MPI_UINT32_T, MPI_SUM, s->inter);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    for (int r = 0; r < s->remote; r++) {
        want += word(identity(!s->side, r), 2, round, 0);
    }
    if (sum[0] != want || sum[1] != want) {
        fail("allreduce between groups", round, s->remote, sum[0]);
    }
    add_to_digest(sum[0]);
}

static void all_to_all(const struct sides *s, int round)
{
    int n = 1500, me = identity(s->side, s->rank);
    for (int r = 0; r < s->remote; r++) {
        fill(out + r * n, (size_t)n, me, identity(!s->side, r), round);
    }
    memset(in, 0xee, MAX * sizeof(*in));
    MPI_Alltoall(out, n, MPI_UINT32_T, in, n, MPI_UINT32_T, s->inter);
    for (int r = 0; r < s->remote; r++) {
        verify(in + r * n, (size_t)n, identity(!s->side, r), me, round, "alltoall between groups");
    }
    fill(out, (size_t)n, me, 0, round);
    MPI_Allgather(out, n, MPI_UINT32_T, in, n, MPI_UINT32_T, s->inter);
    for (int r = 0; r < s->remote; r++) {
        verify(in + r * n, (size_t)n, identity(!s->side, r), 0, round, "allgather between groups");
    }
}

static void merged(const struct sides *s, int round)
{
    MPI_Comm all, dup;
    int rank, size;
    MPI_Comm_dup(s->inter, &dup);
    MPI_Intercomm_merge(s->inter, s->side, &all);
    MPI_Comm_rank(all, &rank);
    MPI_Comm_size(all, &size);
    int right = (rank + 1) % size, left = (rank + size - 1) % size;
    size_t n = sizes[round % 5];
    fill(out, n, rank, right, round);
    MPI_Sendrecv(out, (int)n, MPI_UINT32_T, right, 3, in, MAX, MPI_UINT32_T, left, 3, all,
                 MPI_STATUS_IGNORE);
    verify(in, n, left, rank, round, "on a merged communicator");
    MPI_Comm_free(&all);
    MPI_Barrier(dup);
    MPI_Comm_free(&dup);
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    struct sides kept, s;
    out = malloc(MAX * sizeof(*out));
    in = malloc(MAX * sizeof(*in));
    make(&kept, MPI_COMM_WORLD, my_rank % 2, 1);
    for (int round = 0; round < rounds; round++) {
        /* from one rank against all others to halves */
        int split = 1 + round % (n_ranks - 1);
        make(&s, MPI_COMM_WORLD, my_rank < split ? 0 : 1, 2 + round % 50);
        messages(&s, round);
        broadcast(&kept, round);
        reduce(&s, round);
        all_to_all(&s, round);
        merged(&s, round);
        drop(&s);
        messages(&kept, round + 1);
    }
    drop(&kept);
    return end("intercomms");
}
