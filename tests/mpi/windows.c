/*
 * One-sided communication on windows of each kind, which all stay open from begin to end: with
 * fences, with post/start/complete/wait, with locks, and on one that is locked throughout. Every
 * operation of MPI-3, small and large, with requests and with gaps.
 *
 * A window has a slot for each origin, a space that only the left neighbour writes to, and some
 * words that are counted in. A second argument "no-shared" leaves out what needs
 * MPI_Win_allocate_shared.
 */
#include "check.h"

#include <stdbool.h>

static const int sizes[] = {1, 3, 64, 1000, 3000, 16384};
#define N_SIZES  ((int)(sizeof(sizes) / sizeof(sizes[0])))
#define SLOT     16384
#define LARGE    (512 * 1024)
#define COUNTERS 8

struct window {
    MPI_Win win;
    uint32_t *memory;
    MPI_Aint *base; /* of each rank's memory, for displacements */
    MPI_Aint unit;  /* displacement of one word */
    bool held;      /* by MPI_Win_lock_all from begin to end */
};

enum { CREATED, ALLOCATED, DYNAMIC, HELD, HELD_ALLOCATED, SHARED, N_WINDOWS };

static struct window windows[N_WINDOWS];
static int n_windows = N_WINDOWS;
static uint32_t *out, *in; /* a slot for each target, or a large message */
static int right, left;
static int promise; /* MPI_MODE_NOCHECK or 0: that no lock conflicts with that of another rank */

static size_t words(void)
{
    return (size_t)n_ranks * SLOT + LARGE + COUNTERS;
}

static size_t large_at(void)
{
    return (size_t)n_ranks * SLOT;
}

static size_t counter_at(int i)
{
    return large_at() + LARGE + (size_t)i;
}

static MPI_Aint at(const struct window *w, int target, size_t word_)
{
    return w->base[target] + (MPI_Aint)word_ * w->unit;
}

static uint32_t *slot(uint32_t *buf, int rank)
{
    return buf + (size_t)rank * SLOT;
}

static void barrier(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
}

/* --- windows ------------------------------------------------------------------------------ */

static void open_window(struct window *w, int kind)
{
    MPI_Aint bytes = (MPI_Aint)(words() * sizeof(uint32_t)), base = 0;
    w->unit = 1;
    if (kind == ALLOCATED || kind == HELD_ALLOCATED) {
        MPI_Win_allocate(bytes, 4, MPI_INFO_NULL, MPI_COMM_WORLD, &w->memory, &w->win);
    } else if (kind == SHARED) {
        MPI_Win_allocate_shared(bytes, 4, MPI_INFO_NULL, MPI_COMM_WORLD, &w->memory, &w->win);
    } else {
        w->memory = malloc((size_t)bytes);
        if (kind == DYNAMIC) {
            MPI_Win_create_dynamic(MPI_INFO_NULL, MPI_COMM_WORLD, &w->win);
            MPI_Win_attach(w->win, w->memory, bytes);
            MPI_Get_address(w->memory, &base);
            w->unit = sizeof(uint32_t);
        } else {
            MPI_Win_create(w->memory, bytes, 4, MPI_INFO_NULL, MPI_COMM_WORLD, &w->win);
        }
    }
    memset(w->memory, 0, (size_t)bytes);
    w->base = calloc((size_t)n_ranks, sizeof(*w->base));
    MPI_Allgather(&base, 1, MPI_AINT, w->base, 1, MPI_AINT, MPI_COMM_WORLD);
    w->held = kind == HELD || kind == HELD_ALLOCATED;
    if (w->held) {
        MPI_Win_lock_all(0, w->win);
    }
    barrier();
}

static void close_window(struct window *w, int kind)
{
    if (w->held) {
        MPI_Win_unlock_all(w->win);
    }
    if (kind == DYNAMIC) {
        barrier();
        MPI_Win_detach(w->win, w->memory);
    }
    MPI_Win_free(&w->win);
    if (kind == CREATED || kind == HELD || kind == DYNAMIC) {
        free(w->memory);
    }
    free(w->base);
}

