#include "stream/gpu/engine.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host/base/memory.h"
#include "stream/gpu/block.h"
#include "stream/gpu/blake2b.h"
#include "stream/gpu/slot.h"
#include "stream/gpu/job.h"

enum { KEY_MAX_BYTES = crypto_generichash_KEYBYTES_MAX, BLAKE2B_BYTES = 128 };

struct gpu_engine {
    struct gpu_engine_options options;
    uint8_t key[KEY_MAX_BYTES];
    uint64_t state[8]; /* of the hash, when the key is in it */
    pthread_mutex_t lock;
    struct gpu *gpu; /* also when it is not used any more: batches have slots on it */
    bool gpu_works;
    char why[sizeof(((struct ninja_error *)0)->message)];
};

struct own_batch {
    struct gpu_batch shown;
    struct gpu_engine *engine;
    struct gpu_slot *slot; /* NULL: there is no GPU */
    bool on_gpu;           /* where the pages of the last scan are */
    size_t bytes;          /* of all that it maps */
};

/* The state that BLAKE2b has when the key, if there is one, is in it (RFC 7693, 3.3). */
static void begin_hash(struct gpu_engine *engine)
{
    static const uint64_t iv[8] = BLAKE2B_IV;
    size_t key_bytes = engine->options.key_bytes;
    memcpy(engine->state, iv, sizeof(iv));
    engine->state[0] ^= 0x01010000 ^ key_bytes << 8 ^ engine->options.hash_bytes;
    if (key_bytes > 0) {
        uint64_t block[16] = {0};
        memcpy(block, engine->key, key_bytes);
        blake2b_compress(engine->state, block, BLAKE2B_BYTES, 0);
    }
}

static bool are_possible(const struct gpu_engine_options *o, struct ninja_error *err)
{
    if (o->batch_pages < 1 || o->batch_pages > GPU_BATCH_MAX || o->block_pages < 1 ||
        o->block_pages > BLOCK_MAX_PAGES || o->key_bytes > KEY_MAX_BYTES ||
        o->hash_bytes > GPU_HASH_MAX || o->hash_bytes < crypto_generichash_BYTES_MIN) {
        return ninja_error_set(
            err, ERR_BAD_ARGUMENT,
            "a batch of %u pages, a block of %u, a key of %zu bytes, a hash of %zu", o->batch_pages,
            o->block_pages, o->key_bytes, o->hash_bytes);
    }
    return sodium_init() >= 0 || ninja_error_set(err, ERR_FAILED, "libsodium does not start");
}

/* The GPU is not used from now on. */
static void leave_gpu(struct gpu_engine *engine, const struct ninja_error *err)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->gpu_works || engine->why[0] == '\0') {
        engine->gpu_works = false;
        snprintf(engine->why, sizeof(engine->why), "%s", err->message);
    }
    pthread_mutex_unlock(&engine->lock);
}

static bool gpu_works(struct gpu_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool works = engine->gpu_works;
    pthread_mutex_unlock(&engine->lock);
    return works;
}

static void find_gpu(struct gpu_engine *engine)
{
    struct ninja_error none = NINJA_ERROR_INIT;
    struct gpu_options options = {.library = engine->options.gpu_library,
                                  .image = engine->options.gpu_image,
                                  .table_bits = engine->options.gpu_table_bits};
    if (!engine->options.gpu) {
        ninja_error_set(&none, ERR_ABSENT, "no GPU was asked for");
    } else {
        engine->gpu = gpu_open(&options, &none);
    }
    engine->gpu_works = engine->gpu != NULL;
    if (!engine->gpu) {
        leave_gpu(engine, &none);
    }
}

struct gpu_engine *gpu_engine_new(const struct gpu_engine_options *options, struct ninja_error *err)
{
    if (!are_possible(options, err)) {
        return NULL;
    }
    struct gpu_engine *engine = xcalloc(1, sizeof(*engine));
    engine->options = *options;
    memcpy(engine->key, options->key ? options->key : (const uint8_t *)"", options->key_bytes);
    engine->options.key = engine->key;
    pthread_mutex_init(&engine->lock, NULL);
    begin_hash(engine);
    find_gpu(engine);
    return engine;
}

const char *gpu_engine_name(struct gpu_engine *engine)
{
    return gpu_works(engine) ? gpu_name(engine->gpu) : "CPU";
}

const char *gpu_engine_why(struct gpu_engine *engine)
{
    return gpu_works(engine) ? "" : engine->why;
}

void gpu_engine_free(struct gpu_engine *engine)
{
    if (engine) {
        gpu_close(engine->gpu);
        pthread_mutex_destroy(&engine->lock);
        sodium_memzero(engine, sizeof(*engine));
        free(engine);
    }
}

/* One piece of memory for all of a batch's arrays, each at the beginning of a page, as they are
 * pinned one by one. */
