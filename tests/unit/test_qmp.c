/* The QMP client against a scripted peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/base/timer.h"
#include "host/vmm/qmp.h"
#include "tests/unit/fake_peer.h"

struct world {
    struct event_base *base;
    struct fake_peer *peer;
    struct qmp *qmp;
    char path[100];
    bool ready, ended;
    int replies;
    struct ninja_error reply_err, end_err;
    json_t *result;
    char event[64];
    const char *behaviour;
    json_t *held; /* a request that is answered after the next one */
};

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n"

static void on_connect(void *arg)
{
    struct world *world = arg;
    if (strcmp(world->behaviour, "silent") != 0) {
        fake_peer_send_text(world->peer,
                            strcmp(world->behaviour, "other") == 0 ? "{\"hello\": 1}\n" : GREETING);
    }
}

static void on_object(void *arg, json_t *request)
{
    struct world *world = arg;
    const char *name = json_string_value(json_object_get(request, "execute"));
    fake_log("%s", name);
    if (strcmp(name, "qmp_capabilities") == 0 || strcmp(name, "echo") == 0) {
        json_t *arguments = json_object_get(request, "arguments");
        fake_peer_return(world->peer, request, arguments ? json_incref(arguments) : json_object());
        if (world->held != NULL) {
            fake_peer_return(world->peer, world->held, json_string("late"));
            json_decref(world->held);
            world->held = NULL;
        }
    } else if (strcmp(name, "fail") == 0) {
        fake_peer_error(world->peer, request, "DeviceNotFound", "Device 'x' not found");
    } else if (strcmp(name, "hold") == 0) {
        world->held = json_incref(request);
    } else if (strcmp(name, "hang-up") == 0) {
        fake_peer_hang_up(world->peer);
    } else if (strcmp(name, "garbage") == 0) {
        fake_peer_send_text(world->peer, "this is not JSON\n");
    } else if (strcmp(name, "deep") == 0) {
        for (int i = 0; i < 100; i++) {
            fake_peer_send_text(world->peer, "{\"a\":");
        }
        fake_peer_send_text(world->peer, "\n");
    } else if (strcmp(name, "long") == 0) {
        char *text = malloc(1024 * 1024 + 1);
        memset(text, ' ', 1024 * 1024);
        text[1024 * 1024] = '\0';
        for (int i = 0; i < 6; i++) {
            fake_peer_send_text(world->peer, text);
        }
        free(text);
    }
}

static const struct fake_peer_handler peer_handler = {
    .on_connect = on_connect,
    .on_object = on_object,
};

static void on_ready(void *arg)
{
    struct world *world = arg;
    world->ready = true;
    event_base_loopbreak(world->base);
}

static void on_event(void *arg, const char *name, json_t *data)
{
    struct world *world = arg;
    snprintf(world->event, sizeof(world->event), "%s %s", name,
             json_string_value(json_object_get(data, "device")));
    event_base_loopbreak(world->base);
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->ended = true;
    world->end_err = *err;
    event_base_loopbreak(world->base);
}

static const struct qmp_handler handler = {
    .on_ready = on_ready,
    .on_event = on_event,
    .on_end = on_end,
};

static void on_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    struct world *world = arg;
    world->replies++;
    json_decref(world->result);
    world->result = json_incref(result);
    world->reply_err = err ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(world->base);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    *state = world;
    fake_log_clear();
    world->behaviour = "";
    world->base = event_base_new();
    snprintf(world->path, sizeof(world->path), "%s/qmp", fake_dir());
    world->peer = fake_peer_listen(world->base, world->path, &peer_handler, world);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    qmp_free(world->qmp);
    fake_peer_free(world->peer);
    json_decref(world->result);
    json_decref(world->held);
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

static void connect_to(struct world *world)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    world->qmp = qmp_connect(world->base, world->path, 200, &handler, world, &err);
    assert_non_null(world->qmp);
    assert_false(world->ready);
    event_base_dispatch(world->base);
}

static void execute(struct world *world, const char *command, json_t *arguments)
{
    int before = world->replies;
    qmp_execute(world->qmp, command, arguments, 200, on_reply, world);
    assert_int_equal(world->replies, before); /* never from within */
    while (world->replies == before) {
        event_base_dispatch(world->base);
    }
}

static void commands_are_answered(void **state)
{
    struct world *world = *state;
    connect_to(world);
    assert_true(world->ready && qmp_is_ready(world->qmp));
    assert_int_equal(fake_log_find("qmp_capabilities", 0), 0);
    execute(world, "echo", json_pack("{s:i}", "n", 7));
    assert_int_equal(json_integer_value(json_object_get(world->result, "n")), 7);
}

