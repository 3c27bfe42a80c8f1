/* Images and manifests: what was written is read, and what is not as it was written is found. */
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
#include "host/base/timer.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/shelf.h"
#include "tests/unit/fake_peer.h"

#define BYTES (3 * 1024 * 1024 + 17)

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

/* Some of it can be compressed, and some cannot. */
static void fill(unsigned char *data)
{
    uint32_t random = 1;
    for (size_t i = 0; i < BYTES; i++) {
        random = random * 1664525 + 1013904223;
        data[i] = i % 65536 < 4096 ? (unsigned char)(random >> 24) : 0;
    }
}

static int file_of(const unsigned char *data)
{
    int fd = memfd_create("data", MFD_CLOEXEC);
    assert_int_equal(write(fd, data, BYTES), BYTES);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void save(const char *path, int threads, struct image_sum *sum)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    unsigned char *data = malloc(BYTES);
    fill(data);
    int from = file_of(data);
    free(data);
    if (!image_save(from, path, threads, NULL, sum, &err)) {
        fail_msg("%s", err.message);
    }
    close(from);
}

static const char *class_of(const struct ninja_error *err)
{
    return ninja_error_class_name(err->class);
}

/* ---- images ---- */

static void comes_back_as_it_was(int threads)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_sum sum;
    unsigned char *data = malloc(BYTES), *back = malloc(BYTES + 1);
    char path[300];
    snprintf(path, sizeof(path), "%s/vm1.image", fake_dir());
    unlink(path);
    save(path, threads, &sum);
    assert_int_equal(sum.bytes, BYTES);
    assert_true(sum.stored < BYTES / 4);
    int to = memfd_create("back", MFD_CLOEXEC);
    assert_true(image_check(path, &sum, &err));
    assert_true(image_load(path, &sum, NULL, to, &err));
    fill(data);
    assert_int_equal(pread(to, back, BYTES + 1, 0), BYTES);
    assert_memory_equal(back, data, BYTES);
    close(to);
    free(data);
    free(back);
}

static void test_an_image_comes_back_as_it_was(void **state)
{
    comes_back_as_it_was(0);
    comes_back_as_it_was(3);
}

static void test_a_flipped_bit_is_found_wherever_it_is(void **state)
{
    struct image_sum sum;
    char path[300];
    snprintf(path, sizeof(path), "%s/vm1.image", fake_dir());
    save(path, 1, &sum);
    for (int k = 0; k < 40; k++) {
        struct ninja_error checked = NINJA_ERROR_INIT, loaded = NINJA_ERROR_INIT;
        off_t at = (off_t)(sum.stored - 1) * k / 39;
        unsigned char byte, flipped;
        int fd = open(path, O_RDWR | O_CLOEXEC), to = open("/dev/null", O_WRONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        flipped = byte ^ (unsigned char)(1 << (k % 8));
        assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
        assert_false(image_check(path, &sum, &checked));
        assert_string_equal(class_of(&checked), "Changed");
        assert_false(image_load(path, &sum, NULL, to, &loaded));
        assert_string_equal(class_of(&loaded), "Changed");
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        close(to);
    }
}

static void test_a_file_that_is_cut_or_longer_is_found(void **state)
{
    struct image_sum sum;
    char path[300];
    snprintf(path, sizeof(path), "%s/vm1.image", fake_dir());
    save(path, 1, &sum);
    const int64_t sizes[] = {0, 1, sum.stored / 2, sum.stored - 1, sum.stored + 1};
    int to = open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (size_t i = sizeof(sizes) / sizeof(sizes[0]); i > 0; i--) {
        struct ninja_error checked = NINJA_ERROR_INIT, loaded = NINJA_ERROR_INIT;
        assert_int_equal(truncate(path, sizes[i - 1]), 0);
        assert_false(image_check(path, &sum, &checked));
        assert_false(image_load(path, &sum, NULL, to, &loaded));
        assert_string_equal(class_of(&loaded), "Changed");
    }
    close(to);
}

static void test_an_image_is_not_written_over_another_file(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_sum sum;
    char path[300];
    snprintf(path, sizeof(path), "%s/vm1.image", fake_dir());
    save(path, 1, &sum);
    int from = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_false(image_save(from, path, 1, NULL, &sum, &err));
    assert_string_equal(class_of(&err), "Io");
    close(from);
}

static void test_nothing_is_no_image(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_sum sum;
    char path[300];
    snprintf(path, sizeof(path), "%s/vm1.image", fake_dir());
    int from = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_false(image_save(from, path, 1, NULL, &sum, &err));
    assert_string_equal(class_of(&err), "Closed");
    close(from);
}

static void test_a_full_disk_is_an_error(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_sum sum;
    unsigned char *data = malloc(BYTES);
    fill(data);
    int from = file_of(data);
    free(data);
    assert_false(image_save(from, "/dev/full", 1, NULL, &sum, &err));
    assert_string_equal(class_of(&err), "Io");
    close(from);
}

/* ---- checkpoints ---- */

static struct checkpoint *make(const char *name)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char dir[300];
    snprintf(dir, sizeof(dir), "%s/some/checkpoints", fake_dir());
    struct checkpoint *checkpoint = checkpoint_new(dir, name, "c", 1, 2, &err);
    if (checkpoint == NULL) {
        fail_msg("%s", err.message);
    }
    checkpoint->driver = xstrdup("qmp");
    checkpoint->mode = xstrdup("paused");
    checkpoint->migration = xstrdup("20260101-000000-1");
    for (int i = 0; i < 2; i++) {
        struct checkpoint_vm *vm = &checkpoint->vms[i];
        *vm = (struct checkpoint_vm){.name = xasprintf("vm%d", i + 1),
                                     .site = xstrdup("ib"),
                                     .device = i == 0 ? xstrdup("e1000e,id=hca0") : NULL,
                                     .machine = xstrdup("pc-q35-7.2"),
                                     .version = xstrdup("7.2.0"),
                                     .memory = 1 << 20};
        char *path = checkpoint_image(checkpoint, vm->name);
        save(path, 1, &vm->image);
        free(path);
    }
    return checkpoint;
}

