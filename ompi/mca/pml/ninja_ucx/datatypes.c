/*
 * One UCX datatype stands for all data that is not in one piece: what UCX takes for the address of
 * the data is that of a request, which says where the data is and of which type.
 */
#include "ninja_ucx.h"

ucp_datatype_t scattered;

/* --- UCX asks for pieces ------------------------------------------------------------------- */

static void prepare_pack(opal_convertor_t *convertor, const void *buffer, size_t count,
                         ompi_datatype_t *type)
{
    opal_convertor_copy_and_prepare_for_send(ompi_proc_local_proc->super.proc_convertor,
                                             &type->super, count, buffer, 0, convertor);
}

static void prepare_unpack(opal_convertor_t *convertor, const struct request *request)
{
    opal_convertor_copy_and_prepare_for_recv(ompi_proc_local_proc->super.proc_convertor,
                                             &request->datatype->super, request->count,
                                             request->buffer, 0, convertor);
}

static void *start_pack(void *context, const void *buffer, size_t count)
{
    struct request *request = (struct request *)(uintptr_t)buffer;
    prepare_pack(request->convertor, request->buffer, request->count, request->datatype);
    return request->convertor;
}

static void *start_unpack(void *context, void *buffer, size_t count)
{
    struct request *request = buffer;
    prepare_unpack(request->convertor, request);
    return request->convertor;
}

static size_t packed_size(void *state)
{
    size_t size = 0;
    opal_convertor_get_packed_size(state, &size);
    return size;
}

static size_t pack_some(void *state, size_t offset, void *data, size_t length)
{
    struct iovec iov = {data, length};
    uint32_t n = 1;
    opal_convertor_set_position(state, &offset);
    opal_convertor_pack(state, &iov, &n, &length);
    return length;
}

static ucs_status_t unpack_some(void *state, size_t offset, const void *data, size_t length)
{
    struct iovec iov = {(void *)(uintptr_t)data, length};
    uint32_t n = 1;
    opal_convertor_set_position(state, &offset);
    opal_convertor_unpack(state, &iov, &n, &length);
    return UCS_OK;
}

static void finish(void *state)
{
    opal_convertor_cleanup(state);
}

bool datatypes_open(void)
{
    static const ucp_generic_dt_ops_t operations = {.start_pack = start_pack,
                                                    .start_unpack = start_unpack,
                                                    .packed_size = packed_size,
                                                    .pack = pack_some,
                                                    .unpack = unpack_some,
                                                    .finish = finish};
    return ucp_dt_create_generic(&operations, NULL, &scattered) == UCS_OK;
}

void datatypes_close(void)
{
    if (scattered != 0) {
        ucp_dt_destroy(scattered);
        scattered = 0;
    }
}

/* --- all at once --------------------------------------------------------------------------- */

void pack(const void *buffer, size_t count, ompi_datatype_t *type, void *data, size_t length)
{
    opal_convertor_t convertor;
    struct iovec iov = {data, length};
    uint32_t n = 1;
    OBJ_CONSTRUCT(&convertor, opal_convertor_t);
    prepare_pack(&convertor, buffer, count, type);
    opal_convertor_pack(&convertor, &iov, &n, &length);
    OBJ_DESTRUCT(&convertor);
}

void unpack(const struct request *request, const void *data, size_t length)
{
    opal_convertor_t convertor;
    struct iovec iov = {(void *)(uintptr_t)data, length};
    uint32_t n = 1;
    if (length == 0 || request->count == 0) {
        return;
    }
    OBJ_CONSTRUCT(&convertor, opal_convertor_t);
    prepare_unpack(&convertor, request);
    opal_convertor_unpack(&convertor, &iov, &n, &length);
    OBJ_DESTRUCT(&convertor);
}
