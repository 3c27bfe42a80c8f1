/*
 * A slot does, in the order of its stream: copy in, scan; then, for the pages that the caller
 * wants, gather, turn, pack, code, join, choose, collect (kernels.h); then copy out. While one slot
 * copies in, another one computes, and a third one copies out, as each has a stream. What is short
 * is written by the kernels to pinned memory of the host. (Coded bytes are not: such writes are
 * slower than a copy, and slow down the copies in.) The thread that waits sleeps
 * (CU_CTX_SCHED_BLOCKING_SYNC).
 *
 * The host's memory is the caller's own, pinned in place: it stays as it is when the GPU fails.
 */
#include "stream/gpu/slot.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "stream/gpu/driver.h"
#include "stream/gpu/image.h"
#include "stream/gpu/job.h"

enum kernel { SCAN, GATHER, TURN, PACK, CODE, CODE_PLANES, JOIN, CHOOSE, COLLECT, KERNELS };

/* How a kernel is launched: so many threads in a block of them. */
static const struct {
    const char *name;
    unsigned threads;
} kernels[KERNELS] = {
    [SCAN] = {"ninja_scan", 32},
    [GATHER] = {"ninja_gather", 256},
    [TURN] = {"ninja_turn", 256},
    [PACK] = {"ninja_pack", 32},
    [CODE] = {"ninja_code", 32},
    [CHOOSE] = {"ninja_choose", 32},
    [CODE_PLANES] = {"ninja_code_planes", 32},
    [JOIN] = {"ninja_join", 32},
    [COLLECT] = {"ninja_collect", 128},
};

struct gpu {
    struct driver cu;
    void *library;
    cu_context context;
    cu_function function[KERNELS];
    uint32_t table_bits;
    char name[128];
};

enum { PINNED = 6, ON_GPU = 10 };

struct gpu_slot {
    struct gpu *gpu;
    cu_stream stream;
    struct gpu_job job;
    struct gpu_buffers host;
    void *pinned[PINNED];
    int n_pinned;
    cu_pointer memory[ON_GPU];
    int n_memory;
};

static bool good(struct gpu *gpu, cu_result result, const char *what, struct ninja_error *err)
{
    const char *text = NULL;
    if (result == CU_SUCCESS) {
        return true;
    }
    if (gpu->cu.error_text(result, &text) != CU_SUCCESS || !text) {
        text = "an error that the driver has no text for";
    }
    return ninja_error_set(err, ERR_DEVICE, "the GPU could not %s: %s (%d)", what, text, result);
}

static bool find_calls(struct gpu *gpu, const char *library, struct ninja_error *err)
{
    gpu->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!gpu->library) {
        return ninja_error_set(err, ERR_ABSENT, "there is no driver for a GPU: %s", dlerror());
    }
