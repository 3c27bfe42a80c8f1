/* Pages scanned and coded on a GPU: by the kernels themselves, compiled for the host, and a driver
 * without a GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <lz4.h>
#include <pthread.h>
#include <sodium.h>

#include "fake_cuda.h"
#include "page_maker.h"
#include "stream/gpu/engine.h"
#include "stream/gpu/image.h"

enum { PAGES = 150, ALL = 1 << BLOCK_LZ4 | 1 << BLOCK_PLANES | 1 << BLOCK_PLANES_LZ4, THREADS = 3 };

static struct page_maker maker;
static const uint8_t key[64] = "a key of up to sixty-four bytes, of which some are used";
static void (*fail_after)(int calls);
static int (*calls)(void), (*held)(void);

static struct gpu_engine_options usual(void)
{
    return (struct gpu_engine_options){.gpu = true,
                                       .batch_pages = PAGES,
                                       .block_pages = BLOCK_MAX_PAGES,
                                       .codecs = ALL,
                                       .hash_bytes = 32,
                                       .key = key,
                                       .key_bytes = 32,
                                       .gpu_library = FAKE_CUDA,
                                       .gpu_image = "not looked at"};
}

static struct gpu_engine *make_engine(const struct gpu_engine_options *options)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct gpu_engine *engine = gpu_engine_new(options, &err);
    assert_string_equal(err.message, "");
    assert_non_null(engine);
    return engine;
}

static struct gpu_batch *make_batch(struct gpu_engine *engine)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct gpu_batch *batch = gpu_batch_new(engine, &err);
    assert_string_equal(err.message, "");
    assert_non_null(batch);
    return batch;
}

/* Runs of pages of one kind, as guests have them; or of that kind alone. */
static void fill(struct gpu_batch *batch, uint32_t pages, int only)
{
    int kind = 0;
    for (uint32_t i = 0; i < pages; i++) {
        if (i == 0 || page_maker_dice(&maker, 9) == 0) {
            kind = (int)page_maker_dice(&maker, MADE_KINDS);
        }
        page_maker_fill(&maker, only >= 0 ? only : kind, batch->pages + (size_t)i * GPU_PAGE);
    }
    batch->n_pages = pages;
}

static const uint8_t *page_at(const struct gpu_batch *batch, uint32_t i)
{
    return batch->pages + (size_t)i * GPU_PAGE;
}

static void check_scan(const struct gpu_batch *batch, const struct gpu_engine_options *options)
{
    for (uint32_t i = 0; i < batch->n_pages; i++) {
        uint8_t hash[GPU_HASH_MAX];
        uint64_t first;
        const uint8_t *page = page_at(batch, i);
        memcpy(&first, page, 8);
        bool same = memcmp(page, page + 8, GPU_PAGE - 8) == 0;
        assert_int_equal(batch->kind[i], !same ? GPU_LITERAL : first ? GPU_SAME : GPU_ZERO);
        assert_int_equal(batch->page[i].value, first);
        crypto_generichash(hash, options->hash_bytes, page, GPU_PAGE, options->key,
                           options->key_bytes);
        assert_memory_equal(hash, batch->page[i].hash, options->hash_bytes);
    }
}

/* Decodes all blocks and compares; returns their bytes. */
static size_t check_blocks(const struct gpu_batch *batch, const struct gpu_engine_options *options)
{
    size_t all = 0, end = 0;
    assert_int_equal(batch->n_blocks,
                     (batch->n_listed + options->block_pages - 1) / options->block_pages);
    for (uint32_t b = 0; b < batch->n_blocks; b++) {
        const struct block_facts *block = &batch->block[b];
        uint32_t first = b * options->block_pages, left = batch->n_listed - first;
        uint32_t pages = left < options->block_pages ? left : options->block_pages;
        size_t n = (size_t)pages * GPU_PAGE;
        uint8_t *got = malloc(n), *coded = malloc(block->length);
        assert_in_range(block->length, 1, n);
        all += block->length;
        if (block->codec != BLOCK_RAW) {
            assert_true(block->offset >= end);
            assert_true(options->codecs >> block->codec & 1);
            assert_true(block->length < n);
            end = block->offset + block->length;
            memcpy(coded, batch->out + block->offset, block->length);
            assert_true(gpu_block_decode(block->codec, coded, block->length, got, n));
            for (uint32_t i = 0; i < pages; i++) {
                assert_memory_equal(got + (size_t)i * GPU_PAGE,
                                    page_at(batch, batch->list[first + i]), GPU_PAGE);
            }
        } else {
            assert_int_equal(block->length, n);
        }
        free(got);
        free(coded);
    }
    return all;
}