static const char *dir_of(void)
{
    static char dir[300];
    snprintf(dir, sizeof(dir), "%s/some/checkpoints", fake_dir());
    return dir;
}

static const char *read_class(const char *name)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = checkpoint_read(dir_of(), name, &err);
    const char *class = class_of(&err);
    if (checkpoint != NULL && checkpoint_verify(checkpoint, &err)) {
        class = "whole";
    } else if (checkpoint != NULL) {
        class = class_of(&err);
    }
    checkpoint_free(checkpoint);
    return class;
}

static void test_a_checkpoint_counts_when_its_manifest_is_written(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = make("first");
    assert_string_equal(read_class("first"), "Incomplete");
    assert_false(checkpoint_is_written(checkpoint));
    assert_true(checkpoint_write(checkpoint, &err));
    checkpoint_free(checkpoint);
    assert_string_equal(read_class("first"), "whole");
    checkpoint = checkpoint_read(dir_of(), "first", &err);
    assert_int_equal(checkpoint->n, 2);
    assert_string_equal(checkpoint->vms[1].name, "vm2");
    assert_string_equal(checkpoint->vms[0].device, "e1000e,id=hca0");
    assert_null(checkpoint->vms[1].device);
    assert_int_equal(checkpoint->vms[0].image.bytes, BYTES);
    assert_true(checkpoint_remove(checkpoint, &err));
    checkpoint_free(checkpoint);
    assert_string_equal(read_class("first"), "NotFound");
}

static void test_what_changed_is_found(void **state)
{
    static const char *const changes[] = {
        "rm vm2.image",
        "mv vm1.image x && mv vm2.image vm1.image && mv x vm2.image && printf y >>vm1.image",
        "printf x >>vm1.image",
        "sed -i s/vm2/vm3/ manifest.json",
        "sed -i 's/\"bytes\": 3/\"bytes\": 4/' manifest.json",
        "printf x >manifest.json",
        "sed -i s/1048576/1048577/ manifest.json",
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        char command[600], name[16];
        snprintf(name, sizeof(name), "c%zu", i);
        struct checkpoint *checkpoint = make(name);
        assert_true(checkpoint_write(checkpoint, &err));
        snprintf(command, sizeof(command), "cd %s && %s", checkpoint->path, changes[i]);
        assert_int_equal(system(command), 0);
        assert_string_equal(read_class(name), i == 0 ? "Io" : "Changed");
        assert_true(checkpoint_remove(checkpoint, &err));
        checkpoint_free(checkpoint);
    }
}

static void test_a_later_format_is_not_guessed_at(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char command[600];
    struct checkpoint *checkpoint = make("later");
    assert_true(checkpoint_write(checkpoint, &err));
    snprintf(command, sizeof(command), "sed -i 's/\"format\": 1/\"format\": 9/' %s/manifest.json",
             checkpoint->path);
    assert_int_equal(system(command), 0);
    checkpoint_free(checkpoint);
    assert_string_equal(read_class("later"), "Unknown");
}

static void test_a_name_that_is_taken_or_none_is_refused(void **state)
{
    static const char *const wrong[] = {"", ".", "..", ".x", "a/b", "a b", "\x1b[2J", "a\n"};
    struct ninja_error err = NINJA_ERROR_INIT;
    checkpoint_free(make("one"));
    assert_null(checkpoint_new(dir_of(), "one", "c", 1, 2, &err));
    assert_string_equal(class_of(&err), "Exists");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ninja_error why = NINJA_ERROR_INIT;
        assert_false(checkpoint_name_is_valid(wrong[i]));
        assert_null(checkpoint_new(dir_of(), wrong[i], "c", 1, 2, &why));
        assert_string_equal(class_of(&why), "BadArgument");
    }
}

