/*
 * A job in a chosen condition, which waits inside MPI until it is told to end:
 *
 *     scale PATTERN COMMUNICATORS OUTSTANDING [PAUSE]
 *
 *   PATTERN        whom each rank has exchanged messages with: ring (two neighbours) or all
 *   COMMUNICATORS  how many there are besides MPI_COMM_WORLD
 *   OUTSTANDING    messages of 8 bytes that each rank has sent to its neighbour, and for which no
 *                  receive is posted while switches come
 *
 * Rank 0 says "ready" on its standard output, and ends the job when its standard input ends. While
 * they wait, ranks look for a message and sleep for PAUSE us (200) in turn, so that the figures are
 * not those of ranks that compete for the processors.
 */
#include <mpi.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAG_DATA 1
#define TAG_END  2

static int rank, size;
static useconds_t pause_us = 200;

static void exchange(MPI_Comm comm, int distance)
{
    long out = rank, in = -1;
    int to = (rank + distance) % size, from = (rank + size - distance) % size;
    MPI_Sendrecv(&out, 1, MPI_LONG, to, TAG_DATA, &in, 1, MPI_LONG, from, TAG_DATA, comm,
                 MPI_STATUS_IGNORE);
    if (in != from) {
        fprintf(stderr, "rank %d: wrong data from %d\n", rank, from);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

static void wait_for_the_end(void)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char byte;
    int told = 0;
    while (!told) {
        MPI_Iprobe(MPI_ANY_SOURCE, TAG_END, MPI_COMM_WORLD, &told, MPI_STATUS_IGNORE);
        if (rank == 0 && poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0) {
            break;
        }
        usleep(pause_us);
    }
    /* along a tree, so that no rank is reached by more than it would be anyway */
    if (rank > 0) {
        MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, TAG_END, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    for (int child = 2 * rank + 1; child <= 2 * rank + 2 && child < size; child++) {
        MPI_Send(NULL, 0, MPI_BYTE, child, TAG_END, MPI_COMM_WORLD);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: scale ring|all COMMUNICATORS OUTSTANDING [PAUSE]\n");
        return 64;
    }
    pause_us = argc == 5 ? (useconds_t)atoi(argv[4]) : pause_us;
    int n_comms = atoi(argv[2]), outstanding = atoi(argv[3]);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);

    int distances = strcmp(argv[1], "all") == 0 ? size - 1 : 1;
    for (int d = 1; d <= distances; d++) {
        exchange(MPI_COMM_WORLD, d);
    }
    MPI_Comm *comms = malloc(((size_t)n_comms + 1) * sizeof(MPI_Comm));
    for (int c = 0; c < n_comms; c++) {
        MPI_Comm_dup(MPI_COMM_WORLD, &comms[c]);
        exchange(comms[c], 1);
    }
    long number;
    for (long i = 0; i < outstanding; i++) {
        MPI_Send(&i, 1, MPI_LONG, (rank + 1) % size, TAG_DATA, MPI_COMM_WORLD);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        puts("ready");
        fflush(stdout);
    }
    wait_for_the_end();
    for (long i = 0; i < outstanding; i++) {
        MPI_Recv(&number, 1, MPI_LONG, (rank + size - 1) % size, TAG_DATA, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
        if (number != i) {
            fprintf(stderr, "rank %d: message %ld instead of %ld\n", rank, number, i);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
    }
    for (int c = 0; c < n_comms; c++) {
        MPI_Comm_free(&comms[c]);
    }
    MPI_Finalize();
    return 0;
}
