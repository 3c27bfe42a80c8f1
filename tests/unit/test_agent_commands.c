#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "common/agent_proto.h"

/* What a host says to a running agent, and what it gets; no ranks here. */

static void the_qemu_commands_answer_as_qemu_does(void **state)
{
    struct fixture *f = *state;
    struct host host;
    bool delimited;
    fixture_start(f);
    host_open(&host, f->host_path);

    host_do(&host, "{\"execute\":\"guest-ping\"}");
    host_send(&host, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":77}}\n", 48);
    json_t *answer = host_line(&host, PATIENCE_MS, &delimited);
    assert_int_equal(int_of(answer, "return"), 77);
    assert_false(delimited);
    json_decref(answer);

    const char sync[] = "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":-5}}\n";
    host_send(&host, sync, sizeof(sync) - 1);
    answer = host_line(&host, PATIENCE_MS, &delimited);
    assert_int_equal(int_of(answer, "return"), -5);
    assert_true(delimited);
    json_decref(answer);

    answer = host_ask(&host, "{\"execute\":\"guest-info\",\"id\":[1,{\"x\":null}]}");
    json_t *info = json_object_get(answer, "return");
    assert_string_equal(text_of(info, "version"), "0.1.0");
    assert_int_equal(json_array_size(json_object_get(answer, "id")), 2);
    json_t *list = json_object_get(info, "supported_commands"), *command;
    bool has_step = false;
    size_t i;
    json_array_foreach(list, i, command)
    {
        has_step = has_step || strcmp(text_of(command, "name"), "ninja-step") == 0;
        assert_true(json_is_true(json_object_get(command, "enabled")));
    }
    assert_true(has_step);
    json_decref(answer);
    host_close(&host);
}

static void wrong_requests_are_answered_and_survived(void **state)
{
    struct fixture *f = *state;
    struct host host;
    fixture_start(f);
    host_open(&host, f->host_path);
    host_refused(&host, "GenericError", "invalid JSON", "nonsense");
    host_refused(&host, "GenericError", "'execute' is missing", "{}");
    host_refused(&host, "GenericError", "'execute' is missing", "{\"execute\":7}");
    host_refused(&host, "GenericError", "Member 'x' is unexpected",
                 "{\"execute\":\"guest-ping\",\"x\":1}");
    host_refused(&host, "GenericError", "must be an object",
                 "{\"execute\":\"guest-ping\",\"arguments\":[]}");
    host_refused(&host, "GenericError", "Parameter 'x' is unexpected",
                 "{\"execute\":\"guest-ping\",\"arguments\":{\"x\":1}}");
    host_refused(&host, "GenericError", "Parameter 'protocol version' is unexpected",
                 "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol version\":1}}");
    host_refused(&host, "GenericError", "'id'", "{\"execute\":\"guest-sync\"}");
    host_refused(&host, "GenericError", "'id'",
                 "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"x\"}}");
    host_refused(&host, "CommandNotFound", "The command guest-nothing has not been found",
                 "{\"execute\":\"guest-nothing\"}");
    json_t *answer = host_ask(&host, "{\"execute\":\"no\",\"id\":3}");
    assert_int_equal(int_of(answer, "id"), 3);
    json_decref(answer);
    host_do(&host, "{\"execute\":\"guest-ping\"}");
    host_close(&host);
}

static void a_line_without_end_is_survived(void **state)
{
    struct fixture *f = *state;
    struct host host;
    size_t len = 20 * 1000 * 1000;
    char *junk = malloc(len);
    fixture_start(f);
    host_open(&host, f->host_path);
    memset(junk, 'x', len);
    junk[0] = '{';
    junk[1] = '"';
    host_send(&host, junk, len);
    host_refused(&host, "GenericError", "longer than 16 MiB", "\"}");
    host_do(&host, "{\"execute\":\"guest-ping\"}");
    /* a client that died in the middle of a line, and the next one */
    host_send(&host, "{\"execute\":\"gue", 15);
    host_send(&host, "\xff", 1);
    host_do(&host, "{\"execute\":\"guest-ping\"}");
    free(junk);
    host_close(&host);
}

