#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/migration/state.h"

static void every_state_can_be_reached_and_left(void **state)
{
    bool reached[STATES] = {[STATE_PLANNED] = true};
    for (int round = 0; round < STATES; round++) {
        for (int from = 0; from < STATES; from++) {
            for (int to = 0; to < STATES; to++) {
                if (reached[from] &&
                    state_may_follow((enum migration_state)from, (enum migration_state)to)) {
                    reached[to] = true;
                }
            }
        }
    }
    for (int s = 0; s < STATES; s++) {
        bool last = s == STATE_DONE || s == STATE_FAILED || s == STATE_NEEDS_OPERATOR;
        bool left = false;
        assert_true(reached[s]);
        for (int to = 0; to < STATES; to++) {
            left |= state_may_follow((enum migration_state)s, (enum migration_state)to);
        }
        assert_int_equal(left, !last);
    }
}

static void what_must_not_follow(void **state)
{
    /* no copy before the devices are gone or were never there, no rollback past the copy */
    assert_false(state_may_follow(STATE_QUIESCING, STATE_DETACHING));
    assert_false(state_may_follow(STATE_QUIESCING, STATE_COPYING));
    assert_false(state_may_follow(STATE_ATTACHING, STATE_ROLLING_BACK));
    assert_false(state_may_follow(STATE_DETACHING, STATE_ATTACHING));
    assert_false(state_may_follow(STATE_ROLLING_BACK, STATE_COPYING));
    assert_false(state_may_follow(STATE_RELEASING, STATE_DONE));
    /* but ranks that were left in the middle of a switch may have no more to do than release */
    assert_true(state_may_follow(STATE_PLANNED, STATE_RELEASING));
    /* everything before the point of no return can be taken back */
    for (int s = STATE_PLANNED; s <= STATE_COPYING; s++) {
        assert_true(state_may_follow((enum migration_state)s, STATE_ROLLING_BACK));
    }
}

static int calls;

static void on_change(void *arg, enum migration_state from, enum migration_state to)
{
    const struct state_machine *machine = arg;
    assert_int_equal(machine->state, from); /* before it is taken up */
    assert_int_equal(to, STATE_QUIESCING + calls);
    calls++;
}

static void changes_are_recorded(void **state)
{
    struct state_machine machine;
    calls = 0;
    state_begin(&machine, on_change, &machine);
    state_set(&machine, STATE_PLANNED);
    assert_int_equal(calls, 0);
    state_set(&machine, STATE_QUIESCING);
    usleep(20000);
    state_set(&machine, STATE_RELEASING);
    assert_int_equal(calls, 2);
    json_t *json = state_to_json(&machine);
    assert_int_equal(json_array_size(json), 3);
    json_t *quiescing = json_array_get(json, 1);
    assert_string_equal(json_string_value(json_object_get(quiescing, "state")), "QUIESCING");
    assert_true(json_integer_value(json_object_get(quiescing, "ms")) >= 19);
    json_decref(json);
}

static void an_illegal_change_aborts(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct state_machine machine;
        signal(SIGABRT, SIG_DFL);
        state_begin(&machine, NULL, NULL);
        state_set(&machine, STATE_DONE);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_can_be_reached_and_left),
        cmocka_unit_test(what_must_not_follow),
        cmocka_unit_test(changes_are_recorded),
        cmocka_unit_test(an_illegal_change_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
