/* The smaller parts of the host side: devices, counts, jobs, links, commands, lock and reports. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "host-hook/counts.h"
#include "host-hook/device.h"
#include "host-hook/host_command.h"
#include "host-hook/jobs.h"
#include "host-hook/history.h"
#include "host-hook/journal.h"
#include "host-hook/json_text.h"
#include "host-hook/link_wait.h"
#include "host-hook/timer.h"
#include "tests/unit/fake_peer.h"

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

static void assert_json(json_t *json, const char *expected)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    assert_string_equal(text, expected);
    free(text);
    json_decref(json);
}

/* ---- devices ---- */

static void a_device_is_read_as_qemu_does(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_json(device_parse("vfio-pci,host=0000:3b:00.1,id=hca0,bus=rp1", &err),
                "{\"bus\":\"rp1\",\"driver\":\"vfio-pci\",\"host\":\"0000:3b:00.1\",\"id\":"
                "\"hca0\"}");
    assert_json(device_parse("x,id=a,path=/a,,b=c", &err),
                "{\"driver\":\"x\",\"id\":\"a\",\"path\":\"/a,b=c\"}");
}

static void wrong_devices_are_refused(void **state)
{
    static const char *const wrong[] = {"",         ",id=a",           "id=a",      "x",
                                        "x,id=",    "x,id=a,",         "x,id=a,=b", "x,id=a,id=b",
                                        "x,id=a,b", "x,id=a,driver=y", "x,id=\xff"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        json_t *device = device_parse(wrong[i], &err);
        if (device != NULL) {
            fail_msg("\"%s\" was accepted", wrong[i]);
        }
        assert_string_equal(err.class, "Device");
    }
}

/* ---- counts ---- */

static bool set_row(struct counts *counts, int rank, const char *text, bool *changed)
{
    json_t *row = parse(text);
    struct ninja_error err = NINJA_ERROR_INIT;
    bool ok = counts_set_row(counts, rank, row, changed, &err);
    assert_int_equal(ok, !ninja_error_is_set(&err));
    json_decref(row);
    return ok;
}

static void rows_become_columns(void **state)
{
    struct counts *counts = counts_new(3);
    bool changed = false;
    assert_true(set_row(counts, 0, "[[2, 5], [1, 65535]]", &changed));
    assert_true(set_row(counts, 2, "[[1, 7]]", &changed));
    assert_json(counts_column(counts, 1), "[[0,65535],[2,7]]");
    assert_json(counts_column(counts, 2), "[[0,5]]");
    assert_json(counts_column(counts, 0), "[]");
    counts_free(counts);
}

static void only_a_difference_is_a_change(void **state)
{
    struct counts *counts = counts_new(3);
    bool changed = false;
    assert_true(set_row(counts, 0, "[[1, 5], [2, 0]]", &changed));
    assert_true(changed);
    changed = false;
    assert_true(set_row(counts, 0, "[[0, 0], [1, 5]]", &changed));
    assert_false(changed);
    assert_true(set_row(counts, 0, "[[1, 6]]", &changed));
    assert_true(changed);
    changed = false;
    assert_true(counts_set_row(counts, 0, NULL, &changed, NULL));
    assert_true(changed);
    counts_free(counts);
}

static void malformed_rows_are_refused_and_change_nothing(void **state)
{
    static const char *const wrong[] = {
        "{}",
        "[1]",
        "[[1]]",
        "[[1,2,3]]",
        "[[3,1]]",
        "[[-1,1]]",
        "[[1,-1]]",
        "[[1,\"2\"]]",
        "[[1,1],[1,2]]",
        "[[0,1],[1,1],[2,1],[0,0]]",
        "[[1,1.5]]",
        "[[1,99999999999]]",
    };
    struct counts *counts = counts_new(3);
    bool changed = false;
    assert_true(set_row(counts, 0, "[[1, 5]]", &changed));
    changed = false;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (set_row(counts, 0, wrong[i], &changed)) {
            fail_msg("%s was accepted", wrong[i]);
        }
    }
    assert_false(changed);
    assert_json(counts_column(counts, 1), "[[0,5]]");
    counts_free(counts);
}

/* ---- jobs ---- */

static bool add(struct jobs *jobs, int vm, const char *text, struct ninja_error *err)
{
    json_t *answer = parse(text);
    bool ok = jobs_add(jobs, vm, answer, err);
    json_decref(answer);
    return ok;
}