static bool map_arrays(struct own_batch *batch)
{
    struct gpu_batch *b = &batch->shown;
    const struct gpu_engine_options *o = &batch->engine->options;
    size_t n = o->batch_pages, at = 0;
    struct {
        void **array;
        size_t bytes;
    } arrays[] = {
        {(void **)&b->pages, n * GPU_PAGE},          {(void **)&b->out, n * GPU_PAGE},
        {(void **)&b->page, n * sizeof(*b->page)},   {(void **)&b->list, n * sizeof(*b->list)},
        {(void **)&b->block, n * sizeof(*b->block)}, {(void **)&b->kind, n},
    };
    size_t n_arrays = sizeof(arrays) / sizeof(arrays[0]);
    for (size_t i = 0; i < n_arrays; i++) {
        arrays[i].bytes = (arrays[i].bytes + GPU_PAGE - 1) / GPU_PAGE * GPU_PAGE;
        batch->bytes += arrays[i].bytes;
    }
    uint8_t *memory =
        mmap(NULL, batch->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    madvise(memory, batch->bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n_arrays; at += arrays[i++].bytes) {
        *arrays[i].array = memory + at;
    }
    return true;
}

static void take_slot(struct own_batch *batch)
{
    struct gpu_engine *engine = batch->engine;
    struct gpu_batch *b = &batch->shown;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (!gpu_works(engine)) {
        return;
    }
    struct gpu_buffers buffers = {.pages = b->pages,
                                  .out = b->out,
                                  .page = b->page,
                                  .kind = b->kind,
                                  .block = b->block,
                                  .list = b->list,
                                  .max_pages = engine->options.batch_pages,
                                  .block_pages = engine->options.block_pages};
    batch->slot = gpu_slot_new(engine->gpu, &buffers, &err);
    if (!batch->slot) {
        leave_gpu(engine, &err);
    }
}

struct gpu_batch *gpu_batch_new(struct gpu_engine *engine, struct ninja_error *err)
{
    struct own_batch *batch = xcalloc(1, sizeof(*batch));
    batch->engine = engine;
    if (!map_arrays(batch)) {
        ninja_error_set(err, ERR_NO_MEMORY, "there is no memory for a batch of %u pages",
                        engine->options.batch_pages);
        free(batch);
        return NULL;
    }
    take_slot(batch);
    return &batch->shown;
}

void gpu_batch_free(struct gpu_batch *shown)
{
    struct own_batch *batch = (struct own_batch *)shown;
    if (batch) {
        gpu_slot_free(batch->slot);
        munmap(batch->shown.pages, batch->bytes);
        free(batch);
    }
}

/* Whether the GPU did it; if it did not, it is left. */
static bool by_gpu(struct own_batch *batch, bool done, const struct ninja_error *err)
{
    if (!done) {
        leave_gpu(batch->engine, err);
    }
    return done;
}

static enum gpu_kind scan_page(const struct gpu_engine *engine, const uint8_t *page,
                               struct page_facts *facts)
{
    uint64_t first;
    memcpy(&first, page, sizeof(first));
    bool same = memcmp(page, page + sizeof(first), GPU_PAGE - sizeof(first)) == 0;
    facts->value = first;
    crypto_generichash(facts->hash, engine->options.hash_bytes, page, GPU_PAGE, engine->key,
                       engine->options.key_bytes);
    return !same ? GPU_LITERAL : first ? GPU_SAME : GPU_ZERO;
}

void gpu_batch_scan(struct gpu_batch *b)
{
    struct own_batch *batch = (struct own_batch *)b;
    struct gpu_engine *engine = batch->engine;
    struct ninja_error err = NINJA_ERROR_INIT;
    uint32_t hashed = engine->options.key_bytes > 0 ? BLAKE2B_BYTES : 0;
    batch->on_gpu =
        batch->slot && gpu_works(engine) && b->n_pages > 0 &&
        by_gpu(batch, gpu_scan(batch->slot, b->n_pages, engine->state, hashed, &err), &err);
    b->n_listed = 0;
    for (uint32_t i = 0; i < b->n_pages; i++) {
        if (!batch->on_gpu) {
            b->kind[i] = (uint8_t)scan_page(engine, b->pages + (size_t)i * GPU_PAGE, &b->page[i]);
        }
        if (b->kind[i] == GPU_LITERAL) {
            b->list[b->n_listed++] = i;
        }
    }
}

/* Codes block i to the end of what is there; returns the new end. */
static uint32_t code_block(struct own_batch *batch, uint32_t i, uint32_t end)
{
    struct gpu_batch *b = &batch->shown;
    const struct gpu_engine_options *o = &batch->engine->options;
    uint8_t raw[BLOCK_MAX_BYTES], coded[BLOCK_MAX_BYTES];
    uint32_t first = i * o->block_pages, left = b->n_listed - first;
    uint32_t n = left < o->block_pages ? left : o->block_pages;
    for (uint32_t k = 0; k < n; k++) {
        memcpy(raw + (size_t)k * GPU_PAGE, b->pages + (size_t)b->list[first + k] * GPU_PAGE,
               GPU_PAGE);
    }
    struct block_facts facts = gpu_block_code(o->codecs, raw, (size_t)n * GPU_PAGE, coded);
    facts.offset = end;
    b->block[i] = facts;
    if (facts.codec == BLOCK_RAW) {
        return end;
    }
    memcpy(b->out + end, coded, facts.length);
    return end + (facts.length + GPU_ALIGN - 1) / GPU_ALIGN * GPU_ALIGN;
}

void gpu_batch_code(struct gpu_batch *b)
{
    struct own_batch *batch = (struct own_batch *)b;
    struct gpu_engine *engine = batch->engine;
    struct ninja_error err = NINJA_ERROR_INIT;
    uint32_t block_pages = engine->options.block_pages, end = 0;
    b->n_blocks = (b->n_listed + block_pages - 1) / block_pages;
    if (b->n_blocks == 0 ||
        (batch->on_gpu && gpu_works(engine) &&
         by_gpu(batch, gpu_code(batch->slot, b->n_listed, engine->options.codecs, &err), &err))) {
        return;
    }
    for (uint32_t i = 0; i < b->n_blocks; i++) {
        end = code_block(batch, i, end);
    }
}