/* by: who has done it all */
static void finish(struct gpu_engine *engine, struct gpu_batch *batch, const char *by)
{
    assert_string_equal(gpu_engine_name(engine), by);
    gpu_batch_free(batch);
    gpu_engine_free(engine);
    assert_int_equal(held(), 0);
}

static void a_scan_says_what_pages_are(void **state)
{
    static const size_t lengths[][2] = {{32, 32}, {16, 16}, {32, 0}, {20, 64}, {31, 1}};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct gpu_engine_options options = usual();
        options.hash_bytes = lengths[i][0];
        options.key_bytes = lengths[i][1];
        struct gpu_engine *engine = make_engine(&options);
        struct gpu_batch *batch = make_batch(engine);
        assert_string_equal(gpu_engine_why(engine), "");
        assert_string_equal(gpu_engine_name(engine), "fake GPU");
        fill(batch, PAGES, -1);
        gpu_batch_scan(batch);
        check_scan(batch, &options);
        finish(engine, batch, "fake GPU");
    }
}

static void blocks_of_any_size_come_back(void **state)
{
    static const uint32_t sets[] = {ALL, 1 << BLOCK_LZ4, 1 << BLOCK_PLANES, 1 << BLOCK_PLANES_LZ4,
                                    0};
    static const uint32_t sizes[] = {1, 2, 3, 7, 16};
    for (size_t i = 0; i < 25; i++) {
        struct gpu_engine_options options = usual();
        options.codecs = sets[i % 5];
        options.block_pages = sizes[i / 5];
        options.gpu_table_bits = i % 3 == 0 ? 0 : 8 + (uint32_t)(i % 5);
        struct gpu_engine *engine = make_engine(&options);
        struct gpu_batch *batch = make_batch(engine);
        fill(batch, 1 + page_maker_dice(&maker, PAGES), -1);
        gpu_batch_scan(batch);
        gpu_batch_code(batch);
        check_blocks(batch, &options);
        finish(engine, batch, "fake GPU");
    }
}

static size_t size_by_liblz4(const struct gpu_batch *batch)
{
    size_t all = 0;
    for (uint32_t first = 0; first < batch->n_pages; first += BLOCK_MAX_PAGES) {
        uint32_t left = batch->n_pages - first,
                 pages = left < BLOCK_MAX_PAGES ? left : BLOCK_MAX_PAGES;
        char *out = malloc((size_t)LZ4_compressBound(BLOCK_MAX_BYTES));
        int n = (int)(pages * GPU_PAGE);
        int length =
            LZ4_compress_default((const char *)page_at(batch, first), out, n, LZ4_compressBound(n));
        all += (size_t)(length < n ? length : n);
        free(out);
    }
    return all;
}

static void they_are_about_as_short_as_by_liblz4(void **state)
{
    struct gpu_engine_options options = usual();
    options.codecs = 1 << BLOCK_LZ4;
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch = make_batch(engine);
    for (int kind = MADE_RANDOM; kind < MADE_KINDS; kind++) {
        fill(batch, PAGES, kind);
        gpu_batch_scan(batch);
        gpu_batch_code(batch);
        size_t ours = check_blocks(batch, &options), liblz4 = size_by_liblz4(batch);
        print_message("kind %d: %zu bytes, liblz4 %zu\n", kind, ours, liblz4);
        assert_true(ours <= liblz4 + liblz4 / 10);
    }
    finish(engine, batch, "fake GPU");
}

/* A page may be like one that another warp codes. */
static void matches_go_back_to_the_beginning_of_a_block(void **state)
{
    struct gpu_engine_options options = usual();
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch = make_batch(engine);
    fill(batch, BLOCK_MAX_PAGES, MADE_RANDOM);
    for (uint32_t i = 4; i < BLOCK_MAX_PAGES; i++) {
        memcpy(batch->pages + (size_t)i * GPU_PAGE, page_at(batch, i % 4), GPU_PAGE);
    }
    gpu_batch_scan(batch);
    gpu_batch_code(batch);
    assert_in_range(check_blocks(batch, &options), 4 * GPU_PAGE, 5 * GPU_PAGE);
    finish(engine, batch, "fake GPU");
}

