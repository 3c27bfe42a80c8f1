/*
 * Rank 0 computes for a while without calling MPI, once; the others wait for it. Argument:
 * milliseconds. With a second argument, "window" makes an RMA window and "threads" asks for
 * MPI_THREAD_MULTIPLE; "threads,window" does both. With "all" all ranks compute.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int rank, size, value = 1, sum, provided;
    int milliseconds = argc > 1 ? atoi(argv[1]) : 1000;
    const char *extra = argc > 2 ? argv[2] : "";
    MPI_Win window = MPI_WIN_NULL;
    int memory = 0;

    if (strstr(extra, "threads") != NULL) {
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    } else {
        MPI_Init(&argc, &argv);
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (strstr(extra, "window") != NULL) {
        MPI_Win_create(&memory, sizeof(memory), sizeof(memory), MPI_INFO_NULL, MPI_COMM_WORLD,
                       &window);
        MPI_Win_set_name(window, "the test's window");
    }
    MPI_Barrier(MPI_COMM_WORLD);
    double end = MPI_Wtime() + milliseconds / 1000.0;
    if (rank == 0 || strstr(extra, "all") != NULL) {
        while (MPI_Wtime() < end) {
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Allreduce(&value, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (window != MPI_WIN_NULL) {
        MPI_Win_free(&window);
    }
    if (rank == 0) {
        printf("sum %d of %d\n", sum, size);
    }
    MPI_Finalize();
    return sum == size ? 0 : 1;
}
