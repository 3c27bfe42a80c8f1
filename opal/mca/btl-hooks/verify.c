/*
 * Theory of operation
 *
 * A BTL connects with the first message to a process, and only then does it turn out whether it
 * can: tcp waits in silence for a peer that does not answer, openib ends the job. So a job is not
 * let onto transports before a message, which carries nothing, has gone by each of them to each
 * process that they were chosen to reach. Of each pair of processes the one with the lower rank
 * sends. When a BTL is done with the message, there is a connection; openib's peer has then
 * acknowledged it, too.
 *
 * Several BTLs may have been chosen to reach a process, such as tcp on each of its interfaces. An
 * interface that is up may lead to nobody: a bridge for containers, a port of another network. A
 * BTL that carries nothing to a process is left out by both ends (notes.c) if another one reaches
 * the process; a rank waits a little longer for it. Only if the list names the interfaces must all
 * of them carry.
 *
 * While the job waits, nothing is lost with a connection. So what a BTL reports as an error, which
 * ends the job at other times, is kept back meanwhile.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/* A rank may have thousands of peers, and all ranks begin at once. */
#define MOST_AT_A_TIME 64

/* How much longer to wait for what may be left out: TCP tries again after one second and three. */
#define PATIENCE_MS    4000
#define PATIENCE_TIMES 4

enum probe_state { UNSENT, SENT, ARRIVED, MISSING };

/* The probes to one process follow each other in the array. */
struct probe {
    uint32_t rank, way;
    mca_bml_base_btl_t by;
    enum probe_state state;
    bool told, narrowed; /* of the first to a process: it was told what is kept; both left out */
};

enum phase { PROBING, NARROWING };

static struct {
    bool job_waits; /* errors are kept back */
    mca_bml_base_module_register_error_cb_fn_t register_error;
    mca_btl_base_module_error_cb_fn_t on_error; /* the PML's */
    uint32_t round;                             /* a descriptor of an earlier one means nothing */
    enum phase phase;
    enum btl_verdict verdict; /* the last one */
    struct probe *probes;
    size_t n_probes;
    size_t in_flight[NOTES_MAX_WAYS];
    int64_t began_ms, reached_ms, limit_ms; /* reached: each process, by some BTL; 0: not yet */
    char wrong[256];                        /* the first error; empty: none */
} verify;

static void note_wrong(const char *what, const mca_btl_base_module_t *btl, const char *detail)
{
    if (verify.wrong[0] == '\0') {
        snprintf(verify.wrong, sizeof(verify.wrong), "%s %s%s%s", what, btl_name(btl),
                 detail != NULL ? ": " : "", detail != NULL ? detail : "");
    }
}

static void set_probe(struct probe *probe, enum probe_state state)
{
    verify.in_flight[probe->way] += (state == SENT) - (probe->state == SENT);
    probe->state = state;
}

/* --- errors of the BTLs ------------------------------------------------------------------- */

/* Errors of connections that other ranks make are theirs to find. */
static void keep_back(mca_btl_base_module_t *btl, opal_proc_t *proc, const char *text)
{
    for (size_t i = 0; i < verify.n_probes; i++) {
        struct probe *probe = &verify.probes[i];
        if (probe->by.btl == btl && (proc == NULL || proc->proc_name.vpid == probe->rank) &&
            probe->state != MISSING) {
            note_wrong("an error of the BTL", btl, text);
            set_probe(probe, MISSING);
        }
    }
}

static void on_error(mca_btl_base_module_t *btl, int32_t flags, opal_proc_t *proc, char *text)
{
    if (verify.job_waits) {
        keep_back(btl, proc, text);
    } else {
        verify.on_error(btl, flags, proc, text);
    }
}

/* In the BML's place: the PML registers anew whenever it gets to know processes. */
static int register_error(mca_btl_base_module_error_cb_fn_t callback)
{
    verify.on_error = callback;
    return verify.register_error(on_error);
}

void verify_open(void)
{
    verify.register_error = mca_bml.bml_register_error;
    mca_bml.bml_register_error = register_error;
}

void verify_job_waits(bool waits)
{
    verify.job_waits = waits;
}

/* --- probes ------------------------------------------------------------------------------- */

static void forget_probes(void)
{
    free(verify.probes);
    verify.probes = NULL;
    verify.n_probes = 0;
    memset(verify.in_flight, 0, sizeof(verify.in_flight));
    verify.wrong[0] = '\0';
    verify.phase = PROBING;
    verify.verdict = BTL_WAITING;
    verify.reached_ms = 0;
    verify.round++;
}

void verify_forget(void)
{
    forget_probes();
    notes_forget();
}

/* A probe as what a descriptor can carry. */
static void *ticket_of(size_t i)
{
    return (void *)(uintptr_t)((uint64_t)verify.round << 32 | i);
}

