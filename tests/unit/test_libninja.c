#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "scripted_agent.h"

static uint16_t type_of(enum ninja_step step)
{
    return (uint16_t)(NINJA_RANK_STOP + step);
}

/* What the agent gives so that a member which is at that step runs again. */
static void lead_to_running(struct scene *s, enum ninja_rank_state state, uint32_t epoch)
{
    enum ninja_step from =
        state == NINJA_RANK_RELEASED || state == NINJA_RANK_OPENED || state == NINJA_RANK_CONNECTED
            ? NINJA_STEP_OPEN
            : NINJA_STEP_RESUME;
    for (enum ninja_step step = from; step < NINJA_STEPS; step++) {
        agent_gives(s, type_of(step), epoch, 50);
        while (step == NINJA_STEP_OPEN && strstr(s->calls, "open") == NULL) {
            program_turns(s);
        }
        agent_expects(s, type_of(step), epoch, NINJA_RANK_OK);
    }
    assert_true(ninja_is_running(s->ninja));
    s->calls[0] = '\0';
}

static void all_works(struct scene *s, uint32_t epoch)
{
    memset(s->answers, 0, sizeof(s->answers));
    s->calls[0] = '\0';
    for (enum ninja_step step = 0; step < NINJA_STEPS; step++) {
        agent_gives(s, type_of(step), epoch, 1);
        agent_expects(s, type_of(step), epoch, NINJA_RANK_OK);
        assert_int_equal(ninja_is_running(s->ninja), step == NINJA_STEP_RESUME);
    }
    expect_calls(s, "stop drain settle release open connect verify resume");
}

/* --- steps -------------------------------------------------------------------------------- */

static void each_step_is_given_to_the_program(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 1);
    all_works(s, 1);
    all_works(s, 2);
}

static void what_steps_carry_comes_and_what_is_said_goes(void **state)
{
    struct scene *s = *state;
    size_t size;
    scene_begin(s, 2);

    ninja_say_sent(s->ninja, 1, 65536 + 7);
    agent_gives(s, NINJA_RANK_STOP, 3, 0);
    assert_string_equal(s->release, "@all");
    assert_string_equal(s->open, "tcp:eth0");
    assert_int_equal(s->last.epoch, 3);
    struct ninja_rank_msg msg = agent_takes(s, NINJA_RANK_STOP, 3, NINJA_RANK_OK);
    assert_int_equal(msg.n_a, 1);
    assert_int_equal(msg.a[0].peer, 1);
    assert_int_equal(msg.a[0].value, 7);
    ninja_rank_msg_clear(&msg);

    agent_gives(s, NINJA_RANK_DRAIN, 3, 1);
    assert_int_equal(s->last.n_sent, 1);
    assert_int_equal(s->sent[0].rank, 1);
    assert_int_equal(s->sent[0].messages, 65535);
    agent_expects(s, NINJA_RANK_DRAIN, 3, NINJA_RANK_OK);
    agent_gives(s, NINJA_RANK_SETTLE, 3, 1);
    agent_expects(s, NINJA_RANK_SETTLE, 3, NINJA_RANK_OK);
    agent_gives(s, NINJA_RANK_RELEASE, 3, 1);
    assert_string_equal(s->release, "@all");
    assert_string_equal(s->open, "");
    agent_expects(s, NINJA_RANK_RELEASE, 3, NINJA_RANK_OK);
    agent_gives(s, NINJA_RANK_OPEN, 3, 1);
    assert_string_equal(s->open, "tcp:eth0");
    msg = agent_takes(s, NINJA_RANK_OPEN, 3, NINJA_RANK_OK);
    assert_int_equal(msg.n_addresses, 4);
    assert_memory_equal(msg.addresses, "mine", 4);
    ninja_rank_msg_clear(&msg);

    assert_null(ninja_address(s->ninja, 1, &size));
    agent_gives(s, NINJA_RANK_CONNECT, 3, 1);
    assert_memory_equal(ninja_address(s->ninja, 1, &size), "bbbb", 4);
    assert_int_equal(size, 4);
    assert_null(ninja_address(s->ninja, 2, &size));
    msg = agent_takes(s, NINJA_RANK_CONNECT, 3, NINJA_RANK_OK);
    assert_string_equal(msg.text, "tcp,verbs");
    assert_int_equal(msg.n_a, 2);
    assert_int_equal(msg.a[1].value, 2);
    ninja_rank_msg_clear(&msg);
    agent_gives(s, NINJA_RANK_VERIFY, 3, 1);
    assert_int_equal(s->last.limit_ms, 1234);
    agent_expects(s, NINJA_RANK_VERIFY, 3, NINJA_RANK_OK);
    agent_gives(s, NINJA_RANK_RESUME, 3, 1);
    agent_expects(s, NINJA_RANK_RESUME, 3, NINJA_RANK_OK);
    assert_memory_equal(ninja_address(s->ninja, 0, &size), "aaaa", 4);
}

