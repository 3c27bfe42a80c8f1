/*
 * Threads inside MPI at the same time (MPI_THREAD_MULTIPLE): exchanges of all sizes, probes with
 * wildcards, collectives, and communicators that come and go, each in a thread of its own; one more
 * computes and seldom calls MPI.
 */
#include <pthread.h>
#include <unistd.h>

#include "check.h"

#define LARGE 60000

struct work {
    pthread_t thread;
    uint64_t (*run)(const struct work *work);
    MPI_Comm comm;
    int rounds;
    int seed; /* so that threads do not send the same bytes */
    uint64_t digest;
};

/* Blocking and nonblocking, eager and rendezvous, with both neighbours. */
static uint64_t exchange(const struct work *work)
{
    static const size_t sizes[] = {0, 1, 100, 3000, 20000, LARGE};
    uint32_t *out = malloc(LARGE * sizeof(*out)), *in = malloc(LARGE * sizeof(*in));
    int right = (my_rank + 1) % n_ranks, left = (my_rank + n_ranks - 1) % n_ranks;
    for (int r = 0; r < work->rounds; r++) {
        size_t n = sizes[(size_t)r % (sizeof(sizes) / sizeof(sizes[0]))];
        int round = r * 16 + work->seed;
        MPI_Request request;
        fill(out, n, my_rank, right, round);
        if (r % 2 == 0) {
            MPI_Sendrecv(out, (int)n, MPI_UINT32_T, right, r, in, (int)n, MPI_UINT32_T, left, r,
                         work->comm, MPI_STATUS_IGNORE);
        } else {
            MPI_Irecv(in, (int)n, MPI_UINT32_T, left, r, work->comm, &request);
            MPI_Ssend(out, (int)n, MPI_UINT32_T, right, r, work->comm);
            MPI_Wait(&request, MPI_STATUS_IGNORE);
        }
        verify(in, n, left, my_rank, round, "exchange");
    }
    free(out);
    free(in);
    return digest;
}

/* Messages that are found by a probe; from all to all. */
static uint64_t probe(const struct work *work)
{
    uint32_t *out = malloc((size_t)n_ranks * 2000 * sizeof(*out)), *in = malloc(2000 * sizeof(*in));
    MPI_Request *requests = malloc((size_t)n_ranks * sizeof(MPI_Request));
    for (int r = 0; r < work->rounds / 4; r++) {
        int round = r * 16 + work->seed, n = r % 3 == 0 ? 2000 : 10, found;
        uint64_t sum = 0;
        for (int to = 0; to < n_ranks; to++) {
            fill(out + to * 2000, (size_t)n, my_rank, to, round);
            MPI_Isend(out + to * 2000, n, MPI_UINT32_T, to, r, work->comm, &requests[to]);
        }
        for (int i = 0; i < n_ranks; i++) {
            MPI_Message message;
            MPI_Status status;
            if (r % 2 == 0) {
                MPI_Mprobe(MPI_ANY_SOURCE, r, work->comm, &message, &status);
            } else {
                do {
                    MPI_Improbe(MPI_ANY_SOURCE, r, work->comm, &found, &message, &status);
                } while (!found);
            }
            MPI_Mrecv(in, n, MPI_UINT32_T, &message, MPI_STATUS_IGNORE);
            for (int j = 0; j < n; j++) {
                if (in[j] != word(status.MPI_SOURCE, my_rank, round, (size_t)j)) {
                    fail("probe", r, status.MPI_SOURCE, (size_t)j);
                }
            }
            sum += in[n - 1]; /* whatever the order */
        }
        MPI_Waitall(n_ranks, requests, MPI_STATUSES_IGNORE);
        add_to_digest(sum);
    }
    free(out);
    free(in);
    free(requests);
    return digest;
}

static uint64_t collect(const struct work *work)
{
    for (int r = 0; r < work->rounds / 4; r++) {
        uint64_t mine = word(my_rank, 0, r, 0), sum, expected = 0;
        MPI_Request request;
        if (r % 2 == 0) {
            MPI_Allreduce(&mine, &sum, 1, MPI_UINT64_T, MPI_SUM, work->comm);
        } else {
            MPI_Iallreduce(&mine, &sum, 1, MPI_UINT64_T, MPI_SUM, work->comm, &request);
            MPI_Wait(&request, MPI_STATUS_IGNORE);
        }
        for (int i = 0; i < n_ranks; i++) {
            expected += word(i, 0, r, 0);
        }
        if (sum != expected) {
            fail("collect", r, -1, 0);
        }
        add_to_digest(sum);
    }
    return digest;
}

static uint64_t make_communicators(const struct work *work)
{
    for (int r = 0; r < work->rounds / 20; r++) {
        MPI_Comm comm;
        int sum, one = 1;
        MPI_Comm_dup(work->comm, &comm);
        MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, comm);
        MPI_Comm_free(&comm);
        add_to_digest((uint64_t)sum);
    }
    return digest;
}

static uint64_t compute(const struct work *work)
{
    uint32_t x = 1;
    for (int r = 0; r < work->rounds / 40; r++) {
        for (int i = 0; i < 2000000; i++) {
            x = x * 1664525u + 1013904223u;
        }
        uint32_t sum;
        MPI_Allreduce(&x, &sum, 1, MPI_UINT32_T, MPI_SUM, work->comm);
        add_to_digest(sum);
    }
    return digest;
}

static void *run(void *arg)
{
    struct work *work = arg;
    work->digest = work->run(work);
    return NULL;
}

int main(int argc, char **argv)
{
    int rounds = begin_threads(argc, argv, MPI_THREAD_MULTIPLE);
    struct work works[] = {{.run = exchange}, {.run = exchange}, {.run = probe},
                           {.run = collect},  {.run = compute},  {.run = make_communicators}};
    int n = sizeof(works) / sizeof(works[0]);
    for (int i = 0; i < n; i++) {
        works[i].rounds = rounds;
        works[i].seed = i;
        MPI_Comm_dup(MPI_COMM_WORLD, &works[i].comm);
    }
    for (int i = 0; i < n; i++) {
        pthread_create(&works[i].thread, NULL, run, &works[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(works[i].thread, NULL);
        add_to_digest(works[i].digest);
        MPI_Comm_free(&works[i].comm);
    }
    return end("threads");
}
