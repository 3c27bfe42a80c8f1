/* Encrypted images: what comes back, and who cannot have it come back or change it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/base/memory.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/stored.h"
#include "tests/unit/fake_peer.h"

#define SECRET "the memory of a guest, which nobody is to read"
#define SEALED (STORED_CHUNK + crypto_secretstream_xchacha20poly1305_ABYTES)
#define HEADER crypto_secretstream_xchacha20poly1305_HEADERBYTES

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/%s", fake_dir(), name);
    return path;
}

static const char *class_of(const struct ninja_error *err)
{
    return ninja_error_class_name(err->class);
}

/* ---- keys ---- */

static void write_key(const char *name, size_t size, mode_t mode)
{
    unsigned char *data = xmalloc(size + 1);
    randombytes_buf(data, size);
    unlink(path_of(name));
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    free(data);
}

static void draw_key(const char *name, struct image_key *key)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    write_key(name, 32, 0600);
    if (!image_key_read(key, path_of(name), &err)) {
        fail_msg("%s", err.message);
    }
}

static void assert_no_key(const char *name, const char *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_key key;
    assert_false(image_key_read(&key, path_of(name), &err));
    assert_string_equal(class_of(&err), "Refused");
    if (strstr(err.message, why) == NULL) {
        fail_msg("%s", err.message);
    }
}

static void test_what_is_no_key_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0644};
    static const size_t sizes[] = {0, 1, 31, 4097, 100000};
    assert_no_key("missing", "No such file");
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_no_key("fifo", "a FIFO");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_key("key", sizes[i], 0600);
        assert_no_key("key", "expected 32 to 4096 bytes");
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        write_key("key", 32, modes[i]);
        assert_no_key("key", "others may use it");
    }
}

static void test_each_file_has_its_key(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_key one, same, other;
    draw_key("one", &one);
    assert_true(image_key_read(&same, path_of("one"), &err));
    draw_key("other", &other);
    assert_string_equal(one.id, same.id);
    assert_memory_equal(one.images, same.images, sizeof(one.images));
    assert_string_not_equal(one.id, other.id);
    assert_memory_not_equal(one.images, one.seals, sizeof(one.images));
    assert_memory_not_equal(one.images, other.images, sizeof(one.images));
}

/* ---- images ---- */

/* Of random bytes, which zstd does not make smaller; they begin with the secret. */
static unsigned char *image_of(const char *name, size_t size, const struct image_key *key,
                               struct image_sum *sum)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    unsigned char *data = xmalloc(size);
    randombytes_buf(data, size);
    snprintf((char *)data, size, "%s", SECRET);
    int from = memfd_create("data", MFD_CLOEXEC);
    assert_int_equal(write(from, data, size), size);
    lseek(from, 0, SEEK_SET);
    unlink(path_of(name));
    if (!image_save(from, path_of(name), 1, key, sum, &err)) {
        fail_msg("%s", err.message);
    }
    close(from);
    return data;
}

/* The sums are those of the file as it is, as if who changed it could change them, too. */
static const char *loads(const char *name, const struct image_key *key, struct image_sum sum,
                         const unsigned char *data)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checksum checksum;
    unsigned char *back = xmalloc((size_t)sum.bytes + 1), *file = xmalloc(64 << 20);
    int fd = open(path_of(name), O_RDONLY | O_CLOEXEC), to = memfd_create("back", MFD_CLOEXEC);
    sum.stored = read(fd, file, 64 << 20);
    checksum_begin(&checksum);
    checksum_add(&checksum, file, (size_t)sum.stored);
    checksum_end(&checksum, sum.blake2b);
    const char *class = image_load(path_of(name), &sum, key, to, &err) ? "whole" : class_of(&err);
    ssize_t n = pread(to, back, (size_t)sum.bytes + 1, 0);
    if (strcmp(class, "whole") == 0) {
        assert_int_equal(n, sum.bytes);
    }
    assert_memory_equal(back, data, (size_t)n); /* nothing else is ever given */
    close(fd);
    close(to);
    free(back);
    free(file);
    return class;
}

static void test_an_image_comes_back_with_its_key_alone(void **state)
{
    static const size_t sizes[] = {100, STORED_CHUNK, 3 * STORED_CHUNK + 17};
    struct image_key key, other;
    draw_key("key", &key);
    draw_key("other", &other);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct image_sum sum;
        unsigned char *data = image_of("vm1.image", sizes[i], &key, &sum);
        assert_string_equal(loads("vm1.image", &key, sum, data), "whole");
        assert_string_equal(loads("vm1.image", &other, sum, data), "Changed");
        assert_string_equal(loads("vm1.image", NULL, sum, data), "Changed");
        free(data);
    }
}

