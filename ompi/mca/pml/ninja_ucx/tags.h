/*
 * What a message carries in UCX's 64-bit tag, and how receives and probes match it:
 *
 *      63   62 ... 43             42 ... 24             23 ... 0
 *      0    communicator          sender's rank in it   MPI's tag, two's complement
 *      1    0 ... 0                                     control.c
 *
 * MPI_ANY_TAG matches no negative tag: these are MPI's own.
 */
#ifndef NINJA_UCX_TAGS_H
#define NINJA_UCX_TAGS_H

#include "ompi_config.h"

#include <ucp/api/ucp.h>

#include "ompi/communicator/communicator.h"

#define TAG_BITS     24
#define RANK_BITS    19
#define CONTEXT_BITS 20

#define TAG_MASK    ((UINT64_C(1) << TAG_BITS) - 1)
#define TAG_SIGN    (UINT64_C(1) << (TAG_BITS - 1))
#define RANK_MASK   (((UINT64_C(1) << RANK_BITS) - 1) << TAG_BITS)
#define ALL_BITS    UINT64_MAX
#define CONTROL_TAG (UINT64_C(1) << 63)

static inline ucp_tag_t tag_of(uint32_t context, int rank, int tag)
{
    return (uint64_t)context << (TAG_BITS + RANK_BITS) | (uint64_t)rank << TAG_BITS |
           ((uint64_t)(int64_t)tag & TAG_MASK);
}

/** What a receive or a probe wants; the bits that matter in *mask. */
static inline ucp_tag_t tag_wanted(const ompi_communicator_t *comm, int rank, int tag,
                                   ucp_tag_t *mask)
{
    *mask = ALL_BITS;
    if (rank == MPI_ANY_SOURCE) {
        *mask &= ~RANK_MASK;
        rank = 0;
    }
    if (tag == MPI_ANY_TAG) {
        *mask &= ~(TAG_MASK & ~TAG_SIGN);
        tag = 0;
    }
    return tag_of(comm->c_contextid, rank, tag);
}

static inline int tag_rank(ucp_tag_t tag)
{
    return (int)((tag & RANK_MASK) >> TAG_BITS);
}

static inline int tag_tag(ucp_tag_t tag)
{
    return (int)((int64_t)(tag << (64 - TAG_BITS)) >> (64 - TAG_BITS));
}

#endif
