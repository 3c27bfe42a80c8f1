/*
 * What is used of NVIDIA's driver API, declared here so that no toolkit is needed to build. The
 * signatures and numbers are those of the "CUDA Driver API Reference Manual", version 13.0; all are
 * in libcuda.so.1 since CUDA 4.1.
 */
#ifndef NINJA_GPU_DRIVER_H
#define NINJA_GPU_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int cu_result; /* 0: good */
typedef int cu_device;
typedef uint64_t cu_pointer; /* an address of the GPU's */
typedef struct CUctx_st *cu_context;
typedef struct CUmod_st *cu_module;
typedef struct CUfunc_st *cu_function;
typedef struct CUstream_st *cu_stream;

enum {
    CU_SUCCESS = 0,
    CU_CTX_SCHED_BLOCKING_SYNC = 4,
    CU_CTX_MAP_HOST = 8,
    CU_STREAM_NON_BLOCKING = 1,
    CU_MEMHOSTREGISTER_PORTABLE = 1,
    CU_MEMHOSTREGISTER_DEVICEMAP = 2
};

/* What a member of struct driver is called here, and in the library. */
#define CU_CALLS(X)                                                                                \
    X(init, cuInit, (unsigned flags))                                                              \
    X(error_text, cuGetErrorString, (cu_result result, const char **text))                         \
    X(device, cuDeviceGet, (cu_device * device, int number))                                       \
    X(device_name, cuDeviceGetName, (char *name, int size, cu_device device))                      \
    X(context_new, cuCtxCreate_v2, (cu_context * context, unsigned flags, cu_device device))       \
    X(context_free, cuCtxDestroy_v2, (cu_context context))                                         \
    X(context_use, cuCtxSetCurrent, (cu_context context))                                          \
    X(module_load, cuModuleLoadData, (cu_module * module, const void *image))                      \
    X(module_kernel, cuModuleGetFunction,                                                          \
      (cu_function * function, cu_module module, const char *name))                                \
    X(memory_new, cuMemAlloc_v2, (cu_pointer * pointer, size_t bytes))                             \
    X(memory_free, cuMemFree_v2, (cu_pointer pointer))                                             \
    X(pin, cuMemHostRegister_v2, (void *memory, size_t bytes, unsigned flags))                     \
    X(unpin, cuMemHostUnregister, (void *memory))                                                  \
    X(pinned_pointer, cuMemHostGetDevicePointer_v2,                                                \
      (cu_pointer * pointer, void *memory, unsigned flags))                                        \
    X(stream_new, cuStreamCreate, (cu_stream * stream, unsigned flags))                            \
    X(stream_free, cuStreamDestroy_v2, (cu_stream stream))                                         \
    X(stream_wait, cuStreamSynchronize, (cu_stream stream))                                        \
    X(copy_in, cuMemcpyHtoDAsync_v2,                                                               \
      (cu_pointer to, const void *from, size_t bytes, cu_stream stream))                           \
    X(copy_out, cuMemcpyDtoHAsync_v2, (void *to, cu_pointer from, size_t bytes, cu_stream stream)) \
    X(launch, cuLaunchKernel,                                                                      \
      (cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,  \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, cu_stream stream,                \
       void **arguments, void **extra))

struct driver {
#define CU_MEMBER(member, symbol, arguments) cu_result(*member) arguments;
    CU_CALLS(CU_MEMBER)
#undef CU_MEMBER
};

#endif