/* At every place of a chunk's end a chunk is full when the stream ends, or one byte is over. */
static void test_streams_of_each_size_come_back(void **state)
{
    static const int sizes[] = {
        0, 1, STORED_CHUNK - 1, STORED_CHUNK, STORED_CHUNK + 1, 2 * STORED_CHUNK};
    struct image_key key;
    draw_key("key", &key);
    unsigned char *data = xmalloc(3 * STORED_CHUNK), *back = xmalloc(STORED_CHUNK);
    randombytes_buf(data, 3 * STORED_CHUNK);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct stored stored;
        char written[CHECKSUM_SIZE], read[CHECKSUM_SIZE];
        unlink(path_of("file"));
        assert_true(stored_make(&stored, path_of("file"), &key, &err));
        assert_true(stored_write(&stored, data, (size_t)sizes[i], &err));
        assert_true(stored_end(&stored, &err));
        stored_close(&stored, written);
        assert_true(stored_open(&stored, path_of("file"), &key, &err));
        ssize_t n, at = 0;
        while ((n = stored_read(&stored, back, &err)) > 0) {
            assert_memory_equal(back, data + at, (size_t)n);
            at += n;
        }
        assert_int_equal(n, 0);
        assert_int_equal(at, sizes[i]);
        stored_close(&stored, read);
        assert_string_equal(written, read);
    }
    free(data);
    free(back);
}

/* Which zstd does not see to, as it does in an image. */
static void test_a_stream_without_its_last_chunk_is_found(void **state)
{
    static const off_t sizes[] = {HEADER, HEADER + SEALED, HEADER + 2 * SEALED};
    struct image_key key;
    draw_key("key", &key);
    unsigned char *data = xcalloc(3, STORED_CHUNK);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct stored stored;
        char sum[CHECKSUM_SIZE];
        ssize_t n;
        unlink(path_of("file"));
        assert_true(stored_make(&stored, path_of("file"), &key, &err));
        assert_true(stored_write(&stored, data, 3 * STORED_CHUNK, &err));
        assert_true(stored_end(&stored, &err));
        stored_close(&stored, sum);
        assert_int_equal(truncate(path_of("file"), sizes[i]), 0);
        assert_true(stored_open(&stored, path_of("file"), &key, &err));
        while ((n = stored_read(&stored, data, &err)) > 0) {
        }
        assert_int_equal(n, -1);
        assert_string_equal(class_of(&err), "Changed");
        stored_close(&stored, sum);
    }
    free(data);
}

static void test_a_file_tells_nothing(void **state)
{
    struct image_key key;
    struct image_sum one, two;
    draw_key("key", &key);
    size_t n = 64 << 20;
    char *file = xmalloc(n);
    free(image_of("vm1.image", 5000, &key, &one));
    free(image_of("vm2.image", 5000, &key, &two));
    int fd = open(path_of("vm1.image"), O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, file, n);
    assert_null(memmem(file, (size_t)size, SECRET, 16));
    assert_null(memmem(file, (size_t)size, "\x28\xb5\x2f\xfd", 4)); /* of zstd */
    close(fd);
    free(file);
}

/* By a shell: c is the size of a chunk, h that of the header. */
static void test_what_is_changed_is_found(void **state)
{
    static const char *const changes[] = {
        "head -c -1 $f >x",
        "head -c $((h + c)) $f >x", /* whole chunks, and not the last one */
        "head -c $((h + 2 * c)) $f >x",
        "head -c $h $f >x",
        "head -c 10 $f >x",
        ": >x",
        "(cat $f; printf x) >x",
        "(cat $f; tail -c +$((h + 1)) $f) >x",
        "(head -c $h $f; tail -c +$((h + c + 1)) $f) >x", /* without the first one */
        "(head -c $h $f; tail -c +$((h + c + 1)) $f | head -c $c; tail -c +$((h + 1)) $f | head -c "
        "$c; tail -c +$((h + 2 * c + 1)) $f) >x", /* two in each other's place */
        "(head -c $((h + c)) $f; tail -c +$((h + 1)) $f | head -c $c; tail -c +$((h + 2 * c + 1)) "
        "$f) >x",                                                 /* one twice */
        "(head -c $((h + c)) $f; tail -c +$((h + c + 1)) $g) >x", /* of another image */
        "(head -c $h $g; tail -c +$((h + 1)) $f) >x",
    };
    struct image_key key;
    struct image_sum sum, other;
    draw_key("key", &key);
    free(image_of("other.image", 3 * STORED_CHUNK + 17, &key, &other));
    unsigned char *data = image_of("vm1.image", 3 * STORED_CHUNK + 17, &key, &sum);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char *command = xasprintf("cd %s && f=vm1.image g=other.image h=%d c=%d && %s", fake_dir(),
                                  (int)HEADER, (int)SEALED, changes[i]);
        assert_int_equal(system(command), 0);
        free(command);
        if (strcmp(loads("x", &key, sum, data), "Changed") != 0) {
            fail_msg("not found: %s", changes[i]);
        }
    }
    free(data);
}

