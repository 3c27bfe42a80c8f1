#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "guest-agent/scripts.h"

struct run {
    struct event_base *base;
    struct scripts *scripts;
    bool called, ok;
    char output[SCRIPTS_MAX_OUTPUT];
    double seconds;
};

static void on_done(void *ctx, bool ok, const char *output)
{
    struct run *run = ctx;
    assert_false(run->called);
    run->called = true;
    run->ok = ok;
    assert_true(strlen(output) < sizeof(run->output));
    strcpy(run->output, output);
    event_base_loopbreak(run->base);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct run *run(const char *dir, const char *device, uint32_t each_ms, uint32_t total_ms)
{
    static struct run run;
    memset(&run, 0, sizeof(run));
    run.base = event_base_new();
    run.scripts = scripts_new(run.base, dir, each_ms);
    double start = now();
    assert_true(scripts_run(run.scripts, "detach", device, total_ms, on_done, &run));
    assert_false(run.called);
    assert_false(scripts_run(run.scripts, "detach", device, total_ms, on_done, &run));
    event_base_dispatch(run.base);
    run.seconds = now() - start;
    assert_true(run.called);
    scripts_free(run.scripts);
    event_base_free(run.base);
    return &run;
}

static void they_run_in_order_with_event_and_device(void **state)
{
    struct fixture *f = *state;
    make_file(f, "scripts.d/20-second", 0755, "#!/bin/sh\necho two >&2\n");
    make_file(f, "scripts.d/10-first", 0755,
              "#!/bin/sh\necho \"$1,$2,$NINJA_EVENT,$NINJA_DEVICE,$#\"\nread x || echo no input\n");
    make_file(f, "scripts.d/Z-last", 0755, "#!/bin/sh\necho three\n");
    struct run *r = run(f->scripts, "hca 0;x", 10000, 60000);
    assert_true(r->ok);
    assert_string_equal(r->output, "detach,hca 0;x,detach,hca 0;x,2\nno input\ntwo\nthree\n");
}

static void what_is_no_script_is_left_alone(void **state)
{
    struct fixture *f = *state;
    make_file(f, "scripts.d/README", 0644, "not executable\n");
    make_file(f, "scripts.d/.hidden", 0755, "#!/bin/sh\necho hidden\n");
    make_file(f, "scripts.d/old~", 0755, "#!/bin/sh\necho backup\n");
    make_file(f, "scripts.d/conf.dpkg-old", 0755, "#!/bin/sh\necho dpkg\n");
    make_file(f, "scripts.d/dir/file", 0755, "#!/bin/sh\necho below\n");
    make_link(f, "scripts.d/dangling", "/nonexistent");
    struct run *r = run(f->scripts, "x", 10000, 60000);
    assert_true(r->ok);
    assert_string_equal(r->output, "");
    r = run("/nonexistent", "x", 10000, 60000);
    assert_true(r->ok);
}

static void the_first_failure_is_the_last_script(void **state)
{
    struct fixture *f = *state;
    make_file(f, "scripts.d/1", 0755, "#!/bin/sh\necho one\n");
    make_file(f, "scripts.d/2", 0755, "#!/bin/sh\necho two\nexit 3\n");
    make_file(f, "scripts.d/3", 0755, "#!/bin/sh\necho three\n");
    struct run *r = run(f->scripts, "x", 10000, 60000);
    assert_false(r->ok);
    assert_string_equal(r->output, "one\ntwo\n2: exit status 3\n");
}

static void a_signal_and_a_missing_interpreter_are_told(void **state)
{
    struct fixture *f = *state;
    make_file(f, "scripts.d/1", 0755, "#!/bin/sh\nkill -KILL $$\n");
    struct run *r = run(f->scripts, "x", 10000, 60000);
    assert_false(r->ok);
    assert_string_equal(r->output, "1: ended by signal 9 (Killed)\n");
    make_file(f, "scripts.d/0", 0755, "#!/nonexistent/shell\n");
    r = run(f->scripts, "x", 10000, 60000);
    assert_false(r->ok);
    assert_non_null(strstr(r->output, "/0: cannot be run: No such file or directory"));
}

/* The script tells its pid and that of a child, by files; both must be gone. */
static void expect_gone(struct fixture *f, const char *name)
{
    char path[256];
    int pid = 0;
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    for (int i = 0; kill(pid, 0) == 0; i++) {
        /* an orphan is a zombie until init has taken notice */
        char state_path[64], line[256] = "";
        snprintf(state_path, sizeof(state_path), "/proc/%d/stat", pid);
        FILE *stat_file = fopen(state_path, "r");
        if (stat_file != NULL) {
            assert_non_null(fgets(line, sizeof(line), stat_file));
            fclose(stat_file);
            if (strstr(line, ") Z ") != NULL) {
                break;
            }
        }
        assert_true(i < 500);
        usleep(10000);
    }
}

static void a_hanging_script_is_killed_with_its_children(void **state)
{
    struct fixture *f = *state;
    char text[512];
    snprintf(text, sizeof(text),
             "#!/bin/sh\ntrap '' TERM\necho $$ >%s/pid\nsleep 600 &\necho $! >%s/child\n"
             "echo begun\nwhile :; do wait; sleep 600; done\n",
             f->dir, f->dir);
    make_file(f, "scripts.d/hang", 0755, text);
    struct run *r = run(f->scripts, "x", 1500, 60000);
    assert_false(r->ok);
    assert_string_equal(r->output, "begun\nhang: ended, as its time was over\n");
    assert_true(r->seconds > 1.4 && r->seconds < 30);
    expect_gone(f, "pid");
    expect_gone(f, "child");
}

static void the_total_time_holds_for_all_together(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof(name), "scripts.d/%d", i);
        make_file(f, name, 0755, "#!/bin/sh\nsleep 0.5\n");
    }
    struct run *r = run(f->scripts, "x", 60000, 1200);
    assert_false(r->ok);
    assert_non_null(strstr(r->output, "ended, as its time was over"));
    assert_true(r->seconds > 1.1 && r->seconds < 3.5);
}

