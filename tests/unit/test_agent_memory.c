#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "agent_job.h"
#include "common/agent_proto.h"
#include "common/clock.h"

/* The agent of which some allocations fail (short_memory.c): it goes on, and serves when there is
 * memory again. What it answers meanwhile may be an error, or nothing. */

static unsigned seed;

static void set_number(const char *name, unsigned number)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    assert_int_equal(setenv(name, text, 1), 0);
}

static int connect_to(const char *path, int type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void sleep_1_ms(void)
{
    const struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
}

/* Takes and forgets what comes within some milliseconds. */
static void forget(int fd, int ms)
{
    char bytes[65536];
    for (int i = 0; i < ms; i++) {
        while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        }
        sleep_1_ms();
    }
}

/* ---- what is said is complete, or an error ---- */

static void expect_n(json_t *array, size_t n)
{
    assert_true(json_is_array(array));
    assert_int_equal(json_array_size(array), n);
}

static void look_at_users(json_t *users)
{
    expect_n(users, 1);
    expect_n(json_object_get(json_array_get(users, 0), "open"), 1);
}

static void look_at_answer(json_t *answer)
{
    json_t *port = json_array_get(json_object_get(answer, "rdma"), 0), *job;
    size_t i;
    if (json_object_get(answer, "unmanaged") != NULL) {
        look_at_users(json_object_get(answer, "unmanaged"));
        json_array_foreach(json_object_get(answer, "jobs"), i, job)
        {
            assert_true(json_is_array(json_object_get(job, "ranks")));
        }
    }
    if (json_object_get(answer, "rdma") != NULL) {
        expect_n(json_object_get(answer, "rdma"), 1);
        expect_n(json_object_get(answer, "net"), 1);
        assert_string_equal(text_of(port, "state"), "ACTIVE");
        assert_int_equal(json_object_size(json_object_get(port, "counters")), 1);
    }
}

static void look_at_event(const char *name, json_t *data)
{
    json_t *report;
    size_t i;
    if (strcmp(name, "NINJA_DETACHED") == 0 && json_object_get(data, "ok") != NULL) {
        assert_true(json_is_false(json_object_get(data, "ok")));
        if (json_object_get(data, "users") != NULL) {
            look_at_users(json_object_get(data, "users"));
        }
    }
    json_array_foreach(json_object_get(data, "ranks"), i, report)
    {
        if (strcmp(text_of(report, "status"), "ok") == 0 &&
            strcmp(text_of(report, "text"), "has not stopped") != 0) {
            if (!json_is_true(json_object_get(report, "same"))) {
                expect_n(json_object_get(report, "a"), 2);
            }
            expect_n(json_object_get(report, "b"), 2);
            assert_string_equal(text_of(report, "addresses"), "QUJDRA==");
        }
    }
}

