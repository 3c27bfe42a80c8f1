/*
 * Says from inside of an MPI program how long it was held in MPI calls.
 *
 * A switch of transports stops a rank within a call. This library, which is preloaded into any MPI
 * program, C or Fortran, takes the time before and after each call that can wait, and keeps those
 * that took long. A rank also waits for other ranks, so what is kept is no stall by itself: a
 * reader compares the calls with the times of the switches, and with the calls at other times.
 *
 *     NPB_STALL_DIR     each rank leaves there a file PID.RANK when it comes to MPI_Finalize
 *     NPB_STALL_MIN_US  how long a call must take to be kept (default 1000)
 *
 * The first line of the file is "offset" and the wall clock less the monotonic clock, which is the
 * one that is read; each other is the beginning and the end of a call, by the wall clock. All are
 * microseconds.
 *
 * Fortran's calls do not pass through C's in Open MPI, so they are wrapped as well; all their
 * arguments are pointers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <mpi.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_HOLDS 100000

static struct {
    int64_t begin, end;
} holds[MAX_HOLDS];
static atomic_int n_holds; /* may grow beyond what is kept */
static int64_t min_us = 1000, wall_offset_us;

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

__attribute__((constructor)) static void start(void)
{
    const char *min = getenv("NPB_STALL_MIN_US");

    if (min != NULL && atoll(min) > 0)
        min_us = atoll(min);
    wall_offset_us = clock_us(CLOCK_REALTIME) - clock_us(CLOCK_MONOTONIC);
}

static void leave(int64_t begin)
{
    int64_t end = clock_us(CLOCK_MONOTONIC);
    int i;

    if (end - begin < min_us)
        return;
    i = atomic_fetch_add(&n_holds, 1);
    if (i < MAX_HOLDS) {
        holds[i].begin = begin;
        holds[i].end = end;
    }
}

static void write_holds(void)
{
    const char *dir = getenv("NPB_STALL_DIR");
    int rank = 0, n = atomic_load(&n_holds);
    char path[4096];
    FILE *out;

    if (dir == NULL)
        return;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    snprintf(path, sizeof(path), "%s/%d.%d", dir, (int)getpid(), rank);
    out = fopen(path, "w");
    if (out == NULL) {
        perror(path);
        return;
    }
    if (n > MAX_HOLDS)
        fprintf(stderr,
                "stall: rank %d: %d more calls took at least %lld us, set NPB_STALL_MIN_US\n", rank,
                n - MAX_HOLDS, (long long)min_us);
    fprintf(out, "offset %lld\n", (long long)wall_offset_us);
    for (int i = 0; i < n && i < MAX_HOLDS; i++)
        fprintf(out, "%lld %lld\n", (long long)(holds[i].begin + wall_offset_us),
                (long long)(holds[i].end + wall_offset_us));
    if (fclose(out) != 0)
        perror(path);
}

int MPI_Finalize(void)
{
    write_holds();
    return PMPI_Finalize();
}

/* --- C ---------------------------------------------------------------------------------------- */

#define IN           const void *in, int n_in, MPI_Datatype type_in
#define OUT          void *out, int n_out, MPI_Datatype type_out
#define IN_V         const void *in, const int *n_in, const int *at_in, MPI_Datatype type_in
#define OUT_V        void *out, const int *n_out, const int *at_out, MPI_Datatype type_out
#define TO_SAME      const void *in, void *out, int n, MPI_Datatype type, MPI_Op op
#define PASS_IN      in, n_in, type_in
#define PASS_OUT     out, n_out, type_out
#define PASS_IN_V    in, n_in, at_in, type_in
#define PASS_OUT_V   out, n_out, at_out, type_out
#define PASS_TO_SAME in, out, n, type, op

#define WRAP(name, parameters, arguments)                                                          \
    int MPI_##name parameters                                                                      \
    {                                                                                              \
        int64_t begin = clock_us(CLOCK_MONOTONIC);                                                 \
        int result = PMPI_##name arguments;                                                        \
        leave(begin);                                                                              \
        return result;                                                                             \
    }

WRAP(Send, (IN, int to, int tag, MPI_Comm comm), (PASS_IN, to, tag, comm))
WRAP(Ssend, (IN, int to, int tag, MPI_Comm comm), (PASS_IN, to, tag, comm))
WRAP(Isend, (IN, int to, int tag, MPI_Comm comm, MPI_Request *r), (PASS_IN, to, tag, comm, r))
WRAP(Recv, (OUT, int from, int tag, MPI_Comm comm, MPI_Status *s), (PASS_OUT, from, tag, comm, s))
WRAP(Irecv, (OUT, int from, int tag, MPI_Comm comm, MPI_Request *r), (PASS_OUT, from, tag, comm, r))
WRAP(Sendrecv,
     (IN, int to, int send_tag, OUT, int from, int recv_tag, MPI_Comm comm, MPI_Status *s),
     (PASS_IN, to, send_tag, PASS_OUT, from, recv_tag, comm, s))
WRAP(Wait, (MPI_Request * r, MPI_Status *s), (r, s))
WRAP(Waitall, (int n, MPI_Request *r, MPI_Status *s), (n, r, s))
WRAP(Waitany, (int n, MPI_Request *r, int *which, MPI_Status *s), (n, r, which, s))
WRAP(Test, (MPI_Request * r, int *done, MPI_Status *s), (r, done, s))
WRAP(Testall, (int n, MPI_Request *r, int *done, MPI_Status *s), (n, r, done, s))
WRAP(Probe, (int from, int tag, MPI_Comm comm, MPI_Status *s), (from, tag, comm, s))
WRAP(Iprobe, (int from, int tag, MPI_Comm comm, int *found, MPI_Status *s),
     (from, tag, comm, found, s))
