/*
 * Theory of operation
 *
 * A window can move when its component sends messages through the PML (osc/pt2pt) or needs shared
 * memory only (osc/sm). The windows of any other component hold on to a transport.
 *
 * osc/pt2pt answers a compare_and_swap from within MPI's progress, by a blocking send, and with a
 * lock held. If that send does not complete at once, the progress that it makes meanwhile may find
 * another such request, and then waits for the lock for ever. It hardly ever happens in stock Open
 * MPI, as the connection on which the request came takes the answer at once; but a request that
 * came before a switch is answered after it, on a transport that has to connect first. So from the
 * first switch with such a window on, what osc/pt2pt sends so does not wait: a copy is on its way
 * by itself. Only calls from osc/pt2pt are treated like this.
 *
 * A program may promise that no other lock conflicts with the one that it asks for
 * (MPI_MODE_NOCHECK). osc/pt2pt then does not ask the target, but a large put or accumulate waits
 * for its answer: for ever, with or without switches. Distributions leave osc/pt2pt out, so such a
 * program hangs only here. No library has to make use of that promise, so it is taken off.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ompi/communicator/communicator.h"
#include "ompi/constants.h"
#include "ompi/datatype/ompi_datatype.h"
#include "ompi/mca/osc/base/base.h"
#include "ompi/mca/osc/osc.h"
#include "ompi/mca/pml/pml.h"
#include "ompi/request/request.h"
#include "ompi/runtime/mpiruntime.h"
#include "ompi/win/win.h"

#define MAX_ANSWER 64 /* bytes; one element of a predefined type */

static mca_pml_base_module_send_fn_t stock_send; /* set while another one is in its place */
static const char *code_begin, *code_end;        /* of osc/pt2pt */

/* --- answers that do not wait ------------------------------------------------------------- */

static int free_copy(ompi_request_t *request)
{
    free(request->req_complete_cb_data);
    ompi_request_free(&request);
    return 1; /* the request is gone */
}

static int send_copy(const void *buf, size_t size, ompi_datatype_t *type, int dst, int tag,
                     mca_pml_base_send_mode_t mode, ompi_communicator_t *comm)
{
    ompi_request_t *request;
    void *copy = malloc(size);
    if (copy == NULL) {
        return OMPI_ERR_OUT_OF_RESOURCE;
    }
    memcpy(copy, buf, size);
    int rc = mca_pml.pml_isend(copy, 1, type, dst, tag, mode, comm, &request);
    if (rc != OMPI_SUCCESS) {
        free(copy);
    } else if (REQUEST_COMPLETE(request)) {
        free(copy);
        ompi_request_free(&request);
    } else {
        ompi_request_set_callback(request, free_copy, copy);
    }
    return rc;
}

static int send_from_anywhere(const void *buf, size_t count, ompi_datatype_t *type, int dst,
                              int tag, mca_pml_base_send_mode_t mode, ompi_communicator_t *comm)
{
    const char *caller = __builtin_return_address(0);
    if (caller >= code_begin && caller < code_end && count == 1 &&
        ompi_datatype_is_predefined(type) && type->super.size <= MAX_ANSWER) {
        return send_copy(buf, type->super.size, type, dst, tag, mode, comm);
    }
    return stock_send(buf, count, type, dst, tag, mode, comm);
}

/* Looks for the executable segment that code_begin lies in. */
static int find_code(struct dl_phdr_info *info, size_t size, void *arg)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const char *begin = (const char *)info->dlpi_addr + segment->p_vaddr;
        const char *end = begin + segment->p_memsz;
        if (segment->p_type == PT_LOAD && code_begin >= begin && code_begin < end) {
            code_begin = begin;
            code_end = end;
            return 1;
        }
    }
    return 0;
}

static void let_answers_not_wait(const ompi_win_t *win)
{
    if (stock_send == NULL) {
        code_begin = (const char *)(uintptr_t)win->w_osc_module->osc_put;
        if (dl_iterate_phdr(find_code, NULL) != 0) {
            stock_send = mca_pml.pml_send;
            mca_pml.pml_send = send_from_anywhere;
        }
    }
}

/* --- locks without a promise -------------------------------------------------------------- */

static ompi_osc_base_component_t *pt2pt; /* or NULL */
static ompi_osc_base_component_select_fn_t stock_select;
static ompi_osc_base_module_lock_fn_t stock_lock;
static ompi_osc_base_module_lock_all_fn_t stock_lock_all;

static int lock(int type, int target, int promises, ompi_win_t *win)
{
    return stock_lock(type, target, promises & ~MPI_MODE_NOCHECK, win);
}

static int lock_all(int promises, ompi_win_t *win)
{
    return stock_lock_all(promises & ~MPI_MODE_NOCHECK, win);
}

/* Makes a window of osc/pt2pt. */
static int make(ompi_win_t *win, void **base, size_t size, int unit, ompi_communicator_t *comm,
                opal_info_t *info, int flavor, int *model)
{
    int rc = stock_select(win, base, size, unit, comm, info, flavor, model);
    if (rc == OMPI_SUCCESS) {
        stock_lock = win->w_osc_module->osc_lock;
        stock_lock_all = win->w_osc_module->osc_lock_all;
        win->w_osc_module->osc_lock = lock;
        win->w_osc_module->osc_lock_all = lock_all;
    }
    return rc;
}

void windows_open(void)
{
    mca_base_component_list_item_t *item;
    OPAL_LIST_FOREACH (item, &ompi_osc_base_framework.framework_components,
                       mca_base_component_list_item_t) {
        if (strcmp(item->cli_component->mca_component_name, "pt2pt") == 0) {
            pt2pt = (ompi_osc_base_component_t *)item->cli_component;
            stock_select = pt2pt->osc_select;
            pt2pt->osc_select = make;
        }
    }
}

void windows_close(void)
{
    if (pt2pt != NULL) {
        pt2pt->osc_select = stock_select;
        pt2pt = NULL;
    }
    if (stock_send != NULL) {
        mca_pml.pml_send = stock_send;
        stock_send = NULL;
    }
}

/* --- can they move? ----------------------------------------------------------------------- */

/* The file of the window's component; the window itself does not know its name. */
static const char *component_file(const ompi_win_t *win)
{
    Dl_info where;
    if (dladdr((void *)(uintptr_t)win->w_osc_module->osc_put, &where) == 0) {
        return "unknown";
    }
    const char *slash = strrchr(where.dli_fname, '/');
    return slash != NULL ? slash + 1 : where.dli_fname;
}

bool windows_can_move(char *why, size_t size)
{
    int n = opal_pointer_array_get_size(&ompi_mpi_windows);
    for (int i = 0; i < n; i++) {
        ompi_win_t *win = opal_pointer_array_get_item(&ompi_mpi_windows, i);
        if (win == NULL || win->w_osc_module == NULL) {
            continue;
        }
        const char *file = component_file(win);
        if (strcmp(file, "mca_osc_pt2pt.so") == 0) {
            let_answers_not_wait(win);
        } else if (strcmp(file, "mca_osc_sm.so") != 0) {
            snprintf(why, size,
                     "the RMA window \"%s\" is on a component that holds on to its transport "
                     "(%s); %s",
                     win->w_name, file,
                     ompi_mpi_thread_multiple
                         ? "with MPI_THREAD_MULTIPLE only shared memory windows can move (osc/sm)"
                         : "start the job with --mca pml ob1 --mca osc sm,pt2pt");
            return false;
        }
    }
    return true;
}
