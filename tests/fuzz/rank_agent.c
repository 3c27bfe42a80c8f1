/*
 * A rank as a hostile agent speaks to it: one packet, with a descriptor or without, of which the
 * addresses of all ranks are mapped. The first byte says what comes with it, the second one of how
 * many ranks the job is, the third one how much of the rest is the packet; what remains is the
 * file.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rank_proto.h"
#include "tests/fuzz/fuzz.h"

enum companion { NOTHING, SEALED, UNSEALED, SHUT_SOCKET, COMPANIONS };

static int make_file(enum companion companion, const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (companion == SEALED) {
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    }
    return fd;
}

static void read_addresses(int fd, uint32_t n_ranks)
{
    struct ninja_addresses addresses;
    if (ninja_addresses_map(fd, n_ranks, &addresses) != NULL) {
        FUZZ_CHECK(addresses.map == NULL);
        return;
    }
    for (uint32_t rank = 0; rank < n_ranks; rank++) {
        size_t size;
        const void *bytes = ninja_addresses_of(&addresses, rank, &size);
        void *copy = malloc(size + 1);
        FUZZ_CHECK(copy != NULL);
        memcpy(copy, bytes, size); /* all of it is there */
        free(copy);
    }
    ninja_addresses_unmap(&addresses);
}

/* What was understood is said again in the same words. */
static void check_same(const struct ninja_rank_msg *msg, const uint8_t *packet, size_t size)
{
    size_t again_size;
    void *again = ninja_rank_encode(msg, &again_size);
    FUZZ_CHECK(again != NULL && again_size == size && memcmp(again, packet, size) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum companion companion = fuzz_byte(&data, &size) % COMPANIONS;
    uint32_t n_ranks = fuzz_byte(&data, &size);
    size_t packet = fuzz_byte(&data, &size);
    packet = packet < size ? packet : size;
    int pair[2], file = -1, passed = -1;
    struct ninja_rank_msg msg;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    if (companion == SEALED || companion == UNSEALED) {
        file = make_file(companion, data + packet, size - packet);
    } else if (companion == SHUT_SOCKET) {
        packet = size; /* and nothing after it */
    }
    if (packet > 0) {
        FUZZ_CHECK(ninja_rank_send_packet(pair[0], data, packet, file, MSG_DONTWAIT) == 0);
    }
    if (companion == SHUT_SOCKET) {
        shutdown(pair[0], SHUT_RDWR);
    }
    while (ninja_rank_recv(pair[1], MSG_DONTWAIT, &msg, &passed) == 1) {
        check_same(&msg, data, packet);
        ninja_rank_msg_clear(&msg);
        if (passed >= 0) {
            read_addresses(passed, n_ranks);
            close(passed);
        }
    }
    FUZZ_CHECK(passed == -1 || fcntl(passed, F_GETFD) < 0);
    if (file >= 0) {
        close(file);
    }
    close(pair[0]);
    close(pair[1]);
    return 0;
}
