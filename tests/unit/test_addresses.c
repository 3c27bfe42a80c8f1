#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/address_list.h"
#include "common/addresses.h"

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static void expect(const struct ninja_addresses *addresses, uint32_t rank, const char *want)
{
    size_t size;
    const void *bytes = ninja_addresses_of(addresses, rank, &size);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(bytes, want, size);
}

static void what_is_made_can_be_read(void **state)
{
    static const uint32_t ends[] = {3, 3, 8};
    struct ninja_addresses addresses;
    int fd = ninja_addresses_make(ends, 3, "onethree");
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GET_SEALS), ALL_SEALS);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_null(ninja_addresses_map(fd, 3, &addresses));
    close(fd);
    expect(&addresses, 0, "one");
    expect(&addresses, 1, "");
    expect(&addresses, 2, "three");
    ninja_addresses_unmap(&addresses);
    assert_null(addresses.map);
    ninja_addresses_unmap(&addresses);
}

static void it_must_be_of_all_ranks(void **state)
{
    static const uint32_t ends[] = {1, 2, 3};
    struct ninja_addresses addresses;
    int fd = ninja_addresses_make(ends, 3, "abc");
    assert_string_equal(ninja_addresses_map(fd, 4, &addresses), "not of all ranks of this job");
    assert_null(addresses.map);
    assert_non_null(ninja_addresses_map(fd, 2, &addresses));
    close(fd);
}

static void too_much_is_refused(void **state)
{
    uint32_t ends[] = {NINJA_ADDRESSES_MAX};
    char *data = calloc(1, NINJA_ADDRESSES_MAX);
    struct ninja_addresses addresses;
    assert_int_equal(ninja_addresses_make(ends, 1, data), -1);
    assert_int_equal(errno, EFBIG);
    ends[0] = NINJA_ADDRESSES_MAX_RANK + 1;
    int fd = ninja_addresses_make(ends, 1, data);
    assert_string_equal(ninja_addresses_map(fd, 1, &addresses), "a length is impossible");
    close(fd);
    ends[0] = NINJA_ADDRESSES_MAX_RANK;
    fd = ninja_addresses_make(ends, 1, data);
    assert_null(ninja_addresses_map(fd, 1, &addresses));
    ninja_addresses_unmap(&addresses);
    close(fd);
    free(data);
}

static int file_of(const void *bytes, size_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void an_unsealed_file_is_refused(void **state)
{
    static const uint32_t good[] = {1, 0};
    static const int too_few[] = {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_WRITE,
                                  F_SEAL_GROW | F_SEAL_WRITE};
    struct ninja_addresses addresses;
    for (size_t i = 0; i < sizeof(too_few) / sizeof(too_few[0]); i++) {
        int fd = file_of(good, sizeof(good), too_few[i]);
        assert_string_equal(ninja_addresses_map(fd, 1, &addresses), "not a sealed memory file");
        close(fd);
    }
    int fd = file_of(good, sizeof(good), ALL_SEALS);
    assert_null(ninja_addresses_map(fd, 1, &addresses));
    ninja_addresses_unmap(&addresses);
    close(fd);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_string_equal(ninja_addresses_map(fd, 1, &addresses), "not a sealed memory file");
    close(fd);
    assert_string_equal(ninja_addresses_map(-1, 1, &addresses), "not a sealed memory file");
}

static void a_malformed_file_is_refused(void **state)
{
    static const struct {
        uint32_t words[6];
        size_t size;
    } bad[] = {
        {{0}, 0},
        {{2}, 3},
        {{2}, 4},
        {{2, 0, 0}, 11},
        {{2, 4, 2, 7}, 16},          /* an end before its begin */
        {{2, 4, 8, 7}, 16},          /* more than there is */
        {{2, 4, 4, 7, 7}, 20},       /* less than there is */
        {{2, 0xffffffff, 0, 7}, 16}, /* wraps round */
        {{3, 0, 0, 0}, 16},          /* another number of ranks */
        {{0xffffffff, 0, 0, 0}, 16},
    };
    struct ninja_addresses addresses;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = file_of(bad[i].words, bad[i].size, ALL_SEALS);
        assert_non_null(ninja_addresses_map(fd, 2, &addresses));
        assert_null(addresses.map);
        close(fd);
    }
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, NINJA_ADDRESSES_MAX + 1), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, ALL_SEALS), 0);
    assert_string_equal(ninja_addresses_map(fd, 0, &addresses), "empty or too long");
    close(fd);
}

/* ---- the list ---- */

/* Encodes and decodes; returns the bytes of the text. */
static size_t there_and_back(const uint32_t *ends, uint32_t n, const uint8_t *data)
{
    char *text = ninja_address_list_encode(ends, n, data);
    uint32_t *got_ends = calloc(n, sizeof(*got_ends));
    void *got;
    assert_non_null(text);
    assert_null(ninja_address_list_decode(text, n, got_ends, &got));
    assert_memory_equal(got_ends, ends, n * sizeof(*ends));
    assert_memory_equal(got, data, ends[n - 1]);
    size_t size = strlen(text);
    free(text);
    free(got_ends);
    free(got);
    return size;
}

static void a_list_of_any_lengths_comes_back(void **state)
{
    unsigned seed = (unsigned)getpid();
    print_message("seed %u\n", seed);
    srandom(seed);
    for (int round = 0; round < 200; round++) {
        uint32_t n = 1 + (uint32_t)random() % 40, ends[40], end = 0;
        uint8_t data[40 * 300];
        for (uint32_t r = 0; r < n; r++) {
            end += 1 + (uint32_t)random() % (round % 2 == 0 ? 3 : 300);
            ends[r] = end;
        }
        for (uint32_t i = 0; i < end; i++) {
            data[i] = (uint8_t)random();
        }
        there_and_back(ends, n, data);
    }
}

/* 1,000 nodes with 10 ranks each, as btl/tcp has them: an address, a port, and the rest the same.
 */
static void what_ranks_have_in_common_takes_little(void **state)
{
    enum { RANKS = 10000, SIZE = 48 };
    uint32_t *ends = calloc(RANKS, sizeof(*ends));
    uint8_t *data = calloc(RANKS, SIZE);
    for (uint32_t r = 0; r < RANKS; r++) {
        uint8_t *of_rank = data + r * SIZE;
        snprintf((char *)of_rank, SIZE, "btl.tcp.4.1");
        memcpy(of_rank + 20, (uint8_t[]){10, 0, (uint8_t)(r / 10 >> 8), (uint8_t)(r / 10)}, 4);
        memcpy(of_rank + 40, (uint8_t[]){4, (uint8_t)(r % 10)}, 2);
        ends[r] = (r + 1) * SIZE;
    }
    assert_true(there_and_back(ends, RANKS, data) < RANKS);
    free(ends);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_can_be_read),
        cmocka_unit_test(it_must_be_of_all_ranks),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(an_unsealed_file_is_refused),
        cmocka_unit_test(a_malformed_file_is_refused),
        cmocka_unit_test(a_list_of_any_lengths_comes_back),
        cmocka_unit_test(what_ranks_have_in_common_takes_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