#define CU_FIND(member, symbol, arguments)                                                         \
    *(void **)&gpu->cu.member = dlsym(gpu->library, #symbol);                                      \
    if (!gpu->cu.member) {                                                                         \
        return ninja_error_set(err, ERR_ABSENT, "%s has no %s", library, #symbol);                 \
    }
    CU_CALLS(CU_FIND)
#undef CU_FIND
    return true;
}

static bool find_kernels(struct gpu *gpu, const void *image, struct ninja_error *err)
{
    cu_module module;
    if (!good(gpu, gpu->cu.module_load(&module, image), "load the kernels", err)) {
        return false;
    }
    for (int i = 0; i < KERNELS; i++) {
        cu_result result = gpu->cu.module_kernel(&gpu->function[i], module, kernels[i].name);
        if (!good(gpu, result, "find a kernel", err)) {
            return false;
        }
    }
    return true;
}

static bool begin(struct gpu *gpu, const void *image, struct ninja_error *err)
{
    cu_device device;
    unsigned flags = CU_CTX_SCHED_BLOCKING_SYNC | CU_CTX_MAP_HOST;
    return good(gpu, gpu->cu.init(0), "begin", err) &&
           good(gpu, gpu->cu.device(&device, 0), "be found", err) &&
           good(gpu, gpu->cu.device_name(gpu->name, sizeof(gpu->name), device), "say its name",
                err) &&
           good(gpu, gpu->cu.context_new(&gpu->context, flags, device), "make a context", err) &&
           find_kernels(gpu, image, err);
}

struct gpu *gpu_open(const struct gpu_options *options, struct ninja_error *err)
{
    const void *image = options->image ? options->image : gpu_image();
    if (!image) {
        ninja_error_set(err, ERR_ABSENT,
                        "this program was built without kernels for a GPU, as there was no nvcc");
        return NULL;
    }
    struct gpu *gpu = xcalloc(1, sizeof(*gpu));
    gpu->table_bits = options->table_bits ? options->table_bits : GPU_TABLE_BITS;
    if (!find_calls(gpu, options->library ? options->library : "libcuda.so.1", err) ||
        !begin(gpu, image, err)) {
        gpu_close(gpu);
        return NULL;
    }
    return gpu;
}

const char *gpu_name(const struct gpu *gpu)
{
    return gpu->name;
}

void gpu_close(struct gpu *gpu)
{
    if (!gpu) {
        return;
    }
    if (gpu->context) {
        gpu->cu.context_free(gpu->context);
    }
    if (gpu->library) {
        dlclose(gpu->library);
    }
    free(gpu);
}

/* Pins memory of the host; returns where the GPU sees it, or NULL with err. */
static void *pin(struct gpu_slot *slot, void *memory, size_t bytes, struct ninja_error *err)
{
    struct driver *cu = &slot->gpu->cu;
    unsigned flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    cu_pointer pointer = 0;
    if (!good(slot->gpu, cu->pin(memory, bytes, flags), "pin memory", err)) {
        return NULL;
    }
    slot->pinned[slot->n_pinned++] = memory;
    good(slot->gpu, cu->pinned_pointer(&pointer, memory, 0), "see pinned memory", err);
    return (void *)(uintptr_t)pointer;
}

static void *on_gpu(struct gpu_slot *slot, size_t bytes, struct ninja_error *err)
{
    cu_pointer pointer = 0;
    if (!good(slot->gpu, slot->gpu->cu.memory_new(&pointer, bytes), "give memory", err)) {
        return NULL;
    }
    slot->memory[slot->n_memory++] = pointer;
    return (void *)(uintptr_t)pointer;
}

static bool get_memory(struct gpu_slot *slot, const struct gpu_buffers *b, struct ninja_error *err)
{
    struct gpu_job *job = &slot->job;
    size_t bytes = (size_t)b->max_pages * GPU_PAGE;
    size_t blocks = (b->max_pages + b->block_pages - 1) / b->block_pages;
    slot->host = *b;
    job->block_pages = b->block_pages;
    job->table_bits = slot->gpu->table_bits;
    return pin(slot, b->pages, bytes, err) && pin(slot, b->out, bytes, err) &&
           (job->page = pin(slot, b->page, b->max_pages * sizeof(*b->page), err)) &&
           (job->kind = pin(slot, b->kind, b->max_pages, err)) &&
           (job->block = pin(slot, b->block, blocks * sizeof(*b->block), err)) &&
           (job->list = pin(slot, b->list, b->max_pages * sizeof(*b->list), err)) &&
           (job->pages = on_gpu(slot, bytes, err)) && (job->out = on_gpu(slot, bytes, err)) &&
           (job->raw = on_gpu(slot, bytes + GPU_PAGE, err)) &&
           (job->turned = on_gpu(slot, bytes, err)) &&
           (job->packed = on_gpu(slot, blocks * GPU_PACKED + GPU_PAGE, err)) &&
           (job->part = on_gpu(slot, 2 * blocks * LZ4_PARTS * sizeof(*job->part), err)) &&
           (job->part_coded = on_gpu(slot, 2 * blocks * LZ4_PARTS * LZ4_PART_ROOM, err)) &&
           (job->coded = on_gpu(slot, 2 * blocks * BLOCK_MAX_BYTES, err)) &&
           (job->lengths = on_gpu(slot, 3 * blocks * sizeof(*job->lengths), err)) &&
           (job->chosen = on_gpu(slot, blocks * sizeof(*job->chosen), err));
}

struct gpu_slot *gpu_slot_new(struct gpu *gpu, const struct gpu_buffers *buffers,
                              struct ninja_error *err)
{
    struct gpu_slot *slot = xcalloc(1, sizeof(*slot));
    slot->gpu = gpu;
    if (!good(gpu, gpu->cu.context_use(gpu->context), "take its context", err) ||
        !good(gpu, gpu->cu.stream_new(&slot->stream, CU_STREAM_NON_BLOCKING), "make a stream",
              err) ||
        !get_memory(slot, buffers, err)) {
        gpu_slot_free(slot);
        return NULL;
    }
    return slot;
}

void gpu_slot_free(struct gpu_slot *slot)
{
    if (!slot) {
        return;
    }
    struct driver *cu = &slot->gpu->cu;
    cu->context_use(slot->gpu->context);
    if (slot->stream) {
        cu->stream_wait(slot->stream);
    }
    while (slot->n_pinned > 0) {
        cu->unpin(slot->pinned[--slot->n_pinned]);
    }
    while (slot->n_memory > 0) {
        cu->memory_free(slot->memory[--slot->n_memory]);
    }
    if (slot->stream) {
        cu->stream_free(slot->stream);
    }
    free(slot);
}

/* Launches a kernel with at least so many threads. */
static bool launch(struct gpu_slot *slot, enum kernel kernel, uint32_t threads,
                   struct ninja_error *err)
{
    struct gpu *gpu = slot->gpu;
    unsigned in_block = kernels[kernel].threads, blocks = (threads + in_block - 1) / in_block;
    unsigned shared = kernel == CODE || kernel == CODE_PLANES ? 2u << gpu->table_bits : 0;
    void *arguments[] = {&slot->job};
    cu_result result = gpu->cu.launch(gpu->function[kernel], blocks, 1, 1, in_block, 1, 1, shared,
                                      slot->stream, arguments, NULL);
    return good(gpu, result, kernels[kernel].name, err);
}

static bool wait_for(struct gpu_slot *slot, struct ninja_error *err)
{
    return good(slot->gpu, slot->gpu->cu.stream_wait(slot->stream), "end its work", err);
}

bool gpu_scan(struct gpu_slot *slot, uint32_t n, const uint64_t state[8], uint32_t hashed,
              struct ninja_error *err)
{
    struct gpu *gpu = slot->gpu;
    struct gpu_job *job = &slot->job;
    job->n_pages = n;
    job->hashed = hashed;
    memcpy(job->state, state, sizeof(job->state));
    return good(gpu, gpu->cu.context_use(gpu->context), "take its context", err) &&
           good(gpu,
                gpu->cu.copy_in((cu_pointer)(uintptr_t)job->pages, slot->host.pages,
                                (size_t)n * GPU_PAGE, slot->stream),
                "take pages", err) &&
           launch(slot, SCAN, n, err) && wait_for(slot, err);
}

/* Fetches what came out, now that the blocks say how much that is. */
static bool fetch(struct gpu_slot *slot, struct ninja_error *err)
{
    struct gpu *gpu = slot->gpu;
    const struct block_facts *last = &slot->host.block[slot->job.n_blocks - 1];
    size_t bytes = last->offset;
    if (last->codec != BLOCK_RAW) {
        bytes += last->length;
    }
    cu_pointer from = (cu_pointer)(uintptr_t)slot->job.out;
    return bytes == 0 || (good(gpu, gpu->cu.copy_out(slot->host.out, from, bytes, slot->stream),
                               "give bytes", err) &&
                          wait_for(slot, err));
}

/* Launches what makes the codecs. */
static bool code(struct gpu_slot *slot, struct ninja_error *err)
{
    const struct gpu_job *job = &slot->job;
    uint32_t turn_parts = job->n_blocks * GPU_TURN_PARTS(job->block_pages);
    uint32_t lz4_parts = job->n_blocks * ((job->block_pages * GPU_PAGE + LZ4_PART - 1) / LZ4_PART);
    bool lz4 = job->codecs & 1 << BLOCK_LZ4, planes_lz4 = job->codecs & 1 << BLOCK_PLANES_LZ4;
    bool planes = planes_lz4 || job->codecs & 1 << BLOCK_PLANES;
    return (!planes || (launch(slot, TURN, turn_parts * GPU_WARP, err) &&
                        launch(slot, PACK, job->n_blocks * GPU_WARP, err))) &&
           (!lz4 || launch(slot, CODE, lz4_parts * GPU_WARP, err)) &&
           (!planes_lz4 || launch(slot, CODE_PLANES, lz4_parts * GPU_WARP, err)) &&
           (!(lz4 || planes_lz4) || launch(slot, JOIN, 2 * lz4_parts * GPU_WARP, err));
}

bool gpu_code(struct gpu_slot *slot, uint32_t n_listed, uint32_t codecs, struct ninja_error *err)
{
    struct gpu *gpu = slot->gpu;
    struct gpu_job *job = &slot->job;
    job->n_listed = n_listed;
    job->n_blocks = (n_listed + job->block_pages - 1) / job->block_pages;
    job->codecs = codecs;
    return good(gpu, gpu->cu.context_use(gpu->context), "take its context", err) &&
           launch(slot, GATHER, n_listed * GPU_WARP, err) && code(slot, err) &&
           launch(slot, CHOOSE, GPU_WARP, err) &&
           launch(slot, COLLECT, job->n_blocks * GPU_COLLECT_PARTS * GPU_WARP, err) &&
           wait_for(slot, err) && fetch(slot, err);
}
