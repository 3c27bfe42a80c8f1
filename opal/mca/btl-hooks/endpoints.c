/*
 * Theory of operation
 *
 * A BML endpoint lists the BTLs by which one process is reached. Send requests that wait for their
 * receiver point to it. So vacating a process empties its endpoint, and refilling lets the BML make
 * a new one, from which the content is moved into the old: the object stays where it was.
 *
 * Shared-memory BTLs number the processes of a node in the order in which they are added, and count
 * on getting all of them, this process too, as in MPI_Init. So when a process of this node is
 * vacated, this process is too, and all are added again in the order of their ranks.
 *
 * Two processes that stay keep the endpoints of each other, whatever is let go (leaving.h). What
 * still reaches one of these stays open, and all else of a list is closed.
 *
 * bml/r2 keeps arrays of modules and progress functions, which its finalize function frees and its
 * init function builds again. Finalize also empties the endpoints of all processes, so the
 * endpoints of processes that stay connected are hidden from it.
 *
 * In the middle of this nothing can go on without memory. So all that is needed is reserved before
 * anything is touched, and a step that cannot have it fails there.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leaving.h"
#include "ompi/mca/pml/pml.h"
#include "opal/runtime/opal_progress.h"

/* The processes that were disconnected; each with a reference. */
static ompi_proc_t **vacated;
static size_t n_vacated;

/* The processes that were connected again since then; each with a reference. */
static ompi_proc_t **refilled;
static size_t n_refilled;

static void release_all(ompi_proc_t **procs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        OBJ_RELEASE(procs[i]);
    }
    free(procs);
}

/* What is reserved, beside the room in `vacated` for all: all processes, each with a reference, and
 * room to hide their endpoints and to mark some. */
static struct {
    ompi_proc_t **procs;
    size_t n;
    mca_bml_base_endpoint_t **hidden;
    bool *to_vacate;
} reserved;

void endpoints_unreserve(void)
{
    if (reserved.procs != NULL) {
        release_all(reserved.procs, reserved.n);
    }
    free(reserved.hidden);
    free(reserved.to_vacate);
    memset(&reserved, 0, sizeof(reserved));
}

bool endpoints_reserve(char *why, size_t size)
{
    endpoints_unreserve();
    reserved.procs = ompi_proc_all(&reserved.n);
    reserved.hidden = calloc(reserved.n + 1, sizeof(*reserved.hidden));
    reserved.to_vacate = calloc(reserved.n + 1, sizeof(*reserved.to_vacate));
    ompi_proc_t **more = realloc(vacated, (n_vacated + reserved.n + 1) * sizeof(*more));
    vacated = more != NULL ? more : vacated;
    if (reserved.procs == NULL || reserved.hidden == NULL || reserved.to_vacate == NULL ||
        more == NULL) {
        snprintf(why, size, "out of memory");
        endpoints_unreserve();
        return false;
    }
    return true;
}

static mca_bml_base_endpoint_t **endpoint_of(ompi_proc_t *proc)
{
    return (mca_bml_base_endpoint_t **)&proc->proc_endpoints[OMPI_PROC_ENDPOINT_TAG_BML];
}

static bool array_uses(mca_bml_base_btl_array_t *array, char **names)
{
    for (size_t i = 0; i < mca_bml_base_btl_array_get_size(array); i++) {
        mca_btl_base_module_t *btl = mca_bml_base_btl_array_get_index(array, i)->btl;
        if (selection_has(names, btl_name(btl))) {
            return true;
        }
    }
    return false;
}

static void disconnect(ompi_proc_t *proc, mca_bml_base_btl_t *bml_btl)
{
    opal_proc_t *peer = &proc->super;
    bml_btl->btl->btl_del_procs(bml_btl->btl, 1, &peer, &bml_btl->btl_endpoint);
}

/* The same where the component may go on; closing: those that do not. */
static void disconnect_one_of_many(ompi_proc_t *proc, mca_bml_base_btl_t *bml_btl, char **closing)
{
    if (!selection_has(closing, btl_name(bml_btl->btl))) {
        openib_end(bml_btl);
    }
    disconnect(proc, bml_btl);
}

