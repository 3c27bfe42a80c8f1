/*
 * Requests are never given back to the system while MPI runs: the addresses of all blocks are
 * known, so that all active requests can be found without keeping a list of them in the path of a
 * message.
 */
#include "ninja_ucx.h"

#include <stdlib.h>
#include <string.h>

#include "ompi/constants.h"

#define PER_BLOCK 128
#define ALIGNMENT 64

struct block {
    struct block *next;
    char *requests;
};

ompi_request_t request_done;
unsigned sends_in_ucx;

static struct block *blocks;
static struct request *unused;
static size_t size_of_one;

static int free_request(ompi_request_t **request);
static int free_nothing(ompi_request_t **request);
static int cancel_request(ompi_request_t *request, int flag);

static int start_request(size_t n, ompi_request_t **requests)
{
    return mca_pml.pml_start(n, requests);
}

static void construct(struct request *request)
{
    memset(request, 0, sizeof(*request));
    OBJ_CONSTRUCT(&request->ompi, ompi_request_t);
    request->ompi.req_type = OMPI_REQUEST_PML;
    request->ompi.req_free = free_request;
    request->ompi.req_cancel = cancel_request;
    request->ompi.req_start = start_request;
    request->next_free = unused;
    unused = request;
}

static bool more_requests(void)
{
    struct block *block = malloc(sizeof(*block));
    char *space = block != NULL ? aligned_alloc(ALIGNMENT, size_of_one * PER_BLOCK) : NULL;
    if (space == NULL) {
        free(block);
        return false;
    }
    for (size_t i = PER_BLOCK; i-- > 0;) {
        construct((struct request *)(space + i * size_of_one));
    }
    *block = (struct block){blocks, space};
    blocks = block;
    return true;
}

bool requests_open(void)
{
    size_of_one = sizeof(struct request) + worker_request_size();
    size_of_one = (size_of_one + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    OBJ_CONSTRUCT(&request_done, ompi_request_t);
    OMPI_REQUEST_INIT(&request_done, false);
    request_done.req_type = OMPI_REQUEST_PML;
    request_done.req_state = OMPI_REQUEST_ACTIVE;
    request_done.req_complete = REQUEST_COMPLETED;
    request_done.req_free = free_nothing;
    request_done.req_status = ompi_status_empty;
    request_done.req_mpi_object.comm = &ompi_mpi_comm_world.comm;
    return more_requests();
}

void requests_close(void)
{
    while (blocks != NULL) {
        struct block *block = blocks;
        blocks = block->next;
        for (size_t i = 0; i < PER_BLOCK; i++) {
            struct request *request = (struct request *)(block->requests + i * size_of_one);
            if (request->convertor != NULL) {
                OBJ_RELEASE(request->convertor);
            }
            OBJ_DESTRUCT(&request->ompi);
        }
        free(block->requests);
        free(block);
    }
    unused = NULL;
}

struct request *request_offer(void)
{
    struct request *request = OPAL_LIKELY(unused != NULL) || more_requests() ? unused : NULL;
    if (OPAL_LIKELY(request != NULL)) {
        unused = request->next_free;
    }
    return request;
}

void request_decline(struct request *request)
{
    request->next_free = unused;
    unused = request;
}

void request_take(struct request *request, enum request_kind kind)
{
    request->kind = kind;
    request->freed = false;
    request->datatype = NULL;
    request->ompi.req_persistent = false;
    request->ompi.req_complete_cb = NULL;
    request->ompi.req_complete_cb_data = NULL;
}

struct request *request_get(enum request_kind kind)
{
    struct request *request = request_offer();
    if (OPAL_LIKELY(request != NULL)) {
        request_take(request, kind);
    }
    return request;
}

bool request_can_scatter(struct request *request)
{
    if (request->convertor == NULL) {
        request->convertor = OBJ_NEW(opal_convertor_t);
    }
    return request->convertor != NULL;
}

void request_put(struct request *request)
{
    OMPI_REQUEST_FINI(&request->ompi);
    request_decline(request);
}

void *request_area(struct request *request)
{
    return (char *)request + size_of_one;
}

void request_start(struct request *request)
{
    request->ompi.req_complete = REQUEST_PENDING;
    request->ompi.req_state = OMPI_REQUEST_ACTIVE;
    request->active = true;
    request->cancelled = false;
    request->parked = false;
}

static void drop(struct request *request)
{
    if (request->datatype != NULL) {
        OMPI_DATATYPE_RELEASE(request->datatype);
        request->datatype = NULL;
    }
    request_put(request);
}

void request_complete(struct request *request)
{
    request->active = false;
    if (!request->ompi.req_persistent && request->datatype != NULL) {
        OMPI_DATATYPE_RELEASE(request->datatype);
        request->datatype = NULL;
    }
    if (OPAL_UNLIKELY(request->freed)) {
        drop(request);
    } else {
        ompi_request_complete(&request->ompi, true);
    }
}

static int free_nothing(ompi_request_t **request)
{
    *request = MPI_REQUEST_NULL;
    return OMPI_SUCCESS;
}

/* While it is active it is freed when it completes. */
static int free_request(ompi_request_t **freed)
{
    struct request *request = (struct request *)*freed;
    lock();
    if (request->active) {
        request->freed = true;
    } else {
        drop(request);
    }
    unlock();
    *freed = MPI_REQUEST_NULL;
    return OMPI_SUCCESS;
}

/* Sends are not cancelled, as MPI allows. */
static int cancel_request(ompi_request_t *cancelled, int flag)
{
    struct request *request = (struct request *)cancelled;
    lock();
    if (request->kind == REQUEST_RECEIVE && request->active && request->in_ucx) {
        request->cancelled = true;
        ucp_request_cancel(worker, request_area(request));
    }
    unlock();
    return OMPI_SUCCESS;
}

void requests_for_each(void (*visit)(struct request *request, void *arg), void *arg)
{
    for (struct block *block = blocks; block != NULL; block = block->next) {
        for (size_t i = 0; i < PER_BLOCK; i++) {
            struct request *request = (struct request *)(block->requests + i * size_of_one);
            if (request->active) {
                visit(request, arg);
            }
        }
    }
}
