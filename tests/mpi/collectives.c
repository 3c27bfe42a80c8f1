/*
 * Every collective operation, blocking and nonblocking, small and large. Several nonblocking ones
 * are outstanding at once, on several communicators, and are completed in another order. One rank
 * is late each time, so that all others wait in the middle of theirs.
 */
#include "collective_ops.h"

#define N_SLOTS  6
#define N_SPACES 5

static struct space spaces[N_SPACES];
static struct slot slots[N_SLOTS];

static void describe(struct space *space)
{
    MPI_Comm_rank(space->comm, &space->rank);
    MPI_Comm_size(space->comm, &space->size);
}

static void make_spaces(void)
{
    int periodic = n_ranks > 2; /* otherwise both neighbours would be the same rank */
    int next[2] = {(my_rank + 1) % n_ranks, (my_rank + 2) % n_ranks};
    int last[2] = {(my_rank + n_ranks - 1) % n_ranks, (my_rank + 2 * n_ranks - 2) % n_ranks};
    MPI_Comm_dup(MPI_COMM_WORLD, &spaces[0].comm);
    MPI_Comm_split(MPI_COMM_WORLD, 0, -my_rank, &spaces[1].comm);
    MPI_Comm_split(MPI_COMM_WORLD, my_rank % 2, my_rank, &spaces[2].comm);
    MPI_Cart_create(MPI_COMM_WORLD, 1, &n_ranks, &periodic, 0, &spaces[3].comm);
    MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 2, last, last, 2, next, next, MPI_INFO_NULL, 0,
                                   &spaces[4].comm);
    for (int i = 0; i < N_SPACES; i++) {
        describe(&spaces[i]);
    }
    struct space *cart = &spaces[3], *graph = &spaces[4];
    cart->n_in = cart->n_out = 2;
    MPI_Cart_shift(cart->comm, 0, 1, &cart->in[0], &cart->in[1]);
    memcpy(cart->out, cart->in, sizeof(cart->out));
    graph->n_in = graph->n_out = 2;
    memcpy(graph->in, last, sizeof(last));
    memcpy(graph->out, next, sizeof(next));
}

static void free_spaces(void)
{
    for (int i = 0; i < N_SPACES; i++) {
        MPI_Comm_free(&spaces[i].comm);
    }
}

/* The same choice on all ranks. */
static const struct op *prepare(struct slot *slot, int op, int round, unsigned *state)
{
    static const int sizes[] = {1, 100, 5000, LARGE};
    slot->space = ops[op].neighbours ? &spaces[3 + random_below(state, 2)]
                                     : &spaces[random_below(state, N_SPACES)];
    slot->round = round;
    slot->n = sizes[random_below(state, 4)];
    slot->part = slot->n / slot->space->size + (slot->n < LARGE);
    slot->root = round % slot->space->size;
    memset(slot->in, 0xee, ROOM * sizeof(*slot->in));
    return &ops[op];
}

static void blocking(int round)
{
    unsigned state = (unsigned)round;
    const struct op *op = prepare(&slots[0], round % N_OPS, round, &state);
    if (round / N_OPS % n_ranks == my_rank) {
        linger_alone();
    }
    op->start(&slots[0], NULL);
    op->check(&slots[0]);
}

static void many_nonblocking(int round)
{
    MPI_Request request[N_SLOTS];
    const struct op *op[N_SLOTS];
    int order[N_SLOTS];
    unsigned state = (unsigned)(round * 77 + 5), mine = (unsigned)my_rank + state;
    if (round % n_ranks == my_rank) {
        linger_alone();
    }
    for (int i = 0; i < N_SLOTS; i++) {
        op[i] = prepare(&slots[i], random_below(&state, N_OPS), round + i, &state);
        op[i]->start(&slots[i], &request[i]);
    }
    uint32_t x = word(my_rank, 7, round, 7), y;
    MPI_Sendrecv(&x, 1, MPI_UINT32_T, (my_rank + 1) % n_ranks, 5, &y, 1, MPI_UINT32_T,
                 (my_rank + n_ranks - 1) % n_ranks, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (y != word((my_rank + n_ranks - 1) % n_ranks, 7, round, 7)) {
        fail("message beside collectives", round, -1, 0);
    }
    shuffle(order, N_SLOTS, &mine);
    for (int i = 0; i < N_SLOTS; i++) {
        int done = round % 2;
        if (done) {
            MPI_Wait(&request[order[i]], MPI_STATUS_IGNORE);
        }
        while (!done) {
            MPI_Test(&request[order[i]], &done, MPI_STATUS_IGNORE);
        }
        op[order[i]]->check(&slots[order[i]]);
    }
}

int main(int argc, char **argv)
{
    int rounds = begin(argc, argv);
    if (n_ranks < 2 || n_ranks > MAX_SIZE) {
        fail("number of ranks", 0, n_ranks, 0);
    }
    MPI_Op_create(compose_pairs, 0, &compose);
    MPI_Type_contiguous(2, MPI_UINT32_T, &pair);
    MPI_Type_commit(&pair);
    make_spaces();
    for (int i = 0; i < N_SLOTS; i++) {
        slots[i].out = malloc(ROOM * sizeof(uint32_t));
        slots[i].in = malloc(ROOM * sizeof(uint32_t));
    }
    for (int round = 0; round < rounds; round++) {
        blocking(round);
        many_nonblocking(round);
    }
    free_spaces();
    MPI_Op_free(&compose);
    MPI_Type_free(&pair);
    return end("collectives");
}