/* The state of a member that reported the step with a failure. */
static const enum ninja_rank_state after_failure[] = {
    [NINJA_STEP_STOP] = NINJA_RANK_RUNNING,     [NINJA_STEP_DRAIN] = NINJA_RANK_QUIESCING,
    [NINJA_STEP_SETTLE] = NINJA_RANK_QUIESCING, [NINJA_STEP_RELEASE] = NINJA_RANK_RELEASED,
    [NINJA_STEP_OPEN] = NINJA_RANK_RELEASED,    [NINJA_STEP_CONNECT] = NINJA_RANK_OPENED,
    [NINJA_STEP_VERIFY] = NINJA_RANK_CONNECTED, [NINJA_STEP_RESUME] = NINJA_RANK_READY,
};

static void a_callback_that_fails_is_reported(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    for (enum ninja_step step = 0; step < NINJA_STEPS; step++) {
        for (enum answer answer = FAILS; answer <= FAILS_LATER; answer++) {
            uint32_t epoch = 2 * step + answer;
            uint32_t wanted =
                step == NINJA_STEP_STOP ? NINJA_RANK_STATUS_REFUSED : NINJA_RANK_FAILED;
            memset(s->answers, 0, sizeof(s->answers));
            scene_up_to(s, step, epoch);
            s->answers[step] = answer;
            agent_gives(s, type_of(step), epoch, 1);
            if (answer == FAILS_LATER) {
                agent_expects_nothing(s);
                assert_int_equal(ninja_fail(s->ninja, s->last.number, "no such luck"), 0);
            }
            struct ninja_rank_msg msg = agent_takes(s, type_of(step), epoch, wanted);
            assert_string_equal(msg.text, "no such luck");
            ninja_rank_msg_clear(&msg);
            assert_int_equal(ninja_is_running(s->ninja), step == NINJA_STEP_STOP);
            memset(s->answers, 0, sizeof(s->answers));
            s->calls[0] = '\0';
            lead_to_running(s, after_failure[step], epoch);
        }
    }
    all_works(s, 100);
}

static void a_callback_may_end_its_step_later(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    for (enum ninja_step step = 0; step < NINJA_STEPS; step++) {
        s->answers[step] = LATER;
    }
    for (enum ninja_step step = 0; step < NINJA_STEPS; step++) {
        agent_gives(s, type_of(step), 1, 1);
        agent_gives(s, type_of(step), 1, 1); /* asked again, it is not begun again */
        agent_expects_nothing(s);
        uint64_t number = s->last.number;
        assert_int_equal(ninja_done(s->ninja, number + 1), -1);
        assert_int_equal(errno, ESTALE);
        assert_int_equal(ninja_done(s->ninja, number), 0);
        assert_int_equal(ninja_done(s->ninja, number), -1);
        agent_expects(s, type_of(step), 1, NINJA_RANK_OK);
        agent_gives(s, type_of(step), 1, 1);
        agent_expects(s, type_of(step), 1, NINJA_RANK_OK); /* the same report */
    }
    expect_calls(s, "stop drain settle release open connect verify resume");
    all_works(s, 2);
}