static bool array_has(mca_bml_base_btl_array_t *array, struct mca_btl_base_endpoint_t *endpoint)
{
    for (size_t i = 0; i < mca_bml_base_btl_array_get_size(array); i++) {
        if (mca_bml_base_btl_array_get_index(array, i)->btl_endpoint == endpoint) {
            return true;
        }
    }
    return false;
}

static void empty_endpoint(ompi_proc_t *proc, mca_bml_base_endpoint_t *endpoint, char **closing)
{
    size_t n_rdma = mca_bml_base_btl_array_get_size(&endpoint->btl_rdma);
    size_t n_send = mca_bml_base_btl_array_get_size(&endpoint->btl_send);
    for (size_t i = 0; i < n_rdma; i++) {
        mca_bml_base_btl_t *bml_btl = mca_bml_base_btl_array_get_index(&endpoint->btl_rdma, i);
        if (!array_has(&endpoint->btl_send, bml_btl->btl_endpoint)) {
            disconnect_one_of_many(proc, bml_btl, closing);
        }
    }
    for (size_t i = 0; i < n_send; i++) {
        disconnect_one_of_many(proc, mca_bml_base_btl_array_get_index(&endpoint->btl_send, i),
                               closing);
    }
    mca_bml_base_btl_array_set_size(&endpoint->btl_eager, 0);
    mca_bml_base_btl_array_set_size(&endpoint->btl_send, 0);
    mca_bml_base_btl_array_set_size(&endpoint->btl_rdma, 0);
}

static bool is_vacated(const ompi_proc_t *proc)
{
    for (size_t i = 0; i < n_vacated; i++) {
        if (vacated[i] == proc) {
            return true;
        }
    }
    return false;
}

static bool is_reached_by(ompi_proc_t *proc, char **names)
{
    mca_bml_base_endpoint_t *endpoint = *endpoint_of(proc);
    return endpoint != NULL && array_uses(&endpoint->btl_send, names);
}

/* Takes those out of the list by which a process is reached. */
static void take_out_those_in_use(ompi_proc_t *proc, char **names)
{
    char **kept = names;
    for (; names != NULL && *names != NULL; names++) {
        char *one[] = {*names, NULL};
        if (is_reached_by(proc, one)) {
            free(*names);
        } else {
            *kept++ = *names;
        }
    }
    if (names != NULL) {
        *kept = NULL;
    }
}

/*
 * The BML lists a bypass BTL for one-sided use also for a process that is reached by a better BTL,
 * such as shared memory. The better one stays.
 */
static void drop_one_sided(ompi_proc_t *proc, char **names)
{
    mca_bml_base_endpoint_t *endpoint = *endpoint_of(proc);
    size_t kept = 0;
    if (endpoint == NULL) {
        return;
    }
    mca_bml_base_btl_array_t *array = &endpoint->btl_rdma;
    for (size_t i = 0; i < mca_bml_base_btl_array_get_size(array); i++) {
        mca_bml_base_btl_t *bml_btl = mca_bml_base_btl_array_get_index(array, i);
        if (selection_has(names, btl_name(bml_btl->btl))) {
            disconnect(proc, bml_btl);
        } else {
            array->bml_btls[kept++] = *bml_btl;
        }
    }
    mca_bml_base_btl_array_set_size(array, kept);
}

static void vacate(ompi_proc_t *proc, char **closing)
{
    if (*endpoint_of(proc) != NULL && !is_vacated(proc)) {
        empty_endpoint(proc, *endpoint_of(proc), closing);
        if (!selection_has(closing, "openib")) {
            openib_forget(&proc->super);
        }
        OBJ_RETAIN(proc);
        vacated[n_vacated++] = proc;
    }
}

static int by_rank(const void *left, const void *right)
{
    const ompi_proc_t *a = *(ompi_proc_t *const *)left, *b = *(ompi_proc_t *const *)right;
    return (a->super.proc_name.vpid > b->super.proc_name.vpid) -
           (a->super.proc_name.vpid < b->super.proc_name.vpid);
}

static void vacate_this_process_too(char **closing)
{
    for (size_t i = 0; i < n_vacated; i++) {
        if (OPAL_PROC_ON_LOCAL_NODE(vacated[i]->super.proc_flags)) {
            vacate(ompi_proc_local_proc, closing);
            break;
        }
    }
    qsort(vacated, n_vacated, sizeof(*vacated), by_rank);
}

