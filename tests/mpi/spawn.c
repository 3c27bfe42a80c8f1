/*
 * A job that starts another one, and connects to a third (its own child's sibling), exchanges
 * messages with it, and takes leave. Arguments: milliseconds, and
 *
 *   spawn    the child is of MPI_Comm_spawn
 *   accept   the child is of MPI_Comm_spawn, but leaves at once, and comes back by MPI_Comm_connect
 *
 * Phases: bound, there is a communicator between the jobs, and no message has gone; and then, each
 * of that many milliseconds: connected; not connected any more, both jobs run; alone.
 */
#include "check.h"

#include <time.h>

#define WORDS 3000

static uint32_t out[WORDS], in[WORDS];

/* A ring within a job. */
static void work(const char *phase, int milliseconds)
{
    int right = (my_rank + 1) % n_ranks, left = (my_rank + n_ranks - 1) % n_ranks, more = 1;
    double end_ = MPI_Wtime() + milliseconds / 1000.0;
    for (int round = 0; more; round++) {
        fill(out, WORDS, my_rank, right, round);
        MPI_Sendrecv(out, WORDS, MPI_UINT32_T, right, 1, in, WORDS, MPI_UINT32_T, left, 1,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        verify(in, WORDS, left, my_rank, round, "message");
        more = phase_goes_on(phase, end_);
        MPI_Bcast(&more, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
}

/* With all ranks of the other job, which does the same; parent says when it is enough. */
static void work_together(MPI_Comm other, int parent, int milliseconds)
{
    MPI_Comm all;
    int more = 1, n_others;
    double end_ = MPI_Wtime() + milliseconds / 1000.0;
    MPI_Comm_remote_size(other, &n_others);
    MPI_Intercomm_merge(other, !parent, &all);
    for (int round = 0; more; round++) {
        for (int r = 0; r < n_others; r++) {
            fill(out, WORDS, my_rank, r, round + parent);
            MPI_Sendrecv(out, WORDS, MPI_UINT32_T, r, 2, in, WORDS, MPI_UINT32_T, r, 2, other,
                         MPI_STATUS_IGNORE);
            verify(in, WORDS, r, my_rank, round + !parent, "message of another job");
        }
        more = phase_goes_on("connected", end_);
        MPI_Bcast(&more, 1, MPI_INT, 0, all);
    }
    MPI_Comm_free(&all);
}

static char port[MPI_MAX_PORT_NAME];

/* Both jobs learn the port while they are connected otherwise. */
static void agree_on_port(MPI_Comm other, int parent)
{
    if (parent && my_rank == 0) {
        MPI_Open_port(MPI_INFO_NULL, port);
        MPI_Send(port, MPI_MAX_PORT_NAME, MPI_CHAR, 0, 3, other);
    } else if (my_rank == 0) {
        MPI_Recv(port, MPI_MAX_PORT_NAME, MPI_CHAR, 0, 3, other, MPI_STATUS_IGNORE);
    }
}

static MPI_Comm connect_again(int parent)
{
    MPI_Comm other;
    if (parent) {
        MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &other);
    } else {
        MPI_Comm_connect(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &other);
    }
    return other;
}

static MPI_Comm spawn(char **argv)
{
    MPI_Comm other;
    MPI_Comm_spawn(argv[0], argv + 1, 2, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &other,
                   MPI_ERRCODES_IGNORE);
    return other;
}

static void say(const char *what, int parent)
{
    if (parent && my_rank == 0) {
        printf("%s\n", what);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    MPI_Comm other;
    int milliseconds = begin(argc, argv);
    int accept = argc > 2 && strcmp(argv[2], "accept") == 0;
    int times = argc > 3 ? atoi(argv[3]) : 1;
    MPI_Comm_get_parent(&other);
    int is_parent = other == MPI_COMM_NULL;
    if (is_parent) {
        work("before", argc > 4 ? milliseconds : 0);
        other = spawn(argv);
    }
    if (accept) {
        agree_on_port(other, is_parent);
    }
    for (int i = 0; i < times; i++) {
        if (accept) {
            MPI_Comm_disconnect(&other);
            work("before", argc > 4 ? milliseconds : 0);
            other = connect_again(is_parent);
        } else if (is_parent && i > 0) {
            other = spawn(argv);
        }
        MPI_Comm_set_name(other, "between two jobs");
        say("bound", is_parent);
        work("bound", 0);
        say("connected", is_parent);
        work_together(other, is_parent, milliseconds);
        if (!accept || i == times - 1) {
            MPI_Comm_disconnect(&other);
            say("disconnected", is_parent);
            work("disconnected", milliseconds);
        }
        if (!accept && !is_parent) {
            break;
        }
    }
    if (is_parent) {
        say("alone", is_parent);
        work("alone", milliseconds);
        say("done", is_parent);
    }
    MPI_Finalize();
    return 0;
}
