/*
 * IS: ranks (sorts) small integers, again and again.
 *
 * Every rank holds as many keys as the others, drawn from a hump-shaped distribution. An iteration:
 * each rank sorts its keys into buckets by their upper bits; the bucket sizes are summed over all
 * ranks; consecutive buckets are given to ranks so that each gets about its share; the keys
 * travel there (alltoallv); each rank counts its keys. The running sum of the counts, with the
 * number of keys on lower ranks, is the rank of a key. Nobody moves the keys into order until the
 * final check.
 *
 * In each iteration two keys change, and five keys are followed whose ranks are known.
 */
#include "npb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITERATIONS 10
#define FOLLOWED   5

static const struct class
{
    int keys_log2, max_log2, buckets_log2;
    int64_t place[FOLLOWED], rank[FOLLOWED];
    int low; /* bit mask: those whose rank grows by each iteration; the others' shrink */
    int low_offset, high_offset;
} classes[] = {
    {16, 11, 9, {48427, 17148, 23627, 62548, 4431}, {0, 18, 346, 64917, 65463}, 0x07, 0, 0},
    {20,
     16,
     10,
     {357773, 934767, 875723, 898999, 404505},
     {1249, 11698, 1039987, 1043896, 1048018},
     0x03,
     -2,
     0},
    {23,
     19,
     10,
     {2112377, 662041, 5336171, 3642833, 4250760},
     {104, 17523, 123928, 8288932, 8388264},
     0x07,
     -1,
     1},
    {25,
     21,
     10,
     {41869, 812306, 5102857, 18232239, 26860214},
     {33422937, 10244, 59149, 33135281, 99},
     0x16,
     0,
     0},
    {27,
     23,
     10,
     {44172927, 72999161, 74326391, 129606274, 21736814},
     {61147, 882988, 266290, 133997595, 133525895},
     0x07,
     0,
     0},
    {31,
     27,
     10,
     {1317351170, 995930646, 1157283250, 1503301535, 1453734525},
     {1, 36538729, 1978098519, 2145192618, 2147425337},
     0x03,
     0,
     0},
};

static const struct class *class;
static int n_buckets, shift;
static int32_t max_key;
static int64_t n_keys; /* of each rank */

static int32_t *keys;   /* this rank's, as generated */
static int32_t *sorted; /* the same, bucket by bucket */

/* Each with FOLLOWED more entries: the followed keys, where they are. */
static int32_t *sizes, *totals;
static int32_t *begins; /* of each bucket in `sorted` */

static int *last_bucket; /* of each rank */
static int *send_counts, *send_displs, *recv_counts, *recv_displs;

static int32_t *received; /* the keys that this rank ranks */
static int64_t n_received, received_room;
static int32_t low_key, high_key; /* its range, the end excluded */
static int32_t *counts;           /* of keys up to and including low_key + index */
static int64_t lesser;            /* keys on lower ranks */
static int right;                 /* ranks of followed keys that were found to be right */

static void allocate(void)
{
    size_t ranks = (size_t)npb_ranks;

    keys = npb_allocate((size_t)n_keys, sizeof(*keys));
    sorted = npb_allocate((size_t)n_keys, sizeof(*sorted));
    sizes = npb_allocate((size_t)n_buckets + FOLLOWED, sizeof(*sizes));
    totals = npb_allocate((size_t)n_buckets + FOLLOWED, sizeof(*totals));
    begins = npb_allocate((size_t)n_buckets, sizeof(*begins));
    counts = npb_allocate((size_t)max_key, sizeof(*counts));
    last_bucket = npb_allocate(ranks, sizeof(int));
    send_counts = npb_allocate(ranks, sizeof(int));
    send_displs = npb_allocate(ranks, sizeof(int));
    recv_counts = npb_allocate(ranks, sizeof(int));
    recv_displs = npb_allocate(ranks, sizeof(int));
}

static const char *setup(char name)
{
    class = &classes[npb_class_index(name)];
    n_buckets = 1 << class->buckets_log2;
    if (npb_log2(npb_ranks) < 0)
        return "the number of ranks must be a power of two";
    if (npb_ranks > n_buckets)
        return "there are more ranks than buckets";
    n_keys = (INT64_C(1) << class->keys_log2) / npb_ranks;
    if (n_keys > INT32_MAX)
        return "there are too many keys for each rank: more ranks are needed";
    max_key = 1 << class->max_log2;
    shift = class->max_log2 - class->buckets_log2;
    allocate();
    snprintf(npb_size.text, sizeof(npb_size.text), "%lld",
             (long long)(INT64_C(1) << class->keys_log2));
    npb_size.iterations = ITERATIONS;
    npb_size.mop = 1e-6 * ITERATIONS * (double)(INT64_C(1) << class->keys_log2);
    return NULL;
}

static void prepare(void)
{
    uint64_t x = NPB_SEED;

    npb_random(&x, npb_power(NPB_A, 4 * (uint64_t)n_keys * (uint64_t)npb_rank));
    for (int64_t i = 0; i < n_keys; i++) {
        double sum = npb_random(&x, NPB_A);

        sum += npb_random(&x, NPB_A);
        sum += npb_random(&x, NPB_A);
        sum += npb_random(&x, NPB_A);
        keys[i] = (int32_t)(max_key / 4 * sum);
    }
    right = 0;
}

