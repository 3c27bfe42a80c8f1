/* What a guest that means harm can do to the host: nothing beyond its own VM, and not much there.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/agent/agent_client.h"
#include "host/agent/guest_answer.h"
#include "host/agent/jobs.h"
#include "host/agent/link_wait.h"
#include "host/base/json_lines.h"
#include "host/base/timer.h"
#include "host/base/unix_socket.h"
#include "host/switch/switch.h"
#include "tests/unit/fake_agent.h"

/* ---- lines ---- */

struct wire {
    struct event_base *base;
    struct json_lines *lines;
    int listener, fd;
    int objects;
    bool ended;
    struct ninja_error err;
    json_t *last;
};

static void on_object(void *arg, json_t *object)
{
    struct wire *wire = arg;
    wire->objects++;
    json_decref(wire->last);
    wire->last = json_incref(object);
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct wire *wire = arg;
    wire->ended = true;
    wire->err = *err;
}

static const struct json_lines_handler handler = {.on_object = on_object, .on_end = on_end};

/* As for QMP, of which the answers are deeper. */
static const struct json_lines_handler deep_handler = {
    .on_object = on_object, .on_end = on_end, .max_depth = JSON_MAX_DEPTH_QEMU};

static void wire_open_with(struct wire *wire, const struct json_lines_handler *its_handler)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct ninja_error err = NINJA_ERROR_INIT;
    *wire = (struct wire){.base = event_base_new()};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/wire", fake_dir());
    wire->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(wire->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(wire->listener, 1), 0);
    int fd = unix_socket_connect(addr.sun_path, &err);
    assert_true(fd >= 0);
    wire->lines = json_lines_new(wire->base, fd, its_handler, wire);
    wire->fd = accept4(wire->listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(wire->fd >= 0);
}

static void wire_open(struct wire *wire)
{
    wire_open_with(wire, &handler);
}

static void wire_close(struct wire *wire)
{
    json_lines_free(wire->lines);
    json_decref(wire->last);
    close(wire->fd);
    close(wire->listener);
    event_base_free(wire->base);
    fake_dir_remove();
}

/* Until all is read, or the connection has ended. */
static void wire_send(struct wire *wire, const char *bytes, size_t size)
{
    while (size > 0 && !wire->ended) {
        ssize_t n = send(wire->fd, bytes, size, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        } else {
            assert_true(errno == EAGAIN || errno == EPIPE);
        }
        event_base_loop(wire->base, EVLOOP_NONBLOCK);
    }
    for (int i = 0; i < 20; i++) {
        event_base_loop(wire->base, EVLOOP_NONBLOCK);
    }
}

static void expect_end(const char *bytes, size_t size, const char *words)
{
    struct wire wire;
    wire_open(&wire);
    wire_send(&wire, "{\"a\":1}\n", 8);
    wire_send(&wire, bytes, size);
    assert_int_equal(wire.objects, 1);
    assert_true(wire.ended);
    assert_string_equal(ninja_error_class_name(wire.err.class), "Protocol");
    assert_non_null(strstr(wire.err.message, words));
    wire_close(&wire);
}

static void expect_end_of(char *text, const char *words)
{
    expect_end(text, strlen(text), words);
    free(text);
}

static void a_line_over_a_limit_ends_the_connection(void **state)
{
    expect_end_of(fake_repeated("", "x", 10000000, ""), "more than 4 MiB");
    expect_end_of(fake_repeated("{\"a\":\"", "x", 10000000, "\"}\n"), "more than 4 MiB");
    expect_end_of(fake_repeated("{\"a\":", "[", 100000, "\n"), "too deeply");
    expect_end_of(fake_repeated("", "{\"a\":", 100000, "\n"), "too deeply");
    expect_end_of(fake_repeated("{\"a\":[{}", ",{}", 70000, "]}\n"), "too many objects");
}

