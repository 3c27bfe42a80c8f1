/*
 * Theory of operation
 *
 * With MPI_THREAD_MULTIPLE other threads may be inside MPI when one comes to the safe point. What
 * leads to a transport is put behind the gate: here the functions of the PML, and by its row of
 * struct transport_layer whatever else does.
 *
 * The end of a communicator touches no transport, and may come from where it must not wait, such as
 * the event loop; what counts messages has a lock of its own for it (ob1_view.c).
 *
 * A call of the PML must end for the gate to be shut. So a blocking call is done as a nonblocking
 * one, behind the gate, and a wait in front of it.
 *
 * None of this is in the way of a process that does not use MPI_THREAD_MULTIPLE. The exception is a
 * job of one rank, which the lookout's thread serves (crcp_ninja_module.c).
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <string.h>

#include "ompi/communicator/communicator.h"
#include "ompi/constants.h"
#include "ompi/datatype/ompi_datatype.h"
#include "ompi/mca/pml/pml.h"
#include "ompi/message/message.h"
#include "ompi/request/request.h"
#include "opal/mca/btl-hooks/gate.h"
#include "transport_layer.h"

static mca_pml_base_module_t pml; /* as it was */

#define BEHIND_GATE(call)                                                                          \
    do {                                                                                           \
        gate_enter();                                                                              \
        int rc_ = (call);                                                                          \
        gate_leave();                                                                              \
        return rc_;                                                                                \
    } while (0)

/* --- calls that do not wait --------------------------------------------------------------- */

static int add_comm(ompi_communicator_t *comm)
{
    BEHIND_GATE(pml.pml_add_comm(comm));
}

static int add_procs(ompi_proc_t **procs, size_t n)
{
    BEHIND_GATE(pml.pml_add_procs(procs, n));
}

static int del_procs(ompi_proc_t **procs, size_t n)
{
    BEHIND_GATE(pml.pml_del_procs(procs, n));
}

static int start(size_t count, ompi_request_t **requests);

/* MPI_Start does not call the PML, but the function that a request names. */
static int start_behind_gate(int rc, size_t count, ompi_request_t **requests)
{
    for (size_t i = 0; rc == OMPI_SUCCESS && i < count; i++) {
        if (requests[i]->req_type == OMPI_REQUEST_PML) {
            requests[i]->req_start = start;
        }
    }
    return rc;
}

static int isend_init(const void *buf, size_t count, ompi_datatype_t *type, int dst, int tag,
                      mca_pml_base_send_mode_t mode, ompi_communicator_t *comm,
                      ompi_request_t **request)
{
    BEHIND_GATE(start_behind_gate(
        pml.pml_isend_init(buf, count, type, dst, tag, mode, comm, request), 1, request));
}

static int irecv_init(void *buf, size_t count, ompi_datatype_t *type, int src, int tag,
                      ompi_communicator_t *comm, ompi_request_t **request)
{
    BEHIND_GATE(start_behind_gate(pml.pml_irecv_init(buf, count, type, src, tag, comm, request), 1,
                                  request));
}

/* The PML may put a new request in the place of one whose last message is not out yet. */
static int start(size_t count, ompi_request_t **requests)
{
    BEHIND_GATE(start_behind_gate(pml.pml_start(count, requests), count, requests));
}

static int isend(const void *buf, size_t count, ompi_datatype_t *type, int dst, int tag,
                 mca_pml_base_send_mode_t mode, ompi_communicator_t *comm, ompi_request_t **request)
{
    BEHIND_GATE(pml.pml_isend(buf, count, type, dst, tag, mode, comm, request));
}

static int irecv(void *buf, size_t count, ompi_datatype_t *type, int src, int tag,
                 ompi_communicator_t *comm, ompi_request_t **request)
{
    BEHIND_GATE(pml.pml_irecv(buf, count, type, src, tag, comm, request));
}

static int imrecv(void *buf, size_t count, ompi_datatype_t *type, ompi_message_t **message,
                  ompi_request_t **request)
{
    BEHIND_GATE(pml.pml_imrecv(buf, count, type, message, request));
}

static int gated_iprobe(int src, int tag, ompi_communicator_t *comm, int *matched,
                        ompi_status_public_t *status)
{
    BEHIND_GATE(pml.pml_iprobe(src, tag, comm, matched, status));
}

