/*
 * A driver without a GPU, to be loaded in place of libcuda.so.1: its memory is the host's, filled
 * with garbage at first, and its kernels are those of stream/gpu, compiled for the host. It works
 * at once, in the thread that asks for it.
 */
#include "fake_cuda.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/gpu/driver.h"
#include "stream/gpu/emulate.h"

enum { FAILED = 719, MAX_NAME = 32 };

#define DECLARE(member, symbol, arguments) cu_result symbol arguments;
CU_CALLS(DECLARE)
#undef DECLARE

struct CUfunc_st {
    char name[MAX_NAME];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int calls_left = -1; /* until it fails, and from then on always; -1: it does not */
static int n_calls, held;

void fake_cuda_fail_after(int calls)
{
    pthread_mutex_lock(&lock);
    calls_left = calls;
    n_calls = 0;
    pthread_mutex_unlock(&lock);
}

int fake_cuda_calls(void)
{
    return n_calls;
}

int fake_cuda_held(void)
{
    return held;
}

static cu_result call(void)
{
    pthread_mutex_lock(&lock);
    cu_result result = calls_left == 0 ? FAILED : CU_SUCCESS;
    calls_left -= calls_left > 0;
    n_calls++;
    pthread_mutex_unlock(&lock);
    return result;
}

static void hold(int more)
{
    pthread_mutex_lock(&lock);
    held += more;
    pthread_mutex_unlock(&lock);
}

cu_result cuInit(unsigned flags)
{
    return call();
}

cu_result cuGetErrorString(cu_result result, const char **text)
{
    *text = result == FAILED ? "unspecified launch failure" : NULL;
    return CU_SUCCESS;
}

cu_result cuDeviceGet(cu_device *device, int number)
{
    *device = number;
    return call();
}

cu_result cuDeviceGetName(char *name, int size, cu_device device)
{
    snprintf(name, (size_t)size, "fake GPU");
    return call();
}

cu_result cuCtxCreate_v2(cu_context *context, unsigned flags, cu_device device)
{
    static char one;
    *context = (cu_context)&one;
    return call();
}

cu_result cuCtxDestroy_v2(cu_context context)
{
    return CU_SUCCESS;
}

cu_result cuCtxSetCurrent(cu_context context)
{
    return call();
}

cu_result cuModuleLoadData(cu_module *module, const void *image)
{
    *module = (cu_module)image;
    return call();
}

cu_result cuModuleGetFunction(cu_function *function, cu_module module, const char *name)
{
    static struct CUfunc_st functions[16];
    static int n;
    for (int i = 0; i < n; i++) {
        if (strcmp(functions[i].name, name) == 0) {
            *function = &functions[i];
            return call();
        }
    }
    snprintf(functions[n].name, MAX_NAME, "%s", name);
    *function = &functions[n++];
    return call();
}

cu_result cuMemAlloc_v2(cu_pointer *pointer, size_t bytes)
{
    cu_result result = call();
    if (result == CU_SUCCESS) {
        void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
        if (!memory) {
            return FAILED;
        }
        memset(memory, 0xa5, bytes);
        *pointer = (cu_pointer)(uintptr_t)memory;
        hold(1);
    }
    return result;
}

cu_result cuMemFree_v2(cu_pointer pointer)
{
    free((void *)(uintptr_t)pointer);
    hold(-1);
    return CU_SUCCESS;
}

cu_result cuMemHostRegister_v2(void *memory, size_t bytes, unsigned flags)
{
    cu_result result = call();
    hold(result == CU_SUCCESS);
    return result;
}

cu_result cuMemHostUnregister(void *memory)
{
    hold(-1);
    return CU_SUCCESS;
}

cu_result cuMemHostGetDevicePointer_v2(cu_pointer *pointer, void *memory, unsigned flags)
{
    *pointer = (cu_pointer)(uintptr_t)memory;
    return call();
}

cu_result cuStreamCreate(cu_stream *stream, unsigned flags)
{
    static char one;
    *stream = (cu_stream)&one;
    return call();
}

cu_result cuStreamDestroy_v2(cu_stream stream)
{
    return CU_SUCCESS;
}

cu_result cuStreamSynchronize(cu_stream stream)
{
    return call();
}

cu_result cuMemcpyHtoDAsync_v2(cu_pointer to, const void *from, size_t bytes, cu_stream stream)
{
    memcpy((void *)(uintptr_t)to, from, bytes);
    return call();
}

cu_result cuMemcpyDtoHAsync_v2(void *to, cu_pointer from, size_t bytes, cu_stream stream)
{
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return call();
}

cu_result cuLaunchKernel(cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                         unsigned block_x, unsigned block_y, unsigned block_z,
                         unsigned shared_bytes, cu_stream stream, void **arguments, void **extra)
{
    cu_result result = call();
    return result == CU_SUCCESS && !emulate_kernel(function->name, arguments[0]) ? FAILED : result;
}