static void on_sent(mca_btl_base_module_t *btl, struct mca_btl_base_endpoint_t *endpoint,
                    mca_btl_base_descriptor_t *descriptor, int status)
{
    uint64_t ticket = (uintptr_t)descriptor->des_cbdata;
    size_t i = (uint32_t)ticket;
    if (ticket >> 32 != verify.round || verify.probes[i].state != SENT) {
        return;
    }
    if (status != OPAL_SUCCESS) {
        note_wrong("no message can be sent by", btl, opal_strerror(status));
    }
    set_probe(&verify.probes[i], status == OPAL_SUCCESS ? ARRIVED : MISSING);
}

/* Returns whether others may be sent, too. */
static bool send_probe(size_t i)
{
    struct probe *probe = &verify.probes[i];
    set_probe(probe, SENT); /* which sending it may change at once */
    int rc = notes_send(&probe->by, NOTE_PROBE, probe->way, on_sent, ticket_of(i));
    if (rc == OPAL_ERR_OUT_OF_RESOURCE) {
        set_probe(probe, UNSENT);
        return false;
    }
    if (rc != OPAL_SUCCESS) {
        note_wrong("no message can be sent by", probe->by.btl, opal_strerror(rc));
        set_probe(probe, MISSING);
    }
    return true;
}

static void send_some(void)
{
    bool more = verify.phase == PROBING;
    for (size_t i = 0; more && i < verify.n_probes; i++) {
        const struct probe *probe = &verify.probes[i];
        if (probe->state == UNSENT && verify.in_flight[probe->way] < MOST_AT_A_TIME) {
            more = send_probe(i);
        }
    }
}

bool verify_process(uint32_t rank, mca_bml_base_btl_array_t *btls)
{
    size_t n = mca_bml_base_btl_array_get_size(btls);
    n = n < NOTES_MAX_WAYS ? n : NOTES_MAX_WAYS;
    struct probe *more = realloc(verify.probes, (verify.n_probes + n) * sizeof(*more));
    if (more == NULL) {
        return false;
    }
    verify.probes = more;
    for (size_t i = 0; i < n; i++) {
        verify.probes[verify.n_probes++] = (struct probe){
            .rank = rank, .way = (uint32_t)i, .by = *mca_bml_base_btl_array_get_index(btls, i)};
    }
    return true;
}

bool btl_verify(const bool *peers, size_t n, unsigned limit_ms)
{
    forget_probes();
    verify.began_ms = now_ms();
    verify.limit_ms = limit_ms;
    return endpoints_verify(peers, n);
}

/* --- the verdict -------------------------------------------------------------------------- */

/* Where the probes to the process of the i-th one end. */
static size_t end_of_process(size_t i)
{
    size_t end = i;
    while (end < verify.n_probes && verify.probes[end].rank == verify.probes[i].rank) {
        end++;
    }
    return end;
}

static size_t count(size_t begin, size_t end, enum probe_state state)
{
    size_t n = 0;
    for (size_t i = begin; i < end; i++) {
        n += verify.probes[i].state == state;
    }
    return n;
}

static bool is_named(const struct probe *probe)
{
    return selection_interfaces(interfaces_entry(btl_name(probe->by.btl))) != NULL;
}

/* Whether a probe that must arrive has not arrived; missing: and will not. */
static bool lacks_a_named_one(bool missing)
{
    for (size_t i = 0; i < verify.n_probes; i++) {
        const struct probe *probe = &verify.probes[i];
        if ((missing ? probe->state == MISSING : probe->state != ARRIVED) && is_named(probe)) {
            return true;
        }
    }
    return false;
}

/* How many processes are not reached; lost: and will not be. */
static size_t not_reached(bool lost)
{
    size_t n = 0;
    for (size_t i = 0, end; i < verify.n_probes; i = end) {
        end = end_of_process(i);
        n += lost ? count(i, end, MISSING) == end - i : count(i, end, ARRIVED) == 0;
    }
    return n;
}

/* When all processes are reached: whether the other probes have had their time. */
static bool waited_enough(void)
{
    int64_t now = now_ms();
    if (verify.reached_ms == 0) {
        verify.reached_ms = now;
    }
    int64_t patience = PATIENCE_MS + PATIENCE_TIMES * (verify.reached_ms - verify.began_ms);
    patience = patience < verify.limit_ms / 2 ? patience : verify.limit_ms / 2;
    return now - verify.began_ms >= patience;
}

static enum btl_verdict of_probes(void)
{
    const size_t n = verify.n_probes, arrived = count(0, n, ARRIVED);
    if (arrived == n) {
        return BTL_REACHED;
    }
    if (not_reached(true) > 0 || lacks_a_named_one(true)) {
        return BTL_UNREACHED;
    }
    bool all_there = arrived + count(0, n, MISSING) == n;
    if (not_reached(false) == 0 && !lacks_a_named_one(false) && (all_there || waited_enough())) {
        for (size_t i = 0; i < n; i++) {
            if (verify.probes[i].state != ARRIVED) {
                set_probe(&verify.probes[i], MISSING);
            }
        }
        verify.phase = NARROWING;
    }
    return BTL_WAITING;
}

