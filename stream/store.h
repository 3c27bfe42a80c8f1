/*
 * Pages that both sides have seen, so that one that comes again is sent as a reference. Both count
 * the pages that are put in; the sender keeps their hashes, the receiver their content, and both
 * forget the oldest one when there are too many. So a reference needs no answer: what the sender
 * still has, the receiver has as well.
 *
 * The hash is BLAKE2b with a key drawn for this stream, which no guest knows. A guest can thus
 * neither make two pages of one hash, nor say the hash of a page that it has not got.
 */
#ifndef NINJA_STREAM_STORE_H
#define NINJA_STREAM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_HASH_BYTES 16
#define STORE_MIN_PAGES  256

struct page_hash {
    uint8_t bytes[STORE_HASH_BYTES];
};

/* ---- at the sender ---- */

struct hashes;

/** For that many pages, at least STORE_MIN_PAGES. Freed with hashes_free(). */
struct hashes *hashes_new(uint32_t pages);
void hashes_free(struct hashes *hashes);

/** The hash of a page; from any thread. */
void hashes_of(const struct hashes *hashes, const uint8_t *page, struct page_hash *hash);

/**
 * Looks a page up, and puts it in if it is not there.
 *
 * @param back  out: how many pages ago it was put in
 * @return whether it was there
 */
bool hashes_find(struct hashes *hashes, const struct page_hash *hash, uint32_t *back);

/* ---- at the receiver ---- */

struct pages;

struct pages *pages_new(uint32_t pages);
void pages_free(struct pages *pages);

/** Puts a page in; copied. */
void pages_add(struct pages *pages, const uint8_t *page);

/** The page that was put in so many pages ago; NULL: there is none. */
const uint8_t *pages_find(const struct pages *pages, uint32_t back);

#endif
