/*
 * The row of struct transport_layer for this PML. At release everything is let go whatever the list
 * says, as UCX cannot let go of one device only.
 */
#include "ninja_ucx.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ompi/mca/crcp/ninja/communicators.h"
#include "ompi/mca/crcp/ninja/transport_layer.h"
#include "ompi/mca/rte/rte.h"
#include "opal/runtime/opal_progress.h"

static struct choice previous, current;
static enum { DRAINING, SETTLING, VERIFYING } doing;

static bool start(char *why, size_t size)
{
    return true;
}

static void end(void)
{
    choice_clear(&previous);
    choice_clear(&current);
}

/* --- the gate ------------------------------------------------------------------------------ */

static struct gate_doors gate;

static int progress_behind_gate(void)
{
    int events = 0;
    if (gate.try_enter()) {
        events = worker_progress_function();
        gate.leave();
    }
    return events;
}

static void put_behind_gate(const struct gate_doors *doors)
{
    gate = *doors;
    several_threads = true;
    opal_progress_unregister(worker_progress_function);
    opal_progress_register(progress_behind_gate);
}

/* --- can it work? -------------------------------------------------------------------------- */

/* What communicates by UCX past the PML, in a worker of its own. */
static const struct {
    const char *file, *what;
} others[] = {
    {"mca_coll_hcoll", "the collectives of coll/hcoll; start the job with --mca coll ^hcoll"},
    {"mca_coll_ucc", "the collectives of coll/ucc; start the job with --mca coll ^ucc"},
    {"liboshmem", "OpenSHMEM; it works with MPI programs only"},
};

static int note_other(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char **found = arg;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (info->dlpi_name != NULL && strstr(info->dlpi_name, others[i].file) != NULL) {
            *found = others[i].what;
        }
    }
    return *found != NULL;
}

static bool can_drain(char *why, size_t size)
{
    const char *other = NULL;
    int n = opal_pointer_array_get_size(&ompi_mpi_communicators);
    dl_iterate_phdr(note_other, &other);
    if (other != NULL) {
        snprintf(why, size, "the job communicates past MPI's messages, by %s", other);
        return false;
    }
    for (int i = 0; i < n; i++) {
        ompi_communicator_t *comm = opal_pointer_array_get_item(&ompi_mpi_communicators, i);
        if (comm != NULL && !OMPI_COMM_IS_FREED(comm) && comm->c_remote_group != NULL &&
            reaches_another_job(comm, why, size)) {
            return false;
        }
    }
    return true;
}

static bool can_choose(const char *release, const char *open, char *why, size_t size)
{
    return choice_is_possible(open, why, size);
}

/* --- drain and settle ---------------------------------------------------------------------- */

/* Never 0 if anything was sent, so that the peer knows that there is something to wait for. */
static uint32_t reported(uint64_t sent)
{
    return sent == 0 ? 0 : (uint32_t)(sent % UINT16_MAX + 1);
}

static struct ninja_rank_pair *sent(uint32_t *n)
{
    struct ninja_rank_pair *pairs = calloc(ompi_process_info.num_procs, sizeof(*pairs));
    *n = 0;
    for (struct peer *peer = peers_first(); pairs != NULL && peer != NULL; peer = peer->next) {
        if (peer->sent != 0 && peer->name.jobid == OMPI_PROC_MY_NAME->jobid) {
            pairs[(*n)++] = (struct ninja_rank_pair){peer->name.vpid, reported(peer->sent)};
        }
    }
    return pairs;
}

/* The ranks tell each other what they hold (synchronous.c). */
static struct ninja_rank_pair *held(uint32_t *n)
{
    *n = 0;
    return calloc(1, sizeof(struct ninja_rank_pair));
}

static bool failed_to_begin;

/*
 * What the peers say in this drain is more recent than the counts, so they only tell whose marker
 * is to come. How much is on the way they do not tell, being modulo 2^16.
 */
static void drain(uint64_t turn, const struct ninja_rank_pair *counts, uint32_t n)
{
    doing = DRAINING;
    failed_to_begin = false;
    for (struct peer *peer = peers_first(); peer != NULL; peer = peer->next) {
        peer->awaited = false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct peer *peer = peer_of_rank(counts[i].peer);
        failed_to_begin |= peer == NULL;
        if (peer != NULL) {
            peer->awaited = counts[i].value != 0;
        }
    }
    failed_to_begin |= !quiesce_begin(turn);
}

static void settle(const struct ninja_rank_pair *counts, uint32_t n)
{
    doing = SETTLING;
}

/* --- the transports ------------------------------------------------------------------------ */

static bool release(const char *list, char *why, size_t size)
{
    if (worker == NULL) {
        return true;
    }
    choice_clear(&previous);
    if (!choice_copy(&previous, &current)) {
        snprintf(why, size, "out of memory");
        return false;
    }
    quiesce_release();
    control_close();
    peers_forget_endpoints();
    return true;
}

static void *open_transports(const char *list, uint32_t *size, char *why, size_t why_size)
{
    struct choice choice;
    size_t length = 0;
    control_close();
    peers_forget_endpoints();
    if (!choice_of(list, &previous, &choice, why, why_size)) {
        return NULL;
    }
    choice_clear(&current);
    current = choice;
    if (!worker_open(&current, why, why_size)) {
        return NULL;
    }
    snprintf(why, why_size, "out of memory");
    void *address = control_open() ? worker_address(&length) : NULL;
    if (length > NINJA_ADDRESSES_MAX_RANK) {
        snprintf(why, why_size, "the address has %zu bytes, which is too much", length);
        free(address);
        return NULL;
    }
    *size = (uint32_t)length;
    return address;
}

