/* What the host's side writes and reads, where something else than a plain file is in its place. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/base/plain_file.h"
#include "host/base/whole_file.h"
#include "tests/unit/fake_peer.h"

#define OTHER_USER 65534

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

static void in_dir(char path[300], const char *name)
{
    snprintf(path, 300, "%s/%s", fake_dir(), name);
}

static void make_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void assert_holds(const char *path, const char *expected)
{
    char text[64] = "";
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    assert_true(fread(text, 1, sizeof(text) - 1, in) > 0);
    fclose(in);
    assert_string_equal(text, expected);
}

static void assert_is(const char *path, mode_t type)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(status.st_mode & S_IFMT, type);
}

/* ---- what is no plain file ---- */

/* False: it cannot be made here, by this user. */
static bool make(const char *path, mode_t type)
{
    switch (type) {
    case S_IFDIR:
        return mkdir(path, 0700) == 0;
    case S_IFIFO:
        return mkfifo(path, 0600) == 0;
    case S_IFCHR: /* what /dev/null is */
        return mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0;
    default: /* a socket of nobody, a device of no driver */
        return mknod(path, type | 0600, makedev(0, 0)) == 0;
    }
}

static const struct {
    const char *name;
    mode_t type;
    bool stream; /* a person may have us write to it */
} others[] = {
    {"a directory", S_IFDIR, false},    {"a FIFO", S_IFIFO, true},
    {"a socket", S_IFSOCK, false},      {"a character device", S_IFCHR, true},
    {"a block device", S_IFBLK, false},
};

static void expect_refused(bool ok, const char *path, const char *kind, struct ninja_error *err)
{
    char expected[400];
    snprintf(expected, sizeof(expected), "%s: it is %s, not a plain file", path, kind);
    assert_false(ok);
    assert_string_equal(err->message, expected);
    *err = (struct ninja_error)NINJA_ERROR_INIT;
}

/* As it is named, and as a link leads to it. */
static void try_other(const char *name, const char *path, size_t i)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    expect_refused(whole_file_write(name, WHOLE_FILE_UMASK, "x", 1, &err), path, others[i].name,
                   &err);
    if (!others[i].stream) {
        expect_refused(whole_file_write_to(name, "x", 1, &err), path, others[i].name, &err);
    }
    expect_refused(plain_file_open(name, O_RDONLY, 0, ERR_STATE, &err) >= 0, name, others[i].name,
                   &err);
    assert_int_equal(errno, EINVAL);
    expect_refused(plain_file_open(name, O_WRONLY | O_APPEND, 0, ERR_STATE, &err) >= 0, name,
                   others[i].name, &err);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_is(path, others[i].type);
}

static void what_is_no_plain_file_is_left_alone(void **state)
{
    int left_out = 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char path[300], link[300];
        in_dir(path, "other");
        in_dir(link, "link");
        if (!make(path, others[i].type)) {
            print_message("%s cannot be made here\n", others[i].name);
            left_out++;
            continue;
        }
        assert_int_equal(symlink(path, link), 0);
        try_other(path, path, i);
        try_other(link, path, i);
        assert_is(link, S_IFLNK);
        fake_dir_remove();
    }
    assert_true(left_out == 0 || geteuid() != 0);
}

static void a_person_may_name_a_pipe(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[8] = "", path[300];
    in_dir(path, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(whole_file_write_to(path, "x\n", 2, &err)); /* and does not wait */
    assert_non_null(strstr(err.message, "nobody reads from it"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    FILE *in = fopen(path, "r+"); /* it does not wait for a writer */
    assert_true(whole_file_write_to(path, "x\n", 2, &err));
    assert_non_null(fgets(text, sizeof(text), in));
    assert_string_equal(text, "x\n");
    fclose(in);
    assert_is(path, S_IFIFO);
    assert_true(whole_file_write_to("/dev/null", "x\n", 2, &err));
    assert_is("/dev/null", S_IFCHR);
    assert_false(whole_file_write_to("/dev/full", "x\n", 2, &err));
    assert_string_equal(err.message, "/dev/full: No space left on device");
}

/* ---- plain files ---- */

static void a_file_is_replaced_as_a_whole(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct stat before, after;
    char file[300];
    in_dir(file, "page.html");
    mode_t mask = umask(027);
    assert_true(whole_file_write_to(file, "one", 3, &err));
    assert_int_equal(stat(file, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0640);
    assert_true(whole_file_write(file, 0644, "two", 3, &err));
    umask(mask);
    assert_int_equal(stat(file, &after), 0);
    assert_int_equal(after.st_mode & 0777, 0644);
    assert_int_not_equal(after.st_ino, before.st_ino);
    assert_holds(file, "two");
}

static void a_link_stays_and_is_followed(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char file[300], link[300], relative[300];
    in_dir(file, "page.html");
    in_dir(link, "link");
    in_dir(relative, "relative");
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(symlink("link", relative), 0);
    assert_true(whole_file_write(relative, WHOLE_FILE_UMASK, "one", 3, &err)); /* to nothing yet */
    assert_holds(file, "one");
    assert_true(whole_file_write(link, WHOLE_FILE_UMASK, "two", 3, &err));
    assert_holds(file, "two");
    assert_is(file, S_IFREG);
    assert_is(link, S_IFLNK);
    assert_is(relative, S_IFLNK);
}

static void a_link_to_itself_is_refused(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char link[300];
    in_dir(link, "link");
    assert_int_equal(symlink("link", link), 0);
    assert_false(whole_file_write(link, WHOLE_FILE_UMASK, "x", 1, &err));
    assert_non_null(strstr(err.message, "links follow each other"));
    assert_is(link, S_IFLNK);
}

static void a_link_of_another_user_is_refused(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char file[300], link[300];
    if (geteuid() != 0) {
        skip();
    }
    in_dir(file, "page.html");
    in_dir(link, "link");
    make_file(file, "old");
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(lchown(link, OTHER_USER, OTHER_USER), 0);
    assert_false(whole_file_write(link, WHOLE_FILE_UMASK, "x", 1, &err));
    assert_non_null(strstr(err.message, "it is a link of user 65534, which is not followed"));
    assert_holds(file, "old");
    assert_is(link, S_IFLNK);
}

static void a_file_that_cannot_be_written_is_told(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[PATH_MAX + 10];
    assert_false(whole_file_write("/proc/none/page.html", WHOLE_FILE_UMASK, "x", 1, &err));
    assert_string_equal(err.message, "/proc/none/page.html: No such file or directory");
    err = (struct ninja_error)NINJA_ERROR_INIT;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_false(whole_file_write(path, WHOLE_FILE_UMASK, "x", 1, &err));
    assert_non_null(strstr(err.message, "the path is too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_no_plain_file_is_left_alone, teardown),
        cmocka_unit_test_teardown(a_person_may_name_a_pipe, teardown),
        cmocka_unit_test_teardown(a_file_is_replaced_as_a_whole, teardown),
        cmocka_unit_test_teardown(a_link_stays_and_is_followed, teardown),
        cmocka_unit_test_teardown(a_link_to_itself_is_refused, teardown),
        cmocka_unit_test_teardown(a_link_of_another_user_is_refused, teardown),
        cmocka_unit_test(a_file_that_cannot_be_written_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