static void a_further_step_ends_the_one_before(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    for (enum ninja_step step = NINJA_STEP_STOP; step <= NINJA_STEP_SETTLE; step++) {
        uint32_t epoch = step + 1;
        scene_up_to(s, step, epoch);
        s->answers[step] = LATER;
        agent_gives(s, type_of(step), epoch, 1);
        uint64_t number = s->last.number;
        s->answers[step] = AT_ONCE;
        agent_gives(s, NINJA_RANK_RESUME, epoch, 1);
        agent_expects(s, NINJA_RANK_RESUME, epoch, NINJA_RANK_OK);
        assert_int_equal(ninja_done(s->ninja, number), -1);
        assert_int_equal(ninja_fail(s->ninja, number, "too late"), -1);
        assert_int_equal(errno, ESTALE);
        agent_expects_nothing(s);
        assert_true(ninja_is_running(s->ninja));
    }
    all_works(s, 9);
}

static void between_two_opens_there_is_a_release(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_VERIFY, 1);
    s->answers[NINJA_STEP_RELEASE] = LATER;
    agent_gives(s, NINJA_RANK_OPEN, 1, 2);
    expect_calls(s, "release");
    agent_expects_nothing(s);
    assert_int_equal(ninja_done(s->ninja, s->last.number), 0);
    agent_expects_nothing(s);
    program_turns(s); /* its descriptor says that there is something to do */
    expect_calls(s, "open");
    agent_expects(s, NINJA_RANK_OPEN, 1, NINJA_RANK_OK);
    s->answers[NINJA_STEP_RELEASE] = FAILS; /* the open is to be tried all the same */
    agent_gives(s, NINJA_RANK_OPEN, 1, 3);
    expect_calls(s, "release open");
    agent_expects(s, NINJA_RANK_OPEN, 1, NINJA_RANK_OK);
    s->answers[NINJA_STEP_RELEASE] = AT_ONCE;
    lead_to_running(s, NINJA_RANK_OPENED, 1);
}

/* Opens a list in a switch of its own, and expects whether it may have a bypass device. */
static void opens(struct scene *s, uint32_t epoch, const char *list, bool bypass)
{
    scene_up_to(s, NINJA_STEP_OPEN, epoch);
    agent_sends(s, (struct ninja_rank_msg){
                       .type = NINJA_RANK_OPEN, .epoch = epoch, .round = 1, .text = (char *)list});
    program_turns(s);
    agent_expects(s, NINJA_RANK_OPEN, epoch, NINJA_RANK_OK);
    assert_string_equal(s->open, list);
    assert_int_equal(s->last.bypass, bypass);
    for (enum ninja_step step = NINJA_STEP_CONNECT; step < NINJA_STEPS; step++) {
        agent_gives(s, type_of(step), epoch, 1);
        agent_expects(s, type_of(step), epoch, NINJA_RANK_OK);
    }
}

static void a_list_tells_whether_a_bypass_device_is_wanted(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 1);
    opens(s, 1, "@previous", true); /* as it began */
    opens(s, 2, "@standby", false);
    opens(s, 3, "@previous", false);
    opens(s, 4, "@best", true);
    opens(s, 5, "@previous", true);
    opens(s, 6, "@standby", false);
    opens(s, 7, "openib:mlx5_0", true);
}

static void what_is_released_is_not_released_again(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_OPEN, 1);
    agent_gives(s, NINJA_RANK_RELEASE, 2, 1); /* of a coordinator that takes over */
    expect_calls(s, "");
    agent_expects(s, NINJA_RANK_RELEASE, 2, NINJA_RANK_OK);
    lead_to_running(s, NINJA_RANK_RELEASED, 2);
}