static void begin_passive(struct window *w)
{
    if (!w->held) {
        MPI_Win_lock_all(promise, w->win);
    }
    MPI_Win_sync(w->win);
    barrier();
}

static void end_passive(struct window *w)
{
    MPI_Win_sync(w->win);
    barrier();
    if (!w->held) {
        MPI_Win_unlock_all(w->win);
    }
}

/* Between the end of all operations and a look at the own memory. */
static void all_done(struct window *w)
{
    MPI_Win_flush_all(w->win);
    barrier();
    MPI_Win_sync(w->win);
}

/* --- what the ways share ------------------------------------------------------------------ */

static void put_to_all(struct window *w, int n, int round)
{
    for (int t = 0; t < n_ranks; t++) {
        fill(slot(out, t), (size_t)n, my_rank, t, round);
        MPI_Put(slot(out, t), n, MPI_UINT32_T, t, at(w, t, (size_t)my_rank * SLOT), n, MPI_UINT32_T,
                w->win);
    }
}

static void verify_slots(uint32_t *buf, int n, int round, const char *what)
{
    for (int r = 0; r < n_ranks; r++) {
        verify(slot(buf, r), (size_t)n, r, my_rank, round, what);
    }
}

/* What each peer will get from here. */
static void offer(struct window *w, int n, int round)
{
    for (int r = 0; r < n_ranks; r++) {
        fill(slot(w->memory, r), (size_t)n, my_rank, r, round);
    }
}

static void get_from_all(struct window *w, int n)
{
    memset(in, 0xee, (size_t)n_ranks * SLOT * sizeof(*in));
    for (int t = 0; t < n_ranks; t++) {
        MPI_Get(slot(in, t), n, MPI_UINT32_T, t, at(w, t, (size_t)my_rank * SLOT), n, MPI_UINT32_T,
                w->win);
    }
}

static void expect(bool ok, const char *what, int round, int from, size_t where)
{
    if (!ok) {
        fail(what, round, from, where);
    }
}

/* --- active target ------------------------------------------------------------------------ */

static void fence_put(struct window *w, int n, int round)
{
    MPI_Win_fence(MPI_MODE_NOPRECEDE, w->win);
    put_to_all(w, n, round);
    MPI_Win_fence(MPI_MODE_NOSUCCEED, w->win);
    verify_slots(w->memory, n, round, "fence, put");
}

static void fence_get(struct window *w, int n, int round)
{
    offer(w, n, round);
    MPI_Win_fence(0, w->win);
    get_from_all(w, n);
    MPI_Win_fence(MPI_MODE_NOSUCCEED, w->win);
    verify_slots(in, n, round, "fence, get");
}

/* Each rank adds to the same words of each other. */
static void fence_accumulate(struct window *w, int n, int round)
{
    memset(w->memory, 0, (size_t)n * sizeof(*w->memory));
    MPI_Win_fence(0, w->win);
    for (int t = 0; t < n_ranks; t++) {
        fill(slot(out, t), (size_t)n, my_rank, t, round);
        MPI_Accumulate(slot(out, t), n, MPI_UINT32_T, t, at(w, t, 0), n, MPI_UINT32_T, MPI_SUM,
                       w->win);
    }
    MPI_Win_fence(MPI_MODE_NOSUCCEED, w->win);
    for (int i = 0; i < n; i++) {
        uint32_t sum = 0;
        for (int r = 0; r < n_ranks; r++) {
            sum += word(r, my_rank, round, (size_t)i);
        }
        expect(w->memory[i] == sum, "fence, accumulate", round, -1, (size_t)i);
    }
    barrier(); /* before the memory is cleared for another way */
}

/* With the neighbours of a ring only. */
static void post_start(struct window *w, int n, int round)
{
    MPI_Group world, neighbours;
    int ranks[2] = {left, right}, flag = 0;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_incl(world, left == right ? 1 : 2, ranks, &neighbours);
    fill(slot(out, right), (size_t)n, my_rank, right, round);
    MPI_Win_post(neighbours, 0, w->win);
    MPI_Win_start(neighbours, 0, w->win);
    MPI_Put(slot(out, right), n, MPI_UINT32_T, right, at(w, right, (size_t)my_rank * SLOT), n,
            MPI_UINT32_T, w->win);
    MPI_Win_complete(w->win);
    if (round % 2 == 0) {
        MPI_Win_wait(w->win);
    }
    while (round % 2 != 0 && !flag) {
        MPI_Win_test(w->win, &flag);
    }
    verify(slot(w->memory, left), (size_t)n, left, my_rank, round, "post, start, put");
    MPI_Group_free(&neighbours);
    MPI_Group_free(&world);
    barrier();
}

