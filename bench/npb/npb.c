/*
 * The life of a benchmark run.
 *
 * A run is: setup, an untimed iteration that touches all memory and opens the connections, then
 * repetitions of prepare, run (timed) and verify. There is one repetition as the specification
 * says, or as many as --seconds and --until need: a class that takes 50 ms is over before
 * anything can be done to it while it runs. Every repetition must verify. As the ranks do the same
 * in each, in the same order, its values must also have the same bits as the first one's: the
 * official values allow an error in which a wrong number may hide.
 */
#include "npb.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_LINE 64

int npb_rank, npb_ranks;
struct npb_size npb_size;

/* FNV-1a, of the values that were compared in this repetition */
static uint64_t digest;

struct options {
    char class;
    double seconds;
    const char *until; /* a file; NULL: none */
};

uint64_t npb_power(uint64_t a, uint64_t n)
{
    uint64_t result = 1;

    for (; n > 0; n >>= 1) {
        if (n & 1)
            result = (result * a) & (NPB_MODULUS - 1);
        a = (a * a) & (NPB_MODULUS - 1);
    }
    return result;
}

void *npb_allocate(size_t count, size_t size)
{
    size_t bytes = (count * size + CACHE_LINE) / CACHE_LINE * CACHE_LINE;
    void *p = aligned_alloc(CACHE_LINE, bytes);

    if (p == NULL) {
        fprintf(stderr, "rank %d: no memory for %zu MB\n", npb_rank, bytes >> 20);
        MPI_Abort(MPI_COMM_WORLD, 1);
        exit(1);
    }
    memset(p, 0, bytes);
    return p;
}

int npb_class_index(char class)
{
    return (int)(strchr("SWABCD", class) - "SWABCD");
}

int npb_log2(int64_t n)
{
    int log = 0;

    while ((INT64_C(1) << log) < n)
        log++;
    return (INT64_C(1) << log) == n ? log : -1;
}

static void digest_add(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < 64; i += 8)
        digest = (digest ^ (bits >> i & 0xff)) * UINT64_C(0x100000001b3);
}

bool npb_agrees(bool print, const char *name, double value, double official, double epsilon)
{
    double error = fabs((value - official) / official);
    bool agrees = error <= epsilon; /* false for NaN */

    digest_add(value);
    if (print && npb_rank == 0)
        printf(" %-14s = %22.14e  official %22.14e%s\n", name, value, official,
               agrees ? "" : "  WRONG");
    return agrees;
}

static void usage(const char *name)
{
    if (npb_rank == 0)
        fprintf(stderr,
                "usage: %s S|W|A|B|C|D [--seconds N] [--until FILE]\n"
                "  --seconds N   repeat the benchmark until N seconds have passed\n"
                "  --until FILE  and until this file exists\n",
                name);
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"until", required_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    int option;

    opterr = npb_rank == 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;

        if (option == 'u') {
            o->until = optarg;
            continue;
        }
        if (option != 's')
            return false;
        o->seconds = strtod(optarg, &end);
        if (end == optarg || *end != '\0' || !(o->seconds >= 0 && o->seconds <= 1e6))
            return false;
    }
    if (optind != argc - 1 || strlen(argv[optind]) != 1 || !strchr("SWABCD", argv[optind][0]))
        return false;
    o->class = argv[optind][0];
    return true;
}

static double timed_run(const struct npb_benchmark *b)
{
    double seconds, longest;

    b->prepare();
    MPI_Barrier(MPI_COMM_WORLD);
    seconds = MPI_Wtime();
    b->run(npb_size.iterations);
    seconds = MPI_Wtime() - seconds;
    MPI_Allreduce(&seconds, &longest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return longest;
}

static void report(const struct npb_benchmark *b, char class, double seconds, int repetitions,
                   bool verified)
{
    double rate = seconds > 0 ? npb_size.mop * repetitions / seconds : 0;

    if (npb_rank != 0)
        return;
    printf("\n %s Benchmark Completed.\n", b->name);
    printf(" Class           = %24c\n", class);
    printf(" Size            = %24s\n", npb_size.text);
    printf(" Iterations      = %24d\n", npb_size.iterations);
    if (repetitions > 1)
        printf(" Repetitions     = %24d\n", repetitions);
    printf(" Time in seconds = %24.4f\n", seconds / repetitions);
    printf(" Total processes = %24d\n", npb_ranks);
    printf(" Mop/s total     = %24.2f\n", rate);
    printf(" Mop/s/process   = %24.2f\n", rate / npb_ranks);
    printf(" Operation type  = %24s\n", b->operations);
    printf(" Verification    = %24s\n", verified ? "SUCCESSFUL" : "UNSUCCESSFUL");
    fflush(stdout);
}

static bool all_are(bool right)
{
    int mine = right, all;

    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD);
    return all;
}

static bool benchmark(const struct npb_benchmark *b, const struct options *o)
{
    double sum = 0, begin;
    int repetitions = 0, again;
    uint64_t first = 0;
    bool verified = true;

    b->prepare();
    b->run(1);
    begin = MPI_Wtime();
    do {
        double seconds = timed_run(b);

        digest = UINT64_C(0xcbf29ce484222325);
        bool right = b->verify(repetitions == 0);

        first = repetitions == 0 ? digest : first;
        right = all_are(right && digest == first);

        sum += seconds;
        repetitions++;
        if (!right && npb_rank == 0)
            printf(" Repetition %d is wrong, or differs from the first.\n", repetitions);
        fflush(stdout); /* who waits for --until wants to know that it runs */
        verified = verified && right;
        again =
            MPI_Wtime() - begin < o->seconds || (o->until != NULL && access(o->until, F_OK) != 0);
        MPI_Bcast(&again, 1, MPI_INT, 0, MPI_COMM_WORLD);
    } while (again);
    report(b, o->class, sum, repetitions, verified);
    return verified;
}

int npb_main(int argc, char **argv, const struct npb_benchmark *b)
{
    struct options o = {0};
    const char *reason;
    int status = 64;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &npb_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &npb_ranks);
    if (!parse(argc, argv, &o)) {
        usage(argv[0]);
    } else if ((reason = b->setup(o.class)) != NULL) {
        if (npb_rank == 0)
            fprintf(stderr, "%s, class %c, on %d ranks: %s\n", b->name, o.class, npb_ranks, reason);
    } else {
        status = benchmark(b, &o) ? 0 : 1;
    }
    MPI_Finalize();
    return status;
}