static void what_cannot_be_shortened_stays_where_it_is(void **state)
{
    struct gpu_engine_options options = usual();
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch = make_batch(engine);
    fill(batch, PAGES, MADE_RANDOM);
    gpu_batch_scan(batch);
    gpu_batch_code(batch);
    for (uint32_t i = 0; i < batch->n_blocks; i++) {
        assert_int_equal(batch->block[i].codec, BLOCK_RAW);
    }
    finish(engine, batch, "fake GPU");
}

static void only_the_pages_of_the_list_are_coded(void **state)
{
    struct gpu_engine_options options = usual();
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch = make_batch(engine);
    fill(batch, PAGES, MADE_TEXT);
    gpu_batch_scan(batch);
    assert_int_equal(batch->n_listed, PAGES);
    for (uint32_t i = 0; i < 20; i++) {
        batch->list[i] = PAGES - 1 - 7 * i; /* in another order, too */
    }
    batch->n_listed = 20;
    gpu_batch_code(batch);
    assert_int_equal(batch->n_blocks, 2);
    check_blocks(batch, &options);
    batch->n_listed = 0;
    gpu_batch_code(batch);
    assert_int_equal(batch->n_blocks, 0);
    finish(engine, batch, "fake GPU");
}

static void without_a_gpu_the_cpu_does_it(void **state)
{
    static const struct {
        bool gpu, image;
        const char *library, *why;
    } cases[] = {
        {false, true, FAKE_CUDA, "no GPU was asked for"},
        {true, true, "/there/is/none/libcuda.so.1", "there is no driver for a GPU"},
        {true, true, "libc.so.6", "has no cuInit"},
        {true, false, FAKE_CUDA, "was built without kernels"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gpu_engine_options options = usual();
        if (!cases[i].image && gpu_image() != NULL) {
            continue;
        }
        options.gpu = cases[i].gpu;
        options.gpu_image = cases[i].image ? options.gpu_image : NULL;
        options.gpu_library = cases[i].library;
        options.codecs |= 1 << BLOCK_ZSTD;
        struct gpu_engine *engine = make_engine(&options);
        struct gpu_batch *batch = make_batch(engine);
        assert_non_null(strstr(gpu_engine_why(engine), cases[i].why));
        fill(batch, PAGES, -1);
        gpu_batch_scan(batch);
        check_scan(batch, &options);
        gpu_batch_code(batch);
        check_blocks(batch, &options);
        finish(engine, batch, "CPU");
    }
}

/* Begins, and does two batches, with a driver that fails after so many calls; returns the calls. */
static int run_with_failure(int after)
{
    struct gpu_engine_options options = usual();
    fail_after(after);
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch = make_batch(engine);
    for (int round = 0; round < 2; round++) {
        fill(batch, 40, -1);
        gpu_batch_scan(batch);
        check_scan(batch, &options);
        gpu_batch_code(batch);
        check_blocks(batch, &options);
    }
    int n = calls();
    bool failed = after >= 0 && n > after;
    if (failed) {
        assert_non_null(strstr(gpu_engine_why(engine), "unspecified launch failure"));
    }
    finish(engine, batch, failed ? "CPU" : "fake GPU");
    fail_after(-1);
    return n;
}

static void a_gpu_that_fails_is_left_and_nothing_is_lost(void **state)
{
    int all = run_with_failure(-1);
    assert_true(all > 50);
    for (int after = 0; after < all; after++) {
        run_with_failure(after);
    }
}

static void *use_a_batch(void *arg)
{
    struct gpu_batch *batch = arg;
    for (int round = 0; round < 5; round++) {
        gpu_batch_scan(batch);
        gpu_batch_code(batch);
    }
    return NULL;
}

static void batches_do_not_disturb_each_other(void **state)
{
    struct gpu_engine_options options = usual();
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        batch[i] = make_batch(engine);
        fill(batch[i], 60, -1);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, use_a_batch, batch[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        check_scan(batch[i], &options);
        check_blocks(batch[i], &options);
        gpu_batch_free(batch[i]);
    }
    gpu_engine_free(engine);
    assert_int_equal(held(), 0);
}

/* A block with bytes that are wrong, or too few: no memory is touched that is not there. A
 * sanitizer sees it. */
static void hostile_blocks_are_safe(void **state)
{
    struct gpu_engine_options options = usual();
    struct gpu_engine *engine = make_engine(&options);
    struct gpu_batch *batch = make_batch(engine);
    for (int round = 0; round < 60; round++) {
        fill(batch, BLOCK_MAX_PAGES, 2 + round % (MADE_KINDS - 2));
        gpu_batch_scan(batch);
        gpu_batch_code(batch);
        size_t n = (size_t)batch->n_listed * GPU_PAGE;
        for (int i = 0; i < 30 && batch->block[0].codec != BLOCK_RAW; i++) {
            size_t length = 1 + page_maker_dice(&maker, batch->block[0].length);
            uint8_t *bytes = malloc(length), *out = malloc(n);
            memcpy(bytes, batch->out + batch->block[0].offset, length);
            bytes[page_maker_dice(&maker, (uint32_t)length)] ^=
                (uint8_t)(1 + page_maker_dice(&maker, 255));
            gpu_block_decode(batch->block[0].codec, bytes, length, out, n);
            gpu_block_decode(page_maker_dice(&maker, BLOCK_CODECS + 2), bytes, length, out, n);
            free(bytes);
            free(out);
        }
    }
    finish(engine, batch, "fake GPU");
}

static void what_is_no_block_is_refused(void **state)
{
    uint8_t bytes[GPU_PAGE] = {0}, out[GPU_PAGE];
    assert_false(gpu_block_decode(BLOCK_RAW, bytes, GPU_PAGE - 1, out, GPU_PAGE));
    assert_false(gpu_block_decode(BLOCK_RAW, bytes, GPU_PAGE, out, 0));
    assert_false(gpu_block_decode(BLOCK_RAW, bytes, 100, out, 100));
    assert_false(gpu_block_decode(BLOCK_LZ4, bytes, 0, out, GPU_PAGE));
    assert_false(gpu_block_decode(BLOCK_ZSTD, bytes, GPU_PAGE, out, GPU_PAGE));
    assert_false(gpu_block_decode(BLOCK_CODECS, bytes, GPU_PAGE, out, GPU_PAGE));
    assert_true(gpu_block_decode(BLOCK_RAW, bytes, GPU_PAGE, out, GPU_PAGE));
}

static void options_out_of_bounds_are_refused(void **state)
{
    for (int i = 0; i < 6; i++) {
        struct gpu_engine_options options = usual();
        struct ninja_error err = NINJA_ERROR_INIT;
        options.batch_pages = i == 0 ? 0 : i == 1 ? GPU_BATCH_MAX + 1 : PAGES;
        options.block_pages = i == 2 ? 0 : i == 3 ? BLOCK_MAX_PAGES + 1 : 1;
        options.key_bytes = i == 4 ? 65 : 32;
        options.hash_bytes = i == 5 ? GPU_HASH_MAX + 1 : 32;
        assert_null(gpu_engine_new(&options, &err));
        assert_int_equal(err.class, ERR_BAD_ARGUMENT);
    }
}

static void *look_up(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return symbol;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_says_what_pages_are),
        cmocka_unit_test(blocks_of_any_size_come_back),
        cmocka_unit_test(they_are_about_as_short_as_by_liblz4),
        cmocka_unit_test(matches_go_back_to_the_beginning_of_a_block),
        cmocka_unit_test(what_cannot_be_shortened_stays_where_it_is),
        cmocka_unit_test(only_the_pages_of_the_list_are_coded),
        cmocka_unit_test(without_a_gpu_the_cpu_does_it),
        cmocka_unit_test(a_gpu_that_fails_is_left_and_nothing_is_lost),
        cmocka_unit_test(batches_do_not_disturb_each_other),
        cmocka_unit_test(hostile_blocks_are_safe),
        cmocka_unit_test(what_is_no_block_is_refused),
        cmocka_unit_test(options_out_of_bounds_are_refused),
    };
    void *library = dlopen(FAKE_CUDA, RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&fail_after = look_up(library, "fake_cuda_fail_after");
    *(void **)&calls = look_up(library, "fake_cuda_calls");
    *(void **)&held = look_up(library, "fake_cuda_held");
    maker = page_maker_new();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
