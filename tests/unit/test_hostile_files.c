/* Files that no ninjactl wrote: the cluster file, the journal, and who may take the lock. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/config/cluster.h"
#include "host/journal/history.h"
#include "host/journal/journal.h"
#include "host/journal/record.h"
#include "host/vmm/driver.h"
#include "tests/unit/fake_peer.h"

#define ID "20260101-000000-1"

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    fclose(out);
}

/* ---- the cluster file ---- */

static struct cluster *read_cluster(const char *bytes, size_t size, struct ninja_error *err)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    write_file(path, bytes, size);
    return cluster_read(path, driver_in_file, err);
}

static void expect_wrong(const char *bytes, size_t size, const char *words)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_null(read_cluster(bytes, size, &err));
    assert_string_equal(ninja_error_class_name(err.class), "ClusterFile");
    if (strstr(err.message, words) == NULL) {
        fail_msg("'%s' expected: %s", words, err.message);
    }
}

static void expect_wrong_text(char *text, const char *words)
{
    expect_wrong(text, strlen(text), words);
    free(text);
}

static void a_cluster_file_is_bounded(void **state)
{
    static const char nul[] = "name = \"a\0b\";\n";
    expect_wrong_text(fake_repeated("name = \"", "x", 10000000, "\";\n"), "longer than 1048576");
    expect_wrong_text(fake_repeated("", "name = \"x\"; ", 200000, "\n"), "longer than 1048576");
    expect_wrong_text(fake_repeated("a = ", "(", 500000, "\n"), "cluster.conf:1");
    expect_wrong_text(fake_repeated("a = ", "{ b = ", 100000, "\n"), "cluster.conf:1");
    expect_wrong(nul, sizeof(nul) - 1, "NUL");
    expect_wrong_text(fake_repeated("name = \"", "\xff\xfe", 10, "\";\n"), "expected");
    expect_wrong_text(strdup("quiesce-attempts = 99999999999999999999;\n"), "cluster.conf:1");
    expect_wrong_text(strdup("quiesce-attempts = -1;\n"), "whole number");
    expect_wrong_text(strdup("name = \"a\"; name = \"b\";\n"), "duplicate");
}

/* As some editors write it. */
static void a_cluster_file_may_begin_with_a_mark(void **state)
{
    static const char file[] =
        "\xEF\xBB\xBF"
        "driver = \"local\";\nvms = ( { name = \"vm1\"; } );\nsites = ( { name = \"a\"; "
        "vms = ( { name = \"vm1\"; agent = \"/a\"; } ); } );\n";
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_cluster(file, sizeof(file) - 1, &err);
    assert_string_equal(err.message, "");
    assert_non_null(cluster);
    cluster_free(cluster);
    expect_wrong("\xEF\xBB\xBF", 3, "driver");
    expect_wrong("\xEF\xBB", 2, "syntax error");
}

/* ---- the journal ---- */

static struct cluster *two_vms(void)
{
    static const char text[] =
        "name = \"c\"; driver = \"local\"; vms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
        "sites = ( { name = \"a\"; vms = ( { name = \"vm1\"; agent = \"/a1\"; },\n"
        "  { name = \"vm2\"; agent = \"/a2\"; } ); },\n"
        "{ name = \"b\"; vms = ( { name = \"vm1\"; agent = \"/b1\"; },\n"
        "  { name = \"vm2\"; agent = \"/b2\"; } ); } );\n";
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_cluster(text, sizeof(text) - 1, &err);
    assert_non_null(cluster);
    return cluster;
}

/* The state that the record has, or the class of the error. */
static const char *found_in(struct cluster *cluster, const char *bytes, size_t size)
{
    static char found[32];
    struct ninja_error err = NINJA_ERROR_INIT;
    struct record record;
    char path[128];
    snprintf(path, sizeof(path), "%s/" ID, fake_dir());
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    strcat(path, "/journal");
    write_file(path, bytes, size);
    if (!record_find(fake_dir(), cluster, NULL, &record, &err)) {
        snprintf(found, sizeof(found), "%s", ninja_error_class_name(err.class));
        return found;
    }
    snprintf(found, sizeof(found), "%s", record.state);
    for (int i = 0; i < cluster->n_vms; i++) {
        assert_in_range(record.vms[i].from, 0, cluster->n_sites - 1);
    }
    record_clear(&record);
    return found;
}

#define VM1   "{\"name\":\"vm1\",\"at\":\"a\",\"moves\":true}"
#define VM2   "{\"name\":\"vm2\",\"at\":\"b\"}"
#define BEGIN "{\"cluster\":\"c\",\"to\":\"b\",\"state\":\"PLANNED\",\"vms\":[" VM1 "," VM2 "]}\n"