static void a_daemon_left_behind_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    char text[256];
    snprintf(text, sizeof(text), "#!/bin/sh\nsleep 5 &\necho $! >%s/pid\necho done\n", f->dir);
    make_file(f, "scripts.d/daemon", 0755, text);
    struct run *r = run(f->scripts, "x", 60000, 60000);
    assert_true(r->ok);
    assert_string_equal(r->output, "done\n");
    assert_true(r->seconds < 4);
}

static void output_is_bounded(void **state)
{
    struct fixture *f = *state;
    make_file(f, "scripts.d/much", 0755,
              "#!/bin/sh\nhead -c 3000000 /dev/zero\necho end\nexit 1\n");
    struct run *r = run(f->scripts, "x", 60000, 60000);
    assert_false(r->ok);
    assert_true(strlen(r->output) < SCRIPTS_MAX_OUTPUT);
    assert_non_null(strstr(r->output, "?\n[cut]\nmuch: exit status 1\n"));
    assert_memory_equal(r->output, "????", 4);
}

static void freeing_kills_what_runs(void **state)
{
    struct fixture *f = *state;
    char text[256];
    snprintf(text, sizeof(text), "#!/bin/sh\necho $$ >%s/new && mv %s/new %s/pid\nexec sleep 600\n",
             f->dir, f->dir, f->dir);
    make_file(f, "scripts.d/hang", 0755, text);
    struct run r = {.base = event_base_new()};
    r.scripts = scripts_new(r.base, f->scripts, 60000);
    assert_true(scripts_run(r.scripts, "attach", "x", 60000, on_done, &r));
    char path[256];
    snprintf(path, sizeof(path), "%s/pid", f->dir);
    for (int i = 0; access(path, F_OK) != 0; i++) {
        assert_true(i < 2000);
        event_base_loop(r.base, EVLOOP_NONBLOCK);
        usleep(10000);
    }
    scripts_free(r.scripts);
    event_base_free(r.base);
    assert_false(r.called);
    expect_gone(f, "pid");
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(they_run_in_order_with_event_and_device),
        WITH_FIXTURE(what_is_no_script_is_left_alone),
        WITH_FIXTURE(the_first_failure_is_the_last_script),
        WITH_FIXTURE(a_signal_and_a_missing_interpreter_are_told),
        WITH_FIXTURE(a_hanging_script_is_killed_with_its_children),
        WITH_FIXTURE(the_total_time_holds_for_all_together),
        WITH_FIXTURE(a_daemon_left_behind_holds_up_nobody),
        WITH_FIXTURE(output_is_bounded),
        WITH_FIXTURE(freeing_kills_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
