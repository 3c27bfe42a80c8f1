/*
 * Theory of operation
 *
 * A BTL connects with the first message to a process, and only then turns out whether it can: tcp
 * waits in silence for a peer that does not answer, openib ends the job. So a job is not let onto
 * transports before a message, which carries nothing, has gone by each of them to each process that
 * they were chosen to reach. Of each pair of processes the one with the lower rank sends. That a
 * BTL is done with the message means that there is a connection; openib's peer has then
 * acknowledged it, too.
 *
 * While the job waits, nothing is lost with a connection. So what a BTL reports as an error, which
 * ends the job at other times, is kept back meanwhile.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Of the range that the frameworks leave to others. */
#define TAG (MCA_BTL_TAG_USR + 1)

/* A rank may have thousands of peers, and all ranks begin at once. */
#define MOST_AT_A_TIME 64

struct probe {
    uint32_t rank;
    mca_bml_base_btl_t *by;
    bool arrived;
};

static struct {
    bool job_waits; /* errors are kept back */
    mca_bml_base_module_register_error_cb_fn_t register_error;
    mca_btl_base_module_error_cb_fn_t on_error; /* the PML's */
    uint32_t round;                             /* a descriptor of an earlier one means nothing */
    struct probe *probes;
    size_t n_probes, n_sent, n_arrived;
    char wrong[256]; /* the first error; empty: none */
} verify;

static void note_wrong(const char *what, const mca_btl_base_module_t *btl, const char *detail)
{
    if (verify.wrong[0] == '\0') {
        snprintf(verify.wrong, sizeof(verify.wrong), "%s %s%s%s", what, btl_name(btl),
                 detail != NULL ? ": " : "", detail != NULL ? detail : "");
    }
}

/* --- errors of the BTLs ------------------------------------------------------------------- */

static void on_error(mca_btl_base_module_t *btl, int32_t flags, opal_proc_t *proc, char *text)
{
    if (verify.job_waits) {
        note_wrong("an error of the BTL", btl, text);
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

void verify_forget(void)
{
    free(verify.probes);
    verify.probes = NULL;
    verify.n_probes = verify.n_sent = verify.n_arrived = 0;
    verify.wrong[0] = '\0';
    verify.round++;
}

static void on_probe(mca_btl_base_module_t *btl, mca_btl_base_tag_t tag,
                     mca_btl_base_descriptor_t *descriptor, void *arg)
{
}

void verify_listen(void)
{
    mca_bml.bml_register(TAG, on_probe, NULL);
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
    if (ticket >> 32 != verify.round || verify.probes[i].arrived) {
        return;
    }
    if (status != OPAL_SUCCESS) {
        note_wrong("no message can be sent by", btl, opal_strerror(status));
        return;
    }
    verify.probes[i].arrived = true;
    verify.n_arrived++;
}

/* Returns whether it went out; if not, perhaps later. */
static bool send_probe(size_t i)
{
    mca_bml_base_btl_t *by = verify.probes[i].by;
    mca_btl_base_descriptor_t *descriptor = NULL;
    mca_bml_base_alloc(by, &descriptor, MCA_BTL_NO_ORDER, sizeof(uint64_t),
                       MCA_BTL_DES_FLAGS_PRIORITY | MCA_BTL_DES_FLAGS_BTL_OWNERSHIP |
                           MCA_BTL_DES_SEND_ALWAYS_CALLBACK);
    if (descriptor == NULL) {
        return false;
    }
    *(uint64_t *)descriptor->des_segments->seg_addr.pval = 0;
    descriptor->des_cbfunc = on_sent;
    descriptor->des_cbdata = ticket_of(i);
    int rc = mca_bml_base_send(by, descriptor, TAG);
    if (rc < 0) {
        note_wrong("no message can be sent by", by->btl, opal_strerror(rc));
        mca_bml_base_free(by, descriptor);
    }
    return rc >= 0;
}

static void send_some(void)
{
    while (verify.n_sent < verify.n_probes && verify.n_sent < verify.n_arrived + MOST_AT_A_TIME &&
           verify.wrong[0] == '\0' && send_probe(verify.n_sent)) {
        verify.n_sent++;
    }
}

bool verify_process(uint32_t rank, mca_bml_base_btl_array_t *btls)
{
    size_t n = mca_bml_base_btl_array_get_size(btls);
    struct probe *more = realloc(verify.probes, (verify.n_probes + n) * sizeof(*more));
    if (more == NULL) {
        return false;
    }
    verify.probes = more;
    for (size_t i = 0; i < n; i++) {
        verify.probes[verify.n_probes++] =
            (struct probe){rank, mca_bml_base_btl_array_get_index(btls, i), false};
    }
    return true;
}

bool btl_verify(const bool *peers, size_t n)
{
    verify_forget();
    return endpoints_verify(peers, n);
}

enum btl_verdict btl_verdict(void)
{
    send_some();
    if (verify.wrong[0] != '\0') {
        return BTL_UNREACHED;
    }
    return verify.n_arrived == verify.n_probes ? BTL_REACHED : BTL_WAITING;
}

void btl_verify_describe(char *text, size_t size)
{
    size_t missing = verify.n_probes - verify.n_arrived, first = 0;
    if (missing == 0 || verify.wrong[0] != '\0') {
        snprintf(text, size, "%s", verify.wrong);
        return;
    }
    while (verify.probes[first].arrived) {
        first++;
    }
    snprintf(text, size, "%zu of %zu connections are not there, that to rank %u by %s among them",
             missing, verify.n_probes, verify.probes[first].rank,
             btl_name(verify.probes[first].by->btl));
}