static void sort_into_buckets(void)
{
    memset(sizes, 0, ((size_t)n_buckets + FOLLOWED) * sizeof(*sizes));
    for (int i = 0; i < FOLLOWED; i++)
        if (class->place[i] / n_keys == npb_rank)
            sizes[n_buckets + i] = keys[class->place[i] % n_keys];
    for (int64_t i = 0; i < n_keys; i++)
        sizes[keys[i] >> shift]++;
    for (int b = 1; b < n_buckets; b++)
        begins[b] = begins[b - 1] + sizes[b - 1];
    for (int64_t i = 0; i < n_keys; i++)
        sorted[begins[keys[i] >> shift]++] = keys[i];
    begins[0] = 0;
}

/* A rank's buckets end with the first that completes its share of all keys. */
static void distribute_buckets(void)
{
    int64_t sum = 0;
    int rank = 0, count = 0;

    memset(send_counts, 0, (size_t)npb_ranks * sizeof(int));
    for (int b = 0; b < n_buckets; b++) {
        sum += totals[b];
        count += sizes[b];
        while (rank < npb_ranks && sum >= (rank + 1) * n_keys) {
            send_counts[rank] = count;
            last_bucket[rank++] = b;
            count = 0;
        }
    }
    int first = npb_rank > 0 ? last_bucket[npb_rank - 1] + 1 : 0;

    low_key = first << shift;
    high_key = (last_bucket[npb_rank] + 1) << shift;
    lesser = 0;
    for (int b = 0; b < first; b++)
        lesser += totals[b];
}

static void exchange_keys(void)
{
    MPI_Alltoall(send_counts, 1, MPI_INT, recv_counts, 1, MPI_INT, MPI_COMM_WORLD);
    n_received = recv_counts[0];
    for (int r = 1; r < npb_ranks; r++) {
        send_displs[r] = send_displs[r - 1] + send_counts[r - 1];
        recv_displs[r] = recv_displs[r - 1] + recv_counts[r - 1];
        n_received += recv_counts[r];
    }
    if (n_received > received_room) {
        received_room = n_received + n_received / 4;
        free(received);
        received = npb_allocate((size_t)received_room, sizeof(*received));
    }
    MPI_Alltoallv(sorted, send_counts, send_displs, MPI_INT32_T, received, recv_counts, recv_displs,
                  MPI_INT32_T, MPI_COMM_WORLD);
}

static void count_keys(void)
{
    int32_t range = high_key - low_key;

    memset(counts, 0, (size_t)range * sizeof(*counts));
    for (int64_t i = 0; i < n_received; i++)
        counts[received[i] - low_key]++;
    for (int32_t k = 1; k < range; k++)
        counts[k] += counts[k - 1];
}

static void check_followed(int iteration)
{
    for (int i = 0; i < FOLLOWED; i++) {
        int32_t key = totals[n_buckets + i];
        bool low = class->low >> i & 1;
        int64_t rank, known;

        if (key < low_key || key >= high_key)
            continue;
        rank = lesser + (key > low_key ? counts[key - low_key - 1] : 0);
        known = class->rank[i] +
                (low ? iteration + class->low_offset : -iteration + class->high_offset);
        if (rank == known)
            right++;
        else
            printf(" In iteration %d key %d has the rank %lld, not %lld\n", iteration, i,
                   (long long)rank, (long long)known);
    }
}

static void run(int iterations)
{
    for (int i = 1; i <= iterations; i++) {
        if (npb_rank == 0) {
            keys[i] = i;
            keys[i + ITERATIONS] = max_key - i;
        }
        sort_into_buckets();
        MPI_Allreduce(sizes, totals, n_buckets + FOLLOWED, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD);
        distribute_buckets();
        exchange_keys();
        count_keys();
        check_followed(i);
    }
}

/* Puts the keys where their ranks say; returns how many are out of order, across ranks too. */
static int64_t count_disorder(void)
{
    int32_t *ordered = npb_allocate((size_t)n_received + 1, sizeof(*ordered));
    int32_t *end = npb_allocate((size_t)(high_key - low_key) + 1, sizeof(*end));
    int32_t highest, before = -1;
    int64_t disorder = 0;

    memcpy(end, counts, (size_t)(high_key - low_key) * sizeof(*end));
    for (int64_t i = 0; i < n_received; i++)
        ordered[--end[received[i] - low_key]] = received[i];
    /* that of all lower ranks, as some may have none */
    highest = n_received > 0 ? ordered[n_received - 1] : -1;
    MPI_Exscan(&highest, &before, 1, MPI_INT32_T, MPI_MAX, MPI_COMM_WORLD);
    if (npb_rank == 0)
        before = -1;
    for (int64_t i = 0; i < n_received; i++) {
        disorder += ordered[i] < before;
        before = ordered[i];
    }
    free(ordered);
    free(end);
    return disorder;
}

static bool verify(bool print)
{
    int64_t mine[3] = {right, count_disorder(), n_received}, all[3];

    MPI_Allreduce(mine, all, 3, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (print && npb_rank == 0)
        printf(" %lld of %d ranks of followed keys are right, %lld of %lld keys are out of order\n",
               (long long)all[0], FOLLOWED * ITERATIONS, (long long)all[1], (long long)all[2]);
    return all[0] == FOLLOWED * ITERATIONS && all[1] == 0 && all[2] == n_keys * npb_ranks;
}

int main(int argc, char **argv)
{
    static const struct npb_benchmark is = {.name = "IS",
                                            .operations = "keys ranked",
                                            .setup = setup,
                                            .prepare = prepare,
                                            .run = run,
                                            .verify = verify};

    return npb_main(argc, argv, &is);
}
