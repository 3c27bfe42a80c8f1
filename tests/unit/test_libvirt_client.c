/*
 * The client of ninja-libvirt, with this program itself in its place: what it does for a domain is
 * in the domain's name.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/base/timer.h"
#include "host/vmm/libvirt_client.h"

#define FAKE "NINJA_TEST_FAKE_LIBVIRT"
#define HOST "qemu+tcp://host/system"

/* What hosts say of themselves, and the MiB that are free by that. */
static const struct {
    const char *uri;
    json_int_t memory_mib, free_mib, vms_mib, room_mib;
} rooms[] = {
    {"qemu+tcp://used/system", 1000, 100, 0, 100},
    {"qemu+tcp://promised/system", 1000, 900, 800, 200},
    {"qemu+tcp://promised-too-much/system", 1000, 900, 1200, 0},
    {"qemu+tcp://does-not-say-what-is-free/system", 1000, 0, 800, 200},
    {"qemu+tcp://says-nothing/system", 0, 0, 0, 0},
};
#define ROOMS (sizeof(rooms) / sizeof(rooms[0]))

/* ---- in the place of ninja-libvirt ---- */

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static json_t *room_of(const char *uri)
{
    for (size_t i = 0; i < ROOMS; i++) {
        if (strcmp(rooms[i].uri, uri) == 0) {
            return json_pack("{s:I, s:I, s:I}", "memory_kib", rooms[i].memory_mib * 1024,
                             "free_bytes", rooms[i].free_mib * 1024 * 1024, "vms_memory_kib",
                             rooms[i].vms_mib * 1024);
        }
    }
    return json_object();
}

static void serve_one(json_t *line, int *opened)
{
    json_t *arguments = json_object_get(line, "arguments"), *id = json_object_get(line, "id");
    const char *command = json_string_value(json_object_get(line, "execute"));
    const char *host = json_string_value(json_object_get(arguments, "host"));
    const char *vm = json_string_value(json_object_get(arguments, "vm"));
    if (strcmp(command, "host-open") == 0) {
        (*opened)++;
        say(strstr(host, "dead") == NULL ? json_pack("{s:o, s:O}", "return", room_of(host), "id", id)
                                         : json_pack("{s:{s:s, s:s}, s:O}", "error", "class",
                                                     "Connect", "desc", "nobody there", "id", id));
    } else if (strcmp(vm, "die") == 0) {
        _exit(3);
    } else if (strcmp(vm, "hang") != 0) {
        say(json_pack("{s:s, s:{s:s, s:s, s:s}}", "event", "DOMAIN", "data", "host", host, "vm", vm,
                      "state", "resumed"));
        say(json_pack("{s:{s:i, s:i, s:O}, s:O}", "return", "opened", *opened, "pid", (int)getpid(),
                      "timeout_ms", json_object_get(arguments, "timeout_ms"), "id", id));
    }
}

static int serve(void)
{
    json_t *line;
    int opened = 0;
    while ((line = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        serve_one(line, &opened);
        json_decref(line);
    }
    return 0;
}

/* ---- the tests ---- */

struct asked {
    struct world *world;
    int answers, opened, pid, timeout_ms;
    struct ninja_error err;
};

struct world {
    struct event_base *base;
    struct libvirt_client *client;
    struct asked asked[4];
    int waiting, events;
    char last_event[100];
};

static void on_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    struct asked *asked = arg;
    asked->answers++;
    asked->err = err != NULL ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    asked->opened = (int)json_integer_value(json_object_get(result, "opened"));
    asked->pid = (int)json_integer_value(json_object_get(result, "pid"));
    asked->timeout_ms = (int)json_integer_value(json_object_get(result, "timeout_ms"));
    if (--asked->world->waiting == 0) {
        event_base_loopbreak(asked->world->base);
    }
}

static void ask_within(struct world *world, int i, const char *host, const char *vm, int ms)
{
    world->asked[i] = (struct asked){.world = world};
    world->waiting++;
    libvirt_execute(world->client, host, "domain-look", json_pack("{s:s}", "vm", vm), 30000, ms,
                    on_reply, &world->asked[i]);
    assert_int_equal(world->asked[i].answers, 0); /* never from within */
}

static void ask(struct world *world, int i, const char *host, const char *vm)
{
    ask_within(world, i, host, vm, 60000);
}

static void on_event(void *arg, const char *name, const char *host, const char *vm, json_t *data)
{
    struct world *world = arg;
    world->events++;
    snprintf(world->last_event, sizeof(world->last_event), "%s %s %s %s", name, host, vm,
             json_string_value(json_object_get(data, "state")));
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    fail_msg("no answer");
}

static void run(struct world *world)
{
    struct event *late = timer_start(world->base, 60000, on_late, NULL);
    event_base_dispatch(world->base);
    timer_free(&late);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(n > 0);
    path[n] = '\0';
    setenv("NINJA_LIBVIRT", path, 1);
    setenv(FAKE, "1", 1);
    world->base = event_base_new();
    world->client = libvirt_client_join(world->base);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->client != NULL) {
        libvirt_client_leave(world->client);
    }
    event_base_free(world->base);
    free(world);
    return 0;
}

