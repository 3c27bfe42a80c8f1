/*
 * The key of encrypted images. It comes from a file of 32 to 4096 bytes, drawn at random, which
 * only its owner can read. What the file has is hashed, and keys for one purpose each are derived
 * from that: one for images, one for the seal of manifests, and an ID by which the key is
 * recognised and which tells nothing of the others.
 */
#ifndef NINJA_IMAGE_KEY_H
#define NINJA_IMAGE_KEY_H

#include <sodium.h>
#include <stdbool.h>

#include "common/error.h"

#define IMAGE_KEY_NONE    "none" /* in place of a file: images are not encrypted */
#define IMAGE_KEY_BYTES   crypto_secretstream_xchacha20poly1305_KEYBYTES
#define IMAGE_KEY_ID_SIZE (2 * crypto_kdf_BYTES_MIN + 1) /* in hexadecimal */
#define IMAGE_SEAL_SIZE   (2 * crypto_generichash_BYTES + 1)

struct image_key {
    const char *path; /* of its file; borrowed */
    char id[IMAGE_KEY_ID_SIZE];
    unsigned char images[IMAGE_KEY_BYTES];
    unsigned char seals[crypto_generichash_KEYBYTES];
};

/**
 * Reads a key.
 *
 * @param key  to be given to image_key_forget()
 * @return false with err, class ERR_REFUSED: it is no such file, or has no such key
 */
bool image_key_read(struct image_key *key, const char *path, struct ninja_error *err);

/** The seal of a text: who has not got the key cannot make one. */
void image_key_seal(const struct image_key *key, const char *text, char seal[IMAGE_SEAL_SIZE]);

void image_key_forget(struct image_key *key);

#endif
