/* A process beside the event loop, which its owner leaves behind when nothing ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/process.h"

static bool hangs; /* as in a driver: no signal ends a process */

int kill(pid_t pid, int signal_number)
{
    return hangs ? 0 : (int)syscall(SYS_kill, pid, signal_number);
}

struct world {
    struct event_base *base;
    struct process *process;
    bool done, timed_out;
    int status;
};

static void on_done(void *arg, int status, bool timed_out)
{
    struct world *world = arg;
    assert_false(world->done);
    world->done = true;
    world->status = status;
    world->timed_out = timed_out;
    event_base_loopbreak(world->base);
}

static void start(struct world *world, const char *script, int timeout_ms)
{
    char shell[] = "/bin/sh", option[] = "-c", text[256];
    char *argv[] = {shell, option, text, NULL};
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct process_options options = {argv, environ, -1, nowhere, nowhere, timeout_ms};
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_true(strlen(script) < sizeof(text));
    strcpy(text, script);
    *world = (struct world){.base = event_base_new()};
    world->process = process_start(world->base, &options, on_done, world, &err);
    assert_non_null(world->process);
    close(nowhere);
}

static void end(struct world *world)
{
    process_free(world->process);
    event_base_free(world->base);
}

static void the_end_is_told_once(void **state)
{
    struct world world;
    start(&world, "exit 3", 60000);
    event_base_dispatch(world.base);
    assert_true(world.done);
    assert_false(world.timed_out);
    assert_int_equal(WEXITSTATUS(world.status), 3);
    process_stop(world.process);
    event_base_loop(world.base, EVLOOP_NONBLOCK);
    end(&world);
}

static void one_that_is_stopped_is_ended(void **state)
{
    struct world world;
    start(&world, "exec sleep 600", 600000);
    process_stop(world.process);
    event_base_dispatch(world.base);
    assert_true(world.done && world.timed_out);
    assert_int_equal(WTERMSIG(world.status), SIGTERM);
    end(&world);
}

static void left_behind(struct world *world)
{
    hangs = true;
    start(world, "exec sleep 600", 100);
    event_base_dispatch(world->base);
    assert_true(world->done && world->timed_out);
    assert_int_equal(world->status, -1);
    hangs = false;
}

static void one_that_nothing_ends_is_left_behind_but_no_zombie(void **state)
{
    struct world world;
    left_behind(&world);
    pid_t pid = process_pid(world.process);
    process_free(world.process);
    world.process = NULL;
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    for (int i = 0; kill(pid, 0) == 0; i++) {
        assert_true(i < 1000);
        event_base_loop(world.base, EVLOOP_NONBLOCK);
        usleep(10000);
    }
    end(&world);
}

static void one_that_ends_after_all_is_told_no_second_time(void **state)
{
    struct world world;
    left_behind(&world);
    pid_t pid = process_pid(world.process);
    assert_int_equal(kill(pid, SIGKILL), 0);
    for (int i = 0; kill(pid, 0) == 0; i++) {
        assert_true(i < 1000);
        event_base_loop(world.base, EVLOOP_NONBLOCK);
        usleep(10000);
    }
    end(&world);
}

static void values_stand_in_for_those_of_the_environment(void **state)
{
    const char *values[][2] = {{"NINJA_ONE", "1"}, {"PATH", "/nowhere"}};
    assert_int_equal(setenv("NINJA_ONE_MORE", "kept", 1), 0);
    assert_int_equal(setenv("NINJA_ONE", "old", 1), 0);
    char **env = process_environment(values, 2);
    int paths = 0, kept = 0;
    assert_string_equal(env[0], "NINJA_ONE=1");
    for (char **e = env; *e != NULL; e++) {
        assert_string_not_equal(*e, "NINJA_ONE=old");
        paths += strncmp(*e, "PATH=", 5) == 0;
        kept += strcmp(*e, "NINJA_ONE_MORE=kept") == 0;
    }
    assert_int_equal(paths, 1);
    assert_int_equal(kept, 1);
    process_environment_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_told_once),
        cmocka_unit_test(one_that_is_stopped_is_ended),
        cmocka_unit_test(one_that_nothing_ends_is_left_behind_but_no_zombie),
        cmocka_unit_test(one_that_ends_after_all_is_told_no_second_time),
        cmocka_unit_test(values_stand_in_for_those_of_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