static void errors_keep_their_class(void **state)
{
    struct world *world = *state;
    connect_to(world);
    execute(world, "fail", NULL);
    assert_string_equal(ninja_error_class_name(world->reply_err.class), "DeviceNotFound");
    assert_non_null(strstr(world->reply_err.message, "fail: Device 'x' not found"));
    assert_false(world->ended);
}

static void a_late_answer_is_not_taken_for_the_next(void **state)
{
    struct world *world = *state;
    connect_to(world);
    execute(world, "hold", NULL);
    assert_string_equal(ninja_error_class_name(world->reply_err.class), "Timeout");
    assert_non_null(strstr(world->reply_err.message, "did not answer hold in time"));
    execute(world, "echo", json_pack("{s:i}", "n", 8));
    assert_int_equal(json_integer_value(json_object_get(world->result, "n")), 8);
    execute(world, "echo", json_pack("{s:i}", "n", 9));
    assert_int_equal(json_integer_value(json_object_get(world->result, "n")), 9);
    assert_int_equal(world->replies, 3);
}

static void events_are_handed_on(void **state)
{
    struct world *world = *state;
    connect_to(world);
    fake_peer_send_text(world->peer,
                        "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"hca0\"}, "
                        "\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\n");
    event_base_dispatch(world->base);
    assert_string_equal(world->event, "DEVICE_DELETED hca0");
}

static void a_lost_connection_answers_all_that_waits(void **state)
{
    struct world *world = *state;
    connect_to(world);
    qmp_execute(world->qmp, "hold", NULL, 5000, on_reply, world);
    qmp_execute(world->qmp, "hang-up", NULL, 5000, on_reply, world);
    while (!world->ended) {
        event_base_dispatch(world->base);
    }
    assert_int_equal(world->replies, 2);
    assert_string_equal(ninja_error_class_name(world->reply_err.class), "Closed");
    assert_false(qmp_is_ready(world->qmp));
    execute(world, "echo", NULL);
    assert_string_equal(ninja_error_class_name(world->reply_err.class), "Closed");
}

static void a_peer_that_does_not_greet(void **state)
{
    struct world *world = *state;
    world->behaviour = "silent";
    connect_to(world);
    assert_true(world->ended && !world->ready);
    assert_string_equal(ninja_error_class_name(world->end_err.class), "Timeout");
    assert_non_null(strstr(world->end_err.message, world->path));
}

static void a_socket_that_is_not_qmp(void **state)
{
    struct world *world = *state;
    world->behaviour = "other";
    connect_to(world);
    assert_true(world->ended && !world->ready);
    assert_non_null(strstr(world->end_err.message, "not a QMP socket"));
}

static void a_socket_that_is_not_there(void **state)
{
    struct world *world = *state;
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_null(qmp_connect(world->base, "/nonexistent/qmp", 200, &handler, world, &err));
    assert_string_equal(ninja_error_class_name(err.class), "Absent");
    assert_non_null(strstr(err.message, "/nonexistent/qmp: there is no such socket"));
}

static void what_is_not_qmp_ends_the_connection(void **state)
{
    static const char *const commands[] = {"garbage", "deep", "long"};
    teardown(state);
    for (size_t i = 0; i < 3; i++) {
        setup(state);
        struct world *world = *state;
        connect_to(world);
        qmp_execute(world->qmp, commands[i], NULL, 5000, on_reply, world);
        while (!world->ended) {
            event_base_dispatch(world->base);
        }
        assert_string_equal(ninja_error_class_name(world->end_err.class), "Protocol");
        assert_int_equal(world->replies, 1);
        teardown(state);
    }
    setup(state);
}

static void on_reply_that_frees(void *arg, json_t *result, const struct ninja_error *err)
{
    struct world *world = arg;
    world->replies++;
    qmp_free(world->qmp);
    world->qmp = NULL;
    event_base_loopbreak(world->base);
}

static void it_may_be_freed_in_a_reply(void **state)
{
    struct world *world = *state;
    connect_to(world);
    qmp_execute(world->qmp, "hold", NULL, 5000, on_reply_that_frees, world);
    qmp_execute(world->qmp, "hang-up", NULL, 5000, on_reply, world);
    event_base_dispatch(world->base);
    assert_int_equal(world->replies, 1);
    assert_false(world->ended);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_are_answered),
        TEST(errors_keep_their_class),
        TEST(a_late_answer_is_not_taken_for_the_next),
        TEST(events_are_handed_on),
        TEST(a_lost_connection_answers_all_that_waits),
        TEST(a_peer_that_does_not_greet),
        TEST(a_socket_that_is_not_qmp),
        TEST(a_socket_that_is_not_there),
        TEST(what_is_not_qmp_ends_the_connection),
        TEST(it_may_be_freed_in_a_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