static void jobs_of_all_vms_are_one(void **state)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_true(add(jobs, 0,
                    "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 1, \"pid\": "
                    "7, \"epoch\": 4, \"state\": \"RUNNING\"}]}], \"unmanaged\": []}",
                    &err));
    assert_false(jobs_are_complete(jobs, &err));
    assert_string_equal(err.class, "NotReady");
    assert_non_null(strstr(err.message, "rank 0 of 2"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_true(
        add(jobs, 1,
            "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 0, \"epoch\": "
            "3}]}]}",
            &err));
    assert_true(jobs_are_complete(jobs, &err));
    assert_int_equal(jobs->n, 1);
    assert_int_equal(jobs->jobs[0].epoch, 4);
    assert_int_equal(jobs->jobs[0].ranks[1].vm, 0);
    assert_true(add(jobs, 0,
                    "{\"jobs\": [{\"job\": \"k\", \"size\": 1, \"finalizing\": true, \"ranks\": "
                    "[{\"rank\": 0}]}]}",
                    &err));
    assert_false(jobs_are_complete(jobs, &err));
    assert_non_null(strstr(err.message, "MPI_Finalize"));
    jobs_free(jobs);
}

static void what_a_guest_may_not_say_of_jobs(void **state)
{
    static const char *const wrong[] = {
        "{}",
        "{\"jobs\": [{}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 0, \"ranks\": []}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 1000000, \"ranks\": []}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 2, \"ranks\": [{\"rank\": 2}]}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 2, \"ranks\": [{\"rank\": -1}]}]}",
        "{\"jobs\": [{\"job\": \"k\", \"size\": 2, \"ranks\": [{\"rank\": \"0\"}]}]}",
        "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 0}]}]}",
        "{\"jobs\": [{\"job\": \"j\", \"size\": 3, \"ranks\": []}]}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct jobs *jobs = calloc(1, sizeof(*jobs));
        struct ninja_error err = NINJA_ERROR_INIT;
        assert_true(add(jobs, 0,
                        "{\"jobs\": [{\"job\": \"j\", \"size\": 2, \"ranks\": [{\"rank\": 0}]}]}",
                        &err));
        if (add(jobs, 1, wrong[i], &err)) {
            fail_msg("%s was accepted", wrong[i]);
        }
        jobs_free(jobs);
    }
}

/* ---- links ---- */

static enum link_kind compare(const char *before, const char *now, bool *coming)
{
    char name[32] = "";
    json_t *a = parse(before), *b = parse(now);
    enum link_kind kind = link_compare(a, b, coming, name, sizeof(name));
    json_decref(a);
    json_decref(b);
    return kind;
}

#define RDMA(name, state) "{\"name\": \"" name "\", \"port\": 1, \"state\": \"" state "\"}"
#define NET(name, state)  "{\"name\": \"" name "\", \"state\": \"" state "\"}"
#define BOTH(rdma, net)   "{\"rdma\": [" rdma "], \"net\": [" net "]}"

static void what_counts_as_a_new_link(void **state)
{
    bool coming;
    const char *before = BOTH("", NET("eth0", "up"));
    assert_int_equal(compare(before, before, &coming), LINK_NONE);
    assert_int_equal(compare(before, BOTH(RDMA("mlx5_0", "ACTIVE"), NET("eth0", "up")), &coming),
                     LINK_RDMA);
    assert_int_equal(compare(before, BOTH(RDMA("mlx5_0", "INIT"), NET("eth0", "up")), &coming),
                     LINK_NONE);
    assert_true(coming);
    assert_int_equal(compare(before, BOTH("", NET("eth0", "up") "," NET("eth1", "up")), &coming),
                     LINK_NET);
    assert_false(coming);
    assert_int_equal(compare(before, BOTH("", NET("eth0", "up") "," NET("eth1", "down")), &coming),
                     LINK_NONE);
    assert_int_equal(compare(BOTH(RDMA("mlx5_0", "ACTIVE"), ""),
                             BOTH(RDMA("mlx5_0", "ACTIVE") "," RDMA("mlx5_1", "DOWN"), ""),
                             &coming),
                     LINK_NONE);
    assert_int_equal(
        compare(BOTH(RDMA("mlx5_0", "DOWN"), ""), BOTH(RDMA("mlx5_0", "ACTIVE"), ""), &coming),
        LINK_RDMA);
    assert_int_equal(compare("{}", "{\"rdma\": 3, \"net\": [7]}", &coming), LINK_NONE);
}

/* ---- commands on the host ---- */

struct command_world {
    struct event_base *base;
    struct ninja_error err;
    bool done;
};

static void on_command(void *arg, const struct ninja_error *err)
{
    struct command_world *world = arg;
    world->done = true;
    world->err = err ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(world->base);
}

static struct ninja_error run_command(const char *text, int timeout_ms)
{
    static char vm[] = "vm1", ib[] = "ib", eth[] = "eth", q[] = "/q", a[] = "/a";
    static char *vms[] = {vm};
    static struct cluster_entry entries[2] = {{.qmp = q, .agent = a}, {.qmp = q, .agent = a}};
    static struct cluster_site sites[2] = {{.name = ib, .vms = &entries[0]},
                                           {.name = eth, .vms = &entries[1]}};
    struct cluster cluster = {.vms = vms, .n_vms = 1, .sites = sites, .n_sites = 2};
    struct command_world world = {.base = event_base_new()};
    struct host_command *command =
        host_command_start(world.base, &cluster, text, 0, 1, 0, timeout_ms, on_command, &world);
    event_base_dispatch(world.base);
    assert_true(world.done);
    host_command_free(command);
    event_base_free(world.base);
    return world.err;
}

static void a_command_knows_for_whom_it_runs(void **state)
{
    struct ninja_error err = run_command("test '{vm} {site} {from} {qmp} {x}' = "
                                         "\"$NINJA_VM $NINJA_SITE ib $NINJA_QMP {x}\"",
                                         5000);
    assert_false(ninja_error_is_set(&err));
}

static void a_command_that_fails_tells_its_last_words(void **state)
{
    struct ninja_error err = run_command("echo one; echo no such bridge >&2; exit 3", 5000);
    assert_string_equal(err.class, "Command");
    assert_non_null(strstr(err.message, "status 3: no such bridge"));
}

static void a_command_that_hangs_is_killed(void **state)
{
    int64_t began = now_ms();
    struct ninja_error err = run_command("sleep 60 & wait", 100);
    assert_string_equal(err.class, "Timeout");
    assert_true(now_ms() - began < 5000);
}

static void a_command_that_ignores_sigterm_is_killed(void **state)
{
    int64_t began = now_ms();
    struct ninja_error err = run_command("trap '' TERM; sleep 60 & wait; sleep 60", 100);
    assert_string_equal(err.class, "Timeout");
    assert_true(now_ms() - began < 10000);
}

/* ninjactl itself ignores SIGPIPE, and what a process ignores its children do, too. */
static void a_command_gets_no_ignored_signals(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    struct ninja_error err = run_command("kill -PIPE $$; exit 0", 5000);
    assert_non_null(strstr(err.message, "signal 13"));
}

static void a_command_may_leave_a_process_running(void **state)
{
    int64_t began = now_ms();
    struct ninja_error err = run_command("sleep 2 & exit 0", 5000);
    assert_false(ninja_error_is_set(&err));
    assert_true(now_ms() - began < 1500);
}

/* ---- lock, journal, reports ---- */

static void the_lock_names_who_has_it(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char dir[120], expected[40];
    snprintf(dir, sizeof(dir), "%s/a/b", fake_dir());
    assert_int_equal(lock_holder(dir, "demo"), 0);
    int fd = lock_take(dir, "demo", &err);
    assert_true(fd >= 0);
    assert_int_equal(lock_take(dir, "demo", &err), -1);
    assert_string_equal(err.class, "Busy");
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
    assert_string_equal(err.class, "Busy");
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

static void a_state_directory_that_cannot_be_made(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_null(journal_new("/proc/nowhere", &err));
    assert_non_null(strstr(err.message, "/proc/nowhere"));
    assert_non_null(strstr(err.message, "--state-dir"));
}

static void text_that_is_not_utf8_becomes_json(void **state)
{
    assert_json(json_text("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
    assert_json(json_text("caf\xc3"), "\"caf?\"");
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_is_read_as_qemu_does),
        TEST(wrong_devices_are_refused),
        TEST(rows_become_columns),
        TEST(only_a_difference_is_a_change),
        TEST(malformed_rows_are_refused_and_change_nothing),
        TEST(jobs_of_all_vms_are_one),
        TEST(what_a_guest_may_not_say_of_jobs),
        TEST(what_counts_as_a_new_link),
        TEST(a_command_knows_for_whom_it_runs),
        TEST(a_command_that_fails_tells_its_last_words),
        TEST(a_command_that_hangs_is_killed),
        TEST(a_command_that_ignores_sigterm_is_killed),
        TEST(a_command_gets_no_ignored_signals),
        TEST(a_command_may_leave_a_process_running),
        TEST(the_lock_names_who_has_it),
        TEST(the_lock_is_of_the_process_that_has_it),
        TEST(ids_do_not_depend_on_the_time_zone),
        TEST(ids_do_not_go_back_with_the_clock),
        TEST(the_last_report_is_found),
        TEST(a_state_directory_that_cannot_be_made),
        TEST(text_that_is_not_utf8_becomes_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