static void tell(struct probe *first, size_t n)
{
    uint64_t ways = 0;
    struct probe *by = NULL;
    for (size_t i = 0; i < n; i++) {
        if (first[i].state == ARRIVED) {
            ways |= UINT64_C(1) << first[i].way;
            by = &first[i];
        }
    }
    first->told = by != NULL && notes_send(&by->by, NOTE_KEEP, ways, NULL, NULL) == OPAL_SUCCESS;
}

static void narrow(struct probe *first, size_t n)
{
    mca_btl_base_module_t *kept[NOTES_MAX_WAYS];
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (first[i].state == ARRIVED) {
            kept[n_kept++] = first[i].by.btl;
        }
    }
    first->narrowed = endpoints_narrow(first->rank, kept, n_kept);
}

/* Has both ends leave out the BTLs whose probes to one process are missing. */
static enum btl_verdict narrow_process(struct probe *first, size_t n)
{
    if (!first->told) {
        tell(first, n);
    }
    enum note_kind answer = first->told ? notes_answer(first->rank) : NOTE_NONE;
    if (answer == NOTE_KEPT && !first->narrowed) {
        narrow(first, n);
    }
    if (answer == NOTE_REFUSED || (answer == NOTE_KEPT && !first->narrowed)) {
        return BTL_UNREACHED;
    }
    return first->narrowed ? BTL_REACHED : BTL_WAITING;
}

static enum btl_verdict of_narrowing(void)
{
    enum btl_verdict verdict = BTL_REACHED;
    for (size_t i = 0, end; i < verify.n_probes; i = end) {
        end = end_of_process(i);
        if (count(i, end, ARRIVED) == 0) {
            return BTL_UNREACHED; /* an error took the last one */
        }
        if (count(i, end, MISSING) > 0) {
            enum btl_verdict one = narrow_process(&verify.probes[i], end - i);
            if (one == BTL_UNREACHED) {
                return one;
            }
            verdict = one == BTL_WAITING ? one : verdict;
        }
    }
    return verdict;
}

enum btl_verdict btl_verdict(void)
{
    btl_verify_attend();
    send_some();
    verify.verdict = verify.phase == PROBING ? of_probes() : of_narrowing();
    return verify.verdict;
}

/* --- what is said of it ------------------------------------------------------------------- */

static void describe_btl(const mca_btl_base_module_t *btl, char *text, size_t size)
{
    char interface[IF_NAMESIZE];
    bool known = tcp_interface(btl, interface);
    snprintf(text, size, "%s%s%s", btl_name(btl), known ? " on " : "", known ? interface : "");
}

/* To how many processes it is missing; 0: it was counted with an earlier probe. */
static size_t missing_by(size_t first)
{
    const mca_btl_base_module_t *btl = verify.probes[first].by.btl;
    size_t n = 0;
    for (size_t i = 0; i < verify.n_probes; i++) {
        if (verify.probes[i].by.btl == btl && verify.probes[i].state == MISSING) {
            if (i < first) {
                return 0;
            }
            n++;
        }
    }
    return n;
}

static void describe_left_out(char *text, size_t size)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < verify.n_probes && at < size; i++) {
        size_t n = verify.probes[i].state == MISSING ? missing_by(i) : 0;
        if (n > 0) {
            char btl[MCA_BASE_MAX_COMPONENT_NAME_LEN + 8 + IF_NAMESIZE];
            describe_btl(verify.probes[i].by.btl, btl, sizeof(btl));
            at += (size_t)snprintf(text + at, size - at, "%s%s (to %zu of its peers)",
                                   at > 0 ? ", " : "", btl, n);
        }
    }
}

static void describe_waiting(char *text, size_t size)
{
    size_t first = 0, missing = verify.n_probes - count(0, verify.n_probes, ARRIVED);
    char btl[MCA_BASE_MAX_COMPONENT_NAME_LEN + 8 + IF_NAMESIZE];
    while (verify.probes[first].state == ARRIVED) {
        first++;
    }
    describe_btl(verify.probes[first].by.btl, btl, sizeof(btl));
    snprintf(text, size, "%zu of %zu connections are not there, that to rank %u by %s among them",
             missing, verify.n_probes, verify.probes[first].rank, btl);
}

void btl_verify_describe(char *text, size_t size)
{
    text[0] = '\0';
    if (verify.verdict == BTL_REACHED) {
        describe_left_out(text, size);
    } else if (verify.wrong[0] != '\0') {
        snprintf(text, size, "%s", verify.wrong);
    } else if (count(0, verify.n_probes, ARRIVED) < verify.n_probes) {
        describe_waiting(text, size);
    }
}
