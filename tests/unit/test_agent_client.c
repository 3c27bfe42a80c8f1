/* The client of an agent's channel against a scripted agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/agent/agent_client.h"
#include "host/base/timer.h"
#include "host/base/unix_socket.h"
#include "tests/unit/fake_agent.h"

struct world {
    struct event_base *base;
    struct fake_agent fake;
    struct agent *agent;
    char path[2][100];
    int connected, replies;
    struct ninja_error err;
    json_t *result;
    char events[400];
    int n_events;
};

static void on_connected(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->connected++;
    world->err = err ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(world->base);
}

static void on_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    struct world *world = arg;
    world->replies++;
    json_decref(world->result);
    world->result = json_incref(result);
    world->err = err ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(world->base);
}

static void on_event(void *arg, struct agent *agent, const char *name, json_t *data)
{
    struct world *world = arg;
    size_t len = strlen(world->events);
    assert_ptr_equal(agent, world->agent);
    snprintf(world->events + len, sizeof(world->events) - len, "%s%s:%d", len ? " " : "", name,
             (int)json_integer_value(json_object_get(data, "n")));
    world->n_events++;
    event_base_loopbreak(world->base);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    *state = world;
    fake_log_clear();
    world->base = event_base_new();
    for (int i = 0; i < 2; i++) {
        snprintf(world->path[i], sizeof(world->path[i]), "%s/agent%d", fake_dir(), i);
    }
    fake_agent_init(&world->fake, world->base, "vm1");
    world->agent = agent_new(world->base, "vm1", 700);
    agent_listen(world->agent, on_event, world);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    agent_free(world->agent);
    fake_agent_clear(&world->fake);
    json_decref(world->result);
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

static void connect_to(struct world *world, int path)
{
    int before = world->connected;
    struct channel_way way = unix_socket_way(world->base, world->path[path]);
    agent_connect(world->agent, &way, on_connected, world);
    while (world->connected == before) {
        event_base_dispatch(world->base);
    }
}

static void execute(struct world *world, const char *command)
{
    int before = world->replies;
    agent_execute(world->agent, command, NULL, 2000, on_reply, world);
    while (world->replies == before) {
        event_base_dispatch(world->base);
    }
}

static void say(struct world *world, int n)
{
    fake_agent_event(&world->fake, "NEWS", json_pack("{s:i}", "n", n));
}

static void wait_for_events(struct world *world, int n)
{
    while (world->n_events < n) {
        event_base_dispatch(world->base);
    }
}

static void it_connects_and_commands(void **state)
{
    struct world *world = *state;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    assert_false(ninja_error_is_set(&world->err));
    assert_true(agent_is_ready(world->agent));
    assert_string_equal(agent_version(world->agent), "0.1.0");
    assert_string_equal(agent_hostname(world->agent), "vm1");
    execute(world, "ninja-jobs");
    assert_non_null(json_object_get(world->result, "jobs"));
    execute(world, "nonsense");
    assert_string_equal(ninja_error_class_name(world->err.class), "CommandNotFound");
    assert_non_null(strstr(world->err.message, "vm1: the agent refused nonsense"));
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;
    fake_agent_listen(&world->fake, world->path[0]);
}

static void it_waits_for_an_agent_that_starts_late(void **state)
{
    struct world *world = *state;
    struct event *timer = timer_start(world->base, 300, on_late, world);
    connect_to(world, 0);
    timer_free(&timer);
    assert_false(ninja_error_is_set(&world->err));
}

static void an_agent_that_is_not_there_is_named_with_its_vm(void **state)
{
    struct world *world = *state;
    connect_to(world, 0);
    assert_string_equal(ninja_error_class_name(world->err.class), "Absent");
    assert_non_null(strstr(world->err.message, "vm1: "));
    assert_non_null(strstr(world->err.message, world->path[0]));
    execute(world, "ninja-jobs");
    assert_non_null(strstr(world->err.message, "vm1: "));
}

static void a_channel_without_an_agent_times_out(void **state)
{
    struct world *world = *state;
    world->fake.deaf = true;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    assert_string_equal(ninja_error_class_name(world->err.class), "Timeout");
    assert_non_null(strstr(world->err.message, "vm1: no agent answers"));
}

static void another_protocol_is_refused_at_once(void **state)
{
    struct world *world = *state;
    world->fake.protocol = 7;
    fake_agent_listen(&world->fake, world->path[0]);
    int64_t began = now_ms();
    connect_to(world, 0);
    assert_string_equal(ninja_error_class_name(world->err.class), "ProtocolMismatch");
    assert_non_null(strstr(world->err.message, "I speak 7"));
    assert_true(now_ms() - began < 500);
}

static void events_come_once_and_in_order_over_a_move(void **state)
{
    struct world *world = *state;
    fake_agent_listen(&world->fake, world->path[0]);
    say(world, 1); /* before anyone was connected: not ours */
    connect_to(world, 0);
    say(world, 2);
    say(world, 3);
    wait_for_events(world, 2);
    fake_peer_hang_up(world->fake.peer);
    say(world, 4); /* while the channel is broken */
    fake_agent_move(&world->fake, world->path[1]);
    say(world, 5);
    connect_to(world, 1);
    say(world, 6);
    wait_for_events(world, 5);
    assert_string_equal(world->events, "NEWS:2 NEWS:3 NEWS:4 NEWS:5 NEWS:6");
    assert_int_equal(fake_log_count("vm1 events after 3"), 1);
}