static int gated_improbe(int src, int tag, ompi_communicator_t *comm, int *matched,
                         ompi_message_t **message, ompi_status_public_t *status)
{
    BEHIND_GATE(pml.pml_improbe(src, tag, comm, matched, message, status));
}

/*
 * A thread that only ever probes must come to the safe point, too. The progress that the PML makes
 * in a probe does not lead there, as it is behind the gate.
 */
static int iprobe(int src, int tag, ompi_communicator_t *comm, int *matched,
                  ompi_status_public_t *status)
{
    int rc = gated_iprobe(src, tag, comm, matched, status);
    if (rc == OMPI_SUCCESS && !*matched) {
        ninja_module_safe_point();
    }
    return rc;
}

static int improbe(int src, int tag, ompi_communicator_t *comm, int *matched,
                   ompi_message_t **message, ompi_status_public_t *status)
{
    int rc = gated_improbe(src, tag, comm, matched, message, status);
    if (rc == OMPI_SUCCESS && !*matched) {
        ninja_module_safe_point();
    }
    return rc;
}

/* --- calls that wait ---------------------------------------------------------------------- */

static int wait_for(ompi_request_t *request, ompi_status_public_t *status)
{
    ompi_request_wait_completion(request);
    if (status != MPI_STATUS_IGNORE) {
        OMPI_COPY_STATUS(status, request->req_status, false);
    }
    int rc = request->req_status.MPI_ERROR;
    ompi_request_free(&request);
    return rc;
}

static int blocking_send(const void *buf, size_t count, ompi_datatype_t *type, int dst, int tag,
                         mca_pml_base_send_mode_t mode, ompi_communicator_t *comm)
{
    ompi_request_t *request;
    int rc = isend(buf, count, type, dst, tag, mode, comm, &request);
    return rc == OMPI_SUCCESS ? wait_for(request, MPI_STATUS_IGNORE) : rc;
}

static int blocking_recv(void *buf, size_t count, ompi_datatype_t *type, int src, int tag,
                         ompi_communicator_t *comm, ompi_status_public_t *status)
{
    ompi_request_t *request;
    int rc = irecv(buf, count, type, src, tag, comm, &request);
    return rc == OMPI_SUCCESS ? wait_for(request, status) : rc;
}

static int blocking_mrecv(void *buf, size_t count, ompi_datatype_t *type, ompi_message_t **message,
                          ompi_status_public_t *status)
{
    ompi_request_t *request;
    int rc = imrecv(buf, count, type, message, &request);
    return rc == OMPI_SUCCESS ? wait_for(request, status) : rc;
}

static int probe(int src, int tag, ompi_communicator_t *comm, ompi_status_public_t *status)
{
    int rc, matched;
    do {
        rc = iprobe(src, tag, comm, &matched, status);
    } while (rc == OMPI_SUCCESS && !matched);
    return rc;
}

static int mprobe(int src, int tag, ompi_communicator_t *comm, ompi_message_t **message,
                  ompi_status_public_t *status)
{
    int rc, matched;
    do {
        rc = improbe(src, tag, comm, &matched, message, status);
    } while (rc == OMPI_SUCCESS && !matched);
    return rc;
}

static void gate_the_pml(void)
{
    pml = mca_pml;
    mca_pml.pml_add_comm = add_comm;
    mca_pml.pml_add_procs = add_procs;
    mca_pml.pml_del_procs = del_procs;
    mca_pml.pml_isend_init = isend_init;
    mca_pml.pml_irecv_init = irecv_init;
    mca_pml.pml_start = start;
    mca_pml.pml_isend = isend;
    mca_pml.pml_irecv = irecv;
    mca_pml.pml_imrecv = imrecv;
    mca_pml.pml_iprobe = iprobe;
    mca_pml.pml_improbe = improbe;
    mca_pml.pml_send = blocking_send;
    mca_pml.pml_recv = blocking_recv;
    mca_pml.pml_mrecv = blocking_mrecv;
    mca_pml.pml_probe = probe;
    mca_pml.pml_mprobe = mprobe;
}

bool calls_gate(const struct transport_layer *layer, char *why, size_t size)
{
    if (gate_is_built()) {
        return true;
    }
    if (!gate_build(why, size)) {
        return false;
    }
    gate_the_pml();
    layer->gate(&(struct gate_doors){gate_try_enter, gate_leave});
    return true;
}