/*
 * Such a job was connected to this one, and is not any more, as there is no communicator with it;
 * Open MPI keeps its processes all the same. Should they be connected again, the BML makes new
 * endpoints.
 */
static bool is_of_another_job(const ompi_proc_t *proc)
{
    return proc->super.proc_name.jobid != OMPI_PROC_MY_NAME->jobid;
}

static bool stays_connected(const ompi_proc_t *proc)
{
    return !leaving_concerns(proc->super.proc_name.vpid);
}

/* Those that still reach a process which stays are not closed. */
static void take_out_what_goes_on(char **names)
{
    for (size_t i = 0; i < reserved.n; i++) {
        if (!is_of_another_job(reserved.procs[i]) && stays_connected(reserved.procs[i])) {
            take_out_those_in_use(reserved.procs[i], names);
        }
    }
}

static void end_with_another_job(ompi_proc_t *proc, char **closing)
{
    if (*endpoint_of(proc) != NULL) {
        empty_endpoint(proc, *endpoint_of(proc), closing);
    }
    mca_bml.bml_del_procs(1, &proc);
}

void endpoints_vacate(char **names)
{
    ompi_proc_t **procs = reserved.procs;
    for (size_t i = 0; i < reserved.n; i++) {
        reserved.to_vacate[i] = !stays_connected(procs[i]) && is_reached_by(procs[i], names);
    }
    take_out_what_goes_on(names);
    for (size_t i = 0; i < reserved.n; i++) {
        if (is_of_another_job(procs[i])) {
            end_with_another_job(procs[i], names);
        } else if (reserved.to_vacate[i]) {
            vacate(procs[i], names);
        } else {
            drop_one_sided(procs[i], names);
        }
    }
    vacate_this_process_too(names);
}

/*
 * Shared-memory BTLs get all processes of a node or none, so a node leaves as a whole or stays.
 */
bool endpoints_can_part(char **within_node, char *why, size_t size)
{
    size_t n;
    const uint32_t own = OMPI_PROC_MY_NAME->vpid;
    ompi_proc_t **procs = ompi_proc_all(&n);
    bool ok = true;
    for (size_t i = 0; procs != NULL && ok && i < n; i++) {
        uint32_t rank = procs[i]->super.proc_name.vpid;
        ok = is_of_another_job(procs[i]) || leaving_is(rank) == leaving_is(own) ||
             !is_reached_by(procs[i], within_node);
        if (!ok) {
            snprintf(why, size,
                     "ranks %u and %u share the memory of %s, and only one of them is to leave",
                     own, rank, ompi_process_info.nodename);
        }
    }
    if (procs != NULL) {
        release_all(procs, n);
    }
    return ok;
}

static void for_each_of(ompi_proc_t **procs, size_t n,
                        void (*visit)(mca_bml_base_btl_t *by, void *arg), void *arg)
{
    for (size_t p = 0; p < n; p++) {
        mca_bml_base_endpoint_t *endpoint = *endpoint_of(procs[p]);
        size_t n_btl = endpoint != NULL ? mca_bml_base_btl_array_get_size(&endpoint->btl_send) : 0;
        for (size_t i = 0; i < n_btl; i++) {
            visit(mca_bml_base_btl_array_get_index(&endpoint->btl_send, i), arg);
        }
    }
}

void endpoints_for_each_leaving(void (*visit)(mca_bml_base_btl_t *by, void *arg), void *arg)
{
    size_t n;
    ompi_proc_t **procs = ompi_proc_all(&n);
    for (size_t p = 0; procs != NULL && p < n; p++) {
        if (!is_of_another_job(procs[p]) && !stays_connected(procs[p])) {
            for_each_of(&procs[p], 1, visit, arg);
        }
    }
    if (procs != NULL) {
        release_all(procs, n);
    }
}

void endpoints_for_each(void (*visit)(mca_bml_base_btl_t *by, void *arg), void *arg)
{
    size_t n;
    ompi_proc_t **procs = ompi_proc_all(&n);
    for (size_t p = 0; procs != NULL && p < n; p++) {
        if (!is_of_another_job(procs[p])) {
            for_each_of(&procs[p], 1, visit, arg);
        }
    }
    if (procs != NULL) {
        release_all(procs, n);
    }
}

