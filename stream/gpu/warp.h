/* One source for two machines.
 *
 * A kernel is written for one warp. Between two exchanges among its lanes, what each lane does
 * stands in the braces of EACH_LANE; a variable that differs from lane to lane is declared by
 * PER_LANE and read as name[L]. On a GPU, the lanes are threads, and name[L] is a register. In host
 * C++, EACH_LANE is a loop, and name has 32 elements. All other variables have one value in the
 * whole warp. */
#ifndef NINJA_GPU_WARP_H
#define NINJA_GPU_WARP_H

#include <stdint.h>
#include <string.h>

#define PER_LANE(type, name) type name[LANES]

#ifdef __CUDACC__

#define ON_DEVICE static __device__ __forceinline__
#define LANES     1
#define UNROLL    _Pragma("unroll")
#define EACH_LANE for ([[maybe_unused]] int L = 0, lane = (int)(threadIdx.x & 31) | L; L < 1; L++)

ON_DEVICE void warp_sync(void)
{
    __syncwarp();
}
ON_DEVICE uint32_t warp_ballot(const bool *p)
{
    return __ballot_sync(~0u, p[0]);
}
ON_DEVICE uint32_t warp_read(const uint32_t *v, uint32_t from)
{
    return __shfl_sync(~0u, v[0], (int)from);
}
/* same: which lanes hold the lane's own value */
ON_DEVICE void warp_match(const uint32_t *v, uint32_t *same)
{
    same[0] = __match_any_sync(~0u, v[0]);
}
/* sum: of the lanes below; returns the sum of all */
ON_DEVICE uint32_t warp_sum(const uint32_t *v, uint32_t *sum)
{
    uint32_t lane = threadIdx.x & 31, all = v[0];
#pragma unroll
    for (uint32_t d = 1; d < 32; d *= 2) {
        uint32_t below = __shfl_up_sync(~0u, all, d);
        all += lane >= d ? below : 0;
    }
    sum[0] = all - v[0];
    return __shfl_sync(~0u, all, 31);
}
ON_DEVICE uint32_t low_bit(uint32_t x)
{
    return (uint32_t)__ffs((int)x) - 1;
}
ON_DEVICE uint32_t high_bit(uint32_t x)
{
    return 31 - (uint32_t)__clz((int)x);
}
ON_DEVICE uint32_t count_bits(uint32_t x)
{
    return (uint32_t)__popc(x);
}
/* base + at has any alignment; the aligned words around it can be read */
ON_DEVICE uint32_t load32(const uint8_t *base, uint32_t at)
{
    const uint32_t *w = (const uint32_t *)base + (at >> 2);
    return __funnelshift_r(__ldg(w), __ldg(w + 1), (at & 3) * 8);
}
struct alignas(16) sixteen {
    uint32_t w[4];
};

#else

#define ON_DEVICE static inline
#define LANES     32
#define UNROLL
#define EACH_LANE for ([[maybe_unused]] int L = 0, lane = L; L < 32; lane = ++L)

ON_DEVICE void warp_sync(void)
{
}
ON_DEVICE uint32_t warp_ballot(const bool *p)
{
    uint32_t mask = 0;
    EACH_LANE
    {
        mask |= (uint32_t)p[L] << lane;
    }
    return mask;
}
ON_DEVICE uint32_t warp_read(const uint32_t *v, uint32_t from)
{
    return v[from];
}
ON_DEVICE void warp_match(const uint32_t *v, uint32_t *same)
{
    EACH_LANE
    {
        same[L] = 0;
        for (int i = 0; i < 32; i++) {
            same[L] |= (uint32_t)(v[i] == v[L]) << i;
        }
    }
}
ON_DEVICE uint32_t warp_sum(const uint32_t *v, uint32_t *sum)
{
    uint32_t all = 0;
    EACH_LANE
    {
        sum[L] = all;
        all += v[L];
    }
    return all;
}
ON_DEVICE uint32_t low_bit(uint32_t x)
{
    return (uint32_t)__builtin_ctz(x);
}
ON_DEVICE uint32_t high_bit(uint32_t x)
{
    return 31 - (uint32_t)__builtin_clz(x);
}
ON_DEVICE uint32_t count_bits(uint32_t x)
{
    return (uint32_t)__builtin_popcount(x);
}
ON_DEVICE uint32_t load32(const uint8_t *base, uint32_t at)
{
    uint32_t v;
    memcpy(&v, base + at, 4);
    return v;
}
struct sixteen {
    uint32_t w[4];
};

#endif
#endif