static bool connect_peers(struct ninja_addresses *addresses, char *why, size_t size)
{
    char wrong[256];
    peers_take_addresses(addresses);
    for (struct peer *peer = peers_first(); peer != NULL; peer = peer->next) {
        if (peer->met && !peer_reach(peer, wrong, sizeof(wrong))) {
            snprintf(why, size, "rank %u cannot be reached: %s", peer->name.vpid, wrong);
            return false;
        }
    }
    return true;
}

/* --- what is in use ------------------------------------------------------------------------ */

#define MAX_IN_USE 16

struct use {
    char names[MAX_IN_USE][32];
    uint32_t peers[MAX_IN_USE];
    uint32_t n;
};

static uint32_t slot_of(struct use *use, const char *name)
{
    uint32_t i = 0;
    while (i < use->n && strcmp(use->names[i], name) != 0) {
        i++;
    }
    if (i == use->n && i < MAX_IN_USE) {
        snprintf(use->names[i], sizeof(use->names[i]), "%.31s", name);
        use->peers[i] = 0;
        use->n++;
    }
    return i;
}

/* A line of UCX's: "#   lane[0]:  4:tcp/eth0.0 md[2]  -> ..." */
static void note_lanes(struct use *use, char *text)
{
    bool seen[MAX_IN_USE] = {false};
    char *rest, name[32];
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *lane = strstr(line, "lane[");
        const char *slash = lane != NULL ? strchr(lane, '/') : NULL;
        const char *begin = slash;
        while (begin != NULL && begin > lane && begin[-1] != ':' && begin[-1] != ' ') {
            begin--;
        }
        if (slash == NULL || slash == begin || slash - begin >= (int)sizeof(name)) {
            continue;
        }
        snprintf(name, sizeof(name), "%.*s", (int)(slash - begin), begin);
        uint32_t slot = slot_of(use, name);
        if (slot < MAX_IN_USE && !seen[slot]) {
            seen[slot] = true;
            use->peers[slot]++;
        }
    }
}

static void note_peer(struct use *use, const struct peer *peer)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL) {
        return;
    }
    ucp_ep_print_info(peer->endpoint, to);
    fclose(to);
    note_lanes(use, text);
    free(text);
}

static struct ninja_rank_pair *in_use(uint32_t *n, char *names, size_t size)
{
    struct use use = {.n = 0};
    struct ninja_rank_pair *pairs = calloc(MAX_IN_USE, sizeof(*pairs));
    size_t at = 0;
    for (struct peer *peer = peers_first(); peer != NULL; peer = peer->next) {
        if (peer->endpoint != NULL) {
            note_peer(&use, peer);
        }
    }
    names[0] = '\0';
    *n = 0;
    for (; pairs != NULL && *n < use.n && at < size; (*n)++) {
        pairs[*n] = (struct ninja_rank_pair){*n, use.peers[*n]};
        at += (size_t)snprintf(names + at, size - at, "%s%s", at > 0 ? "," : "", use.names[*n]);
    }
    return pairs;
}

/* --- verify -------------------------------------------------------------------------------- */

static bool is_to_verify(const struct peer *peer)
{
    return peer->met && peer->name.vpid != OMPI_PROC_MY_NAME->vpid;
}

static bool verify(unsigned limit_ms, char *why, size_t size)
{
    doing = VERIFYING;
    for (struct peer *peer = peers_first(); peer != NULL; peer = peer->next) {
        if (is_to_verify(peer) && !control_send(peer, CONTROL_VERIFY, 0, 0, 0)) {
            snprintf(why, size, "nothing can be sent to rank %u", peer->name.vpid);
            return false;
        }
    }
    return true;
}

static const struct peer *who_is_unverified(void)
{
    const struct peer *peer = peers_first();
    while (peer != NULL && (peer->verified || !is_to_verify(peer))) {
        peer = peer->next;
    }
    return peer;
}

static enum layer_outcome advance(void)
{
    static const enum layer_outcome outcomes[] = {
        [QUIESCE_WAITS] = LAYER_UNDERWAY,
        [QUIESCE_DONE] = LAYER_DONE,
        [QUIESCE_FAILED] = LAYER_FAILED,
    };
    if (doing == VERIFYING) {
        worker_progress();
        return who_is_unverified() == NULL && sends_in_ucx == 0 ? LAYER_DONE : LAYER_UNDERWAY;
    }
    if (failed_to_begin) {
        return LAYER_FAILED;
    }
    return outcomes[doing == DRAINING ? quiesce_drain() : quiesce_settle()];
}

static void describe(char *text, size_t size)
{
    const struct peer *peer = who_is_unverified();
    text[0] = '\0';
    if (doing != VERIFYING && failed_to_begin) {
        snprintf(text, size, "there is no memory to begin with the drain");
    } else if (doing != VERIFYING) {
        quiesce_describe(text, size);
    } else if (peer != NULL) {
        snprintf(text, size, "nothing came from rank %u by the new transports", peer->name.vpid);
    }
}

const struct transport_layer ninja_ucx_layer = {
    .start = start,
    .end = end,
    .gate = put_behind_gate,
    .can_choose = can_choose,
    .can_drain = can_drain,
    .sent = sent,
    .held = held,
    .drain = drain,
    .settle = settle,
    .release = release,
    .open = open_transports,
    .connect = connect_peers,
    .in_use = in_use,
    .verify = verify,
    .advance = advance,
    .describe = describe,
    .attend = quiesce_attend,
    .resume = quiesce_end,
};