/* Every other word, on both sides; what is between must stay. */
static void with_gaps(struct window *w, int n, int round)
{
    MPI_Datatype every_other;
    n = (n + 1) / 2;
    MPI_Type_vector(n, 1, 2, MPI_UINT32_T, &every_other);
    MPI_Type_commit(&every_other);
    memset(w->memory, 0x5a, (size_t)n_ranks * SLOT * sizeof(*w->memory));
    for (int i = 0; i < n; i++) {
        out[2 * i] = word(my_rank, right, round, (size_t)i);
        out[2 * i + 1] = 0;
    }
    MPI_Win_fence(0, w->win);
    MPI_Put(out, 1, every_other, right, at(w, right, (size_t)my_rank * SLOT), 1, every_other,
            w->win);
    MPI_Win_fence(0, w->win);
    const uint32_t *got = slot(w->memory, left);
    for (int i = 0; i < n; i++) {
        expect(got[2 * i] == word(left, my_rank, round, (size_t)i), "vector", round, left,
               (size_t)i);
        expect(got[2 * i + 1] == 0x5a5a5a5a, "gap of a vector", round, left, (size_t)i);
    }
    MPI_Win_fence(MPI_MODE_NOSUCCEED, w->win);
    MPI_Type_free(&every_other);
}

static void fence_large(struct window *w, int n, int round)
{
    fill(out, LARGE, my_rank, right, round + n);
    MPI_Win_fence(MPI_MODE_NOPRECEDE, w->win);
    MPI_Put(out, LARGE, MPI_UINT32_T, right, at(w, right, large_at()), LARGE, MPI_UINT32_T, w->win);
    MPI_Win_fence(0, w->win);
    verify(w->memory + large_at(), LARGE, left, my_rank, round + n, "large put");
    memset(in, 0xee, LARGE * sizeof(*in));
    MPI_Win_fence(0, w->win);
    MPI_Get(in, LARGE, MPI_UINT32_T, right, at(w, right, large_at()), LARGE, MPI_UINT32_T, w->win);
    MPI_Win_fence(MPI_MODE_NOSUCCEED, w->win);
    verify(in, LARGE, my_rank, right, round + n, "large get");
}

/* --- locks -------------------------------------------------------------------------------- */

/* A counter is read, and written with one more, under an exclusive lock. */
static void lock_exclusive(struct window *w, int n, int round)
{
    uint32_t value, next;
    int host = round % n_ranks;
    w->memory[counter_at(0)] = 0;
    MPI_Win_fence(0, w->win);
    MPI_Win_fence(MPI_MODE_NOSUCCEED, w->win);
    for (int i = 0; i < 5; i++) {
        MPI_Win_lock(MPI_LOCK_EXCLUSIVE, host, 0, w->win);
        MPI_Get(&value, 1, MPI_UINT32_T, host, at(w, host, counter_at(0)), 1, MPI_UINT32_T, w->win);
        MPI_Win_flush(host, w->win);
        next = value + 1;
        MPI_Put(&next, 1, MPI_UINT32_T, host, at(w, host, counter_at(0)), 1, MPI_UINT32_T, w->win);
        MPI_Win_unlock(host, w->win);
    }
    barrier();
    MPI_Win_lock(MPI_LOCK_SHARED, host, 0, w->win);
    MPI_Get(&value, 1, MPI_UINT32_T, host, at(w, host, counter_at(0)), 1, MPI_UINT32_T, w->win);
    MPI_Win_unlock(host, w->win);
    expect(value == 5 * (uint32_t)n_ranks, "exclusive lock", round, host, (size_t)n);
    barrier();
}