static void a_program_that_runs_is_not_resumed(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    agent_gives(s, NINJA_RANK_RESUME, 1, 1);
    agent_expects(s, NINJA_RANK_RESUME, 1, NINJA_RANK_OK);
    expect_calls(s, "");
}

static void a_program_of_several_needs_an_address(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_OPEN, 1);
    s->answers[NINJA_STEP_OPEN] = LATER;
    agent_gives(s, NINJA_RANK_OPEN, 1, 1);
    s->answers[NINJA_STEP_OPEN] = AT_ONCE;
    ninja_say_address(s->ninja, "other", 5); /* the last word counts */
    ninja_done(s->ninja, s->last.number);
    struct ninja_rank_msg msg = agent_takes(s, NINJA_RANK_OPEN, 1, NINJA_RANK_OK);
    assert_int_equal(msg.n_addresses, 5);
    ninja_rank_msg_clear(&msg);
    assert_int_equal(ninja_say_address(s->ninja, "", 0), -1);
    assert_int_equal(ninja_say_address(s->ninja, s, 65537), -1);
    assert_int_equal(ninja_say_sent(s->ninja, 0, 1), -1);
    assert_int_equal(ninja_say_sent(s->ninja, 2, 1), -1);
    assert_int_equal(ninja_say_transport(s->ninja, "a,b", 1), -1);
    assert_int_equal(ninja_say_transport(s->ninja, "", 1), -1);
    lead_to_running(s, NINJA_RANK_OPENED, 1);
}

/* --- an agent that is lost ---------------------------------------------------------------- */

/* In which state a member is while it is at a step. */
static const enum ninja_rank_state during[] = {
    [NINJA_STEP_STOP] = NINJA_RANK_QUIESCING,   [NINJA_STEP_DRAIN] = NINJA_RANK_QUIESCING,
    [NINJA_STEP_SETTLE] = NINJA_RANK_QUIESCING, [NINJA_STEP_RELEASE] = NINJA_RANK_RELEASED,
    [NINJA_STEP_OPEN] = NINJA_RANK_RELEASED,    [NINJA_STEP_CONNECT] = NINJA_RANK_OPENED,
    [NINJA_STEP_VERIFY] = NINJA_RANK_CONNECTED, [NINJA_STEP_RESUME] = NINJA_RANK_READY,
};

static void restart(struct scene *s)
{
    agent_dies(s);
    agent_start(s);
    program_finds(s);
}

static void an_agent_that_dies_in_a_step_comes_back(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    for (enum ninja_step step = 0; step < NINJA_STEPS; step++) {
        uint32_t epoch = step + 1;
        scene_up_to(s, step, epoch);
        s->answers[step] = LATER;
        agent_gives(s, type_of(step), epoch, 1);
        restart(s);
        agent_welcomes(s, during[step], epoch);
        /* it goes on with what it was told, and is asked for the report again */
        agent_gives(s, type_of(step), epoch, 1);
        agent_expects_nothing(s);
        assert_int_equal(ninja_done(s->ninja, s->last.number), 0);
        agent_expects(s, type_of(step), epoch, NINJA_RANK_OK);
        s->answers[step] = AT_ONCE;
        lead_to_running(s, ninja_switch_steps[step].to, epoch);
    }
    all_works(s, 100);
}

static void a_step_may_end_while_there_is_no_agent(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_RELEASE, 1);
    s->answers[NINJA_STEP_RELEASE] = LATER;
    agent_gives(s, NINJA_RANK_RELEASE, 1, 1);
    agent_dies(s);
    program_turns(s);
    assert_non_null(strstr(s->said, "lost the ninja-agent"));
    assert_int_equal(ninja_done(s->ninja, s->last.number), 0);
    agent_start(s);
    program_finds(s);
    agent_welcomes(s, NINJA_RANK_RELEASED, 1);
    agent_gives(s, NINJA_RANK_RELEASE, 1, 1);
    agent_expects(s, NINJA_RANK_RELEASE, 1, NINJA_RANK_OK);
    lead_to_running(s, NINJA_RANK_RELEASED, 1);
}

