/* A GPU that scans and codes memory pages: NVIDIA's, through the driver's library, which is looked
 * for when it is needed. */
#ifndef NINJA_GPU_SLOT_H
#define NINJA_GPU_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "stream/gpu/pages.h"

struct gpu;
struct gpu_slot;

struct gpu_options {
    const char *library; /* NULL: libcuda.so.1 */
    const void *image;   /* the kernels as nvcc makes them; NULL: those built in */
    uint32_t table_bits; /* 0: as is best */
};

/* Memory of the host that a slot works on; each is NULL, or 0, before it is set. */
struct gpu_buffers {
    uint8_t *pages; /* each of these may be written by the GPU while a call is on its way */
    uint8_t *out;
    struct page_facts *page;
    uint8_t *kind;
    struct block_facts *block;
    uint32_t *list;
    uint32_t max_pages;
    uint32_t block_pages;
};

/** NULL with err, class ERR_ABSENT: there is no GPU, no driver, or no kernels for it. */
struct gpu *gpu_open(const struct gpu_options *options, struct ninja_error *err);

const char *gpu_name(const struct gpu *gpu);

/** After its slots. NULL is allowed. */
void gpu_close(struct gpu *gpu);

/**
 * A stream of its own, with the memory that it needs on the GPU. The GPU works on several slots at
 * once, each of which is used by one thread at a time.
 *
 * @param buffers  copied; what it points to must stay as long as the slot
 * @return NULL with err, class ERR_DEVICE
 */
struct gpu_slot *gpu_slot_new(struct gpu *gpu, const struct gpu_buffers *buffers,
                              struct ninja_error *err);
void gpu_slot_free(struct gpu_slot *slot);

/**
 * Copies the first n pages of the buffer to the GPU and fills `page`.
 *
 * @param state   BLAKE2b's, before the page
 * @param hashed  bytes that are in the state
 * @return false with err, class ERR_DEVICE: the GPU failed, and is not to be used any more
 */
bool gpu_scan(struct gpu_slot *slot, uint32_t n, const uint64_t state[8], uint32_t hashed,
              struct ninja_error *err);

/**
 * Codes the pages of the last scan that are in `list`, and fills `block` and `out`.
 *
 * @param codecs  1 << codec of each that may be used
 */
bool gpu_code(struct gpu_slot *slot, uint32_t n_listed, uint32_t codecs, struct ninja_error *err);

#endif