/* All write to all at once, and read back what they wrote. */
static void lock_shared(struct window *w, int n, int round)
{
    for (int i = 0; i < n_ranks; i++) {
        int t = (my_rank + i) % n_ranks;
        MPI_Aint there = at(w, t, (size_t)my_rank * SLOT);
        fill(slot(out, t), (size_t)n, my_rank, t, round);
        memset(slot(in, t), 0xee, (size_t)n * sizeof(*in));
        MPI_Win_lock(MPI_LOCK_SHARED, t, promise, w->win);
        MPI_Put(slot(out, t), n, MPI_UINT32_T, t, there, n, MPI_UINT32_T, w->win);
        MPI_Win_flush(t, w->win);
        MPI_Accumulate(slot(out, t), n, MPI_UINT32_T, t, there, n, MPI_UINT32_T, MPI_REPLACE,
                       w->win);
        MPI_Win_flush(t, w->win);
        MPI_Get(slot(in, t), n, MPI_UINT32_T, t, there, n, MPI_UINT32_T, w->win);
        MPI_Win_unlock(t, w->win);
        verify(slot(in, t), (size_t)n, my_rank, t, round, "shared lock");
    }
    barrier();
}

/* --- passive target ----------------------------------------------------------------------- */

static void passive_put(struct window *w, int n, int round)
{
    begin_passive(w);
    put_to_all(w, n, round);
    MPI_Win_flush_local_all(w->win);
    memset(out, 0, (size_t)n_ranks * SLOT * sizeof(*out)); /* is ours again */
    all_done(w);
    verify_slots(w->memory, n, round, "flush, put");
    end_passive(w);
}

static void passive_get(struct window *w, int n, int round)
{
    begin_passive(w);
    offer(w, n, round);
    MPI_Win_sync(w->win);
    barrier();
    get_from_all(w, n);
    MPI_Win_flush_all(w->win);
    verify_slots(in, n, round, "flush, get");
    end_passive(w);
}

/* Tickets are each drawn once; a lock of compare_and_swap protects a counter. */
static void atomics(struct window *w, int n, int round)
{
    const uint32_t one = 1, zero = 0, taken = (uint32_t)my_rank + 1;
    uint32_t ticket[4], sum = 0, expected = 0, old, value;
    int host = round % n_ranks, total = 4 * n_ranks;
    begin_passive(w);
    memset(w->memory + counter_at(0), 0, COUNTERS * sizeof(*w->memory));
    MPI_Win_sync(w->win);
    barrier();
    for (int i = 0; i < 4; i++) {
        MPI_Fetch_and_op(&one, &ticket[i], MPI_UINT32_T, host, at(w, host, counter_at(0)), MPI_SUM,
                         w->win);
        MPI_Win_flush(host, w->win);
        sum += ticket[i];
        do {
            MPI_Compare_and_swap(&taken, &zero, &old, MPI_UINT32_T, host,
                                 at(w, host, counter_at(1)), w->win);
            MPI_Win_flush(host, w->win);
        } while (old != 0);
        MPI_Fetch_and_op(NULL, &value, MPI_UINT32_T, host, at(w, host, counter_at(2)), MPI_NO_OP,
                         w->win);
        MPI_Win_flush(host, w->win);
        value++;
        MPI_Accumulate(&value, 1, MPI_UINT32_T, host, at(w, host, counter_at(2)), 1, MPI_UINT32_T,
                       MPI_REPLACE, w->win);
        MPI_Win_flush(host, w->win);
        MPI_Fetch_and_op(&zero, &old, MPI_UINT32_T, host, at(w, host, counter_at(1)), MPI_REPLACE,
                         w->win);
        MPI_Win_flush(host, w->win);
        expect(old == taken, "lock of compare and swap", round, host, (size_t)n);
    }
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT32_T, MPI_SUM, MPI_COMM_WORLD);
    for (int i = 0; i < total; i++) {
        expected += (uint32_t)i;
    }
    expect(sum == expected, "tickets", round, host, sum);
    MPI_Win_sync(w->win);
    expect(my_rank != host || w->memory[counter_at(2)] == (uint32_t)total, "counter under a lock",
           round, host, 0);
    end_passive(w);
}

