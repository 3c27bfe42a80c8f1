/*
 * The addresses of all ranks of a job, as the agent passes them to its ranks: one sealed memory
 * file for all of them, as they are too many for a packet. What the bytes of one rank's addresses
 * mean only the ranks know.
 */
#ifndef NINJA_ADDRESSES_H
#define NINJA_ADDRESSES_H

#include <stddef.h>
#include <stdint.h>

#define NINJA_ADDRESSES_MAX_RANK (64u * 1024)        /* bytes of one rank */
#define NINJA_ADDRESSES_MAX      (64u * 1024 * 1024) /* bytes of the file */

struct ninja_addresses {
    const void *map; /* NULL: none */
    size_t size;
    uint32_t n_ranks;
};

/**
 * Makes the file.
 *
 * @param ends  for each rank, where its bytes end in data; those of rank 0 begin at 0
 * @return its descriptor, or -1 with errno set
 */
int ninja_addresses_make(const uint32_t *ends, uint32_t n_ranks, const void *data);

/**
 * Maps a file that came from another process: checks its seals, without which it could change or
 * shrink under the reader, its bounds, and that it is of that many ranks. The descriptor is
 * neither kept nor closed.
 *
 * @return NULL, or what is wrong (a constant string; addresses is then empty)
 */
const char *ninja_addresses_map(int fd, uint32_t n_ranks, struct ninja_addresses *addresses);

/** The bytes of one rank, at any alignment. */
const void *ninja_addresses_of(const struct ninja_addresses *addresses, uint32_t rank,
                               size_t *size);

/** Nothing happens if there are none. */
void ninja_addresses_unmap(struct ninja_addresses *addresses);

#endif
