/*
 * Times the same communication in two MPI jobs in turn.
 *
 * Theory of operation
 *
 * Two jobs of this program run at the same time and share a file in memory. Time is cut into slices
 * of some milliseconds; in each slice one job works and the other sleeps in a futex, outside of
 * MPI. The order is ABBA ABBA ..., so that a drift of the machine's speed hits both alike. The job
 * whose slice it is writes how long its work took; the work of a point (a test and a size) is the
 * same in all its slices.
 *
 *     overhead FILE a|b PAIRS    run as one of the two jobs
 *     overhead FILE print        prints "TEST SIZE a-seconds b-seconds" for each pair of slices
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_PAIRS     1000
#define SLICE_SECONDS 0.004
#define LIMIT_SECONDS 120 /* for the other job's slice */
#define MAX_BYTES     (4 << 20)
#define WINDOW        32

static char *out, *in;
static int rank, peer;
static MPI_Request requests[WINDOW];

/* --- the work: n times ------------------------------------------------------------------- */

static void latency(int n, int size)
{
    for (int i = 0; i < n; i++) {
        if (rank == 0) {
            MPI_Send(out, size, MPI_BYTE, peer, 0, MPI_COMM_WORLD);
            MPI_Recv(in, size, MPI_BYTE, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else if (rank == 1) {
            MPI_Recv(in, size, MPI_BYTE, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Send(out, size, MPI_BYTE, peer, 0, MPI_COMM_WORLD);
        }
    }
}

/* A window of messages one way, and an answer. */
static void stream(int n, int size)
{
    for (int i = 0; i < n; i++) {
        for (int w = 0; w < WINDOW; w++) {
            if (rank == 0) {
                MPI_Isend(out, size, MPI_BYTE, peer, 0, MPI_COMM_WORLD, &requests[w]);
            } else if (rank == 1) {
                MPI_Irecv(in, size, MPI_BYTE, peer, 0, MPI_COMM_WORLD, &requests[w]);
            }
        }
        if (rank < 2) {
            MPI_Waitall(WINDOW, requests, MPI_STATUSES_IGNORE);
        }
        if (rank == 0) {
            MPI_Recv(in, 0, MPI_BYTE, peer, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else if (rank == 1) {
            MPI_Send(out, 0, MPI_BYTE, peer, 1, MPI_COMM_WORLD);
        }
    }
}

static void allreduce(int n, int size)
{
    for (int i = 0; i < n; i++) {
        MPI_Allreduce(out, in, size / 8, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    }
}

/* Each rank to itself. */
static void to_itself(int n, int size)
{
    for (int i = 0; i < n; i++) {
        MPI_Irecv(in, size, MPI_BYTE, rank, 0, MPI_COMM_WORLD, &requests[0]);
        MPI_Send(out, size, MPI_BYTE, rank, 0, MPI_COMM_WORLD);
        MPI_Wait(&requests[0], MPI_STATUS_IGNORE);
    }
}

static const struct point {
    const char *test;
    void (*work)(int n, int size);
    int size; /* bytes */
} points[] = {
    {"latency", latency, 0},
    {"latency", latency, 8},
    {"latency", latency, 256},
    {"latency", latency, 4096},
    {"latency", latency, 65536},
    {"latency", latency, 1 << 20},
    {"latency", latency, MAX_BYTES},
    {"bandwidth", stream, 4096},
    {"bandwidth", stream, 65536},
    {"bandwidth", stream, 1 << 20},
    {"rate", stream, 8},
    {"self", to_itself, 8},
    {"allreduce", allreduce, 8},
    {"allreduce", allreduce, 4096},
    {"allreduce", allreduce, 65536},
    {"allreduce", allreduce, 1 << 20},
};
enum { N_POINTS = sizeof(points) / sizeof(points[0]) };

/* --- turns -------------------------------------------------------------------------------- */

static struct shared {
    uint32_t turn; /* number of the slice whose turn it is; a futex */
    uint32_t pairs;
    uint32_t iterations[N_POINTS]; /* 0: not known yet */
    double seconds[N_POINTS][MAX_PAIRS][2];
} * shared;

static void map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*shared)) != 0 ||
        (shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) ==
            MAP_FAILED) {
        perror(path);
        exit(1);
    }
    close(fd);
}

static void await_turn(uint32_t slice)
{
    const struct timespec second = {1, 0};
    time_t end = time(NULL) + LIMIT_SECONDS;
    uint32_t now;
    while ((now = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE)) != slice) {
        syscall(SYS_futex, &shared->turn, FUTEX_WAIT, now, &second, NULL, 0);
        if (time(NULL) > end) {
            fprintf(stderr, "the other job is gone\n");
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
    }
}

static void next_turn(uint32_t slice)
{
    __atomic_store_n(&shared->turn, slice + 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &shared->turn, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* The first slice of a point finds out how much work fills a slice. */
static void calibrate(int p)
{
    int n = 1;
    double seconds = 0;
    while (seconds < SLICE_SECONDS / 2 && n < 1 << 20) {
        n *= 2;
        MPI_Barrier(MPI_COMM_WORLD);
        double begin = MPI_Wtime();
        points[p].work(n, points[p].size);
        seconds = MPI_Wtime() - begin;
        MPI_Bcast(&seconds, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    }
    n = (int)(n * SLICE_SECONDS / seconds);
    shared->iterations[p] = n > 0 ? (uint32_t)n : 1;
}

static void work_slice(int p, int pair, int job)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (shared->iterations[p] == 0) {
        MPI_Barrier(MPI_COMM_WORLD);
        calibrate(p);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    int n = (int)shared->iterations[p];
    points[p].work(n / 8 + 1, points[p].size); /* caches are the other job's */
    MPI_Barrier(MPI_COMM_WORLD);
    double begin = MPI_Wtime();
    points[p].work(n, points[p].size);
    double end = MPI_Wtime();
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        shared->seconds[p][pair][job] = end - begin;
    }
}

static void work(int job, int pairs)
{
    uint32_t slice = 0;
    for (int p = 0; p < N_POINTS; p++) {
        for (int pair = -1; pair < pairs; pair++) { /* -1: warms up, and is overwritten */
            for (int half = 0; half < 2; half++, slice++) {
                if ((half ^ (pair & 1)) != job) {
                    continue;
                }
                await_turn(slice);
                work_slice(p, pair < 0 ? 0 : pair, job);
                if (rank == 0) {
                    next_turn(slice);
                }
            }
        }
    }
}

static int print(void)
{
    for (int p = 0; p < N_POINTS; p++) {
        for (uint32_t i = 0; i < shared->pairs; i++) {
            int n = (int)shared->iterations[p] * (points[p].work == stream ? WINDOW : 1);
            printf("%s %d %.9g %.9g\n", points[p].test, points[p].size,
                   shared->seconds[p][i][0] / n, shared->seconds[p][i][1] / n);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: overhead FILE a|b PAIRS, overhead FILE print\n");
        return 64;
    }
    map(argv[1]);
    if (strcmp(argv[2], "print") == 0) {
        return print();
    }
    int pairs = argc > 3 ? atoi(argv[3]) : 50;
    if (pairs < 1 || pairs > MAX_PAIRS) {
        fprintf(stderr, "1 to %d pairs\n", MAX_PAIRS);
        return 64;
    }
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    peer = 1 - rank;
    out = calloc(1, MAX_BYTES);
    in = calloc(1, MAX_BYTES);
    shared->pairs = (uint32_t)pairs;
    work(argv[2][0] == 'b', pairs);
    MPI_Finalize();
    return 0;
}