/* All add to the same words of the host, and what they found before tells in which order. */
static void get_accumulate(struct window *w, int n, int round)
{
    int host = round % n_ranks;
    begin_passive(w);
    memset(w->memory, 0, (size_t)n * sizeof(*w->memory));
    MPI_Win_sync(w->win);
    barrier();
    for (int i = 0; i < n; i++) {
        out[i] = 1;
        in[i] = 0xeeeeeeee;
    }
    MPI_Get_accumulate(out, n, MPI_UINT32_T, in, n, MPI_UINT32_T, host, at(w, host, 0), n,
                       MPI_UINT32_T, MPI_SUM, w->win);
    all_done(w);
    for (int i = 0; i < n; i++) {
        expect(in[i] < (uint32_t)n_ranks, "get_accumulate's result", round, host, (size_t)i);
        expect(my_rank != host || w->memory[i] == (uint32_t)n_ranks, "get_accumulate's sum", round,
               host, (size_t)i);
    }
    end_passive(w);
}

static void with_requests(struct window *w, int n, int round)
{
    MPI_Request request[2];
    int index;
    size_t there = (size_t)my_rank * SLOT;
    begin_passive(w);
    memset(slot(w->memory, left), 0, SLOT * sizeof(*w->memory));
    MPI_Win_sync(w->win);
    barrier();
    fill(out, (size_t)n, my_rank, right, round);
    MPI_Raccumulate(out, n, MPI_UINT32_T, right, at(w, right, there), n, MPI_UINT32_T, MPI_SUM,
                    w->win, &request[0]);
    MPI_Wait(&request[0], MPI_STATUS_IGNORE);
    memset(in, 0xee, 2 * SLOT * sizeof(*in));
    MPI_Rget_accumulate(NULL, 0, MPI_UINT32_T, in, n, MPI_UINT32_T, right, at(w, right, there), n,
                        MPI_UINT32_T, MPI_NO_OP, w->win, &request[0]);
    MPI_Wait(&request[0], MPI_STATUS_IGNORE);
    verify(in, (size_t)n, my_rank, right, round, "rget_accumulate");
    fill(slot(out, 1), (size_t)n, my_rank, right, round + 1);
    MPI_Rput(slot(out, 1), n, MPI_UINT32_T, right, at(w, right, there), n, MPI_UINT32_T, w->win,
             &request[0]);
    MPI_Wait(&request[0], MPI_STATUS_IGNORE);
    all_done(w);
    verify(slot(w->memory, left), (size_t)n, left, my_rank, round + 1, "rput");
    barrier();
    MPI_Rget(in, n, MPI_UINT32_T, right, at(w, right, there), n, MPI_UINT32_T, w->win, &request[0]);
    MPI_Rget(slot(in, 1), n, MPI_UINT32_T, my_rank, at(w, my_rank, (size_t)left * SLOT), n,
             MPI_UINT32_T, w->win, &request[1]);
    MPI_Waitany(2, request, &index, MPI_STATUS_IGNORE);
    MPI_Wait(&request[1 - index], MPI_STATUS_IGNORE);
    verify(in, (size_t)n, my_rank, right, round + 1, "rget");
    verify(slot(in, 1), (size_t)n, left, my_rank, round + 1, "rget from itself");
    end_passive(w);
}

static void many_small(struct window *w, int n, int round)
{
    const int many = 500;
    begin_passive(w);
    for (int t = 0; t < n_ranks; t++) {
        fill(slot(out, t), (size_t)many, my_rank, t, round);
        for (int i = 0; i < many; i++) {
            MPI_Put(slot(out, t) + i, 1, MPI_UINT32_T, t,
                    at(w, t, (size_t)my_rank * SLOT + (size_t)i), 1, MPI_UINT32_T, w->win);
        }
    }
    all_done(w);
    verify_slots(w->memory, many, round, n > 0 ? "many puts" : "");
    end_passive(w);
}