/* An object, and arrays in it, so deep in all. */
static bool takes_depth(const struct json_lines_handler *its_handler, int depth)
{
    struct wire wire;
    char begin[200] = "{\"a\":", end[100] = "";
    for (int i = 1; i < depth; i++) {
        strcat(begin, "[");
        strcat(end, "]");
    }
    strcat(strcat(begin, end), "}\n");
    wire_open_with(&wire, its_handler);
    wire_send(&wire, begin, strlen(begin));
    bool taken = wire.objects == 1 && !wire.ended;
    assert_true(taken || strstr(wire.err.message, "too deeply") != NULL);
    wire_close(&wire);
    return taken;
}

static void nesting_has_an_end(void **state)
{
    assert_true(takes_depth(&handler, JSON_MAX_DEPTH));
    assert_false(takes_depth(&handler, JSON_MAX_DEPTH + 1));
    assert_true(takes_depth(&deep_handler, JSON_MAX_DEPTH_QEMU));
    assert_false(takes_depth(&deep_handler, JSON_MAX_DEPTH_QEMU + 1));
}

/* {"a":[{},{},...]}, with so many objects in all. */
static bool takes_objects(int n)
{
    struct wire wire;
    char *text = fake_repeated("{\"a\":[{}", ",{}", n - 2, "]}\n");
    wire_open(&wire);
    wire_send(&wire, text, strlen(text));
    bool taken = wire.objects == 1 && !wire.ended;
    free(text);
    wire_close(&wire);
    return taken;
}

static void objects_of_a_line_are_bounded(void **state)
{
    assert_true(takes_objects(JSON_MAX_OBJECTS));
    assert_false(takes_objects(JSON_MAX_OBJECTS + 1));
}

static void a_line_that_is_no_json_ends_the_connection(void **state)
{
    static const char nul[] = "{\"a\":\"x\0y\"}\n";
    expect_end(nul, sizeof(nul) - 1, "not a JSON object");
    expect_end_of(strdup("{\"a\":\"\xc3(\"}\n"), "not a JSON object");
    expect_end_of(strdup("{\"a\":\"\\u0000\"}\n"), "not a JSON object");
    expect_end_of(strdup("{\"a\":1e999}\n"), "not a JSON object");
    expect_end_of(strdup("{\"a\":99999999999999999999}\n"), "not a JSON object");
    expect_end_of(strdup("{\"a\":1\n"), "not a JSON object");
    expect_end_of(strdup("[1]\n"), "not a JSON object");
}

static void of_a_repeated_key_the_last_counts(void **state)
{
    static const char text[] = "{\"a\":1,\"new\":null,\"a\":-2}\n";
    struct wire wire;
    wire_open(&wire);
    wire_send(&wire, text, sizeof(text) - 1);
    assert_int_equal(json_integer_value(json_object_get(wire.last, "a")), -2);
    wire_close(&wire);
}

static void a_line_that_is_cut_off_by_the_end_is_none(void **state)
{
    struct wire wire;
    wire_open(&wire);
    wire_send(&wire, "{\"a\":1}", 7);
    shutdown(wire.fd, SHUT_WR);
    wire_send(&wire, "", 0);
    assert_int_equal(wire.objects, 0);
    assert_string_equal(ninja_error_class_name(wire.err.class), "Closed");
    wire_close(&wire);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* What it takes to read a line's bytes one at a time, after so many. */
static double trickle(size_t before)
{
    struct wire wire;
    char *text = fake_repeated("{\"a\":\"", "x", (int)before, "");
    wire_open(&wire);
    wire_send(&wire, text, strlen(text));
    double begin = cpu_seconds();
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(send(wire.fd, "x", 1, MSG_NOSIGNAL), 1);
        event_base_loop(wire.base, EVLOOP_NONBLOCK);
    }
    double took = cpu_seconds() - begin;
    wire_send(&wire, "\"}\n", 3);
    assert_int_equal(json_string_length(json_object_get(wire.last, "a")), before + 20000);
    wire_close(&wire);
    free(text);
    return took;
}

static void a_byte_takes_as_long_in_a_long_line(void **state)
{
    assert_true(trickle(4000000) < 5 * trickle(10) + 0.1);
}

