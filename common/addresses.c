/*
 * The file: a 32-bit number of ranks; for each rank a 32-bit number, where its bytes end; the
 * bytes. All in host byte order, as both ends run on one machine.
 */
#include "common/addresses.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static size_t head_size(uint32_t n_ranks)
{
    return sizeof(uint32_t) * ((size_t)n_ranks + 1);
}

/* Where the bytes of a rank begin (of the one after the last: where all end). */
static uint32_t start_of(const struct ninja_addresses *addresses, uint32_t rank)
{
    uint32_t start = 0;
    if (rank > 0) {
        memcpy(&start, (const char *)addresses->map + head_size(rank - 1), sizeof(start));
    }
    return start;
}

static int write_all(int fd, struct iovec *iov, int n)
{
    while (n > 0) {
        ssize_t written = writev(fd, iov, n);
        if (written < 0 && errno != EINTR) {
            return -1;
        }
        for (; n > 0 && written >= (ssize_t)iov->iov_len; iov++, n--) {
            written -= (ssize_t)iov->iov_len;
        }
        if (n > 0 && written > 0) {
            iov->iov_base = (char *)iov->iov_base + written;
            iov->iov_len -= (size_t)written;
        }
    }
    return 0;
}

int ninja_addresses_make(const uint32_t *ends, uint32_t n_ranks, const void *data)
{
    size_t n_bytes = n_ranks > 0 ? ends[n_ranks - 1] : 0;
    struct iovec iov[] = {
        {&n_ranks, sizeof(n_ranks)},
        {(void *)ends, sizeof(*ends) * n_ranks},
        {(void *)data, n_bytes},
    };
    if (head_size(n_ranks) + n_bytes > NINJA_ADDRESSES_MAX) {
        errno = EFBIG;
        return -1;
    }
    int fd = memfd_create("ninja-addresses", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (write_all(fd, iov, 3) != 0 || fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL))) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static const char *check(const struct ninja_addresses *addresses, uint32_t n_ranks)
{
    uint32_t n, end = 0;
    if (addresses->size < sizeof(n)) {
        return "too short";
    }
    memcpy(&n, addresses->map, sizeof(n));
    if (n != n_ranks || addresses->size < head_size(n)) {
        return "not of all ranks of this job";
    }
    for (uint32_t rank = 0; rank < n; rank++) {
        uint32_t next = start_of(addresses, rank + 1);
        if (next < end || next - end > NINJA_ADDRESSES_MAX_RANK) {
            return "a length is impossible";
        }
        end = next;
    }
    return addresses->size == head_size(n) + end ? NULL : "lengths do not add up";
}

const char *ninja_addresses_map(int fd, uint32_t n_ranks, struct ninja_addresses *addresses)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    *addresses = (struct ninja_addresses){.n_ranks = n_ranks};
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0) {
        return "not a sealed memory file";
    }
    if (st.st_size <= 0 || st.st_size > NINJA_ADDRESSES_MAX) {
        return "empty or too long";
    }
    /* private: older kernels refuse a shared mapping of a sealed file; the pages are shared all the
     * same */
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        return "it cannot be mapped";
    }
    addresses->map = map;
    addresses->size = (size_t)st.st_size;
    const char *wrong = check(addresses, n_ranks);
    if (wrong != NULL) {
        ninja_addresses_unmap(addresses);
    }
    return wrong;
}

const void *ninja_addresses_of(const struct ninja_addresses *addresses, uint32_t rank, size_t *size)
{
    uint32_t start = start_of(addresses, rank);
    *size = start_of(addresses, rank + 1) - start;
    return (const char *)addresses->map + head_size(addresses->n_ranks) + start;
}

void ninja_addresses_unmap(struct ninja_addresses *addresses)
{
    if (addresses->map != NULL) {
        munmap((void *)addresses->map, addresses->size);
    }
    *addresses = (struct ninja_addresses){0};
}