/* Large transfers are under way while ranks exchange other messages. */
static void large_beside_messages(struct window *w, int n, int round)
{
    int theirs = -1;
    begin_passive(w);
    fill(out, LARGE, my_rank, right, round + n);
    MPI_Put(out, LARGE, MPI_UINT32_T, right, at(w, right, large_at()), LARGE, MPI_UINT32_T, w->win);
    MPI_Sendrecv(&round, 1, MPI_INT, right, 1, &theirs, 1, MPI_INT, left, 1, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    expect(theirs == round, "message beside a put", round, left, 0);
    all_done(w);
    verify(w->memory + large_at(), LARGE, left, my_rank, round + n, "large put");
    end_passive(w);
}

/* --- more than one window ----------------------------------------------------------------- */

/* Operations on all windows are mixed, and completed in another order. */
static void all_windows(struct window *unused, int n, int round)
{
    (void)unused;
    n = n / n_windows + 1;
    for (int i = 0; i < n_windows; i++) {
        begin_passive(&windows[i]);
    }
    for (int i = 0; i < n_windows; i++) {
        uint32_t *part = out + (size_t)i * (size_t)n;
        fill(part, (size_t)n, my_rank, right, round + i);
        MPI_Put(part, n, MPI_UINT32_T, right, at(&windows[i], right, (size_t)my_rank * SLOT), n,
                MPI_UINT32_T, windows[i].win);
    }
    for (int i = n_windows - 1; i >= 0; i--) {
        all_done(&windows[i]);
        verify(slot(windows[i].memory, left), (size_t)n, left, my_rank, round + i, "all windows");
    }
    for (int i = 0; i < n_windows; i++) {
        end_passive(&windows[i]);
    }
}

static void short_lived(struct window *unused, int n, int round)
{
    struct window w;
    (void)unused;
    int kind = round % 3; /* created, allocated, dynamic */
    open_window(&w, kind);
    fence_put(&w, n, round);
    barrier();
    close_window(&w, kind);
}

/* Loads and stores, with no MPI call for the data. */
static void direct(struct window *unused, int n, int round)
{
    (void)unused;
    struct window *w = &windows[SHARED];
    uint32_t *theirs;
    MPI_Aint bytes;
    int unit;
    if (n_windows <= SHARED) {
        return;
    }
    MPI_Win_shared_query(w->win, right, &bytes, &unit, &theirs);
    begin_passive(w);
    fill(slot(theirs, my_rank), (size_t)n, my_rank, right, round);
    MPI_Win_sync(w->win);
    barrier();
    MPI_Win_sync(w->win);
    verify(slot(w->memory, left), (size_t)n, left, my_rank, round, "direct stores");
    end_passive(w);
}

static const struct {
    void (*way)(struct window *w, int n, int round);
    bool passive; /* also for a window that is locked throughout */
} ways[] = {
    {fence_put, false},
    {passive_put, true},
    {fence_get, false},
    {atomics, true},
    {fence_accumulate, false},
    {passive_get, true},
    {post_start, false},
    {get_accumulate, true},
    {with_gaps, false},
    {with_requests, true},
    {lock_exclusive, false},
    {many_small, true},
    {lock_shared, false},
    {large_beside_messages, true},
    {fence_large, false},
    {all_windows, true},
    {direct, true},
    {short_lived, true},
};
#define N_WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    if (argc > 2 && strcmp(argv[2], "no-shared") == 0) {
        n_windows = SHARED;
    }
    out = malloc(words() * sizeof(*out));
    in = malloc(words() * sizeof(*in));
    right = (my_rank + 1) % n_ranks;
    left = (my_rank + n_ranks - 1) % n_ranks;
    for (int i = 0; i < n_windows; i++) {
        open_window(&windows[i], i);
    }
    for (int round = 0; round < rounds; round++) {
        int of_window = round / N_WAYS, of_size = of_window / n_windows;
        struct window *w = &windows[of_window % n_windows];
        promise = of_size % 2 == 0 ? 0 : MPI_MODE_NOCHECK;
        if (ways[round % N_WAYS].passive || !w->held) {
            ways[round % N_WAYS].way(w, sizes[of_size % N_SIZES], round);
        }
    }
    for (int i = 0; i < n_windows; i++) {
        close_window(&windows[i], i);
    }
    return end("windows");
}