/* ---- what is kept of answers ---- */

static void little_is_kept_of_interconnects(void **state)
{
    json_t *list = json_array();
    char *long_text = fake_repeated("", "\xc3\xa4", 5000, "");
    for (int i = 0; i < 20000; i++) {
        json_t *port =
            json_pack("{s:s, s:s, s:[[],{}]}", "name", "a\x1b[2J\n", "state", long_text, "unknown");
        json_array_append_new(list, port);
    }
    json_t *counters = json_object();
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "c%d", i);
        json_object_set_new(counters, key, json_integer(i));
    }
    json_object_set_new(json_array_get(list, 0), "counters", counters);
    json_t *answer = json_pack("{s:O, s:o, s:s}", "rdma", list, "net", list, "more", long_text);
    json_t *kept = guest_interconnects(answer);
    json_t *first = json_array_get(json_object_get(kept, "rdma"), 0);
    assert_int_equal(json_object_size(kept), 2);
    assert_int_equal(json_array_size(json_object_get(kept, "net")), GUEST_MAX_INTERFACES);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "a?[2J ");
    assert_true(json_string_length(json_object_get(first, "state")) <= GUEST_MAX_TEXT);
    assert_null(json_object_get(first, "unknown"));
    assert_int_equal(json_object_size(json_object_get(first, "counters")), GUEST_MAX_COUNTERS);
    json_decref(kept);
    json_decref(answer);
    free(long_text);
    assert_null(guest_interconnects(NULL));
}

static bool answer_is_taken(const char *job)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    char text[1000];
    snprintf(text, sizeof(text), "{\"jobs\": [%s]}", job);
    json_t *answer = json_loads(text, 0, NULL);
    assert_non_null(answer);
    bool taken = jobs_add(jobs, 0, answer, &err);
    assert_int_equal(taken, !ninja_error_is_set(&err));
    json_decref(answer);
    jobs_free(jobs);
    return taken;
}

static void impossible_jobs_are_refused(void **state)
{
    assert_true(answer_is_taken("{\"job\":\"J\",\"size\":2,\"ranks\":[{\"rank\":1,\"x\":[]}]}"));
    assert_false(answer_is_taken("{\"job\":\"J\\u001b[2J\",\"size\":2}"));
    assert_false(answer_is_taken("{\"job\":\"\",\"size\":2}"));
    assert_false(answer_is_taken("{\"job\":\"J\",\"size\":-1}"));
    assert_false(answer_is_taken("{\"job\":\"J\",\"size\":100001}"));
    assert_false(answer_is_taken("{\"job\":\"J\",\"size\":2,\"ranks\":[{\"rank\":2}]}"));
    assert_false(answer_is_taken("{\"job\":\"J\",\"size\":2,\"ranks\":[{\"rank\":-1}]}"));
    assert_false(
        answer_is_taken("{\"job\":\"J\",\"size\":2,\"ranks\":[{\"rank\":1},{\"rank\":1}]}"));
    assert_false(answer_is_taken(
        "{\"job\":\"J\",\"size\":2,\"ranks\":[{\"rank\":1,\"epoch\":4294967295}]}"));
    assert_false(answer_is_taken("{\"job\":\"J\",\"size\":2},{\"job\":\"J\",\"size\":3}"));
}

static void few_transports_are_kept_of_a_rank(void **state)
{
    json_t *object = json_pack("{s:s, s:i, s:{}, s:i}", "tcp", "1", "a\x1b", 1, "x", "self", 2);
    json_t *kept = guest_transports(object);
    assert_int_equal(json_object_size(kept), 2);
    assert_int_equal(json_integer_value(json_object_get(kept, "a?")), 1);
    json_decref(kept);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "t%d", i);
        json_object_set_new(object, key, json_integer(i));
    }
    kept = guest_transports(object);
    assert_int_equal(json_object_size(kept), GUEST_MAX_TRANSPORTS);
    json_decref(kept);
    json_decref(object);
}

