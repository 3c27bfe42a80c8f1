/*
 * Peers that are contacted for the first time long after the last switch, and in MPI_Finalize.
 * Until a file (LATE_CONTACT_FILE) appears, ranks 2n and 2n+1 talk to each other only; then each
 * rank talks to the one four further; and from MPI_Finalize, where the attributes of MPI_COMM_SELF
 * are deleted, to the one two further.
 */
#include "check.h"

#include <unistd.h>

#define WORDS 20000

static uint32_t out[WORDS], in[WORDS];

static void exchange(int distance, int round, const char *what)
{
    int to = (my_rank + distance) % n_ranks,
        from = (my_rank + n_ranks - distance % n_ranks) % n_ranks;
    fill(out, WORDS, my_rank, to, round);
    MPI_Sendrecv(out, WORDS, MPI_UINT32_T, to, 1, in, WORDS, MPI_UINT32_T, from, 1, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    verify(in, WORDS, from, my_rank, round, what);
}

static int on_delete(MPI_Comm comm, int key, void *value, void *extra)
{
    (void)comm, (void)key, (void)value, (void)extra;
    exchange(2, 3, "first contact in MPI_Finalize");
    printf("rank %d: ok\n", my_rank);
    fflush(stdout);
    return MPI_SUCCESS;
}

/* The even rank decides when it is over. */
static void talk_in_pairs(const char *file)
{
    int peer = my_rank ^ 1, over = 0;
    while (!over) {
        over = access(file, F_OK) == 0;
        if (my_rank % 2 == 0) {
            MPI_Send(&over, 1, MPI_INT, peer, 2, MPI_COMM_WORLD);
        } else {
            MPI_Recv(&over, 1, MPI_INT, peer, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        MPI_Sendrecv(out, WORDS, MPI_UINT32_T, peer, 3, in, WORDS, MPI_UINT32_T, peer, 3,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
}

int main(int argc, char **argv)
{
    int key;
    begin(argc, argv);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_delete, &key, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, key, NULL);
    talk_in_pairs(getenv("LATE_CONTACT_FILE"));
    exchange(4, 1, "first contact after the last switch");
    MPI_Finalize();
    return 0;
}