static void test_too_little_room_is_seen_before(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_null(checkpoint_new(dir_of(), "large", "c", INT64_MAX, 2, &err));
    assert_string_equal(class_of(&err), "Io");
    assert_non_null(strstr(err.message, "free there"));
    assert_string_equal(read_class("large"), "NotFound");
}

static void test_a_directory_that_is_a_file_is_refused(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char dir[300];
    snprintf(dir, sizeof(dir), "%s/file", fake_dir());
    close(open(dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_null(checkpoint_new(dir, "one", "c", 1, 2, &err));
    assert_string_equal(class_of(&err), "Io");
}

static void test_nothing_else_is_removed(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char command[600];
    struct checkpoint *checkpoint = make("mine");
    snprintf(command, sizeof(command), "touch %s/notes", checkpoint->path);
    assert_int_equal(system(command), 0);
    assert_false(checkpoint_remove(checkpoint, &err));
    snprintf(command, sizeof(command), "test -e %s/notes", checkpoint->path);
    assert_int_equal(system(command), 0);
    checkpoint_free(checkpoint);
}

static const char *remove_class(const char *name)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = checkpoint_in(dir_of(), name, &err);
    const char *class = checkpoint_remove(checkpoint, &err) ? "removed" : class_of(&err);
    checkpoint_free(checkpoint);
    return class;
}

static char *state_of(const char *name)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *list = checkpoint_list(dir_of(), &err), *entry;
    char *state = NULL;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0) {
            state = xasprintf("%s of %s", json_string_value(json_object_get(entry, "state")),
                              json_string_value(json_object_get(entry, "cluster")));
        }
    }
    json_decref(list);
    return state;
}

static void assert_state(const char *name, const char *expected)
{
    char *state = state_of(name);
    assert_string_equal(state, expected);
    free(state);
}

static void test_nobody_removes_what_is_written_or_read(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *writes = make("one");
    assert_string_equal(remove_class("one"), "Busy");
    assert_state("one", "writing of c");
    assert_true(checkpoint_write(writes, &err));
    assert_state("one", "complete of c");
    assert_null(checkpoint_use(dir_of(), "one", &err));
    assert_string_equal(class_of(&err), "Busy");
    checkpoint_free(writes);
    struct checkpoint *reads = checkpoint_use(dir_of(), "one", &err);
    struct checkpoint *reads_too = checkpoint_use(dir_of(), "one", &err);
    assert_true(reads != NULL && reads_too != NULL);
    checkpoint_free(reads);
    assert_string_equal(remove_class("one"), "Busy");
    assert_string_equal(read_class("one"), "whole");
    checkpoint_free(reads_too);
    assert_string_equal(remove_class("one"), "removed");
    assert_string_equal(remove_class("one"), "NotFound");
}

/* Those of earlier versions have no lock. */
static void test_one_without_a_lock_is_read_and_removed(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[600];
    struct checkpoint *checkpoint = make("old");
    assert_true(checkpoint_write(checkpoint, &err));
    checkpoint_free(checkpoint);
    snprintf(path, sizeof(path), "%s/old/lock", dir_of());
    assert_int_equal(unlink(path), 0);
    checkpoint = checkpoint_use(dir_of(), "old", &err);
    assert_non_null(checkpoint);
    checkpoint_free(checkpoint);
    assert_string_equal(remove_class("old"), "removed");
}

static void test_an_image_of_another_size_is_listed_as_wrong(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = make("short");
    assert_true(checkpoint_write(checkpoint, &err));
    char *path = checkpoint_image(checkpoint, "vm2");
    assert_int_equal(truncate(path, 1), 0);
    assert_state("short", "wrong of c");
    assert_int_equal(unlink(path), 0);
    assert_state("short", "wrong of c");
    free(path);
    checkpoint_free(checkpoint);
}

/* Made at that time, of the cluster "c", or of that of its own name. */
static void make_at(const char *name, const char *made)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = make(name);
    free(checkpoint->cluster);
    checkpoint->cluster = xstrdup(strcmp(name, "other") == 0 ? "other" : "c");
    snprintf(checkpoint->made, sizeof(checkpoint->made), "%s", made);
    assert_true(checkpoint_write(checkpoint, &err));
    checkpoint_free(checkpoint);
}

/* What is removed, in the order in which it is. */
static void assert_kept(int n, const char *expected)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *removed = checkpoint_keep(dir_of(), "c", n, &err);
    char *text = json_dumps(removed, JSON_COMPACT);
    assert_string_equal(err.message, "");
    assert_string_equal(text, expected);
    free(text);
    json_decref(removed);
}