/* ---- agents ---- */

struct world {
    struct event_base *base;
    struct cluster cluster;
    struct fake_job jobs[2];
    struct fake_agent fakes[2];
    struct agent *agents[2];
    struct transport_switch *sw;
    int connected, events;
    bool done;
    struct ninja_error err;
};

static void on_event(void *arg, struct agent *agent, const char *name, json_t *data)
{
    struct world *world = arg;
    world->events++;
}

static void on_connected(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    assert_null(err);
    if (++world->connected == 2) {
        event_base_loopbreak(world->base);
    }
}

/* Two VMs, and a job of two ranks in each of them. */
static int setup(void **state)
{
    static const char *const names[][2] = {{"vm1", "job-a"}, {"vm2", "job-b"}};
    struct world *world = calloc(1, sizeof(*world));
    *state = world;
    fake_log_clear();
    world->base = event_base_new();
    for (int t = 0; t < TIMEOUTS; t++) {
        world->cluster.timeouts[t] = 20000;
    }
    world->cluster.quiesce_attempts = 1;
    for (int i = 0; i < 2; i++) {
        char path[100];
        snprintf(path, sizeof(path), "%s/%s.agent", fake_dir(), names[i][0]);
        fake_job_init(&world->jobs[i], names[i][1], 2);
        fake_agent_init(&world->fakes[i], world->base, names[i][0]);
        fake_agent_add_ranks(&world->fakes[i], &world->jobs[i], 0, 2);
        fake_agent_listen(&world->fakes[i], path);
        world->agents[i] = agent_new(world->base, names[i][0], 20000);
        agent_listen(world->agents[i], on_event, world);
        struct channel_way way = unix_socket_way(world->base, path);
        agent_connect(world->agents[i], &way, on_connected, world);
    }
    event_base_dispatch(world->base);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    switch_free(world->sw);
    for (int i = 0; i < 2; i++) {
        agent_free(world->agents[i]);
        fake_agent_clear(&world->fakes[i]);
    }
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

static void on_done(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->done = true;
    if (err != NULL) {
        world->err = *err;
    }
    event_base_loopbreak(world->base);
}

static const struct switch_handler switch_handler = {.done = on_done};

static void run_switch(struct world *world)
{
    struct switch_options options = {
        .cluster = &world->cluster, .release = "@all", .reselect = "@best"};
    world->sw = switch_start(world->base, world->agents, 2, &options, &switch_handler, world);
    while (!world->done) {
        event_base_dispatch(world->base);
    }
}

static void on_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    struct world *world = arg;
    assert_null(err);
    world->done = true;
    event_base_loopbreak(world->base);
}

static void a_flood_of_events_with_gaps_is_one_question(void **state)
{
    struct world *world = *state;
    size_t room = 100000 * 64;
    char *text = malloc(room), *at = text;
    for (long long i = 1; i < 50000; i++) {
        at += sprintf(at, "{\"event\":\"X\",\"seq\":%lld,\"data\":{}}\n", 10 + 2 * i);
    }
    for (int i = 0; i < 100; i++) {
        at += sprintf(at, "{\"event\":\"X\",\"seq\":%lld,\"data\":{}}\n", (long long)INT64_MAX - i);
    }
    fake_peer_send_text(world->fakes[0].peer, text);
    free(text);
    agent_execute(world->agents[0], "ninja-jobs", NULL, 60000, on_reply, world);
    while (!world->done) {
        event_base_dispatch(world->base);
    }
    /* The flood is read in pieces, and each answer may come between two of them. */
    assert_in_range(fake_log_count("vm1 events after 0"), 1, 2000);
    fake_agent_event(&world->fakes[0], "NEWS", json_object());
    while (world->events == 0) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
}

static void an_epoch_of_one_job_is_nothing_to_another(void **state)
{
    struct world *world = *state;
    world->jobs[1].epoch = 2000000000;
    run_switch(world);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(world->jobs[0].epoch, 1);
    assert_int_equal(world->jobs[1].epoch, 2000000001);
}