static void register_progress_of(mca_bml_base_btl_t *by, void *arg)
{
    if (by->btl->btl_component->btl_progress != NULL) {
        opal_progress_register(by->btl->btl_component->btl_progress);
    }
}

/* Registers again the progress functions of the BTLs that are in use, which the BML took out. */
static void register_progress(ompi_proc_t **procs, size_t n)
{
    for_each_of(procs, n, register_progress_of, NULL);
}

void endpoints_finalize_bml(void)
{
    ompi_proc_t **procs = reserved.procs;
    for (size_t i = 0; i < reserved.n; i++) {
        reserved.hidden[i] = *endpoint_of(procs[i]);
        *endpoint_of(procs[i]) = NULL;
    }
    mca_bml.bml_finalize();
    for (size_t i = 0; i < reserved.n; i++) {
        *endpoint_of(procs[i]) = reserved.hidden[i];
    }
    register_progress(procs, reserved.n);
}

/* Moves the content of the new endpoint, if there is one, into the old one, which keeps its
 * identity. */
static void keep_identity(ompi_proc_t *proc, mca_bml_base_endpoint_t *old)
{
    mca_bml_base_endpoint_t *new = *endpoint_of(proc);
    *endpoint_of(proc) = old;
    if (new == NULL) {
        return;
    }
    mca_bml_base_endpoint_t spare = *new;
    opal_list_item_t old_header = old->super, new_header = new->super;
    *new = *old;
    *old = spare;
    new->super = new_header;
    old->super = old_header;
    OBJ_RELEASE(new);
}

/*
 * A BTL for one-sided use only (such as ofi) makes the BML believe that a process is reached,
 * though no message can be sent to it.
 */
static bool can_be_sent_to(ompi_proc_t *proc)
{
    mca_bml_base_endpoint_t *endpoint = *endpoint_of(proc);
    if (endpoint == NULL) {
        return false;
    }
    if (mca_bml_base_btl_array_get_size(&endpoint->btl_eager) == 0) {
        empty_endpoint(proc, endpoint, NULL);
        return false;
    }
    return true;
}

bool endpoints_refill(char *why, size_t size)
{
    if (n_vacated == 0) {
        return true;
    }
    /* a list that failed before may have connected this process and no other */
    vacate_this_process_too(NULL);
    mca_bml_base_endpoint_t **old = calloc(n_vacated, sizeof(*old));
    ompi_proc_t **more = realloc(refilled, (n_refilled + n_vacated) * sizeof(*more));
    refilled = more != NULL ? more : refilled;
    if (old == NULL || more == NULL) {
        free(old);
        snprintf(why, size, "out of memory");
        return false;
    }
    for (size_t i = 0; i < n_vacated; i++) {
        old[i] = *endpoint_of(vacated[i]);
        *endpoint_of(vacated[i]) = NULL;
    }
    int rc = mca_pml.pml_add_procs(vacated, n_vacated);

    size_t unreached = 0;
    for (size_t i = 0; i < n_vacated; i++) {
        bool reached = can_be_sent_to(vacated[i]);
        keep_identity(vacated[i], old[i]);
        if (rc == OMPI_SUCCESS || rc == OMPI_ERR_UNREACH) {
            OBJ_RELEASE(vacated[i]); /* the BML took one more reference, reached or not */
        }
        if (reached) {
            refilled[n_refilled++] = vacated[i];
        } else {
            vacated[unreached++] = vacated[i];
        }
    }
    free(old);
    n_vacated = unreached;

    endpoints_for_each(register_progress_of, NULL);
    if (n_vacated > 0) {
        snprintf(why, size, "%zu processes, rank %u among them, are reached by no transport (%s)",
                 n_vacated, vacated[0]->super.proc_name.vpid,
                 rc == OMPI_SUCCESS ? "none of them can send messages" : opal_strerror(rc));
        return false;
    }
    return true;
}

bool endpoints_are_complete(void)
{
    return n_vacated == 0;
}

