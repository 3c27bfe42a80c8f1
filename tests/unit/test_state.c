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

#include "host/migration/coordinator_private.h"
#include "host/vmm/driver_qmp.h"

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

static void set_state(unsigned from, unsigned to)
{
    struct state_machine machine;
    state_begin(&machine, NULL, NULL);
    machine.state = from;
    state_set(&machine, to);
}

/* Whether a change is made; if not, it aborts. */
static bool is_made(void (*set)(unsigned from, unsigned to), unsigned from, unsigned to)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        set(from, to);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
    return WIFEXITED(status);
}

static void an_illegal_change_aborts(void **state)
{
    assert_false(is_made(set_state, STATE_PLANNED, STATE_DONE));
    assert_true(is_made(set_state, STATE_PLANNED, STATE_FAILED));
}

/* ---- the machines beside it ---- */

static void set_course(unsigned from, unsigned to)
{
    struct migration m = {.course = from};
    course_set(&m, to);
    assert_int_equal(m.course, to);
}

static void set_round(unsigned from, unsigned to)
{
    struct migration m = {.round = from};
    round_set(&m, to);
    assert_int_equal(m.round, to);
}

static void set_jobs(unsigned from, unsigned to)
{
    struct migration m = {.jobs = from};
    jobs_set(&m, to);
    assert_int_equal(m.jobs, to);
}

static struct cluster cluster = {.vms = (char *[]){"vm1"}};
static struct vmm vmm = {.cluster = &cluster};

static void set_way(unsigned from, unsigned to)
{
    struct migration_vm vm = {.vmm = &vmm, .way = from};
    way_set(&vm, to);
    assert_int_equal(vm.way, to);
}

static void set_device(unsigned from, unsigned to)
{
    struct migration_vm vm = {.vmm = &vmm, .device = from};
    device_set(&vm, to);
    assert_int_equal(vm.device, to);
}

static void set_receiver(unsigned from, unsigned to)
{
    struct qmp_vm v = {.vmm = vmm, .receiver = from};
    receiver_set(&v, to);
    assert_int_equal(v.receiver, to);
}

static void set_copy(unsigned from, unsigned to)
{
    struct qmp_vm v = {.vmm = vmm, .copy = from};
    copy_set(&v, to);
    assert_int_equal(v.copy, to);
}

static void set_adoption(unsigned from, unsigned to)
{
    struct qmp_vm v = {.vmm = vmm, .adoption = from};
    adoption_set(&v, to);
    assert_int_equal(v.adoption, to);
}

#define S(state) (1u << (state))

static const struct {
    void (*set)(unsigned from, unsigned to);
    unsigned n;
    unsigned begins, ends; /* the states in which it may begin, and those that are left for none */
} machines[] = {
    {set_course, COURSES, S(COURSE_ASKED),
     S(COURSE_REFUSED) | S(COURSE_LED_ON) | S(COURSE_LED_BACK) | S(COURSE_SUSPENDED)},
    {set_round, ROUNDS, S(ROUND_NONE), S(ROUND_SPLIT)},
    {set_jobs, JOBS_STATES, S(JOBS_AS_BEFORE) | S(JOBS_UNKNOWN), S(JOBS_ON_BEST)},
    {set_way, WAYS, S(WAY_STAYS) | S(WAY_MOVES), S(WAY_STAYS) | S(WAY_UNDECIDED)},
    {set_device, DEVICE_STATES, S(DEVICE_AS_BEFORE), S(DEVICE_ATTACHED)},
    {set_receiver, RECEIVERS, S(RECEIVER_UNKNOWN), 0},
    {set_copy, COPIES, S(COPY_NONE), 0},
    {set_adoption, ADOPTIONS, S(ADOPTION_NONE), 0},
};

static void every_one_goes_from_its_beginnings_to_its_ends(void **state)
{
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        unsigned follows[8] = {0}, reached = machines[i].begins, before;
        for (unsigned from = 0; from < machines[i].n; from++) {
            for (unsigned to = 0; to < machines[i].n; to++) {
                bool made = is_made(machines[i].set, from, to);
                assert_true(made || from != to); /* to stay is allowed */
                follows[from] |= made && from != to ? S(to) : 0;
            }
            assert_int_equal(follows[from] == 0, (machines[i].ends & S(from)) != 0);
        }
        do {
            before = reached;
            for (unsigned from = 0; from < machines[i].n; from++) {
                reached |= before & S(from) ? follows[from] : 0;
            }
        } while (reached != before);
        assert_int_equal(reached, S(machines[i].n) - 1);
    }
}

static void what_must_not_follow_there(void **state)
{
    assert_false(is_made(set_course, COURSE_BACK, COURSE_FORWARD));
    assert_false(is_made(set_course, COURSE_FORWARD, COURSE_REFUSED));
    assert_false(is_made(set_jobs, JOBS_ON_STANDBY, JOBS_HELD));
    assert_false(is_made(set_way, WAY_STAYS, WAY_COPYING));
    assert_false(is_made(set_way, WAY_UNDECIDED, WAY_COPYING)); /* it might run at both sides */
    assert_false(is_made(set_way, WAY_UNDECIDED, WAY_MOVES));
    assert_false(is_made(set_device, DEVICE_PLUGGED, DEVICE_DETACHED));
    /* only a QEMU that waited for this VM is told to quit, and only one that ended makes void what
     * was sent to it */
    assert_false(is_made(set_receiver, RECEIVER_UNKNOWN, RECEIVER_ENDED));
    assert_false(is_made(set_receiver, RECEIVER_STARTED, RECEIVER_ENDED));
    assert_false(is_made(set_receiver, RECEIVER_STARTED, RECEIVER_STAYS));
    assert_false(is_made(set_receiver, RECEIVER_ENDED, RECEIVER_WAITS));
    assert_false(is_made(set_copy, COPY_CHANGES_SIDES, COPY_GOES_ON)); /* it could be cancelled */
    assert_false(is_made(set_adoption, ADOPTION_NONE, ADOPTION_ASKED_AGAIN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_can_be_reached_and_left),
        cmocka_unit_test(what_must_not_follow),
        cmocka_unit_test(changes_are_recorded),
        cmocka_unit_test(an_illegal_change_aborts),
        cmocka_unit_test(every_one_goes_from_its_beginnings_to_its_ends),
        cmocka_unit_test(what_must_not_follow_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