WRAP(Barrier, (MPI_Comm comm), (comm))
WRAP(Bcast, (OUT, int root, MPI_Comm comm), (PASS_OUT, root, comm))
WRAP(Reduce, (TO_SAME, int root, MPI_Comm comm), (PASS_TO_SAME, root, comm))
WRAP(Allreduce, (TO_SAME, MPI_Comm comm), (PASS_TO_SAME, comm))
WRAP(Scan, (TO_SAME, MPI_Comm comm), (PASS_TO_SAME, comm))
WRAP(Exscan, (TO_SAME, MPI_Comm comm), (PASS_TO_SAME, comm))
WRAP(Gather, (IN, OUT, int root, MPI_Comm comm), (PASS_IN, PASS_OUT, root, comm))
WRAP(Gatherv, (IN, OUT_V, int root, MPI_Comm comm), (PASS_IN, PASS_OUT_V, root, comm))
WRAP(Scatter, (IN, OUT, int root, MPI_Comm comm), (PASS_IN, PASS_OUT, root, comm))
WRAP(Allgather, (IN, OUT, MPI_Comm comm), (PASS_IN, PASS_OUT, comm))
WRAP(Allgatherv, (IN, OUT_V, MPI_Comm comm), (PASS_IN, PASS_OUT_V, comm))
WRAP(Alltoall, (IN, OUT, MPI_Comm comm), (PASS_IN, PASS_OUT, comm))
WRAP(Alltoallv, (IN_V, OUT_V, MPI_Comm comm), (PASS_IN_V, PASS_OUT_V, comm))
WRAP(Comm_dup, (MPI_Comm comm, MPI_Comm *made), (comm, made))
WRAP(Comm_split, (MPI_Comm comm, int color, int key, MPI_Comm *made), (comm, color, key, made))

/* --- Fortran ---------------------------------------------------------------------------------- */

typedef void any_function(void);

/* What comes after this library; the library of Fortran's calls is only there in such a program. */
static any_function *next(const char *name)
{
    any_function *function;

    *(void **)&function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        fprintf(stderr, "stall: there is no %s\n", name);
        abort();
    }
    return function;
}

#define FORTRAN(name, parameters, arguments)                                                       \
    void name parameters;                                                                          \
    void name parameters                                                                           \
    {                                                                                              \
        static any_function *function;                                                             \
        if (function == NULL)                                                                      \
            function = next(#name);                                                                \
        int64_t begin = clock_us(CLOCK_MONOTONIC);                                                 \
        ((void(*) parameters)function) arguments;                                                  \
        leave(begin);                                                                              \
    }
#define F2(name) FORTRAN(name, (void *a, void *b), (a, b))
#define F3(name) FORTRAN(name, (void *a, void *b, void *c), (a, b, c))
#define F4(name) FORTRAN(name, (void *a, void *b, void *c, void *d), (a, b, c, d))
#define F5(name) FORTRAN(name, (void *a, void *b, void *c, void *d, void *e), (a, b, c, d, e))
#define FIVE     void *a, void *b, void *c, void *d, void *e
#define F6(name) FORTRAN(name, (FIVE, void *f), (a, b, c, d, e, f))
#define F7(name) FORTRAN(name, (FIVE, void *f, void *g), (a, b, c, d, e, f, g))
#define F8(name) FORTRAN(name, (FIVE, void *f, void *g, void *h), (a, b, c, d, e, f, g, h))
#define F9(name)                                                                                   \
    FORTRAN(name, (FIVE, void *f, void *g, void *h, void *i), (a, b, c, d, e, f, g, h, i))
#define F10(name)                                                                                  \
    FORTRAN(name, (FIVE, void *f, void *g, void *h, void *i, void *j),                             \
            (a, b, c, d, e, f, g, h, i, j))
#define F13(name)                                                                                  \
    FORTRAN(name, (FIVE, void *f, void *g, void *h, void *i, void *j, void *k, void *l, void *m),  \
            (a, b, c, d, e, f, g, h, i, j, k, l, m))

F7(mpi_send_)
F7(mpi_ssend_)
F8(mpi_isend_)
F8(mpi_recv_)
F8(mpi_irecv_)
F13(mpi_sendrecv_)
F3(mpi_wait_)
F4(mpi_waitall_)
F5(mpi_waitany_)
F4(mpi_test_)
F5(mpi_testall_)
F5(mpi_probe_)
F6(mpi_iprobe_)
F2(mpi_barrier_)
F6(mpi_bcast_)
F8(mpi_reduce_)
F7(mpi_allreduce_)
F7(mpi_scan_)
F9(mpi_gather_)
F9(mpi_scatter_)
F8(mpi_allgather_)
F8(mpi_alltoall_)
F10(mpi_alltoallv_)
F3(mpi_comm_dup_)
F5(mpi_comm_split_)

void mpi_finalize_(void *error);
void mpi_finalize_(void *error)
{
    any_function *function = next("mpi_finalize_");

    write_holds();
    ((void (*)(void *))function)(error);
}
