/*
 * Rank 0 begins to send rank 1 so many messages as the argument says; rank 1 sends it none, and
 * comes inside MPI only when the script ends the phase "away", so most of them are on the way until
 * then. Nobody receives them before the script ends the phase "sent".
 */
#include "check.h"

#define TAG_DATA  1
#define TAG_NEVER 2

static void wait_inside_mpi(void)
{
    while (phase_goes_on("sent", 0)) {
        int there;
        MPI_Iprobe(MPI_ANY_SOURCE, TAG_NEVER, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE);
        usleep(200);
    }
}

static void send_all(int n)
{
    uint32_t *data = calloc((size_t)n, sizeof(*data));
    MPI_Request *requests = calloc((size_t)n, sizeof(MPI_Request));
    for (int i = 0; i < n; i++) {
        fill(&data[i], 1, 0, 1, i);
        MPI_Isend(&data[i], 1, MPI_UINT32_T, 1, TAG_DATA, MPI_COMM_WORLD, &requests[i]);
    }
    printf("sent\n");
    fflush(stdout);
    wait_inside_mpi();
    MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
    free(data);
    free(requests);
}

static void receive_all(int n)
{
    while (phase_goes_on("away", 0)) {
        usleep(10000);
    }
    wait_inside_mpi();
    for (int i = 0; i < n; i++) {
        uint32_t data;
        MPI_Recv(&data, 1, MPI_UINT32_T, 0, TAG_DATA, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        verify(&data, 1, 0, 1, i, "message");
    }
}

int main(int argc, char **argv)
{
    int n = begin(argc, argv);
    if (my_rank == 0) {
        send_all(n);
    } else {
        receive_all(n);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (my_rank == 0) {
        printf("done\n");
    }
    MPI_Finalize();
    return 0;
}
