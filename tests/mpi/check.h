/*
 * What the test programs share: patterns that depend on everything that identifies a message, a
 * digest of all that was received, and an end that is the same in a run with and without switches.
 *
 * Every program takes a number of rounds as its only argument.
 */
#ifndef NINJA_TESTS_MPI_CHECK_H
#define NINJA_TESTS_MPI_CHECK_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int my_rank, n_ranks;
static __thread uint64_t digest = 14695981039346656037u; /* main adds up those of its threads */

static inline void fail(const char *what, int round, int from, size_t at)
{
    fprintf(stderr, "rank %d: WRONG: %s, round %d, from %d, at %zu\n", my_rank, what, round, from,
            at);
    MPI_Abort(MPI_COMM_WORLD, 3);
    exit(3);
}

static inline uint32_t word(int from, int to, int round, size_t i)
{
    uint32_t x = (uint32_t)from * 0x9e3779b1u ^ (uint32_t)to * 0x85ebca77u ^
                 (uint32_t)round * 0xc2b2ae3du ^ (uint32_t)i * 0x27d4eb2fu;
    x ^= x >> 15;
    return x * 0x2c1b3c6du;
}

static inline void fill(uint32_t *buf, size_t n, int from, int to, int round)
{
    for (size_t i = 0; i < n; i++) {
        buf[i] = word(from, to, round, i);
    }
}

/* In any order: what is complete first may differ from run to run. */
static inline void add_to_digest(uint64_t value)
{
    value = (value ^ 0x2545f4914f6cdd1du) * 1099511628211u;
    digest += value ^ value >> 29;
}

static inline void verify(const uint32_t *buf, size_t n, int from, int to, int round,
                          const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (buf[i] != word(from, to, round, i)) {
            fail(what, round, from, i);
        }
    }
    add_to_digest(n > 0 ? buf[n - 1] : (uint64_t)round);
}

/* The same on all ranks if they call it alike. Returns 0 to n - 1. */
static inline int random_below(unsigned *state, int n)
{
    *state = *state * 1103515245u + 12345u;
    return (int)((*state >> 8) % (unsigned)n);
}

static inline void shuffle(int *order, int n, unsigned *state)
{
    for (int i = 0; i < n; i++) {
        int j = random_below(state, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

/*
 * So long a program stays in a state in which switches should find it; nothing in a run without
 * switches.
 */
static inline double linger_seconds(void)
{
    const char *ms = getenv("LINGER_MS");
    return ms != NULL ? atoi(ms) / 1000.0 : 0;
}

/* All ranks call it. */
static inline void linger(void)
{
    double until = MPI_Wtime() + linger_seconds();
    int go_on = linger_seconds() > 0;
    while (go_on) {
        go_on = MPI_Wtime() < until;
        MPI_Bcast(&go_on, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
}

static inline void linger_alone(void)
{
    double until = MPI_Wtime() + linger_seconds();
    int there;
    while (MPI_Wtime() < until) {
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &there, MPI_STATUS_IGNORE);
    }
}

static inline void verify_status(const MPI_Status *status, int source, int tag, size_t n, int round,
                                 const char *what)
{
    int count = -1;
    MPI_Get_count(status, MPI_UINT32_T, &count);
    if (status->MPI_SOURCE != source || status->MPI_TAG != tag || count != (int)n) {
        fprintf(stderr, "status: source %d, tag %d, count %d; expected %d, %d, %zu\n",
                status->MPI_SOURCE, status->MPI_TAG, count, source, tag, n);
        fail(what, round, source, n);
    }
}

/* Nothing may be written between what was received and the end of the buffer. */
static inline void verify_guard(const uint32_t *buf, size_t from, size_t to, uint32_t guard,
                                int round, const char *what)
{
    for (size_t i = from; i < to; i++) {
        if (buf[i] != guard) {
            fail(what, round, -1, i);
        }
    }
}

static inline int begin_threads(int argc, char **argv, int level)
{
    int provided;
    MPI_Init_thread(&argc, &argv, level, &provided);
    if (provided < level) {
        fprintf(stderr, "thread level %d instead of %d\n", provided, level);
        MPI_Abort(MPI_COMM_WORLD, 4);
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    return argc > 1 ? atoi(argv[1]) : 100;
}

/* THREAD_MULTIPLE in the environment: the same program, on the ways that MPI takes then. */
static inline int begin(int argc, char **argv)
{
    bool multiple = getenv("THREAD_MULTIPLE") != NULL;
    return begin_threads(argc, argv, multiple ? MPI_THREAD_MULTIPLE : MPI_THREAD_FUNNELED);
}

/* Prints one line that a run with switches must share with a run without. */
static inline int end(const char *program)
{
    uint64_t all = 0;
    MPI_Reduce(&digest, &all, 1, MPI_UINT64_T, MPI_BXOR, 0, MPI_COMM_WORLD);
    if (my_rank == 0) {
        printf("%s: ok, digest %016llx\n", program, (unsigned long long)all);
    }
    MPI_Finalize();
    return 0;
}

/*
 * Whether a phase of a program goes on: until a script makes the file that the environment variable
 * GO_AT and the phase's name tell, or, where it is not set, for a time.
 */
static inline int phase_goes_on(const char *phase, double end_of_time)
{
    const char *prefix = getenv("GO_AT");
    char path[512];
    if (prefix == NULL) {
        return MPI_Wtime() < end_of_time;
    }
    snprintf(path, sizeof(path), "%s.%s", prefix, phase);
    return access(path, F_OK) != 0;
}

#endif