static void an_agent_may_come_later(void **state)
{
    struct scene *s = *state;
    program_joins(s, 1);
    assert_non_null(strstr(s->said, "cannot be migrated until the agent is started"));
    assert_true(ninja_is_running(s->ninja));
    agent_start(s);
    program_finds(s);
    agent_welcomes(s, NINJA_RANK_RUNNING, 0);
    all_works(s, 1);
}

static void a_refusal_is_for_good(void **state)
{
    struct scene *s = *state;
    agent_start(s);
    program_joins(s, 1);
    agent_takes_hello(s, NINJA_RANK_RUNNING, 0);
    agent_sends(s, (struct ninja_rank_msg){.type = NINJA_RANK_REFUSED, .text = "not you"});
    assert_int_equal(program_turns(s), -1);
    assert_int_equal(errno, EACCES);
    assert_non_null(strstr(s->said, "not you"));
    struct pollfd p[] = {{s->listener, POLLIN, 0}, {ninja_descriptor(s->ninja), POLLIN, 0}};
    assert_int_equal(poll(p, 2, 1500), 0); /* it does not ask again, and does not spin */
    ninja_leave(s->ninja);
    assert_int_equal(program_turns(s), 1);
}

static void an_agent_that_does_not_answer_is_tried_again(void **state)
{
    struct scene *s = *state;
    agent_start(s);
    program_joins(s, 1);
    agent_takes_hello(s, NINJA_RANK_RUNNING, 0);
    int silent = s->conn;
    program_finds(s);
    close(silent);
    agent_welcomes(s, NINJA_RANK_RUNNING, 0);
    all_works(s, 1);
}

static void silence_in_a_switch_ends_in_running_on(void **state)
{
    struct scene *s = *state;
    const uint32_t lease_ms = 10;
    scene_begin(s, 2);
    for (enum ninja_step last = NINJA_STEP_STOP; last <= NINJA_STEP_SETTLE; last += 2) {
        uint32_t epoch = last + 1;
        unsigned leases = last == NINJA_STEP_SETTLE ? 60 : 5;
        agent_sends(
            s, (struct ninja_rank_msg){
                   .type = NINJA_RANK_STOP, .epoch = epoch, .arg = lease_ms, .text = "@all\ntcp"});
        program_turns(s);
        agent_expects(s, NINJA_RANK_STOP, epoch, NINJA_RANK_OK);
        for (enum ninja_step step = NINJA_STEP_DRAIN; step <= last; step++) {
            agent_gives(s, type_of(step), epoch, 1);
            agent_expects(s, type_of(step), epoch, NINJA_RANK_OK);
        }
        int64_t begin = now_ms();
        s->calls[0] = '\0';
        while (!ninja_is_running(s->ninja)) {
            program_turns(s);
        }
        assert_true(now_ms() - begin >= leases * lease_ms - lease_ms);
        expect_calls(s, "resume");
        agent_expects_nothing(s);
        /* what it was given before does not count any more */
        agent_gives(s, type_of(NINJA_STEP_SETTLE), epoch, 1);
        agent_expects(s, NINJA_RANK_SETTLE, epoch, NINJA_RANK_STALE);
    }
    assert_non_null(strstr(s->said, "silent for too long"));
    all_works(s, 100);
}

static void silence_after_release_is_borne(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    agent_sends(s, (struct ninja_rank_msg){.type = NINJA_RANK_STOP, .epoch = 1, .arg = 1});
    program_turns(s);
    agent_expects(s, NINJA_RANK_STOP, 1, NINJA_RANK_OK);
    for (enum ninja_step step = NINJA_STEP_DRAIN; step <= NINJA_STEP_RELEASE; step++) {
        agent_gives(s, type_of(step), 1, 1);
        agent_expects(s, type_of(step), 1, NINJA_RANK_OK);
    }
    struct pollfd p = {ninja_descriptor(s->ninja), POLLIN, 0};
    assert_int_equal(poll(&p, 1, 300), 0);
    lead_to_running(s, NINJA_RANK_RELEASED, 1);
}

