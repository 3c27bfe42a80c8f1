/*
 * A rank that does something at an odd moment of a job's life. Arguments: milliseconds, and
 *
 *   late    rank 0 comes to MPI_Init that much later than the others
 *   early   rank 0 comes to MPI_Finalize that much earlier; the others go on to exchange messages
 *   abort   rank 0 calls MPI_Abort after that time, in which it does not call MPI; the others wait
 * for it exit    the same, but it exits without MPI_Finalize
 */
#include "check.h"

#include <time.h>

#define WORDS 3000

static void sleep_through(const char *phase, int milliseconds)
{
    const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    const struct timespec moment = {0, 10000000};
    if (getenv("GO_AT") == NULL) {
        nanosleep(&time, NULL);
        return;
    }
    while (phase_goes_on(phase, 0)) {
        nanosleep(&moment, NULL);
    }
}

static void work(MPI_Comm comm, const char *phase, int milliseconds)
{
    static uint32_t out[WORDS], in[WORDS];
    int rank, size, more = 1;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int right = (rank + 1) % size, left = (rank + size - 1) % size;
    double end_ = MPI_Wtime() + milliseconds / 1000.0;
    for (int round = 0; more; round++) {
        fill(out, WORDS, rank, right, round);
        MPI_Sendrecv(out, WORDS, MPI_UINT32_T, right, 1, in, WORDS, MPI_UINT32_T, left, 1, comm,
                     MPI_STATUS_IGNORE);
        verify(in, WORDS, left, rank, round, "message");
        more = phase_goes_on(phase, end_);
        MPI_Bcast(&more, 1, MPI_INT, 0, comm);
    }
}

static void early(int milliseconds)
{
    MPI_Comm others;
    MPI_Comm_split(MPI_COMM_WORLD, my_rank == 0 ? MPI_UNDEFINED : 0, my_rank, &others);
    if (my_rank > 0) {
        work(others, "early", milliseconds);
        MPI_Comm_free(&others);
    }
    if (my_rank == 1) {
        printf("done\n");
        fflush(stdout);
    }
    MPI_Finalize();
}

int main(int argc, char **argv)
{
    int milliseconds = argc > 1 ? atoi(argv[1]) : 1000, nothing;
    const char *moment = argc > 2 ? argv[2] : "", *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (strcmp(moment, "late") == 0 && rank != NULL && strcmp(rank, "0") == 0) {
        sleep_through("late", milliseconds);
    }
    begin(1, argv);
    if (strcmp(moment, "early") == 0) {
        early(milliseconds);
        return 0;
    }
    work(MPI_COMM_WORLD, "work", 500);
    if (strcmp(moment, "abort") == 0 || strcmp(moment, "exit") == 0) {
        if (my_rank == 0) {
            sleep_through("end", milliseconds);
            if (strcmp(moment, "abort") == 0) {
                MPI_Abort(MPI_COMM_WORLD, 7);
            }
            exit(0);
        }
        MPI_Recv(&nothing, 1, MPI_INT, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    if (my_rank == 0) {
        printf("done\n");
    }
    MPI_Finalize();
    return 0;
}
