#include "host/checkpoint/key.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/descriptor.h"
#include "host/base/plain_file.h"

#define MIN_FILE 32
#define MAX_FILE 4096
#define CONTEXT  "ninjackp" /* of crypto_kdf_CONTEXTBYTES */

enum purpose { FOR_IMAGES = 1, FOR_SEALS, FOR_ID };

static void derive(struct image_key *key, const unsigned char *data, size_t size)
{
    unsigned char master[crypto_kdf_KEYBYTES], id[crypto_kdf_BYTES_MIN];
    crypto_generichash(master, sizeof(master), data, size, NULL, 0);
    crypto_kdf_derive_from_key(key->images, sizeof(key->images), FOR_IMAGES, CONTEXT, master);
    crypto_kdf_derive_from_key(key->seals, sizeof(key->seals), FOR_SEALS, CONTEXT, master);
    crypto_kdf_derive_from_key(id, sizeof(id), FOR_ID, CONTEXT, master);
    sodium_bin2hex(key->id, sizeof(key->id), id, sizeof(id));
    sodium_memzero(master, sizeof(master));
}

static bool is_private(int fd, const char *path, struct ninja_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return ninja_error_set(err, ERR_REFUSED, "%s: %m", path);
    }
    if ((status.st_mode & 077) != 0) {
        return ninja_error_set(err, ERR_REFUSED,
                               "%s: others may use it (mode %03o), so it is no secret key; draw a "
                               "new one, or give chmod 600",
                               path, (unsigned)status.st_mode & 0777);
    }
    return status.st_uid == geteuid() || status.st_uid == 0 ||
           ninja_error_set(err, ERR_REFUSED, "%s belongs to another user", path);
}

static bool read_all(int fd, struct image_key *key, struct ninja_error *err)
{
    unsigned char data[MAX_FILE + 1];
    size_t size = 0;
    ssize_t n;
    while (size < sizeof(data) && (n = read_some(fd, data + size, sizeof(data) - size)) != 0) {
        if (n < 0) {
            return ninja_error_set(err, ERR_REFUSED, "%s: %m", key->path);
        }
        size += (size_t)n;
    }
    bool ok = size >= MIN_FILE && size <= MAX_FILE;
    if (ok) {
        derive(key, data, size);
    }
    sodium_memzero(data, sizeof(data));
    return ok ||
           ninja_error_set(err, ERR_REFUSED,
                           "%s: expected %d to %d bytes of a random key, found %s%zu; "
                           "head -c 32 /dev/urandom makes one",
                           key->path, MIN_FILE, MAX_FILE, size > MAX_FILE ? "at least " : "", size);
}

bool image_key_read(struct image_key *key, const char *path, struct ninja_error *err)
{
    *key = (struct image_key){.path = path};
    if (sodium_init() < 0) {
        return ninja_error_set(err, ERR_REFUSED, "libsodium has no source of random numbers");
    }
    int fd = plain_file_open(path, O_RDONLY, 0, ERR_REFUSED, err);
    bool ok = fd >= 0 && is_private(fd, path, err) && read_all(fd, key, err);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

void image_key_seal(const struct image_key *key, const char *text, char seal[IMAGE_SEAL_SIZE])
{
    unsigned char hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, strlen(text), key->seals,
                       sizeof(key->seals));
    sodium_bin2hex(seal, IMAGE_SEAL_SIZE, hash, sizeof(hash));
}

void image_key_forget(struct image_key *key)
{
    sodium_memzero(key, sizeof(*key));
}
