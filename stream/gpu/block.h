/* A block of pages, coded by the CPU. */
#ifndef NINJA_GPU_BLOCK_H
#define NINJA_GPU_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "stream/gpu/pages.h"

/**
 * Codes a block by the codec that a sample of it speaks for.
 *
 * @param allowed  1 << codec of each that may be used
 * @param out      BLOCK_MAX_BYTES bytes
 * @return what was done; for BLOCK_RAW nothing is in `out`. The offset is 0.
 */
struct block_facts gpu_block_code(uint32_t allowed, const uint8_t *in, size_t n, uint8_t *out);

#endif
