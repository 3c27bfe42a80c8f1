/*
 * Messages of more than 2 GiB between two ranks, as many elements and as few elements of a large
 * type, there and back in one buffer. Argument: rounds.
 */
#include "check.h"

#define WORDS 600000000ul /* 2.4 GB */
#define BLOCK 1000000

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv), small;
    uint32_t *buf = malloc(WORDS * sizeof(*buf));
    MPI_Datatype block;
    MPI_Status status;
    MPI_Request request;
    if (n_ranks != 2 || buf == NULL) {
        fail("two ranks with memory are needed", 0, n_ranks, 0);
    }
    MPI_Type_contiguous(BLOCK, MPI_UINT32_T, &block);
    MPI_Type_commit(&block);
    for (int round = 0; round < rounds; round++) {
        int sender = round % 2;
        if (my_rank == sender) {
            fill(buf, WORDS, sender, !sender, round);
            if (round / 2 % 2) {
                MPI_Ssend(buf, (int)WORDS, MPI_UINT32_T, !sender, 1, MPI_COMM_WORLD);
            } else {
                MPI_Send(buf, (int)(WORDS / BLOCK), block, !sender, 1, MPI_COMM_WORLD);
            }
            memset(buf, 0xee, WORDS * sizeof(*buf));
            MPI_Send(&round, 1, MPI_INT, !sender, 2, MPI_COMM_WORLD);
        } else {
            MPI_Count elements;
            MPI_Irecv(buf, (int)WORDS, MPI_UINT32_T, sender, 1, MPI_COMM_WORLD, &request);
            MPI_Wait(&request, &status);
            MPI_Get_elements_x(&status, MPI_UINT32_T, &elements);
            if (elements != (MPI_Count)WORDS) {
                fail("number of elements", round, sender, (size_t)elements);
            }
            verify(buf, WORDS, sender, my_rank, round, "large message");
            MPI_Recv(&small, 1, MPI_INT, sender, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            if (small != round) {
                fail("message behind a large one", round, sender, (size_t)small);
            }
        }
    }
    MPI_Type_free(&block);
    free(buf);
    return end("large_count");
}