/* --- nonsense ----------------------------------------------------------------------------- */

static void a_step_that_may_not_come_is_stale(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_STOP, 1);
    for (enum ninja_step step = NINJA_STEP_DRAIN; step < NINJA_STEP_RESUME; step++) {
        agent_gives(s, type_of(step), 1, 1);
        struct ninja_rank_msg msg = agent_takes(s, type_of(step), 1, NINJA_RANK_STALE);
        assert_string_equal(msg.text, "RUNNING");
        ninja_rank_msg_clear(&msg);
    }
    all_works(s, 5);
    agent_gives(s, NINJA_RANK_STOP, 4, 1);
    agent_expects(s, NINJA_RANK_STOP, 4, NINJA_RANK_STALE);
    expect_calls(s, "");
}

static void addresses_that_are_none_fail(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_CONNECT, 1);
    agent_sends(s, (struct ninja_rank_msg){.type = NINJA_RANK_CONNECT, .epoch = 1, .round = 1});
    program_turns(s);
    agent_expects(s, NINJA_RANK_CONNECT, 1, NINJA_RANK_FAILED);
    expect_calls(s, "");
    lead_to_running(s, NINJA_RANK_OPENED, 1);
}

/* Messages that only ranks send, and packets that are none. */
static void nonsense_does_no_harm(void **state)
{
    struct scene *s = *state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    scene_begin(s, 2);
    for (uint16_t type = NINJA_RANK_HELLO; type < NINJA_RANK_STOP; type++) {
        if (type != NINJA_RANK_BYE_OK) {
            agent_sends(s, (struct ninja_rank_msg){.type = type, .text = "x"});
            program_turns(s);
            agent_expects_nothing(s);
        }
    }
    all_works(s, 1);
    for (int i = 0; i < 20; i++) {
        char packet[64];
        uint32_t magic = NINJA_RANK_MAGIC;
        for (size_t at = 0; at < sizeof(packet); at++) {
            packet[at] = (char)rand_r(&seed);
        }
        if (i % 2 == 0) {
            memcpy(packet, &magic, sizeof(magic));
        }
        assert_true(send(s->conn, packet, 1 + (size_t)rand_r(&seed) % sizeof(packet), 0) > 0);
        program_turns(s);
        close(s->conn);
        program_finds(s);
        agent_welcomes(s, NINJA_RANK_RUNNING, (uint32_t)i + 1);
        all_works(s, (uint32_t)i + 2);
    }
}

static void an_answer_to_hello_that_is_none_is_no_welcome(void **state)
{
    struct scene *s = *state;
    agent_start(s);
    program_joins(s, 1);
    agent_takes_hello(s, NINJA_RANK_RUNNING, 0);
    agent_gives(s, NINJA_RANK_STOP, 1, 1);
    expect_calls(s, "");
    close(s->conn);
    program_finds(s);
    agent_welcomes(s, NINJA_RANK_RUNNING, 0);
    all_works(s, 1);
}

/* --- the beginning and the end ------------------------------------------------------------ */

static void never(struct ninja *ninja, const struct ninja_order *order, void *arg)
{
    fail_msg("nobody gave %s", order->step);
}

