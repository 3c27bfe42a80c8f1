/* The kernels as a GPU runs them. A launch says how many warps there are in a block of threads, and
 * `warps` how many are wanted. */
#include "stream/gpu/kernels.h"

#define KERNEL extern "C" __global__ void

static __device__ __forceinline__ uint32_t this_warp(void)
{
    return (blockIdx.x * blockDim.x + threadIdx.x) / GPU_WARP;
}

KERNEL __launch_bounds__(32) ninja_scan(struct gpu_job job)
{
    uint32_t page = blockIdx.x * blockDim.x + threadIdx.x;
    if (page < job.n_pages) {
        scan_page(&job, page);
    }
}

KERNEL ninja_gather(struct gpu_job job)
{
    if (this_warp() < job.n_listed) {
        gather_page(&job, this_warp());
    }
}

KERNEL ninja_turn(struct gpu_job job)
{
    if (this_warp() < job.n_blocks * GPU_TURN_PARTS(job.block_pages)) {
        turn_part(&job, this_warp());
    }
}

KERNEL ninja_pack(struct gpu_job job)
{
    if (this_warp() < job.n_blocks) {
        pack_block(&job, this_warp());
    }
}

KERNEL ninja_code(struct gpu_job job)
{
    extern __shared__ lz4_entry table[];
    code_part(&job, blockIdx.x, 0, table);
}

KERNEL ninja_code_planes(struct gpu_job job)
{
    extern __shared__ lz4_entry table[];
    code_part(&job, blockIdx.x, 1, table);
}

KERNEL ninja_join(struct gpu_job job)
{
    if (this_warp() < 2 * job.n_blocks * parts_of_source(&job)) {
        join_part(&job, this_warp());
    }
}

KERNEL ninja_choose(struct gpu_job job)
{
    choose_all(&job);
}

KERNEL ninja_collect(struct gpu_job job)
{
    if (this_warp() < job.n_blocks * GPU_COLLECT_PARTS) {
        collect_part(&job, this_warp());
    }
}
