/*
 * What the test programs share: patterns that depend on everything that identifies a message, a
 * digest of all that was received, and an end that is the same in a run with and without switches.
 *
 * Every program takes a number of rounds as its only argument.
 */
#ifndef NINJA_TESTS_MPI_CHECK_H
#define NINJA_TESTS_MPI_CHECK_H

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static inline void add_to_digest(uint64_t value)
{
    digest = (digest ^ value) * 1099511628211u;
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

static inline int begin(int argc, char **argv)
{
    return begin_threads(argc, argv, MPI_THREAD_FUNNELED);
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

#endif
