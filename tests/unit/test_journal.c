/* The lock of a cluster, the IDs of migrations, and their reports. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/journal/history.h"
#include "host/journal/journal.h"
#include "tests/unit/fake_peer.h"

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

static void the_lock_names_who_has_it(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char dir[120], expected[40];
    snprintf(dir, sizeof(dir), "%s/a/b", fake_dir());
    assert_int_equal(lock_holder(dir, "demo"), 0);
    int fd = lock_take(dir, "demo", &err);
    assert_true(fd >= 0);
    assert_int_equal(lock_take(dir, "demo", &err), -1);
    assert_string_equal(ninja_error_class_name(err.class), "Busy");
    snprintf(expected, sizeof(expected), "process %d", (int)getpid());
    assert_non_null(strstr(err.message, expected));
    assert_int_equal(lock_holder(dir, "demo"), getpid());
    int other = lock_take(dir, "other", &err);
    assert_true(other >= 0);
    lock_release(other);
    assert_int_equal(lock_holder(dir, "demo"), getpid()); /* looking did not give it up */
    lock_release(fd);
    assert_int_equal(lock_holder(dir, "demo"), 0);
    fd = lock_take(dir, "demo", &err);
    assert_true(fd >= 0);
    lock_release(fd);
}

/* What the file holds does not matter, nor who else looks at it. */
static void the_lock_is_of_the_process_that_has_it(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[140], expected[40], text;
    int ready[2], over[2], status;
    snprintf(path, sizeof(path), "%s/demo.lock", fake_dir());
    FILE *stale = fopen(path, "w");
    fprintf(stale, "1\n"); /* of an earlier holder */
    fclose(stale);
    assert_int_equal(lock_holder(fake_dir(), "demo"), 0);
    int probe = open(path, O_RDONLY);
    assert_int_equal(flock(probe, LOCK_SH), 0);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(over), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = lock_take(fake_dir(), "demo", &err);
        bool told = write(ready[1], fd >= 0 ? "y" : "n", 1) == 1;
        close(over[1]);
        _exit(told && read(over[0], &text, 1) == 0 ? 0 : 1);
    }
    close(over[0]);
    assert_int_equal(read(ready[0], &text, 1), 1);
    assert_int_equal(text, 'y');
    assert_int_equal(lock_holder(fake_dir(), "demo"), pid);
    assert_int_equal(lock_take(fake_dir(), "demo", &err), -1);
    assert_string_equal(ninja_error_class_name(err.class), "Busy");
    snprintf(expected, sizeof(expected), "process %d", (int)pid);
    assert_non_null(strstr(err.message, expected));
    close(over[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(lock_holder(fake_dir(), "demo"), 0);
    close(ready[0]);
    close(ready[1]);
    close(probe);
}

/* Local time runs twice through an hour of each year. */
static void ids_do_not_depend_on_the_time_zone(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char ids[2][40];
    for (int i = 0; i < 2; i++) {
        setenv("TZ", i == 0 ? "EAST-9" : "WEST9", 1);
        tzset();
        struct journal *journal = journal_new(fake_dir(), &err);
        assert_non_null(journal);
        snprintf(ids[i], sizeof(ids[i]), "%s", journal_id(journal));
        journal_free(journal);
    }
    unsetenv("TZ");
    tzset();
    char(*list)[JOURNAL_ID_SIZE];
    assert_int_equal(journal_list(fake_dir(), &list), 2);
    assert_string_equal(list[0], ids[0]);
    assert_string_equal(list[1], ids[1]);
    free(list);
}

static void ids_do_not_go_back_with_the_clock(void **state)
{
    static const char *const expected[] = {"99980101-000000-8", "99980101-000000-9"};
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[120];
    snprintf(path, sizeof(path), "%s/99980101-000000-7", fake_dir());
    assert_int_equal(mkdir(path, 0755), 0);
    for (int i = 0; i < 2; i++) {
        struct journal *journal = journal_new(fake_dir(), &err);
        assert_non_null(journal);
        assert_string_equal(journal_id(journal), expected[i]);
        journal_free(journal);
    }
}

static void the_last_report_is_found(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char last[40];
    assert_null(report_read(fake_dir(), NULL, &err));
    assert_non_null(strstr(err.message, "no report"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    for (int i = 0; i < 12; i++) {
        struct journal *journal = journal_new(fake_dir(), &err);
        assert_non_null(journal);
        json_t *report = json_pack("{s:s, s:i}", "id", journal_id(journal), "n", i);
        if (i < 11) { /* the last one crashed before its report */
            assert_true(journal_write_report(journal, report, &err));
            snprintf(last, sizeof(last), "%s", journal_id(journal));
        }
        json_decref(report);
        journal_free(journal);
    }
    json_t *report = report_read(fake_dir(), NULL, &err);
    assert_string_equal(json_string_value(json_object_get(report, "id")), last);
    assert_int_equal(json_integer_value(json_object_get(report, "n")), 10);
    json_decref(report);
    report = report_read(fake_dir(), last, &err);
    assert_non_null(report);
    json_decref(report);
    assert_null(report_read(fake_dir(), "../../etc", &err));
    json_t *list = history_list(fake_dir(), 0, &err);
    assert_int_equal(json_array_size(list), 11);
    json_decref(list);
}

/* What is read of a report that begins and ends so, with blanks between until it has the size. */
static json_t *read_file_of(const char *begin, size_t size, const char *end,
                            struct ninja_error *err)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/20250101-000000-1", fake_dir());
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    strcat(path, "/report.json");
    FILE *file = fopen(path, "w");
    fputs(begin, file);
    for (size_t i = strlen(begin) + strlen(end); i < size; i++) {
        putc(' ', file);
    }
    fputs(end, file);
    assert_int_equal(fclose(file), 0);
    return report_read(fake_dir(), "20250101-000000-1", err);
}

static void a_report_has_a_limit(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *report = read_file_of("{\"id\": \"x\"", REPORT_MAX_SIZE, "}", &err);
    assert_non_null(report);
    json_decref(report);
    assert_null(read_file_of("{\"id\": \"x\"", REPORT_MAX_SIZE + 1, "}", &err));
    assert_int_equal(err.class, ERR_STATE);
    assert_non_null(strstr(err.message, "20250101-000000-1/report.json: it is larger than 64 MiB"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_null(read_file_of("{\"id\": \"x\"", 0, "", &err));
    assert_non_null(strstr(err.message, "report.json: '}' expected"));
}

/* What a list calls stall_ms is that of all switches. */
static void a_list_tells_the_whole_stall(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_decref(read_file_of("{\"id\": \"x\", \"stall_ms\": 3, \"stall_longest_ms\": 900,"
                             "\"stall_total_ms\": 1500}",
                             0, "", &err));
    json_t *entry = history_entry(fake_dir(), "20250101-000000-1", &err);
    assert_int_equal(json_integer_value(json_object_get(entry, "stall_ms")), 1500);
    json_decref(entry);
    json_decref(read_file_of("{\"id\": \"x\", \"stall_ms\": 3}", 0, "", &err));
    entry = history_entry(fake_dir(), "20250101-000000-1", &err);
    assert_true(json_is_null(json_object_get(entry, "stall_ms")));
    json_decref(entry);
}

static void a_state_directory_that_cannot_be_made(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_null(journal_new("/proc/nowhere", &err));
    assert_non_null(strstr(err.message, "/proc/nowhere"));
    assert_non_null(strstr(err.message, "--state-dir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_lock_names_who_has_it, teardown),
        cmocka_unit_test_teardown(the_lock_is_of_the_process_that_has_it, teardown),
        cmocka_unit_test_teardown(ids_do_not_depend_on_the_time_zone, teardown),
        cmocka_unit_test_teardown(ids_do_not_go_back_with_the_clock, teardown),
        cmocka_unit_test_teardown(the_last_report_is_found, teardown),
        cmocka_unit_test_teardown(a_report_has_a_limit, teardown),
        cmocka_unit_test_teardown(a_list_tells_the_whole_stall, teardown),
        cmocka_unit_test_teardown(a_state_directory_that_cannot_be_made, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
