/*
 * EP: pairs of Gaussian deviates, counted in square annuli ("embarrassingly parallel").
 *
 * 2^m pairs of uniform numbers come in batches of 2^16, each of which begins at its own place of
 * the sequence, so that any rank can compute any batch. Ranks only meet to add up their sums.
 * A batch's numbers are generated first and used then, as one loop depends on itself and the
 * other does not.
 */
#include "npb.h"

#include <math.h>
#include <stdio.h>

#define SEED        UINT64_C(271828183)
#define BATCH_LOG2  16
#define BATCH_PAIRS (1 << BATCH_LOG2)
#define ANNULI      10
#define EPSILON     1e-8

static const struct class
{
    int log2_pairs;
    double sx, sy;
} classes[] = {
    {24, -3.247834652034740e+3, -6.958407078382297e+3},
    {25, -2.863319731645753e+3, -6.320053679109499e+3},
    {28, -4.295875165629892e+3, -1.580732573678431e+4},
    {30, 4.033815542441498e+4, -2.660669192809235e+4},
    {32, 4.764367927995374e+4, -8.084072988043731e+4},
    {36, 1.982481200946593e+5, -1.020596636361769e+5},
};

static const struct class *class;

/* sums[0], sums[1]: of the deviates; the rest: how many pairs lie in each annulus */
static double sums[2 + ANNULI];
static double numbers[2 * BATCH_PAIRS];

static const char *setup(char name)
{
    class = &classes[npb_class_index(name)];
    int64_t batches = INT64_C(1) << (class->log2_pairs - BATCH_LOG2);

    if (npb_ranks > batches)
        return "there are more ranks than batches of pairs";
    snprintf(npb_size.text, sizeof(npb_size.text), "%.0f", ldexp(1.0, class->log2_pairs + 1));
    npb_size.iterations = 1;
    npb_size.mop = ldexp(1.0, class->log2_pairs + 1) * 1e-6;
    return NULL;
}

static void prepare(void)
{
    for (int i = 0; i < 2 + ANNULI; i++)
        sums[i] = 0;
}

static void batch(uint64_t index)
{
    uint64_t x = SEED;

    npb_random(&x, npb_power(NPB_A, index * 2 * BATCH_PAIRS));
    for (int i = 0; i < 2 * BATCH_PAIRS; i++)
        numbers[i] = 2 * npb_random(&x, NPB_A) - 1;
    for (int i = 0; i < BATCH_PAIRS; i++) {
        double a = numbers[2 * i], b = numbers[2 * i + 1], t = a * a + b * b;

        if (t <= 1) {
            double factor = sqrt(-2 * log(t) / t);
            double gx = a * factor, gy = b * factor;

            sums[0] += gx;
            sums[1] += gy;
            sums[2 + (int)fmax(fabs(gx), fabs(gy))]++;
        }
    }
}

static void run(int iterations)
{
    uint64_t batches = UINT64_C(1) << (class->log2_pairs - BATCH_LOG2), ranks = (uint64_t)npb_ranks;
    uint64_t first = batches * (uint64_t)npb_rank / ranks;
    uint64_t end = batches * ((uint64_t)npb_rank + 1) / ranks;

    (void)iterations; /* there is one */
    for (uint64_t i = first; i < end; i++)
        batch(i);
    MPI_Allreduce(MPI_IN_PLACE, sums, 2 + ANNULI, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

static bool verify(bool print)
{
    bool x = npb_agrees(print, "sum of X", sums[0], class->sx, EPSILON);
    bool y = npb_agrees(print, "sum of Y", sums[1], class->sy, EPSILON);

    return x && y;
}

int main(int argc, char **argv)
{
    static const struct npb_benchmark ep = {.name = "EP",
                                            .operations = "pairs of random numbers",
                                            .setup = setup,
                                            .prepare = prepare,
                                            .run = run,
                                            .verify = verify};

    return npb_main(argc, argv, &ep);
}
