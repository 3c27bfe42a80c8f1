/*
 * The sender's hashes are a ring of the pages that are there, and a table of chains in it. A chain
 * is cut where it leads to a page that was forgotten: what is behind is older still.
 */
#include "stream/store.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host/base/memory.h"
#include "stream/parser.h"

struct entry {
    struct page_hash hash;
    uint64_t older; /* number of the one before it in its chain, plus one; 0: none */
};

struct hashes {
    uint8_t key[crypto_generichash_KEYBYTES];
    uint32_t size;
    uint64_t count; /* of pages that were put in */
    struct entry *ring;
    uint64_t *chains; /* number of the newest one, plus one */
};

struct hashes *hashes_new(uint32_t pages)
{
    struct hashes *hashes = xcalloc(1, sizeof(*hashes));
    hashes->size = pages > STORE_MIN_PAGES ? pages : STORE_MIN_PAGES;
    hashes->ring = xcalloc(hashes->size, sizeof(*hashes->ring));
    hashes->chains = xcalloc(hashes->size, sizeof(*hashes->chains));
    crypto_generichash_keygen(hashes->key);
    return hashes;
}

void hashes_free(struct hashes *hashes)
{
    if (hashes != NULL) {
        sodium_memzero(hashes->key, sizeof(hashes->key));
        free(hashes->ring);
        free(hashes->chains);
        free(hashes);
    }
}

void hashes_of(const struct hashes *hashes, const uint8_t *page, struct page_hash *hash)
{
    crypto_generichash(hash->bytes, sizeof(hash->bytes), page, PAGE_BYTES, hashes->key,
                       sizeof(hashes->key));
}

static bool is_there(const struct hashes *hashes, uint64_t number)
{
    return number > 0 && hashes->count - (number - 1) <= hashes->size;
}

static struct entry *entry_of(const struct hashes *hashes, uint64_t number)
{
    return &hashes->ring[(number - 1) % hashes->size];
}

bool hashes_find(struct hashes *hashes, const struct page_hash *hash, uint32_t *back)
{
    uint64_t where;
    memcpy(&where, hash->bytes, sizeof(where));
    uint64_t *chain = &hashes->chains[where % hashes->size];
    for (uint64_t number = *chain; is_there(hashes, number);
         number = entry_of(hashes, number)->older) {
        if (memcmp(&entry_of(hashes, number)->hash, hash, sizeof(*hash)) == 0) {
            *back = (uint32_t)(hashes->count - (number - 1));
            return true;
        }
    }
    uint64_t older = *chain;
    *chain = ++hashes->count;
    *entry_of(hashes, hashes->count) = (struct entry){.hash = *hash, .older = older};
    return false;
}

struct pages {
    uint32_t size;
    uint64_t count;
    uint8_t *ring;
};

/* Memory that is never written to costs nothing. */
struct pages *pages_new(uint32_t pages)
{
    struct pages *store = xcalloc(1, sizeof(*store));
    store->size = pages > STORE_MIN_PAGES ? pages : STORE_MIN_PAGES;
    void *ring = mmap(NULL, (size_t)store->size * PAGE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    store->ring = xchecked(ring == MAP_FAILED ? NULL : ring);
    return store;
}

void pages_free(struct pages *store)
{
    if (store != NULL) {
        munmap(store->ring, (size_t)store->size * PAGE_BYTES);
        free(store);
    }
}

void pages_add(struct pages *store, const uint8_t *page)
{
    memcpy(store->ring + store->count++ % store->size * PAGE_BYTES, page, PAGE_BYTES);
}

const uint8_t *pages_find(const struct pages *store, uint32_t back)
{
    if (back == 0 || back > store->size || back > store->count) {
        return NULL;
    }
    return store->ring + (store->count - back) % store->size * PAGE_BYTES;
}