/* Here it would be the clock of the machine that runs the tests. */
static void who_comes_by_a_socket_sets_no_clock(void **state)
{
    struct fixture *f = *state;
    struct host host;
    fixture_start(f);
    host_hello(&host, f->host_path);
    host_refused(&host, "GenericError", "by the virtio port",
                 "{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":1}}");
    host_close(&host);
}

static void hello_comes_first(void **state)
{
    struct fixture *f = *state;
    struct host host;
    fixture_start(f);
    host_open(&host, f->host_path);
    host_refused(&host, "GenericError", "before ninja-hello", "{\"execute\":\"ninja-jobs\"}");
    host_refused(
        &host, "ProtocolMismatch",
        "the host speaks protocol 1, the agent (0.1.0) protocol " NINJA_AGENT_PROTOCOL_TEXT,
        "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":1,\"version\":\"9\"}}");
    host_refused(&host, "GenericError", "before ninja-hello", "{\"execute\":\"ninja-jobs\"}");
    host_refused(&host, "GenericError", "'protocol'", "{\"execute\":\"ninja-hello\"}");
    json_t *answer = host_ask(
        &host, "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT
               ",\"version\":\"0.1.0\"}}");
    json_t *hello = json_object_get(answer, "return");
    char name[256];
    assert_int_equal(gethostname(name, sizeof(name)), 0);
    assert_string_equal(text_of(hello, "hostname"), name);
    assert_string_equal(text_of(hello, "version"), "0.1.0");
    assert_int_equal(strlen(text_of(hello, "instance")), 32);
    assert_int_equal(int_of(hello, "seq"), 0);
    char instance[64];
    strcpy(instance, text_of(hello, "instance"));
    json_decref(answer);
    answer = host_ask(&host, "{\"execute\":\"ninja-jobs\"}");
    json_t *jobs = json_object_get(answer, "return");
    assert_int_equal(json_array_size(json_object_get(jobs, "jobs")), 0);
    assert_int_equal(json_array_size(json_object_get(jobs, "unmanaged")), 0);
    json_decref(answer);
    host_close(&host);

    fixture_stop(f, SIGINT);
    fixture_start(f);
    host_open(&host, f->host_path);
    answer = host_ask(
        &host,
        "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT "}}");
    assert_string_not_equal(text_of(json_object_get(answer, "return"), "instance"), instance);
    json_decref(answer);
    host_close(&host);
}

static void a_changed_interconnect_is_told(void **state)
{
    struct fixture *f = *state;
    struct host host, silent;
    make_file(f, "sys/class/infiniband/rxe0/ports/1/state", 0644, "1: DOWN\n");
    fixture_start(f);
    host_hello(&host, f->host_path);
    host_open(&silent, f->host_path);
    json_t *answer = host_ask(&host, "{\"execute\":\"ninja-interconnects\"}");
    json_t *rdma = json_object_get(json_object_get(answer, "return"), "rdma");
    assert_string_equal(text_of(json_array_get(rdma, 0), "state"), "DOWN");
    json_decref(answer);

    make_file(f, "sys/class/infiniband/rxe0/ports/1/state", 0644, "4: ACTIVE\n");
    make_file(f, "sys/class/infiniband/rxe0/ports/1/counters/n", 0644, "5\n");
    json_t *data = host_event(&host, "NINJA_INTERCONNECT");
    json_t *port = json_array_get(json_object_get(data, "rdma"), 0);
    assert_string_equal(text_of(port, "state"), "ACTIVE");
    assert_int_equal(int_of(json_object_get(port, "counters"), "n"), 5);
    json_decref(data);
    make_file(f, "sys/class/infiniband/rxe0/ports/1/counters/n", 0644, "6\n");
    host_no_event(&host, "NINJA_INTERCONNECT", 2500);

    /* who did not greet gets no events, and can ask for them later */
    assert_int_equal(silent.len, 0);
    host_do(&silent, "{\"execute\":\"guest-ping\"}");
    assert_int_equal(json_array_size(silent.events), 0);
    answer = host_ask(
        &silent,
        "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT "}}");
    assert_int_equal(int_of(json_object_get(answer, "return"), "seq"), 1);
    json_decref(answer);
    answer = host_ask(&silent, "{\"execute\":\"ninja-events\",\"arguments\":{\"after\":0}}");
    json_t *kept = json_object_get(answer, "return");
    assert_true(json_is_false(json_object_get(kept, "lost")));
    json_t *event = json_array_get(json_object_get(kept, "events"), 0);
    assert_string_equal(text_of(event, "event"), "NINJA_INTERCONNECT");
    assert_int_equal(int_of(event, "seq"), 1);
    json_decref(answer);
    host_refused(&silent, "GenericError", "'after'",
                 "{\"execute\":\"ninja-events\",\"arguments\":{\"after\":-1}}");
    host_close(&host);
    host_close(&silent);
}

