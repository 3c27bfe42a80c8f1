/*
 * Theory of operation
 *
 * Ranks tell each other this by new transports while the job waits (verify.c says what for):
 *
 *     lower rank                         higher rank
 *     PROBE (way), by each BTL      ->   notes by which of its BTLs it came
 *     KEEP (the ways that work)     ->   when the probes of all these are there, leaves out its
 *                                        other BTLs to that rank
 *                                   <-   KEPT, or REFUSED: none would be left
 *
 * A way is the place of a BTL among those by which the lower rank reaches the higher one. The
 * higher rank acts when it is outside of the transports, as it closes some of them.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "ompi/mca/rte/rte.h"

/* It is of the range that the frameworks leave to others. */
#define TAG (MCA_BTL_TAG_USR + 1)

struct note {
    uint32_t kind; /* enum note_kind */
    uint32_t rank; /* of the sender */
    uint64_t ways; /* PROBE: its own; KEEP: bits of several */
};

/* What came from one rank. */
struct heard {
    mca_btl_base_module_t *by[NOTES_MAX_WAYS];
    uint64_t probed; /* bits: by[] is set */
    uint64_t keep;   /* asked to keep these; 0: not asked */
    enum note_kind answer;
};

static struct heard **heard; /* by rank; NULL: nothing came */

static struct heard *heard_of(uint32_t rank)
{
    const uint32_t n = ompi_process_info.num_procs;
    if (heard == NULL) {
        heard = calloc(n, sizeof(struct heard *));
    }
    if (heard == NULL || rank >= n) {
        return NULL;
    }
    if (heard[rank] == NULL) {
        heard[rank] = calloc(1, sizeof(**heard));
    }
    return heard[rank];
}

void notes_forget(void)
{
    for (uint32_t i = 0; heard != NULL && i < ompi_process_info.num_procs; i++) {
        free(heard[i]);
    }
    free(heard);
    heard = NULL;
}

static void take(struct heard *from, const struct note *note, mca_btl_base_module_t *btl)
{
    if (note->kind == NOTE_PROBE && note->ways < NOTES_MAX_WAYS) {
        from->by[note->ways] = btl;
        from->probed |= UINT64_C(1) << note->ways;
    } else if (note->kind == NOTE_KEEP) {
        from->keep = note->ways;
    } else if (note->kind == NOTE_KEPT || note->kind == NOTE_REFUSED) {
        from->answer = (enum note_kind)note->kind;
    }
}

static void on_note(mca_btl_base_module_t *btl, mca_btl_base_tag_t tag,
                    mca_btl_base_descriptor_t *descriptor, void *arg)
{
    struct note note;
    if (descriptor->des_segments[0].seg_len < sizeof(note)) {
        return;
    }
    memcpy(&note, descriptor->des_segments[0].seg_addr.pval, sizeof(note));
    struct heard *from = heard_of(note.rank);
    if (from != NULL) {
        take(from, &note, btl);
    }
}

void notes_listen(void)
{
    notes_forget();
    mca_bml.bml_register(TAG, on_note, NULL);
}

static void nobody_waits(mca_btl_base_module_t *btl, struct mca_btl_base_endpoint_t *endpoint,
                         mca_btl_base_descriptor_t *descriptor, int status)
{
}

int notes_send(mca_bml_base_btl_t *by, enum note_kind kind, uint64_t ways,
               mca_btl_base_completion_fn_t on_sent, void *arg)
{
    const struct note note = {kind, OMPI_PROC_MY_NAME->vpid, ways};
    mca_btl_base_descriptor_t *descriptor = NULL;
    mca_bml_base_alloc(by, &descriptor, MCA_BTL_NO_ORDER, sizeof(note),
                       MCA_BTL_DES_FLAGS_PRIORITY | MCA_BTL_DES_FLAGS_BTL_OWNERSHIP |
                           MCA_BTL_DES_SEND_ALWAYS_CALLBACK);
    if (descriptor == NULL) {
        return OPAL_ERR_OUT_OF_RESOURCE;
    }
    memcpy(descriptor->des_segments[0].seg_addr.pval, &note, sizeof(note));
    descriptor->des_cbfunc = on_sent != NULL ? on_sent : nobody_waits;
    descriptor->des_cbdata = arg;
    int rc = mca_bml_base_send(by, descriptor, TAG);
    if (rc < 0) {
        mca_bml_base_free(by, descriptor);
    }
    return rc < 0 ? OPAL_ERR_UNREACH : OPAL_SUCCESS;
}

enum note_kind notes_answer(uint32_t rank)
{
    const struct heard *from = heard_of(rank);
    return from != NULL ? from->answer : NOTE_NONE;
}

/* A request that comes twice is done twice, which changes nothing. */
static void answer(uint32_t rank, struct heard *from)
{
    mca_btl_base_module_t *kept[NOTES_MAX_WAYS];
    mca_bml_base_btl_t by;
    size_t n = 0;
    for (int way = 0; way < NOTES_MAX_WAYS; way++) {
        if ((from->keep >> way & 1) != 0) {
            kept[n++] = from->by[way];
        }
    }
    bool ok = endpoints_narrow(rank, kept, n);
    if (endpoints_way_to(rank, &by) &&
        notes_send(&by, ok ? NOTE_KEPT : NOTE_REFUSED, 0, NULL, NULL) == OPAL_SUCCESS) {
        from->keep = 0;
    }
}

void btl_verify_attend(void)
{
    for (uint32_t i = 0; heard != NULL && i < ompi_process_info.num_procs; i++) {
        struct heard *from = heard[i];
        if (from != NULL && from->keep != 0 && (from->keep & ~from->probed) == 0) {
            answer(i, from);
        }
    }
}
