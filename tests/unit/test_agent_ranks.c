#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_job.h"
#include "guest-agent/jobs.h"

/* Who may come as a rank, and ranks that misbehave. */

static void the_ranks_of_a_job_are_listed(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    json_t *answer, *job = the_job(&p.host, &answer);
    assert_string_equal(text_of(job, "job"), "J");
    assert_int_equal(int_of(job, "size"), 4);
    assert_true(json_is_false(json_object_get(job, "finalizing")));
    json_t *rank = entry_of(json_object_get(job, "ranks"), "rank", 1);
    assert_int_equal(int_of(rank, "pid"), getpid());
    assert_int_equal(int_of(rank, "uid"), (json_int_t)getuid());
    assert_string_equal(text_of(rank, "state"), "RUNNING");
    assert_string_equal(text_of(rank, "version"), "0.1.0");
    assert_null(json_object_get(rank, "transports"));
    json_decref(answer);
    end_pair(&p);
}

/* Expects REFUSED with those words, and the end of the connection. */
static void expect_refused(int fd, const char *words)
{
    struct ninja_rank_msg msg = rank_take(fd, NINJA_RANK_REFUSED);
    if (strstr(msg.text, words) == NULL) {
        fail_msg("'%s' expected: %s", words, msg.text);
    }
    ninja_rank_msg_clear(&msg);
    rank_expect_end(fd);
    close(fd);
}

static void hello_refused(struct fixture *f, const char *job, uint32_t rank, uint32_t size,
                          const char *words)
{
    int fd = rank_open(f);
    rank_say_hello(fd, job, rank, size);
    expect_refused(fd, words);
}

static void a_hello_that_does_not_fit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    char name[400];
    start_pair(f, &p);
    hello_refused(f, "J", 2, 5, "the job J has 4 ranks, not 5");
    hello_refused(f, "J", 4, 4, "rank 4 of 4 is not possible");
    hello_refused(f, "K", 0, 0, "not possible");
    hello_refused(f, "K", 0, NINJA_RANK_MAX_SIZE + 1, "not possible");
    hello_refused(f, "", 0, 1, "needs the job's name");
    hello_refused(f, "a b", 0, 1, "needs the job's name");
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    hello_refused(f, name, 0, 1, "needs the job's name");
    int fd = rank_open(f);
    rank_send(fd, (struct ninja_rank_msg){.type = NINJA_RANK_HELLO, .text = "K\n1"});
    expect_refused(fd, "one pair");
    fd = rank_open(f);
    struct ninja_rank_pair pair = {0, 1};
    rank_send(fd, (struct ninja_rank_msg){.type = NINJA_RANK_HELLO,
                                          .n_a = 1,
                                          .a = &pair,
                                          .status = NINJA_RANK_STATES,
                                          .text = "K\n1"});
    expect_refused(fd, "not a state");

    /* a duplicate from another process; the same process replaces its connection */
    pid_t child = fork();
    if (child == 0) {
        hello_refused(f, "J", 0, 4, "rank 0 of the job J is connected already, as process");
        _exit(0);
    }
    assert_int_equal(wait_exit(child), 0);
    int again = rank_join(f, "J", 0, 4);
    rank_expect_end(p.rank[0]);
    json_t *answer, *job = the_job(&p.host, &answer);
    assert_int_equal(json_array_size(json_object_get(job, "ranks")), 2);
    json_decref(answer);
    close(again);
    end_pair(&p);
}

static void another_users_process_is_refused(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    if (geteuid() != 0) {
        skip();
    }
    start_pair(f, &p);
    pid_t child = fork();
    if (child == 0) {
        if (setuid(65534) != 0) {
            _exit(1);
        }
        hello_refused(f, "J", 2, 4, "belongs to another user");
        int own = rank_join(f, "K", 0, 1);
        close(own);
        _exit(0);
    }
    assert_int_equal(wait_exit(child), 0);
    end_pair(&p);
}