void endpoints_vacate_refilled(char **closing)
{
    for (size_t i = 0; i < n_refilled; i++) {
        vacate(refilled[i], closing);
    }
    endpoints_keep_refilled();
    vacate_this_process_too(closing);
}

bool endpoints_any_refilled(void)
{
    return n_refilled > 0;
}

bool endpoints_verify(const bool *peers, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n_refilled; i++) {
        uint32_t rank = refilled[i]->super.proc_name.vpid;
        if (rank < n && peers[rank] && rank > OMPI_PROC_MY_NAME->vpid) {
            ok = verify_process(rank, &(*endpoint_of(refilled[i]))->btl_send);
        }
    }
    return ok;
}

/* The BTLs by which the process of that rank, which was connected again, is sent to; NULL: none. */
static mca_bml_base_btl_array_t *ways_to(uint32_t rank, ompi_proc_t **proc)
{
    for (size_t i = 0; i < n_refilled; i++) {
        mca_bml_base_endpoint_t *endpoint = *endpoint_of(refilled[i]);
        if (refilled[i]->super.proc_name.vpid == rank && endpoint != NULL) {
            *proc = refilled[i];
            return &endpoint->btl_send;
        }
    }
    return NULL;
}

static bool is_one_of(const mca_btl_base_module_t *btl, mca_btl_base_module_t *const *list,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == btl) {
            return true;
        }
    }
    return false;
}

bool endpoints_narrow(uint32_t rank, mca_btl_base_module_t *const *kept, size_t n)
{
    ompi_proc_t *proc;
    mca_bml_base_btl_array_t *ways = ways_to(rank, &proc);
    size_t n_send = ways != NULL ? mca_bml_base_btl_array_get_size(ways) : 0;
    mca_bml_base_btl_t *dropped = calloc(n_send + 1, sizeof(*dropped));
    size_t n_dropped = 0;
    for (size_t i = 0; dropped != NULL && i < n_send; i++) {
        mca_bml_base_btl_t *by = mca_bml_base_btl_array_get_index(ways, i);
        if (!is_one_of(by->btl, kept, n)) {
            dropped[n_dropped++] = *by; /* the array closes up when one is taken out of it */
        }
    }
    bool ok = n_dropped < n_send;
    for (size_t i = 0; ok && i < n_dropped; i++) {
        mca_bml.bml_del_proc_btl(proc, dropped[i].btl);
        disconnect(proc, &dropped[i]);
    }
    free(dropped);
    return ok;
}

bool endpoints_way_to(uint32_t rank, mca_bml_base_btl_t *by)
{
    ompi_proc_t *proc;
    mca_bml_base_btl_array_t *ways = ways_to(rank, &proc);
    if (ways == NULL || mca_bml_base_btl_array_get_size(ways) == 0) {
        return false;
    }
    *by = *mca_bml_base_btl_array_get_index(ways, 0);
    return true;
}

void endpoints_keep_refilled(void)
{
    release_all(refilled, n_refilled);
    refilled = NULL;
    n_refilled = 0;
}

void endpoints_close(void)
{
    endpoints_unreserve();
    endpoints_keep_refilled();
    release_all(vacated, n_vacated);
    vacated = NULL;
    n_vacated = 0;
}

static void count_use(struct btl_use *use, size_t max, size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(use[i].name, name) == 0) {
            use[i].peers++;
            return;
        }
    }
    if (*n < max) {
        snprintf(use[*n].name, sizeof(use[*n].name), "%s", name);
        use[(*n)++].peers = 1;
    }
}

size_t btl_in_use(struct btl_use *use, size_t max)
{
    size_t n_procs, n = 0;
    ompi_proc_t **procs = ompi_proc_all(&n_procs);
    for (size_t p = 0; procs != NULL && p < n_procs; p++) {
        mca_bml_base_endpoint_t *endpoint = *endpoint_of(procs[p]);
        mca_bml_base_btl_t *btl =
            endpoint != NULL && mca_bml_base_btl_array_get_size(&endpoint->btl_send) > 0
                ? mca_bml_base_btl_array_get_index(&endpoint->btl_send, 0)
                : NULL;
        if (btl != NULL) {
            count_use(use, max, &n, btl_name(btl->btl));
        }
    }
    if (procs != NULL) {
        release_all(procs, n_procs);
    }
    return n;
}