static void a_rank_cannot_report_for_another(void **state)
{
    struct world *world = *state;
    world->fakes[0].repeats_first_rank = true;
    run_switch(world);
    assert_string_equal(ninja_error_class_name(world->err.class), "Protocol");
    assert_non_null(strstr(world->err.message, "vm1"));
    for (int r = 0; r < 2; r++) {
        assert_string_equal(world->jobs[1].state[r], "RUNNING");
    }
}

static void on_link(void *arg, enum link_kind kind, const char *name, const struct ninja_error *err)
{
    struct world *world = arg;
    world->done = true;
    event_base_loopbreak(world->base);
}

static void nothing_is_believed_of_the_ranks_of_another_vm(void **state)
{
    struct world *world = *state;
    world->fakes[0].forged_job = "job-b";
    run_switch(world);
    assert_false(ninja_error_is_set(&world->err));
    for (int r = 0; r < 2; r++) {
        assert_string_equal(world->jobs[0].state[r], "RUNNING");
        assert_string_equal(world->jobs[1].state[r], "RUNNING");
        assert_int_equal(world->jobs[1].opens[r], 1);
    }
}

static void a_vm_that_claims_a_rank_of_another_one_is_refused(void **state)
{
    struct world *world = *state;
    world->fakes[0].job = &world->jobs[1];
    run_switch(world);
    assert_string_equal(ninja_error_class_name(world->err.class), "Refused");
    assert_non_null(strstr(world->err.message, "rank 0 of job job-b is there twice"));
    assert_int_equal(fake_log_count("vm2 stop"), 0);
}

/* The time to compare two lists grows with the square of their length. */
static void long_lists_of_interfaces_do_not_hold_up_the_host(void **state)
{
    struct world *world = *state;
    json_t *list = json_array();
    for (int i = 0; i < 30000; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", "x", "state", "down"));
    }
    json_t *before = json_pack("{s:o, s:[]}", "rdma", list, "net");
    json_t *kept = guest_interconnects(before);
    struct link_wait *wait =
        link_wait_start(world->base, world->agents[0], kept, 60000, on_link, world);
    double begin = cpu_seconds();
    fake_agent_event(&world->fakes[0], "NINJA_INTERCONNECT", json_incref(before));
    agent_execute(world->agents[0], "ninja-jobs", NULL, 60000, on_reply, world);
    while (!world->done) {
        event_base_dispatch(world->base);
    }
    assert_true(cpu_seconds() - begin < 10);
    link_wait_free(wait);
    json_decref(kept);
    json_decref(before);
}

static void what_a_guest_says_does_not_steer_the_terminal(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_GENERIC, "it said \"%s\"",
                    "a\x1b[2Jb\nc\x7f\xc2\x9b"
                    "d\xc3\xa4");
    assert_string_equal(err.message, "it said \"a?[2Jb c???d\xc3\xa4\"");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_over_a_limit_ends_the_connection),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(objects_of_a_line_are_bounded),
        cmocka_unit_test(a_line_that_is_no_json_ends_the_connection),
        cmocka_unit_test(of_a_repeated_key_the_last_counts),
        cmocka_unit_test(a_line_that_is_cut_off_by_the_end_is_none),
        cmocka_unit_test(a_byte_takes_as_long_in_a_long_line),
        cmocka_unit_test(little_is_kept_of_interconnects),
        cmocka_unit_test(impossible_jobs_are_refused),
        cmocka_unit_test(few_transports_are_kept_of_a_rank),
        cmocka_unit_test(what_a_guest_says_does_not_steer_the_terminal),
        TEST(a_flood_of_events_with_gaps_is_one_question),
        TEST(an_epoch_of_one_job_is_nothing_to_another),
        TEST(a_rank_cannot_report_for_another),
        TEST(nothing_is_believed_of_the_ranks_of_another_vm),
        TEST(a_vm_that_claims_a_rank_of_another_one_is_refused),
        TEST(long_lists_of_interfaces_do_not_hold_up_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