static void who_breaks_the_protocol_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    int fd = rank_open(f);
    assert_int_equal(send(fd, "junk", 4, MSG_NOSIGNAL), 4);
    rank_expect_end(fd);
    close(fd);
    fd = rank_open(f);
    rank_send(fd, (struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    rank_expect_end(fd);
    close(fd);
    fd = rank_join(f, "K", 0, 1);
    rank_say_hello(fd, "K", 0, 1);
    rank_expect_end(fd);
    close(fd);
    fd = rank_join(f, "K", 0, 1);
    rank_report(fd, NINJA_RANK_WELCOME, 0, 0, NINJA_RANK_OK, "");
    rank_expect_end(fd);
    close(fd);
    fd = rank_join(f, "K", 0, 1);
    rank_report(fd, NINJA_RANK_STOP, 0, 0, 99, "");
    rank_expect_end(fd);
    close(fd);
    /* a report that nobody asked for is no fault, and changes nothing */
    rank_report(p.rank[0], NINJA_RANK_DRAIN, 3, 1, NINJA_RANK_OK, "");
    host_no_event(&p.host, "NINJA_STEP", 200);
    expect_state(&p.host, 0, "RUNNING", 0);
    end_pair(&p);
}

static int descriptors_of(pid_t pid)
{
    char path[32];
    int n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static void descriptors_from_a_rank_are_closed(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    size_t size;
    start_pair(f, &p);
    struct ninja_rank_msg report = {.type = NINJA_RANK_REPORT, .arg = NINJA_RANK_STOP};
    void *packet = ninja_rank_encode(&report, &size);
    int before = descriptors_of(f->agent);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ninja_rank_send_packet(p.rank[0], packet, size, 0, 0), 0);
    }
    free(packet);
    step(&p.host, 1, 1, "stop", LEASE);
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    assert_int_equal(descriptors_of(f->agent), before);
    end_pair(&p);
}

/* Nor does the agent keep any of the file that it gives to the ranks, also to one that is gone. */
static void the_file_of_addresses_is_closed(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    int before = descriptors_of(f->agent);
    make_quiet(&p, 1);
    step(&p.host, 1, 1, "release", TRANSPORTS("@all"));
    all_do(p.rank, 2, NINJA_RANK_RELEASE, 1, 1);
    expect_step(&p.host, "release", 1, 1, 2, "ok");
    for (uint16_t round = 1; round < 20; round++) {
        step(&p.host, 1, round, "open", TRANSPORTS("@all"));
        all_do(p.rank, 2, NINJA_RANK_OPEN, 1, round);
        expect_step(&p.host, "open", 1, round, 2, "ok");
        step(&p.host, 1, round, "connect", ADDRESSES);
        all_do(p.rank, 2, NINJA_RANK_CONNECT, 1, round);
        expect_step(&p.host, "connect", 1, round, 2, "ok");
    }
    assert_int_equal(descriptors_of(f->agent), before);
    end_pair(&p);
}

static void who_says_no_hello_is_dropped(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    int fd = rank_open(f), rank = rank_join(f, "J", 0, 1);
    rank_expect_end(fd); /* in 10 seconds */
    rank_expect_nothing(rank, 100);
    close(fd);
    close(rank);
}

/* Strangers cannot keep ranks out for long, nor take all descriptors. */
static void many_strangers_are_survived(void **state)
{
    struct fixture *f = *state;
    int fds[200];
    fixture_start(f);
    for (int i = 0; i < 200; i++) {
        fds[i] = rank_open(f);
    }
    rank_expect_end(fds[0]); /* who came first has had the most time */
    rank_expect_nothing(fds[199], 50);
    for (int i = 0; i < 200; i++) {
        close(fds[i]);
    }
    struct host host;
    host_open(&host, f->host_path);
    host_do(&host, "{\"execute\":\"guest-ping\"}");
    host_close(&host);
    usleep(200000);
    close(rank_join(f, "J", 0, 1));
}