/* Looks at each line that comes within some milliseconds. */
static void look_at_all(int fd, int ms)
{
    static char bytes[1 << 20];
    size_t len = 0;
    for (int i = 0; i < ms; i++) {
        ssize_t n;
        while ((n = recv(fd, bytes + len, sizeof(bytes) - 1 - len, MSG_DONTWAIT)) > 0) {
            len += (size_t)n;
        }
        sleep_1_ms();
    }
    bytes[len] = '\0';
    for (char *line = strtok(bytes, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *json = json_loads(line, 0, NULL);
        const char *event = json_string_value(json_object_get(json, "event"));
        look_at_answer(json_object_get(json, "return"));
        if (event != NULL) {
            look_at_event(event, json_object_get(json, "data"));
        }
        json_decref(json);
    }
}

/* ---- asking ---- */

static void say(int fd, const char *line)
{
    ssize_t n = send(fd, line, strlen(line), MSG_NOSIGNAL);
    (void)n; /* the agent may have dropped this client */
}

static void tell(int rank, struct ninja_rank_msg msg)
{
    ninja_rank_send(rank, &msg); /* the agent may have dropped this rank */
}

static void hello(int rank, uint32_t number)
{
    struct ninja_rank_pair pair = {number, 2};
    tell(rank, (struct ninja_rank_msg){.type = NINJA_RANK_HELLO,
                                       .status = NINJA_RANK_RUNNING,
                                       .arg = (uint32_t)getpid(),
                                       .n_a = 1,
                                       .a = &pair,
                                       .text = "J\n0.1.0"});
}

static void report(int rank, uint16_t step, uint32_t epoch)
{
    struct ninja_rank_pair pairs[] = {{0, 1}, {1, 2}};
    tell(rank, (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                       .arg = step,
                                       .epoch = epoch,
                                       .round = 1,
                                       .n_a = 2,
                                       .a = pairs,
                                       .n_b = 2,
                                       .b = pairs,
                                       .text = "tcp,self",
                                       .addresses = "ABCD",
                                       .n_addresses = 4});
}

#define STEP(name, more)                                                                           \
    "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":%u,\"round\":1,"           \
    "\"step\":\"" name "\",\"timeout-ms\":2000" more "}}\n"

static void steps(int host, const int ranks[2], uint32_t epoch)
{
    static const struct {
        uint16_t type;
        const char *line;
    } all[] = {
        {NINJA_RANK_STOP, STEP("stop", LEASE)},
        {NINJA_RANK_DRAIN, STEP("drain", ",\"tables\":{\"0\":[[1,7]],\"1\":[[0,1]]}")},
        {NINJA_RANK_SETTLE, STEP("settle", ",\"tables\":{\"0\":[[1,7]]}")},
        {NINJA_RANK_RELEASE, STEP("release", TRANSPORTS("@bypass"))},
        {NINJA_RANK_OPEN, STEP("open", TRANSPORTS("@best"))},
        {NINJA_RANK_CONNECT,
         STEP("connect", ",\"addresses\":\"AAAAC3icY2BgYGRgYGByZHACAAEgAIc=\"")},
        {NINJA_RANK_RESUME, STEP("resume", "")},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char line[512];
        snprintf(line, sizeof(line), all[i].line, epoch);
        say(host, line);
        forget(ranks[0], 2);
        report(ranks[0], all[i].type, epoch);
        report(ranks[1], all[i].type, epoch);
        forget(ranks[1], 1);
    }
}

/* Everything that an agent is asked for, by a host and two ranks that do not look at answers. */
static void ask_for_all(const struct fixture *f, uint32_t turn)
{
    int host = connect_to(f->host_path, SOCK_STREAM);
    int ranks[2];
    char line[256];
    say(host, "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT
              ",\"version\":\"0.1.0\"}}\n");
    for (uint32_t i = 0; i < 2; i++) {
        ranks[i] = connect_to(f->rank_path, SOCK_SEQPACKET);
        hello(ranks[i], i);
    }
    say(host,
        "{\"execute\":\"ninja-jobs\"}\n{\"execute\":\"ninja-interconnects\"}\n"
        "{\"execute\":\"guest-info\"}\n{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1}}\n"
        "{\"execute\":\"ninja-events\",\"arguments\":{\"after\":0}}\n");
    snprintf(line, sizeof(line),
             "{\"execute\":\"ninja-detach\",\"arguments\":{\"token\":%u,\"device\":\"x\","
             "\"timeout-ms\":1000}}\n",
             turn);
    say(host, line);
    steps(host, ranks, turn + 1);
    look_at_all(host, 30);
    close(ranks[0]);
    close(ranks[1]);
    close(host);
}

static void serves(struct fixture *f, unsigned token)
{
    struct host host;
    host_hello(&host, f->host_path);
    host_do(&host,
            "{\"execute\":\"ninja-detach\",\"arguments\":{\"token\":%u,\"device\":\"x\","
            "\"timeout-ms\":20000}}",
            token);
    json_t *data = host_event(&host, "NINJA_DETACHED");
    while (int_of(data, "token") != token) { /* of one that waited */
        json_decref(data);
        data = host_event(&host, "NINJA_DETACHED");
    }
    assert_memory_equal(text_of(data, "output"), "done\nprocess 77 (user) holds /dev/", 30);
    json_decref(data);
    int rank = rank_join(f, "later", 0, 1);
    close(rank);
    host_close(&host);
}

static void add_a_world(struct fixture *f)
{
    make_file(f, "scripts.d/say", 0755, "#!/bin/sh\necho done\n");
    make_file(f, "sys/class/net/eth0/type", 0644, "1\n");
    make_file(f, "sys/class/net/eth0/operstate", 0644, "up\n");
    make_file(f, "sys/class/net/eth0/address", 0644, "52:54:00:00:00:01\n");
    make_file(f, "sys/class/net/eth0/statistics/rx_bytes", 0644, "1\n");
    make_file(f, "sys/class/infiniband/rxe0/ports/1/state", 0644, "4: ACTIVE\n");
    make_file(f, "sys/class/infiniband/rxe0/ports/1/counters/x", 0644, "1\n");
    make_file(f, "proc/77/comm", 0644, "user\n");
    make_link(f, "proc/77/fd/3", "/dev/infiniband/uverbs0");
    make_file(f, "proc/77/maps", 0644, "7f00-7f01 rw-s 0 00:05 1 /dev/shm/x\n");
}

static void it_survives_allocations_that_fail(void **state)
{
    struct fixture *f = *state;
    add_a_world(f);
    for (unsigned agent = 0; agent < 6; agent++) {
        set_number("NINJA_SHORT_SEED", seed + agent);
        set_number("NINJA_SHORT_RATE", 10u << agent);
        fixture_start(f);
        for (uint32_t turn = 0; turn < 12; turn++) {
            assert_int_equal(kill(f->agent, SIGUSR1), 0);
            ask_for_all(f, turn);
            assert_int_equal(kill(f->agent, SIGUSR2), 0);
            serves(f, 1000 + turn);
        }
        fixture_stop(f, SIGTERM);
    }
}

/* It starts, or says that it cannot. */
static void it_does_not_crash_as_it_starts(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {"--listen",  f->host_path, "--socket", f->rank_path,
                          "--scripts", f->scripts,   "--sysfs",  f->sys,
                          "--procfs",  f->proc,      NULL};
    int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    unsigned failed = 0, n = 0;
    add_a_world(f);
    set_number("NINJA_SHORT_RATE", 0);
    for (n = 1; n < 400; n += 1 + (seed + n) % 5) {
        set_number("NINJA_SHORT_NTH", n);
        pid_t pid = spawn_agent(args, -1, quiet);
        int status = 0;
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        strcpy(addr.sun_path, f->host_path);
        int64_t limit = now_ms() + PATIENCE_MS;
        bool ended = false, runs = false;
        while (!ended && !runs && now_ms() < limit) {
            int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            ended = waitpid(pid, &status, WNOHANG) == pid;
            runs = !ended && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
            close(fd);
            sleep_1_ms();
        }
        assert_true(ended || runs);
        if (!ended) {
            kill(pid, SIGTERM);
            status = W_EXITCODE(wait_exit(pid), 0);
        }
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 69);
        failed += WEXITSTATUS(status) == 69;
    }
    assert_true(failed > 0);
    unsetenv("NINJA_SHORT_NTH");
    close(quiet);
}

int main(void)
{
    const char *given = getenv("NINJA_TEST_SEED");
    seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    printf("NINJA_TEST_SEED=%u\n", seed);
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(it_survives_allocations_that_fail),
        WITH_FIXTURE(it_does_not_crash_as_it_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
