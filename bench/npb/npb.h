/*
 * What the NAS Parallel Benchmarks here share: the pseudo-random numbers, and the life of a run.
 *
 * The kernels follow the specification (NAS report RNR-94-007 and its successors): the same
 * problem, numbers, operation counts and verification values. A kernel is a table of functions,
 * and its main() hands that table to npb_main().
 */
#ifndef NPB_H
#define NPB_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- pseudo-random numbers ------------------------------------------------------------------ */

#define NPB_SEED UINT64_C(314159265)

/* x[k+1] = a x[k] mod 2^46 with a = 5^13; the number itself is x / 2^46. */
#define NPB_A        UINT64_C(1220703125)
#define NPB_MODULUS  (UINT64_C(1) << 46)
#define NPB_FRACTION (1.0 / (double)NPB_MODULUS)

/* One step with the multiplier a; returns a number in (0, 1). */
static inline double npb_random(uint64_t *x, uint64_t a)
{
    *x = (*x * a) & (NPB_MODULUS - 1);
    return (double)*x * NPB_FRACTION;
}

/* a^n mod 2^46: the multiplier that makes n steps at once. */
uint64_t npb_power(uint64_t a, uint64_t n);

/* --- a benchmark ---------------------------------------------------------------------------- */

struct npb_benchmark {
    const char *name; /* as printed, in capitals */
    const char *operations;

    /*
     * Chooses the class, which is one of "SWABCD", and allocates; collective. If this number of
     * ranks or this class cannot be run, it returns the reason, which is the same on all ranks.
     */
    const char *(*setup)(char class);

    /* Brings the data into the state in which the timed part begins; may be called again. */
    void (*prepare)(void);

    /* The part that is timed; as many iterations as the class has, or fewer. */
    void (*run)(int iterations);

    /* After run() with all iterations: compares with the official values. Collective; true if this
       rank found nothing wrong. Rank 0 prints the values that were compared if `print`. */
    bool (*verify)(bool print);
};

/* The size as the benchmark prints it, set by setup(). */
struct npb_size {
    char text[40];
    int iterations;
    double mop; /* million operations in all iterations */
};

extern int npb_rank, npb_ranks;
extern struct npb_size npb_size;

/*
 * A whole run of the program: arguments, MPI, timing, the report on standard output. Returns the
 * exit status: 0 if verified, 1 if not, 64 if the arguments are wrong.
 */
int npb_main(int argc, char **argv, const struct npb_benchmark *benchmark);

/* Zeroed memory, aligned to a cache line; ends the job if there is none. free() releases it. */
void *npb_allocate(size_t count, size_t size);

/* Index of the class in "SWABCD". */
int npb_class_index(char class);

/* log2 of a power of two, -1 if it is none. */
int npb_log2(int64_t n);

/* Whether value is within epsilon of the official one, relative; prints both on rank 0 if told.
   Repetitions are compared by all values that went through here. */
bool npb_agrees(bool print, const char *name, double value, double official, double epsilon);

#endif
