/*
 * All kinds of traffic at once, chosen at random, with things left open from round to round:
 * messages to any rank of any size, received early or late or held by a matched probe; persistent
 * requests; collectives; communicators that are replaced.
 *
 * The argument is a number of rounds, or, where the harasser tells it in HARASS_DONE, of switches.
 * A rank's descriptors must not grow, and its memory, in the second half, only by GROWTH_KB
 * each.
 */
#include "collective_ops.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN   40 /* messages that are open at a time */
#define NEW    6  /* messages in each round */
#define TAGS   10000
#define MAX    60000
#define N_COMM 4

struct message {
    uint32_t *out, *in;
    int from, to, number;
    int tag; /* not used again for long: a wildcard must not take a later message */
    size_t n;
    MPI_Request send, receive;
    MPI_Message held;
    enum { NONE, EARLY, HELD, LATE } how;
};

static struct message messages[OPEN];
static struct space spaces[N_COMM];
static struct slot slots[N_COMM];

/* --- messages ----------------------------------------------------------------------------- */

static size_t random_size(unsigned *state)
{
    static const int limits[] = {2, 900, 3000, 15000, MAX};
    return (size_t)random_below(state, limits[random_below(state, 5)]);
}

/* All ranks know of all messages. */
static void open_message(int i, int number, unsigned *state)
{
    struct message *m = &messages[i];
    m->from = random_below(state, n_ranks);
    m->to = random_below(state, n_ranks);
    m->n = random_size(state);
    m->how = 1 + random_below(state, 3);
    m->number = number;
    m->tag = number % TAGS;
    int synchronous = random_below(state, 4) == 0;
    if (m->to == my_rank) {
        memset(m->in, 0xee, MAX * sizeof(*m->in));
        if (m->how == EARLY) {
            MPI_Irecv(m->in, MAX, MPI_UINT32_T, m->n % 2 ? m->from : MPI_ANY_SOURCE, m->tag,
                      MPI_COMM_WORLD, &m->receive);
        }
    }
    if (m->from == my_rank) {
        fill(m->out, m->n, my_rank, m->to, number);
        (synchronous ? MPI_Issend : MPI_Isend)(m->out, (int)m->n, MPI_UINT32_T, m->to, m->tag,
                                               MPI_COMM_WORLD, &m->send);
    }
    if (m->to == my_rank && m->how == HELD) {
        MPI_Mprobe(m->from, m->tag, MPI_COMM_WORLD, &m->held, MPI_STATUS_IGNORE);
    }
}

static void receive(struct message *m)
{
    MPI_Status status;
    switch (m->how) {
    case EARLY:
        MPI_Wait(&m->receive, &status);
        break;
    case HELD:
        MPI_Mrecv(m->in, MAX, MPI_UINT32_T, &m->held, &status);
        break;
    default:
        MPI_Recv(m->in, MAX, MPI_UINT32_T, m->from, m->tag, MPI_COMM_WORLD, &status);
    }
    verify_status(&status, m->from, m->tag, m->n, m->number, "status");
    verify(m->in, m->n, m->from, my_rank, m->number, "message");
    verify_guard(m->in, m->n, MAX, 0xeeeeeeee, m->number, "behind a message");
}

static void close_message(int i)
{
    struct message *m = &messages[i];
    if (m->how == NONE) {
        return;
    }
    if (m->to == my_rank) {
        receive(m);
    }
    if (m->from == my_rank) {
        MPI_Wait(&m->send, MPI_STATUS_IGNORE);
        memset(m->out, 0x55, m->n * sizeof(*m->out));
    }
    m->how = NONE;
}

/* --- communicators and collectives -------------------------------------------------------- */

static void make_space(int c, unsigned *state)
{
    struct space *space = &spaces[c];
    switch (random_below(state, 3)) {
    case 0:
        MPI_Comm_dup(MPI_COMM_WORLD, &space->comm);
        break;
    case 1:
        MPI_Comm_split(MPI_COMM_WORLD, 0, (my_rank + c) % n_ranks, &space->comm);
        break;
    case 2:
        MPI_Comm_split(MPI_COMM_WORLD, my_rank % 2, -my_rank, &space->comm);
        break;
    }
    MPI_Comm_rank(space->comm, &space->rank);
    MPI_Comm_size(space->comm, &space->size);
}

static void collectives(int round, unsigned *state)
{
    static const int sizes[] = {1, 100, 5000, LARGE};
    MPI_Request request[N_COMM];
    const struct op *op[N_COMM];
    for (int c = 0; c < N_COMM; c++) {
        struct slot *slot = &slots[c];
        do {
            op[c] = &ops[random_below(state, N_OPS)];
        } while (op[c]->neighbours);
        slot->space = &spaces[c];
        slot->round = round;
        slot->n = sizes[random_below(state, 4)];
        slot->part = slot->n / slot->space->size + (slot->n < LARGE);
        slot->root = round % slot->space->size;
        op[c]->start(slot, &request[c]);
    }
    MPI_Waitall(N_COMM, request, MPI_STATUSES_IGNORE);
    for (int c = 0; c < N_COMM; c++) {
        op[c]->check(&slots[c]);
    }
}