#define DETACH(token, ms)                                                                          \
    "{\"execute\":\"ninja-detach\",\"arguments\":{\"token\":" token                                \
    ",\"device\":\"hca0\",\"timeout-ms\":" ms "}}"
#define ATTACH(token, ms)                                                                          \
    "{\"execute\":\"ninja-attach\",\"arguments\":{\"token\":" token                                \
    ",\"device\":\"hca0\",\"timeout-ms\":" ms "}}"

static void expect_done(struct host *host, const char *name, int token, bool ok, const char *output)
{
    json_t *data = host_event(host, name);
    assert_int_equal(int_of(data, "token"), token);
    if (json_is_true(json_object_get(data, "ok")) != ok ||
        strcmp(text_of(data, "output"), output) != 0) {
        fail_msg("unexpected %s %s", name, json_dumps(data, 0));
    }
    json_decref(data);
}

static void detach_and_attach_run_the_scripts_once_a_token(void **state)
{
    struct fixture *f = *state;
    struct host host;
    char script[256];
    snprintf(script, sizeof(script),
             "#!/bin/sh\necho x >>%s/log\necho \"$1 $2 $(wc -l <%s/log)\"\n", f->dir, f->dir);
    make_file(f, "scripts.d/count", 0755, script);
    fixture_start(f);
    host_hello(&host, f->host_path);
    host_do(&host, DETACH("1", "20000"));
    expect_done(&host, "NINJA_DETACHED", 1, true, "detach hca0 1\n");
    host_do(&host, DETACH("1", "20000"));
    expect_done(&host, "NINJA_DETACHED", 1, true, "detach hca0 1\n");
    host_do(&host, DETACH("2", "20000"));
    host_do(&host, DETACH("2", "20000"));
    host_do(&host, ATTACH("2", "20000"));
    expect_done(&host, "NINJA_DETACHED", 2, true, "detach hca0 2\n");
    expect_done(&host, "NINJA_ATTACHED", 2, true, "attach hca0 3\n");
    host_no_event(&host, "NINJA_DETACHED", 300);
    /* after an attach, what a detach found is no longer so */
    host_do(&host, DETACH("1", "20000"));
    expect_done(&host, "NINJA_DETACHED", 1, true, "detach hca0 4\n");
    host_refused(&host, "GenericError", "another device",
                 "{\"execute\":\"ninja-detach\",\"arguments\":{\"token\":1,\"device\":\"other\","
                 "\"timeout-ms\":5}}");
    host_refused(&host, "GenericError", "'token'", DETACH("-1", "5"));
    host_refused(&host, "GenericError", "'timeout-ms'", DETACH("9", "0"));
    host_refused(&host, "GenericError", "'device'",
                 "{\"execute\":\"ninja-attach\",\"arguments\":{\"token\":1,\"timeout-ms\":5}}");
    host_close(&host);
}

static void failing_and_hanging_scripts_are_told(void **state)
{
    struct fixture *f = *state;
    struct host host;
    make_file(f, "scripts.d/a", 0755,
              "#!/bin/sh\n[ $1 = attach ] || exit 0\necho broken >&2\nexit 9\n");
    make_file(f, "scripts.d/b", 0755, "#!/bin/sh\nexec sleep 600\n");
    fixture_start(f);
    host_hello(&host, f->host_path);
    host_do(&host, ATTACH("1", "20000"));
    expect_done(&host, "NINJA_ATTACHED", 1, false, "broken\na: exit status 9\n");
    host_do(&host, DETACH("1", "300"));
    host_do(&host, "{\"execute\":\"guest-ping\"}"); /* not held up by it */
    expect_done(&host, "NINJA_DETACHED", 1, false, "b: ended, as its time was over\n");
    host_close(&host);
}