static void it_reconnects_by_itself_and_repeats_what_was_not_answered(void **state)
{
    struct world *world = *state;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    world->fake.hang_up_before_reply = 2;
    execute(world, "ninja-jobs");
    assert_false(ninja_error_is_set(&world->err));
    assert_non_null(json_object_get(world->result, "jobs"));
}

static void when_it_cannot_reconnect_commands_fail(void **state)
{
    struct world *world = *state;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    agent_execute(world->agent, "ninja-jobs", NULL, 5000, on_reply, world);
    fake_peer_free(world->fake.peer);
    world->fake.peer = NULL;
    while (world->replies == 0) {
        event_base_dispatch(world->base);
    }
    assert_true(ninja_error_is_set(&world->err));
    assert_non_null(strstr(world->err.message, "vm1: "));
    assert_false(agent_is_ready(world->agent));
}

static void a_restarted_agent_begins_its_events_anew(void **state)
{
    struct world *world = *state;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    say(world, 1);
    say(world, 2);
    wait_for_events(world, 2);
    strcpy(world->fake.instance, "vm1-2");
    for (int i = 1; i <= world->fake.seq; i++) {
        json_decref(world->fake.events[i]);
        world->fake.events[i] = NULL;
    }
    world->fake.seq = 0;
    fake_agent_move(&world->fake, world->path[1]);
    connect_to(world, 1);
    say(world, 3);
    wait_for_events(world, 4);
    assert_string_equal(world->events, "NEWS:1 NEWS:2 AGENT_RESTARTED:0 NEWS:3");
}

static void malformed_events_are_ignored(void **state)
{
    struct world *world = *state;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    fake_peer_send_text(world->fake.peer, "{\"event\": 3, \"seq\": 1, \"data\": {}}\n"
                                          "{\"event\": \"X\", \"seq\": \"1\", \"data\": {}}\n"
                                          "{\"event\": \"X\", \"seq\": 1, \"data\": []}\n"
                                          "{\"event\": \"X\", \"seq\": -5, \"data\": {}}\n"
                                          "{\"return\": 3}\n{\"return\": {}, \"id\": \"x\"}\n{}\n");
    say(world, 1);
    wait_for_events(world, 1);
    assert_string_equal(world->events, "NEWS:1");
}

static void a_forgotten_reply_is_not_given(void **state)
{
    struct world *world = *state;
    int other = 0;
    fake_agent_listen(&world->fake, world->path[0]);
    connect_to(world, 0);
    agent_execute(world->agent, "ninja-jobs", NULL, 2000, on_reply, &other);
    agent_forget(world->agent, &other);
    execute(world, "ninja-jobs");
    assert_int_equal(world->replies, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_connects_and_commands),
        TEST(it_waits_for_an_agent_that_starts_late),
        TEST(an_agent_that_is_not_there_is_named_with_its_vm),
        TEST(a_channel_without_an_agent_times_out),
        TEST(another_protocol_is_refused_at_once),
        TEST(events_come_once_and_in_order_over_a_move),
        TEST(it_reconnects_by_itself_and_repeats_what_was_not_answered),
        TEST(when_it_cannot_reconnect_commands_fail),
        TEST(a_restarted_agent_begins_its_events_anew),
        TEST(malformed_events_are_ignored),
        TEST(a_forgotten_reply_is_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