static void a_host_is_opened_once_before_all(void **state)
{
    struct world *world = *state;
    ask(world, 0, HOST, "a");
    ask(world, 1, HOST, "b");
    ask_within(world, 2, "qemu:///system", "c", 7 * 24 * 3600 * 1000);
    run(world);
    assert_int_equal(world->asked[0].opened + world->asked[1].opened, 2 * world->asked[0].opened);
    assert_int_equal(world->asked[2].opened, 2);
    assert_int_equal(world->asked[0].timeout_ms, 60000);
    assert_int_equal(world->asked[2].timeout_ms, 24 * 3600 * 1000);
    ask(world, 0, HOST, "a");
    run(world);
    assert_int_equal(world->asked[0].opened, 2);
}

static void what_a_host_was_promised_or_uses_is_not_free(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < ROOMS; i++) {
        assert_int_equal(libvirt_host_room(world->client, rooms[i].uri).memory_mib, 0);
        ask(world, 0, rooms[i].uri, "a");
        run(world);
        struct vmm_room room = libvirt_host_room(world->client, rooms[i].uri);
        assert_int_equal(room.memory_mib, rooms[i].memory_mib);
        assert_int_equal(room.free_mib, rooms[i].room_mib);
    }
}

static void a_dead_host_fails_alone(void **state)
{
    struct world *world = *state;
    ask(world, 0, "qemu+tcp://dead/system", "a");
    ask(world, 1, "qemu+tcp://dead/system", "b");
    ask(world, 2, HOST, "a");
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_CONNECT);
    assert_int_equal(world->asked[1].err.class, ERR_CONNECT);
    assert_int_equal(world->asked[2].err.class, ERR_NONE);
    ask(world, 0, "qemu+tcp://dead/system", "a"); /* it is tried again */
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_CONNECT);
}

static void events_are_told_until_nobody_listens(void **state)
{
    struct world *world = *state;
    libvirt_listen(world->client, on_event, world);
    ask(world, 0, HOST, "a");
    run(world);
    assert_int_equal(world->events, 1);
    assert_string_equal(world->last_event, "DOMAIN " HOST " a resumed");
    libvirt_unlisten(world->client, on_event, world);
    ask(world, 0, HOST, "a");
    run(world);
    assert_int_equal(world->events, 1);
}

static void its_end_is_told_to_all_and_it_is_started_again(void **state)
{
    struct world *world = *state;
    ask(world, 0, HOST, "a");
    run(world);
    int first = world->asked[0].pid;
    ask(world, 0, HOST, "hang");
    ask(world, 1, HOST, "die");
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_LOST);
    assert_int_equal(world->asked[1].err.class, ERR_LOST);
    ask(world, 0, HOST, "a");
    run(world);
    assert_int_equal(world->asked[0].opened, 1);
    assert_int_not_equal(world->asked[0].pid, first);
}

static void one_that_is_killed_is_started_again(void **state)
{
    struct world *world = *state;
    ask(world, 0, HOST, "a");
    run(world);
    int pid = world->asked[0].pid;
    ask(world, 0, HOST, "hang");
    assert_int_equal(kill(pid, SIGKILL), 0);
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_LOST);
    ask(world, 0, HOST, "a");
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_NONE);
}

static void what_is_forgotten_is_not_answered(void **state)
{
    struct world *world = *state;
    ask(world, 0, HOST, "a");
    libvirt_forget(world->client, &world->asked[0]);
    world->waiting--;
    ask(world, 1, HOST, "b");
    run(world);
    assert_int_equal(world->asked[0].answers, 0);
    assert_int_equal(world->asked[1].answers, 1);
}

static void one_that_hangs_is_ended(void **state)
{
    struct world *world = *state;
    ask_within(world, 0, HOST, "hang", 50);
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_LOST);
    ask(world, 0, HOST, "a");
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_NONE);
}

static void a_program_that_is_not_there_is_told(void **state)
{
    struct world *world = *state;
    setenv("NINJA_LIBVIRT", "/nonexistent/ninja-libvirt", 1);
    ask(world, 0, HOST, "a");
    ask(world, 1, HOST, "a");
    run(world);
    assert_int_equal(world->asked[0].err.class, ERR_COMMAND);
    assert_non_null(strstr(world->asked[1].err.message, "/nonexistent/ninja-libvirt"));
    assert_non_null(strstr(world->asked[1].err.message, "ninja-migration-libvirt"));
}

static void the_last_one_who_leaves_ends_it(void **state)
{
    struct world *world = *state;
    struct libvirt_client *other = libvirt_client_join(world->base);
    assert_ptr_equal(other, world->client);
    ask(world, 0, HOST, "a");
    run(world);
    libvirt_client_leave(other);
    assert_int_equal(kill(world->asked[0].pid, 0), 0);
    libvirt_client_leave(world->client);
    world->client = NULL;
    assert_int_equal(kill(world->asked[0].pid, 0), -1);
}

int main(void)
{
    if (getenv(FAKE) != NULL) {
        return serve();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_host_is_opened_once_before_all, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_host_was_promised_or_uses_is_not_free, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_dead_host_fails_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(events_are_told_until_nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(its_end_is_told_to_all_and_it_is_started_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_that_is_killed_is_started_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_forgotten_is_not_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_hangs_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_program_that_is_not_there_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_one_who_leaves_ends_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