static void test_the_newest_are_kept(void **state)
{
    make_at("a", "2026-10-25T02:30:00.500+0200"); /* the clock goes back in between */
    make_at("b", "2026-10-25T02:10:00.000+0100");
    make_at("d", "2026-10-25T02:30:00.501+0200");
    make_at("other", "2020-01-01T00:00:00.000+0000");
    assert_kept(3, "[]");
    assert_kept(2, "[\"a\"]");
    assert_kept(1, "[\"d\"]");
    assert_kept(1, "[]");
    assert_string_equal(read_class("b"), "whole");
    assert_string_equal(read_class("other"), "whole");
}

static void test_one_with_a_lost_image_does_not_count_as_kept(void **state)
{
    char path[600];
    make_at("new", "2026-03-01T00:00:00.000+0000");
    make_at("good", "2026-02-01T00:00:00.000+0000");
    make_at("bad", "2026-01-01T00:00:00.000+0000");
    snprintf(path, sizeof(path), "%s/new/vm1.image", dir_of());
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/bad/vm1.image", dir_of());
    assert_int_equal(unlink(path), 0);
    assert_kept(1, "[\"bad\"]");
    assert_string_equal(read_class("good"), "whole");
    assert_string_equal(read_class("new"), "Io");
}

static void test_what_is_in_use_is_kept(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    make_at("new", "2026-03-01T00:00:00.000+0000");
    make_at("old", "2026-02-01T00:00:00.000+0000");
    struct checkpoint *reads = checkpoint_use(dir_of(), "old", &err);
    struct checkpoint *writes = make("half");
    assert_kept(1, "[]");
    checkpoint_free(reads);
    assert_kept(1, "[\"old\"]");
    checkpoint_free(writes); /* as if its process had ended */
    assert_kept(1, "[\"half\"]");
}

/* Whose it is, or when it was made, cannot be told. */
static void test_what_is_not_known_is_kept(void **state)
{
    char command[700];
    make_at("new", "2026-03-01T00:00:00.000+0000");
    make_at("broken", "2026-01-01T00:00:00.000+0000");
    checkpoint_free(make("half"));
    snprintf(command, sizeof(command),
             "cd %s && rm half/lock && printf x >>broken/manifest.json && mkdir empty", dir_of());
    assert_int_equal(system(command), 0);
    assert_kept(1, "[]");
}

static void test_a_time_is_read_as_it_was_written(void **state)
{
    static const char *const wrong[] = {"", "2026-01-01", "2026-01-01T00:00:00+0000",
                                        "2026-01-01T00:00:00.000", "2026-01-01T00:00:00.000+0000x"};
    char text[40];
    int64_t us, before = wall_clock_us() / 1000 * 1000;
    wall_clock_text(text, sizeof(text));
    assert_true(wall_clock_read(text, &us));
    assert_true(us >= before && us <= wall_clock_us());
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(wall_clock_read(wrong[i], &us));
    }
}

static void test_all_are_listed_with_their_state(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checkpoint *checkpoint = make("b");
    assert_true(checkpoint_write(checkpoint, &err));
    checkpoint_free(checkpoint);
    checkpoint_free(make("a"));
    json_t *list = checkpoint_list(dir_of(), &err);
    char *text = json_dumps(list, JSON_COMPACT);
    assert_int_equal(json_array_size(list), 2);
    assert_non_null(strstr(text, "{\"name\":\"a\",\"state\":\"incomplete\""));
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "state")),
                        "complete");
    free(text);
    json_decref(list);
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_image_comes_back_as_it_was),
        TEST(test_a_flipped_bit_is_found_wherever_it_is),
        TEST(test_a_file_that_is_cut_or_longer_is_found),
        TEST(test_an_image_is_not_written_over_another_file),
        TEST(test_nothing_is_no_image),
        TEST(test_a_full_disk_is_an_error),
        TEST(test_a_checkpoint_counts_when_its_manifest_is_written),
        TEST(test_what_changed_is_found),
        TEST(test_a_later_format_is_not_guessed_at),
        TEST(test_a_name_that_is_taken_or_none_is_refused),
        TEST(test_too_little_room_is_seen_before),
        TEST(test_a_directory_that_is_a_file_is_refused),
        TEST(test_nothing_else_is_removed),
        TEST(test_nobody_removes_what_is_written_or_read),
        TEST(test_one_without_a_lock_is_read_and_removed),
        TEST(test_an_image_of_another_size_is_listed_as_wrong),
        TEST(test_the_newest_are_kept),
        TEST(test_one_with_a_lost_image_does_not_count_as_kept),
        TEST(test_what_is_in_use_is_kept),
        TEST(test_what_is_not_known_is_kept),
        TEST(test_a_time_is_read_as_it_was_written),
        TEST(test_all_are_listed_with_their_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
