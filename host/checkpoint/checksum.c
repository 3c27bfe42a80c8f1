#include "host/checkpoint/checksum.h"

void checksum_begin(struct checksum *checksum)
{
    crypto_generichash_init(&checksum->state, NULL, 0, crypto_generichash_BYTES);
}

void checksum_add(struct checksum *checksum, const void *data, size_t size)
{
    crypto_generichash_update(&checksum->state, data, size);
}

void checksum_end(struct checksum *checksum, char text[CHECKSUM_SIZE])
{
    unsigned char hash[crypto_generichash_BYTES];
    crypto_generichash_final(&checksum->state, hash, sizeof(hash));
    sodium_bin2hex(text, CHECKSUM_SIZE, hash, sizeof(hash));
}
