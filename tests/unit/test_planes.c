/* Bit planes: what is packed comes back, and nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "page_maker.h"
#include "stream/planes.h"

static struct page_maker maker;

/* A block of so many pages of one kind; freed by the caller. */
static uint8_t *make_block(enum made kind, size_t pages)
{
    uint8_t *block = malloc(pages * MADE_PAGE);
    for (size_t i = 0; i < pages; i++) {
        page_maker_fill(&maker, kind, block + i * MADE_PAGE);
    }
    return block;
}

static void every_block_comes_back(void **state)
{
    for (int kind = 0; kind < MADE_KINDS; kind++) {
        for (size_t pages = 1; pages <= PLANES_MAX / PLANES_UNIT; pages++) {
            size_t n = pages * MADE_PAGE;
            /* As large as it may get, so that a sanitizer sees one byte more. */
            uint8_t *block = make_block(kind, pages), *packed = malloc(PLANES_ROOM(n)),
                    *got = malloc(n);
            size_t length = planes_pack(block, n, packed);
            assert_in_range(length, 1, PLANES_ROOM(n));
            assert_true(planes_unpack(packed, length, got, n));
            assert_memory_equal(got, block, n);
            free(block);
            free(packed);
            free(got);
        }
    }
}

static void the_layout_is_as_documented(void **state)
{
    uint64_t w[PLANES_UNIT / 8], word;
    uint8_t packed[PLANES_ROOM(PLANES_UNIT)], bits[PLANES_UNIT / 64] = {0};
    for (size_t i = 0; i < PLANES_UNIT / 8; i++) {
        w[i] = i < 64 ? 1 << 5 : 1 << 5 | 1 << 9; /* bit 5 changes in word 0, bit 9 in word 64 */
    }
    assert_int_equal(planes_pack((const uint8_t *)w, sizeof(w), packed), sizeof(bits) + 16);
    bits[5] = 1;      /* plane 5, group 0 of 8 */
    bits[9] = 1 << 1; /* plane 9, group 1 */
    assert_memory_equal(packed, bits, sizeof(bits));
    for (size_t i = 0; i < 2; i++) {
        memcpy(&word, packed + sizeof(bits) + 8 * i, 8);
        assert_int_equal(word, 1);
    }
}

static void numbers_become_shorter(void **state)
{
    uint8_t *block = make_block(MADE_INTEGERS, 16), *packed = malloc(PLANES_ROOM(PLANES_MAX));
    assert_true(planes_pack(block, PLANES_MAX, packed) < PLANES_MAX * 2 / 3);
    free(block);
    free(packed);
}

static void sizes_that_no_block_has_are_refused(void **state)
{
    static const size_t sizes[] = {
        0, 1, 8, 4095, 4097, 6144, PLANES_MAX + 1, PLANES_MAX + PLANES_UNIT};
    uint8_t *bytes = calloc(1, PLANES_ROOM(PLANES_MAX + PLANES_UNIT));
    uint8_t *out = malloc(PLANES_ROOM(PLANES_MAX + PLANES_UNIT));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(planes_pack(bytes, sizes[i], out), 0);
        assert_false(planes_unpack(bytes, sizes[i] / 64, out, sizes[i]));
    }
    free(bytes);
    free(out);
}

static void another_length_is_refused(void **state)
{
    for (int kind = 0; kind < MADE_KINDS; kind++) {
        size_t n = 3 * MADE_PAGE;
        uint8_t *block = make_block(kind, 3), *got = malloc(n),
                *packed = calloc(1, PLANES_ROOM(n) + 8);
        size_t length = planes_pack(block, n, packed);
        for (size_t other = 0; other < length + 8; other += other + 16 < length ? 13 : 1) {
            assert_int_equal(planes_unpack(packed, other, got, n), other == length);
        }
        free(block);
        free(got);
        free(packed);
    }
}

/* Nothing is read or written that is not there: a sanitizer would say so, and a page that is wrong
 * is no error, as the stream has checksums. */
static void any_bytes_are_safe(void **state)
{
    for (int round = 0; round < 3000; round++) {
        size_t n = (1 + page_maker_dice(&maker, 16)) * MADE_PAGE;
        size_t length = page_maker_dice(&maker, (uint32_t)(2 * PLANES_ROOM(n)));
        uint8_t *bytes = malloc(length + 1), *out = malloc(n);
        uint8_t dense = (uint8_t)(1u << page_maker_dice(&maker, 8));
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)(page_maker_dice(&maker, 256) & (dense - 1));
        }
        planes_unpack(bytes, length, out, n);
        free(bytes);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_comes_back),
        cmocka_unit_test(the_layout_is_as_documented),
        cmocka_unit_test(numbers_become_shorter),
        cmocka_unit_test(sizes_that_no_block_has_are_refused),
        cmocka_unit_test(another_length_is_refused),
        cmocka_unit_test(any_bytes_are_safe),
    };
    maker = page_maker_new();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
