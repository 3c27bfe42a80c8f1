/*
 * Communicators that come and go all the time, made in every way, with small and large messages and
 * collectives on them: a switch finds ranks that have freed one, or not made it yet.
 */
#include "check.h"

#define N 40000

static uint32_t *out, *in;

/* Around a ring; ranks are those of the communicator. */
static void exchange(MPI_Comm comm, int round, size_t n)
{
    int rank, size;
    if (comm == MPI_COMM_NULL) {
        return;
    }
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int right = (rank + 1) % size, left = (rank + size - 1) % size;
    fill(out, n, rank, right, round);
    memset(in, 0xee, n * sizeof(*in));
    MPI_Sendrecv(out, (int)n, MPI_UINT32_T, right, 1, in, (int)n, MPI_UINT32_T, left, 1, comm,
                 MPI_STATUS_IGNORE);
    verify(in, n, left, rank, round, "on a new communicator");
}

/* A message that is received after its sender has gone on, and a collective. */
static void leave_one_behind(MPI_Comm comm, int round)
{
    int rank, size;
    uint32_t sum = 0, want = 0;
    MPI_Request request;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    fill(out, 5000, rank, 0, round);
    MPI_Isend(out, round % 2 ? 5000 : 5, MPI_UINT32_T, (rank + 1) % size, 2, comm, &request);
    uint32_t mine = word(rank, 3, round, 0);
    MPI_Allreduce(&mine, &sum, 1, MPI_UINT32_T, MPI_SUM, comm);
    for (int r = 0; r < size; r++) {
        want += word(r, 3, round, 0);
    }
    if (sum != want) {
        fail("allreduce on a new communicator", round, size, sum);
    }
    MPI_Recv(in, N, MPI_UINT32_T, (rank + size - 1) % size, 2, comm, MPI_STATUS_IGNORE);
    verify(in, round % 2 ? 5000 : 5, (rank + size - 1) % size, 0, round, "left behind");
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void give_back(MPI_Comm *comm)
{
    if (*comm != MPI_COMM_NULL) {
        MPI_Comm_free(comm);
    }
}

static void duplicates(int round)
{
    MPI_Comm dup, idup[2], with_info;
    MPI_Request request[2];
    MPI_Info info;
    MPI_Comm_dup(MPI_COMM_WORLD, &dup);
    exchange(dup, round, round % 3 == 0 ? N : 10);
    MPI_Comm_idup(MPI_COMM_WORLD, &idup[0], &request[0]);
    MPI_Comm_idup(dup, &idup[1], &request[1]);
    exchange(dup, round + 1, 1000);
    MPI_Waitall(2, request, MPI_STATUSES_IGNORE);
    give_back(&dup);
    exchange(idup[1], round + 2, 10);
    MPI_Info_create(&info);
    MPI_Info_set(info, "round", "any");
    MPI_Comm_dup_with_info(idup[0], info, &with_info);
    MPI_Info_free(&info);
    exchange(idup[0], round + 3, 2000);
    give_back(&idup[0]);
    leave_one_behind(with_info, round);
    give_back(&idup[1]);
    give_back(&with_info);
}

/* Parts of the ranks are busy with theirs while the others go on. */
static void parts(int round)
{
    MPI_Comm half, shared, group_comm, by_group = MPI_COMM_NULL;
    MPI_Group world, group;
    int range[1][3] = {{0, n_ranks - 1, 2}};
    MPI_Comm_split(MPI_COMM_WORLD, my_rank % 2, -my_rank, &half);
    exchange(half, round, 100);
    MPI_Comm_split_type(half, MPI_COMM_TYPE_SHARED, my_rank, MPI_INFO_NULL, &shared);
    leave_one_behind(shared, round);
    give_back(&half);
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_range_incl(world, 1, range, &group);
    MPI_Comm_create(MPI_COMM_WORLD, group, &group_comm);
    exchange(group_comm, round + 1, 300);
    if (my_rank % 2 == 0) {
        MPI_Comm_create_group(MPI_COMM_WORLD, group, round % 100, &by_group);
        exchange(by_group, round + 2, 20000);
    }
    MPI_Group_free(&group);
    MPI_Group_free(&world);
    exchange(shared, round + 3, 7);
    give_back(&by_group);
    give_back(&group_comm);
    give_back(&shared);
}

static void topologies(int round)
{
    MPI_Comm cart, row, graph, dist;
    int dims[2] = {0, 0}, periods[2] = {1, 1}, remain[2] = {0, 1};
    int *index = malloc((size_t)n_ranks * sizeof(int)),
        *edges = malloc((size_t)n_ranks * sizeof(int));
    int next = (my_rank + 1) % n_ranks, one = 1;
    MPI_Dims_create(n_ranks, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 0, &cart);
    exchange(cart, round, 500);
    MPI_Cart_sub(cart, remain, &row);
    leave_one_behind(row, round);
    for (int r = 0; r < n_ranks; r++) {
        index[r] = r + 1;
        edges[r] = (r + 1) % n_ranks;
    }
    MPI_Graph_create(MPI_COMM_WORLD, n_ranks, index, edges, 0, &graph);
    give_back(&cart);
    exchange(graph, round + 1, 3000);
    MPI_Dist_graph_create(graph, 1, &my_rank, &one, &next, &one, MPI_INFO_NULL, 0, &dist);
    give_back(&graph);
    leave_one_behind(dist, round + 1);
    give_back(&dist);
    give_back(&row);
    free(index);
    free(edges);
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    out = malloc(N * sizeof(*out));
    in = malloc(N * sizeof(*in));
    for (int round = 0; round < rounds; round++) {
        duplicates(round);
        parts(round);
        topologies(round);
    }
    return end("communicators");
}