static void what_join_is_given_must_make_sense(void **state)
{
    struct scene *s = *state;
    struct ninja_callbacks none = {.size = sizeof(none)};
    static const struct {
        const char *job;
        uint32_t rank, size;
    } wrong[] = {{"a job", 0, 1}, {"", 0, 1},  {NULL, 0, 2},
                 {"j", 1, 1},     {"j", 0, 0}, {"j", 0, 20001}};
    program_joins(s, 1); /* has callbacks */
    assert_null(ninja_join(s->path, "job", 0, 1, &none, NULL));
    assert_int_equal(errno, EINVAL);
    struct ninja_callbacks some = none;
    some.release = some.open = never;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_null(ninja_join(s->path, wrong[i].job, wrong[i].rank, wrong[i].size, &some, NULL));
        assert_int_equal(errno, EINVAL);
    }
    char path[200];
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_null(ninja_join(path, "job", 0, 1, &some, NULL));
    assert_int_equal(errno, ENAMETOOLONG);
    struct ninja *unnamed = ninja_join(s->path, NULL, 0, 1, &some, NULL);
    assert_non_null(unnamed);
    ninja_close(unnamed);
}

static void leaving_waits_for_the_agents_word(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 2);
    scene_up_to(s, NINJA_STEP_RESUME, 1);
    ninja_leave(s->ninja);
    struct ninja_rank_msg msg;
    assert_int_equal(ninja_rank_recv(s->conn, 0, &msg, NULL), 1);
    assert_int_equal(msg.type, NINJA_RANK_BYE);
    ninja_rank_msg_clear(&msg);
    restart(s);
    agent_welcomes(s, NINJA_RANK_READY, 1);
    assert_int_equal(ninja_rank_recv(s->conn, 0, &msg, NULL), 1); /* to the new agent */
    assert_int_equal(msg.type, NINJA_RANK_BYE);
    ninja_rank_msg_clear(&msg);
    agent_gives(s, NINJA_RANK_RESUME, 1, 1);
    agent_expects(s, NINJA_RANK_RESUME, 1, NINJA_RANK_OK);
    agent_sends(s, (struct ninja_rank_msg){.type = NINJA_RANK_BYE_OK});
    assert_int_equal(program_turns(s), 1);
}

static void without_an_agent_one_leaves_at_once(void **state)
{
    struct scene *s = *state;
    program_joins(s, 1);
    ninja_leave(s->ninja);
    assert_int_equal(program_turns(s), 1);
}

static void a_callback_may_close_but_not_dispatch(void **state)
{
    struct scene *s = *state;
    scene_begin(s, 1);
    s->dispatch_within = true;
    all_works(s, 1);
    s->close_within = true;
    agent_sends(s, (struct ninja_rank_msg){.type = NINJA_RANK_STOP, .epoch = 2, .arg = 1000});
    assert_int_equal(program_turns(s), 1);
    s->ninja = NULL;
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(each_step_is_given_to_the_program),
        SCENE(what_steps_carry_comes_and_what_is_said_goes),
        SCENE(a_callback_that_fails_is_reported),
        SCENE(a_callback_may_end_its_step_later),
        SCENE(a_further_step_ends_the_one_before),
        SCENE(between_two_opens_there_is_a_release),
        SCENE(a_list_tells_whether_a_bypass_device_is_wanted),
        SCENE(what_is_released_is_not_released_again),
        SCENE(a_program_that_runs_is_not_resumed),
        SCENE(a_program_of_several_needs_an_address),
        SCENE(an_agent_that_dies_in_a_step_comes_back),
        SCENE(a_step_may_end_while_there_is_no_agent),
        SCENE(an_agent_may_come_later),
        SCENE(a_refusal_is_for_good),
        SCENE(an_agent_that_does_not_answer_is_tried_again),
        SCENE(silence_in_a_switch_ends_in_running_on),
        SCENE(silence_after_release_is_borne),
        SCENE(a_step_that_may_not_come_is_stale),
        SCENE(addresses_that_are_none_fail),
        SCENE(nonsense_does_no_harm),
        SCENE(an_answer_to_hello_that_is_none_is_no_welcome),
        SCENE(what_join_is_given_must_make_sense),
        SCENE(leaving_waits_for_the_agents_word),
        SCENE(without_an_agent_one_leaves_at_once),
        SCENE(a_callback_may_close_but_not_dispatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