/* One rank takes nothing, with big tables; the others go on, and it is dropped in the end. */
static void a_slow_rank_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    make_quiet(&p, 1);
    char *table = malloc(300000);
    size_t n = (size_t)sprintf(table, ",\"tables\":{\"1\":[[0,0]");
    for (int i = 0; i < 15000; i++) {
        n += (size_t)sprintf(table + n, ",[%d,%d]", i % 4, i);
    }
    strcpy(table + n, "]}");
    bool lost = false;
    for (uint32_t round = 2; round < 100 && !lost; round++) {
        const char *const names[] = {"drain", "settle"};
        for (int s = 0; s < 2 && !lost; s++) {
            host_do(&p.host,
                    "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":1,"
                    "\"round\":%u,\"step\":\"%s\",\"timeout-ms\":20%s}}",
                    round, names[s], table);
            uint16_t type = s == 0 ? NINJA_RANK_DRAIN : NINJA_RANK_SETTLE;
            rank_expect(p.rank[0], type);
            json_t *list = reports(&p.host, names[s], 1, round);
            lost = strcmp(text_of(entry_of(list, "rank", 1), "status"), "lost") == 0;
            json_decref(list);
        }
    }
    free(table);
    assert_true(lost);
    step(&p.host, 1, 200, "resume", "");
    rank_expect(p.rank[0], NINJA_RANK_RESUME);
    rank_report(p.rank[0], NINJA_RANK_RESUME, 1, 200, NINJA_RANK_OK, "");
    json_t *list = reports(&p.host, "resume", 1, 200);
    expect_status(list, 0, "ok");
    json_decref(list);
    end_pair(&p);
}

static void several_jobs_are_served_at_once(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    static int others[JOBS_MAX_USER - 1]; /* beside that of the pair */
    const int n = sizeof(others) / sizeof(others[0]);
    char name[32];
    start_pair(f, &p);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "other.%d", i);
        others[i] = rank_join(f, name, 0, 1);
    }
    hello_refused(f, "one.too.many", 0, 1, "768 jobs of this user are here already");
    step(&p.host, 1, 1, "stop", LEASE);
    host_do(&p.host, "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"other.5\",\"epoch\":9,"
                     "\"round\":1,\"step\":\"stop\",\"timeout-ms\":20000,\"lease-ms\":60000}}");
    all_do(&others[5], 1, NINJA_RANK_STOP, 9, 1);
    json_t *data = host_event(&p.host, "NINJA_STEP");
    assert_string_equal(text_of(data, "job"), "other.5");
    json_decref(data);
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    rank_expect_nothing(others[6], 50);
    for (int i = 0; i < n; i++) {
        close(others[i]);
    }
    end_pair(&p);
}

/* Reports of a size that no line holds: the event comes nevertheless. */
static void reports_too_long_for_a_line_are_cut(void **state)
{
    struct fixture *f = *state;
    enum { RANKS = 20, PAIRS = 20000 };
    struct host host;
    int ranks[RANKS];
    struct ninja_rank_pair *pairs = calloc(PAIRS, sizeof(*pairs));
    fixture_start(f);
    host_hello(&host, f->host_path);
    for (int i = 0; i < RANKS; i++) {
        ranks[i] = rank_join(f, "J", (uint32_t)i, RANKS);
    }
    for (int i = 0; i < PAIRS; i++) {
        pairs[i] = (struct ninja_rank_pair){UINT32_MAX, UINT32_MAX};
    }
    step(&host, 1, 1, "stop", LEASE);
    for (int i = 0; i < RANKS; i++) {
        rank_expect(ranks[i], NINJA_RANK_STOP);
        rank_send(ranks[i], (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                                    .arg = NINJA_RANK_STOP,
                                                    .epoch = 1,
                                                    .round = 1,
                                                    .n_a = PAIRS,
                                                    .a = pairs});
    }
    expect_step(&host, "stop", 1, 1, RANKS, "failed");
    json_t *answer = host_ask(&host, "{\"execute\":\"ninja-events\",\"arguments\":{\"after\":0}}");
    assert_true(json_array_size(json_object_get(json_object_get(answer, "return"), "events")) > 0);
    json_decref(answer);
    free(pairs);
    for (int i = 0; i < RANKS; i++) {
        close(ranks[i]);
    }
    host_close(&host);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(the_ranks_of_a_job_are_listed),
        WITH_FIXTURE(a_hello_that_does_not_fit_is_refused),
        WITH_FIXTURE(another_users_process_is_refused),
        WITH_FIXTURE(who_breaks_the_protocol_is_dropped),
        WITH_FIXTURE(descriptors_from_a_rank_are_closed),
        WITH_FIXTURE(the_file_of_addresses_is_closed),
        WITH_FIXTURE(who_says_no_hello_is_dropped),
        WITH_FIXTURE(many_strangers_are_survived),
        WITH_FIXTURE(a_slow_rank_holds_up_nobody),
        WITH_FIXTURE(several_jobs_are_served_at_once),
        WITH_FIXTURE(reports_too_long_for_a_line_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