static void users_of_the_device_fail_a_detach(void **state)
{
    struct fixture *f = *state;
    struct host host;
    make_link(f, "proc/4242/fd/7", "/dev/infiniband/uverbs0");
    make_file(f, "proc/4242/comm", 0644, "stubborn\n");
    fixture_start(f);
    host_hello(&host, f->host_path);
    host_do(&host, DETACH("1", "20000"));
    json_t *data = host_event(&host, "NINJA_DETACHED");
    assert_true(json_is_false(json_object_get(data, "ok")));
    assert_string_equal(text_of(data, "output"),
                        "process 4242 (stubborn) holds /dev/infiniband/uverbs0\n");
    json_t *user = json_array_get(json_object_get(data, "users"), 0);
    assert_int_equal(int_of(user, "pid"), 4242);
    assert_string_equal(text_of(user, "command"), "stubborn");
    json_decref(data);
    json_t *answer = host_ask(&host, "{\"execute\":\"ninja-jobs\"}");
    json_t *unmanaged = json_object_get(json_object_get(answer, "return"), "unmanaged");
    assert_int_equal(int_of(json_array_get(unmanaged, 0), "pid"), 4242);
    json_decref(answer);
    host_close(&host);
}

static void hosts_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct host hosts[20];
    fixture_start(f);
    /* more than are served at once: the others wait for a place */
    for (int i = 0; i < 20; i++) {
        host_open(&hosts[i], f->host_path);
    }
    for (int i = 0; i < 20; i++) {
        if (i < 16) {
            host_do(&hosts[i], "{\"execute\":\"guest-ping\"}");
        }
    }
    host_send(&hosts[19], "{\"execute\":\"guest-ping\"}\n", 25);
    assert_null(host_line(&hosts[19], 200, NULL));
    for (int i = 0; i < 16; i++) {
        host_close(&hosts[i]);
    }
    json_t *answer = host_line(&hosts[19], PATIENCE_MS, NULL);
    assert_non_null(answer);
    json_decref(answer);
    for (int i = 16; i < 20; i++) {
        host_close(&hosts[i]);
    }
}

/* A host that asks a lot and reads nothing for a while gets every answer in the end. */
static void no_answer_is_lost_for_a_slow_reader(void **state)
{
    struct fixture *f = *state;
    struct host host;
    enum { REQUESTS = 20000 };
    fixture_start(f);
    host_open(&host, f->host_path);
    pid_t writer = fork();
    if (writer == 0) {
        for (int i = 0; i < REQUESTS; i++) {
            char line[128];
            int len = snprintf(line, sizeof(line), "{\"execute\":\"guest-info\",\"id\":%d}\n", i);
            for (int at = 0; at < len;) {
                ssize_t n = write(host.fd, line + at, (size_t)(len - at));
                if (n <= 0) {
                    _exit(1);
                }
                at += (int)n;
            }
        }
        _exit(0);
    }
    usleep(500000);
    for (int i = 0; i < REQUESTS; i++) {
        json_t *answer = host_line(&host, PATIENCE_MS, NULL);
        assert_non_null(answer);
        assert_int_equal(int_of(answer, "id"), i);
        json_decref(answer);
    }
    assert_int_equal(wait_exit(writer), 0);
    host_close(&host);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(the_qemu_commands_answer_as_qemu_does),
        WITH_FIXTURE(wrong_requests_are_answered_and_survived),
        WITH_FIXTURE(a_line_without_end_is_survived),
        WITH_FIXTURE(hello_comes_first),
        WITH_FIXTURE(who_comes_by_a_socket_sets_no_clock),
        WITH_FIXTURE(a_changed_interconnect_is_told),
        WITH_FIXTURE(detach_and_attach_run_the_scripts_once_a_token),
        WITH_FIXTURE(failing_and_hanging_scripts_are_told),
        WITH_FIXTURE(users_of_the_device_fail_a_detach),
        WITH_FIXTURE(hosts_come_and_go),
        WITH_FIXTURE(no_answer_is_lost_for_a_slow_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
