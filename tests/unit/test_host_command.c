/* The commands of a site, run on the host. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/base/timer.h"
#include "host/vmm/host_command.h"
#include "host/vmm/vm_sockets.h"

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
    static struct vm_sockets sockets = {.qmp = q, .agent = a};
    static struct cluster_entry entries[2] = {{.own = &sockets}, {.own = &sockets}};
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
    assert_string_equal(ninja_error_class_name(err.class), "Command");
    assert_non_null(strstr(err.message, "status 3: no such bridge"));
}

static void a_command_that_hangs_is_killed(void **state)
{
    int64_t began = now_ms();
    struct ninja_error err = run_command("sleep 60 & wait", 100);
    assert_string_equal(ninja_error_class_name(err.class), "Timeout");
    assert_true(now_ms() - began < 5000);
}

static void a_command_that_ignores_sigterm_is_killed(void **state)
{
    int64_t began = now_ms();
    struct ninja_error err = run_command("trap '' TERM; sleep 60 & wait; sleep 60", 100);
    assert_string_equal(ninja_error_class_name(err.class), "Timeout");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_knows_for_whom_it_runs),
        cmocka_unit_test(a_command_that_fails_tells_its_last_words),
        cmocka_unit_test(a_command_that_hangs_is_killed),
        cmocka_unit_test(a_command_that_ignores_sigterm_is_killed),
        cmocka_unit_test(a_command_gets_no_ignored_signals),
        cmocka_unit_test(a_command_may_leave_a_process_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
