/* Ranks with receives posted and sends pending until the file argv[1] is there; then all of it is
 * right. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define N 3

static void expect(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "WRONG %s\n", what);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

static void wait_for(const char *file)
{
    int there = 0, flag;
    while (!there) {
        MPI_Iprobe(MPI_PROC_NULL, 0, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
        MPI_Iprobe(MPI_ANY_SOURCE, 99, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
        usleep(1000);
        there = access(file, F_OK) == 0;
    }
}

int main(int argc, char **argv)
{
    int rank, from[N] = {0}, to[N], late[N] = {0};
    MPI_Request receives[N], sends[N];
    MPI_Comm dup;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_dup(MPI_COMM_WORLD, &dup);
    MPI_Comm_set_name(dup, "copy");
    int peer = 1 - rank;
    MPI_Irecv(&from[0], 1, MPI_INT, peer, 10, MPI_COMM_WORLD, &receives[0]);
    MPI_Irecv(&from[1], 1, MPI_INT, MPI_ANY_SOURCE, 11, dup, &receives[1]);
    MPI_Irecv(&from[2], 1, MPI_INT, peer, 12, dup, &receives[2]);
    for (int i = 0; i < N; i++) {
        to[i] = 1000 * rank + i;
        MPI_Issend(&to[i], 1, MPI_INT, peer, 20 + i, i == 0 ? MPI_COMM_WORLD : dup, &sends[i]);
    }
    if (rank == 0) {
        puts("posted");
        fflush(stdout);
    }
    wait_for(argv[1]);
    for (int i = 0; i < N; i++) {
        MPI_Recv(&late[i], 1, MPI_INT, peer, 20 + i, i == 0 ? MPI_COMM_WORLD : dup,
                 MPI_STATUS_IGNORE);
        MPI_Send(&to[i], 1, MPI_INT, peer, 10 + i, i == 0 ? MPI_COMM_WORLD : dup);
    }
    MPI_Waitall(N, receives, MPI_STATUSES_IGNORE);
    MPI_Waitall(N, sends, MPI_STATUSES_IGNORE);
    for (int i = 0; i < N; i++) {
        expect(from[i] == 1000 * peer + i && late[i] == from[i], "data");
    }
    MPI_Comm_free(&dup);
    MPI_Finalize();
    if (rank == 0) {
        puts("all right");
    }
    return 0;
}