/* --- growth ------------------------------------------------------------------------------- */

static struct {
    int most[2];   /* descriptors in each half of the run: they differ with the transports */
    int kilobytes; /* at the time "at" */
    long at;
} growth;

static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static int resident_kilobytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) {
        fail("/proc/self/statm", 0, 0, 0);
    }
    fclose(file);
    return (int)(pages * (sysconf(_SC_PAGESIZE) / 1024));
}

static void watch_growth(long at, long end)
{
    int half = at > end / 2, descriptors = count_descriptors();
    if (descriptors > growth.most[half]) {
        growth.most[half] = descriptors;
    }
    if (growth.at == 0 && half) {
        growth.at = at;
        growth.kilobytes = resident_kilobytes();
    }
}

static void check_growth(long at)
{
    const char *limit = getenv("GROWTH_KB");
    int kilobytes = resident_kilobytes();
    double each = (double)(kilobytes - growth.kilobytes) / (double)(at - growth.at);
    fprintf(stderr,
            "rank %d: descriptors %d, later %d; from %ld to %ld resident %d -> %d kB (%.1f each)\n",
            my_rank, growth.most[0], growth.most[1], growth.at, at, growth.kilobytes, kilobytes,
            each);
    if (growth.most[1] > growth.most[0] + n_ranks + 2) {
        fail("descriptors grow", (int)at, growth.most[0], (size_t)growth.most[1]);
    }
    if (limit != NULL && each > atof(limit)) {
        fail("memory grows", (int)at, growth.kilobytes, (size_t)kilobytes);
    }
}

/* --- the program -------------------------------------------------------------------------- */

static long progress_made(int round)
{
    struct stat done;
    long progress = round;
    const char *file = getenv("HARASS_DONE");
    if (file != NULL) {
        progress = my_rank == 0 && stat(file, &done) == 0 ? (long)done.st_size : 0;
        MPI_Bcast(&progress, 1, MPI_LONG, 0, MPI_COMM_WORLD);
    }
    return progress;
}

int main(int argc, char **argv)
{
    int wanted = begin(argc, argv), round = 0;
    unsigned state = 1;
    MPI_Request persistent[2];
    uint32_t x, y;
    int right = (my_rank + 1) % n_ranks, left = (my_rank + n_ranks - 1) % n_ranks;
    MPI_Op_create(compose_pairs, 0, &compose);
    MPI_Type_contiguous(2, MPI_UINT32_T, &pair);
    MPI_Type_commit(&pair);
    MPI_Recv_init(&y, 1, MPI_UINT32_T, left, TAGS, MPI_COMM_WORLD, &persistent[0]);
    MPI_Send_init(&x, 1, MPI_UINT32_T, right, TAGS, MPI_COMM_WORLD, &persistent[1]);
    for (int i = 0; i < OPEN; i++) {
        messages[i].out = memset(malloc(MAX * sizeof(uint32_t)), 1, MAX * sizeof(uint32_t));
        messages[i].in = memset(malloc(MAX * sizeof(uint32_t)), 1, MAX * sizeof(uint32_t));
    }
    for (int c = 0; c < N_COMM; c++) {
        slots[c].out = memset(malloc(ROOM * sizeof(uint32_t)), 1, ROOM * sizeof(uint32_t));
        slots[c].in = memset(malloc(ROOM * sizeof(uint32_t)), 1, ROOM * sizeof(uint32_t));
        make_space(c, &state);
    }
    for (long made = 0; made < wanted; made = progress_made(++round)) {
        watch_growth(made, wanted);
        x = word(my_rank, right, round, 0);
        MPI_Startall(2, persistent);
        for (int k = 0; k < NEW; k++) {
            int i = random_below(&state, OPEN);
            close_message(i);
            open_message(i, round * NEW + k, &state);
        }
        collectives(round, &state);
        int c = random_below(&state, N_COMM);
        MPI_Comm_free(&spaces[c].comm);
        make_space(c, &state);
        MPI_Waitall(2, persistent, MPI_STATUSES_IGNORE);
        verify(&y, 1, left, my_rank, round, "persistent");
    }
    for (int i = 0; i < OPEN; i++) {
        close_message(i);
    }
    for (int c = 0; c < N_COMM; c++) {
        MPI_Comm_free(&spaces[c].comm);
    }
    check_growth(progress_made(round));
    return end("mixed");
}