static void test_a_flipped_bit_is_found_wherever_it_is(void **state)
{
    struct image_key key;
    struct image_sum sum;
    draw_key("key", &key);
    unsigned char *data = image_of("vm1.image", 2 * STORED_CHUNK + 17, &key, &sum);
    for (int k = 0; k < 40; k++) {
        off_t at = (off_t)(sum.stored - 1) * k / 39;
        unsigned char byte, flipped;
        int fd = open(path_of("vm1.image"), O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        flipped = byte ^ (unsigned char)(1 << (k % 8));
        assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
        assert_string_equal(loads("vm1.image", &key, sum, data), "Changed");
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    assert_string_equal(loads("vm1.image", &key, sum, data), "whole");
    free(data);
}

/* ---- checkpoints ---- */

static void make(const char *name, const struct image_key *key)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = checkpoint_new(fake_dir(), name, "c", 1, 1, &err);
    assert_non_null(checkpoint);
    checkpoint_encrypt(checkpoint, key);
    checkpoint->driver = xstrdup("qmp");
    checkpoint->mode = xstrdup("paused");
    checkpoint->migration = xstrdup("");
    checkpoint->vms[0] = (struct checkpoint_vm){.name = xstrdup("vm1"),
                                                .site = xstrdup("ib"),
                                                .machine = xstrdup(""),
                                                .version = xstrdup("")};
    char *image = xasprintf("%s/vm1.image", name);
    free(image_of(image, 5000, key, &checkpoint->vms[0].image));
    free(image);
    assert_true(checkpoint_write(checkpoint, &err));
    checkpoint_free(checkpoint);
}

static const char *unlocks(const char *name, const struct image_key *key, const char *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = checkpoint_use(fake_dir(), name, &err);
    assert_non_null(checkpoint);
    const char *class = checkpoint_unlock(checkpoint, key, &err) ? "unlocked" : class_of(&err);
    if (strstr(err.message, why) == NULL) {
        fail_msg("%s", err.message);
    }
    checkpoint_free(checkpoint);
    return class;
}

static void test_the_right_key_is_known_before_anything_is_read(void **state)
{
    struct image_key key, other;
    draw_key("key", &key);
    draw_key("other", &other);
    make("closed", &key);
    make("open", NULL);
    assert_string_equal(unlocks("closed", &key, ""), "unlocked");
    assert_string_equal(unlocks("closed", &other, other.id), "Refused");
    assert_string_equal(unlocks("closed", NULL, key.id), "Refused");
    assert_string_equal(unlocks("open", NULL, ""), "unlocked");
    assert_string_equal(unlocks("open", &key, "--key-file none"), "Refused");
}

/* Who can write to the directory, and makes all sums right, but has not got the key. */
static void test_a_manifest_of_somebody_else_is_found(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_key key, forged;
    draw_key("key", &key);
    make("closed", &key);
    draw_key("other", &forged);
    strcpy(forged.id, key.id);
    struct checkpoint *checkpoint = checkpoint_use(fake_dir(), "closed", &err);
    checkpoint->key = &forged;
    checkpoint->vms[0].memory = 7;
    assert_true(checkpoint_write(checkpoint, &err));
    checkpoint_free(checkpoint);
    assert_string_equal(unlocks("closed", &key, "is not what was written"), "Changed");
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_no_key_is_refused),
        TEST(test_each_file_has_its_key),
        TEST(test_an_image_comes_back_with_its_key_alone),
        TEST(test_streams_of_each_size_come_back),
        TEST(test_a_stream_without_its_last_chunk_is_found),
        TEST(test_a_file_tells_nothing),
        TEST(test_what_is_changed_is_found),
        TEST(test_a_flipped_bit_is_found_wherever_it_is),
        TEST(test_the_right_key_is_known_before_anything_is_read),
        TEST(test_a_manifest_of_somebody_else_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
