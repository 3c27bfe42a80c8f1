/*
 * One rank that talks to itself only: messages, collectives, communicators, all of which complete
 * at once. Argument: milliseconds. With "spawn" it then starts another of its kind and hears from
 * it.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 20000

static int wrong;

static void talk(int round, MPI_Comm comm)
{
    static int out[N], in[N];
    MPI_Request request;
    int n = round % 3 == 0 ? N : 17, sum = 0, value = round;
    for (int i = 0; i < n; i++) {
        out[i] = round + i;
    }
    MPI_Isend(out, n, MPI_INT, 0, round % 1000, comm, &request);
    MPI_Recv(in, n, MPI_INT, MPI_ANY_SOURCE, round % 1000, comm, MPI_STATUS_IGNORE);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    wrong += memcmp(in, out, (size_t)n * sizeof(int)) != 0;
    MPI_Allreduce(&value, &sum, 1, MPI_INT, MPI_SUM, comm);
    MPI_Ibarrier(comm, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    wrong += sum != round;
}

static void hear_from_child(const char *program)
{
    MPI_Comm child;
    int value = 0;
    char *arguments[] = {"500", NULL};
    MPI_Comm_spawn(program, arguments, 1, MPI_INFO_NULL, 0, MPI_COMM_SELF, &child,
                   MPI_ERRCODES_IGNORE);
    MPI_Recv(&value, 1, MPI_INT, 0, 0, child, MPI_STATUS_IGNORE);
    wrong += value != 42;
    MPI_Comm_disconnect(&child);
}

int main(int argc, char **argv)
{
    MPI_Comm copy, parent;
    int round = 1, value = 42;
    MPI_Init(&argc, &argv);
    double end = MPI_Wtime() + (argc > 1 ? atoi(argv[1]) : 1000) / 1000.0;
    while (MPI_Wtime() < end) {
        MPI_Comm_dup(round % 2 ? MPI_COMM_WORLD : MPI_COMM_SELF, &copy);
        for (int i = 0; i < 20; i++) {
            talk(round++, copy);
        }
        MPI_Comm_free(&copy);
    }
    MPI_Comm_get_parent(&parent);
    if (parent != MPI_COMM_NULL) {
        MPI_Send(&value, 1, MPI_INT, 0, 0, parent);
        MPI_Comm_disconnect(&parent);
    } else {
        if (argc > 2 && strcmp(argv[2], "spawn") == 0) {
            hear_from_child(argv[0]);
        }
        printf("wrong %d\n", wrong);
    }
    MPI_Finalize();
    return wrong != 0;
}