static void a_journal_is_bounded(void **state)
{
    static const char nul[] = BEGIN "{\"state\":\"COPY\0ING\"}\n";
    struct cluster *cluster = two_vms();
    char *longest = fake_repeated(BEGIN "{\"state\":\"", "x", 10000000, "\"}\n");
    char *deepest = fake_repeated(BEGIN "{\"state\":\"COPYING\"}\n{\"x\":", "[", 900000, "\n");
#define FOUND(text) found_in(cluster, text, strlen(text))
    assert_string_equal(FOUND(BEGIN), "PLANNED");
    assert_string_equal(FOUND(longest), "PLANNED");
    assert_string_equal(FOUND(deepest), "COPYING");
    assert_string_equal(found_in(cluster, nul, sizeof(nul) - 1), "PLANNED");
    assert_string_equal(FOUND(BEGIN "{\"state\":\"COPYING\"}\n{\"outcome\":\"do"), "COPYING");
    assert_string_equal(FOUND(BEGIN "{\"state\":\"CO\xff\"}\n{\"unknown\":[1e999]}\n"), "PLANNED");
    assert_string_equal(FOUND(BEGIN "{\"state\":-1,\"state\":\"COPYING\"}\n"), "COPYING");
    assert_string_equal(FOUND(BEGIN "{\"outcome\":\"done\"}\n"), "NothingInterrupted");
    assert_string_equal(FOUND(""), "NothingInterrupted");
    assert_string_equal(FOUND("\n\n\n" BEGIN), "NothingInterrupted");
    free(longest);
    free(deepest);
    cluster_free(cluster);
}

static void a_vm_of_which_nothing_is_said_is_at_no_site(void **state)
{
    struct cluster *cluster = two_vms();
    assert_string_equal(FOUND("{\"cluster\":\"c\",\"to\":\"b\",\"vms\":[" VM1 "," VM1 "]}\n"),
                        "State");
    assert_string_equal(FOUND("{\"cluster\":\"c\",\"to\":\"b\",\"vms\":[" VM1 "]}\n"), "State");
    assert_string_equal(FOUND("{\"cluster\":\"c\",\"to\":\"b\",\"vms\":[" VM1 ",{\"name\":\"vm3\","
                              "\"at\":\"a\"}]}\n"),
                        "State");
    assert_string_equal(FOUND("{\"cluster\":\"c\",\"to\":7,\"vms\":[" VM1 "," VM2 "]}\n"), "State");
    cluster_free(cluster);
}

/* ---- what is no plain file ---- */

/* Nobody waits for whoever would write to it. */
static void expect_fifo(const struct ninja_error *err)
{
    if (strstr(err->message, ": it is a FIFO, not a plain file") == NULL) {
        fail_msg("a FIFO expected: %s", err->message);
    }
}

static void a_fifo_is_not_waited_for(void **state)
{
    static const char *const names[] = {"cluster.conf", ID "/journal", ID "/report.json",
                                        ID "/progress", "c.lock"};
    struct cluster *cluster = two_vms();
    struct record record;
    char path[128];
    snprintf(path, sizeof(path), "%s/" ID, fake_dir());
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", fake_dir(), names[i]);
        unlink(path);
        assert_int_equal(mkfifo(path, 0600), 0);
    }
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    struct ninja_error errors[6] = {NINJA_ERROR_INIT};
    alarm(60);
    assert_null(cluster_read(path, driver_in_file, &errors[0]));
    assert_false(record_find(fake_dir(), cluster, NULL, &record, &errors[1]));
    assert_null(journal_open(fake_dir(), ID, &errors[2]));
    assert_null(report_read(fake_dir(), ID, &errors[3]));
    assert_int_equal(lock_take(fake_dir(), "c", &errors[4]), -1);
    assert_int_equal(lock_holder(fake_dir(), "c"), 0);
    struct follow *follow = follow_new(fake_dir(), ID, "progress");
    assert_null(follow_next(follow));
    alarm(0);
    follow_free(follow);
    for (int i = 0; i < 5; i++) {
        expect_fifo(&errors[i]);
    }
    cluster_free(cluster);
}

/* ---- the lock ---- */

/* A lock for reading would do to keep all others out. */
static void another_user_cannot_lock_a_cluster(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[128];
    int status;
    if (geteuid() != 0) {
        skip();
    }
    snprintf(path, sizeof(path), "%s/c.lock", fake_dir());
    assert_int_equal(chmod(fake_dir(), 0755), 0);
    write_file(path, "", 0); /* as an earlier version left it */
    assert_int_equal(chmod(path, 0644), 0);
    lock_release(lock_take(fake_dir(), "c", &err));
    pid_t child = fork();
    if (child == 0) {
        _exit(setuid(65534) != 0 || open(path, O_RDONLY) >= 0 || errno != EACCES);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cluster_file_is_bounded), TEST(a_cluster_file_may_begin_with_a_mark),
        TEST(a_journal_is_bounded),      TEST(a_vm_of_which_nothing_is_said_is_at_no_site),
        TEST(a_fifo_is_not_waited_for),  TEST(another_user_cannot_lock_a_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
