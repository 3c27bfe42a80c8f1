#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_job.h"
#include "guest-agent/jobs.h"

/*
 * Other users of the VM, who can reach the socket of the ranks. The one who owns the job is root
 * here, the others have two other numbers.
 */

#define VILLAIN 65534
#define OTHER   1

typedef void deed(struct fixture *f);

/* Does it as another user, and expects it to end well. */
static pid_t begin_as(struct fixture *f, uid_t uid, deed *what)
{
    pid_t child = fork();
    if (child == 0) {
        if (setuid(uid) != 0) {
            _exit(1);
        }
        what(f);
        _exit(0);
    }
    return child;
}

static void do_as(struct fixture *f, uid_t uid, deed *what)
{
    assert_int_equal(wait_exit(begin_as(f, uid, what)), 0);
}

static void needs_root(void)
{
    if (geteuid() != 0) {
        skip();
    }
}

/* cmocka's assertions do not reach the parent. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            _exit(2);                                                                              \
        }                                                                                          \
    } while (0)

static bool is_refused(int fd, const char *words)
{
    struct ninja_rank_msg msg;
    MUST(ninja_rank_recv(fd, 0, &msg, NULL) == 1);
    bool refused = msg.type == NINJA_RANK_REFUSED;
    MUST(!refused || strstr(msg.text, words) != NULL);
    ninja_rank_msg_clear(&msg);
    return refused;
}

static void the_channel_to_the_host_is_of_root(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", f->host_path);
    MUST(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno == EACCES);
    MUST(unlink(f->rank_path) < 0);
    close(fd);
}

/* It cannot join, take the place of a rank, or report for one. */
static void the_job_of_another_is_out_of_reach(struct fixture *f)
{
    for (uint32_t rank = 0; rank < 4; rank++) {
        int fd = rank_open(f);
        rank_say_hello(fd, "J", rank, 4);
        MUST(is_refused(fd, "belongs to another user"));
        close(fd);
    }
    int fd = rank_open(f);
    rank_report(fd, NINJA_RANK_STOP, 1, 0, NINJA_RANK_OK, "");
    rank_expect_end(fd);
    close(fd);
    fd = rank_open(f);
    rank_send(fd, (struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    rank_expect_end(fd);
    close(fd);
    /* Its own job is at a high epoch; that is nothing to others. */
    fd = rank_rejoin(f, "K", 0, 1, NINJA_RANK_RUNNING, NINJA_RANK_MAX_EPOCH);
    rank_report(fd, NINJA_RANK_RELEASE, NINJA_RANK_MAX_EPOCH, 0, NINJA_RANK_OK, "");
    close(fd);
}

static void a_user_cannot_touch_the_job_of_another(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct stat st;
    needs_root();
    start_pair(f, &p);
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(stat(f->rank_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(stat(f->host_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    do_as(f, VILLAIN, the_channel_to_the_host_is_of_root);
    step(&p.host, 1, 0, "stop", ",\"lease-ms\":60000");
    do_as(f, VILLAIN, the_job_of_another_is_out_of_reach);
    for (int r = 0; r < 2; r++) {
        rank_expect(p.rank[r], NINJA_RANK_STOP);
        rank_report(p.rank[r], NINJA_RANK_STOP, 1, 0, NINJA_RANK_OK, "");
    }
    json_t *list = reports(&p.host, "stop", 1, 0);
    assert_int_equal(json_array_size(list), 2);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "ok");
    json_decref(list);
    step(&p.host, 1, 1, "resume", "");
    for (int r = 0; r < 2; r++) {
        rank_expect(p.rank[r], NINJA_RANK_RESUME);
        rank_report(p.rank[r], NINJA_RANK_RESUME, 1, 1, NINJA_RANK_OK, "");
    }
    json_decref(reports(&p.host, "resume", 1, 1));
    end_pair(&p);
}

#define CROWD 300

/* Half-open connections, and one that sends half of a conversation. */
static void connect_and_say_nothing(struct fixture *f)
{
    for (int i = 0; i < CROWD; i++) {
        rank_open(f);
    }
    MUST(kill(getppid(), 0) < 0 && errno == EPERM);
    sleep(60); /* the parent ends it before */
}

static void who_says_nothing_keeps_nobody_out(void **state)
{
    struct fixture *f = *state;
    struct host host;
    needs_root();
    assert_int_equal(chmod(f->dir, 0755), 0);
    fixture_start(f);
    pid_t crowd[] = {begin_as(f, VILLAIN, connect_and_say_nothing),
                     begin_as(f, OTHER, connect_and_say_nothing)};
    usleep(500000);
    host_hello(&host, f->host_path);
    for (uint32_t i = 0; i < 40; i++) {
        close(rank_join(f, "J", i, 40)); /* now, and not after the others' time is over */
    }
    host_do(&host, "{\"execute\":\"guest-ping\"}");
    host_close(&host);
    for (int i = 0; i < 2; i++) {
        kill(crowd[i], SIGKILL);
        waitpid(crowd[i], NULL, 0);
    }
}

static void take_all_jobs(struct fixture *f)
{
    for (int i = 0; i < JOBS_MAX_USER + 8; i++) {
        char name[16];
        snprintf(name, sizeof(name), "K%d", i);
        int fd = rank_open(f);
        rank_say_hello(fd, name, 0, 1);
        MUST(is_refused(fd, "jobs of this user") == (i >= JOBS_MAX_USER));
    }
    sleep(60);
}

static void a_user_has_a_part_of_the_jobs_only(void **state)
{
    struct fixture *f = *state;
    struct host host;
    needs_root();
    assert_int_equal(chmod(f->dir, 0755), 0);
    fixture_start(f);
    host_hello(&host, f->host_path);
    pid_t villain = begin_as(f, VILLAIN, take_all_jobs);
    size_t n = 0;
    for (int i = 0; n < JOBS_MAX_USER && i < PATIENCE_MS / 50; i++) {
        json_t *answer = host_ask(&host, "{\"execute\":\"ninja-jobs\"}");
        n = json_array_size(json_object_get(json_object_get(answer, "return"), "jobs"));
        json_decref(answer);
        usleep(50000);
    }
    assert_int_equal(n, JOBS_MAX_USER);
    int rank = rank_join(f, "J", 0, 1);
    kill(villain, SIGKILL);
    waitpid(villain, NULL, 0);
    close(rank);
    host_close(&host);
}

/* A rank that reports and reports, as much as fits into a message, asked or not. */
static void flood_with_reports(struct fixture *f)
{
    struct ninja_rank_pair *pairs = calloc(NINJA_RANK_MAX_PAIRS, sizeof(*pairs));
    int fd = rank_join(f, "K", 0, 20000);
    for (int i = 0; i < 1000000; i++) {
        struct ninja_rank_msg msg = {.type = NINJA_RANK_REPORT,
                                     .epoch = 7,
                                     .arg = NINJA_RANK_STOP,
                                     .a = pairs,
                                     .n_a = NINJA_RANK_MAX_PAIRS};
        MUST(ninja_rank_send(fd, &msg) == 0);
    }
}

static void a_flood_of_reports_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    needs_root();
    start_pair(f, &p);
    assert_int_equal(chmod(f->dir, 0755), 0);
    pid_t villain = begin_as(f, VILLAIN, flood_with_reports);
    for (int i = 0; i < 100; i++) {
        host_do(&p.host, "{\"execute\":\"guest-ping\"}");
    }
    make_quiet(&p, 1);
    step(&p.host, 1, 9, "resume", "");
    for (int r = 0; r < 2; r++) {
        rank_expect(p.rank[r], NINJA_RANK_RESUME);
        rank_report(p.rank[r], NINJA_RANK_RESUME, 1, 9, NINJA_RANK_OK, "");
    }
    json_decref(reports(&p.host, "resume", 1, 9));
    kill(villain, SIGKILL);
    waitpid(villain, NULL, 0);
    end_pair(&p);
}

/* Hosts that send half a line, or do not read, next to one that does as it should. */
static void slow_hosts_hold_up_nobody(void **state)
{
    static const char info[] = "{\"execute\":\"guest-info\"}\n";
    struct fixture *f = *state;
    struct host slow[3], good;
    char *text = malloc(20000001);
    fixture_start(f);
    for (int i = 0; i < 3; i++) {
        host_open(&slow[i], f->host_path);
    }
    host_send(&slow[0], "{\"execute\":", 11);
    memset(text, 'x', 20000000); /* a line of 20 MB, without an end */
    text[20000000] = '\0';
    host_send(&slow[1], "{\"execute\":\"", 12);
    host_send(&slow[1], text, 20000000);
    for (int i = 0; i < 20000; i++) { /* answers that nobody takes */
        if (send(slow[2].fd, info, sizeof(info) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    host_hello(&good, f->host_path);
    host_do(&good, "{\"execute\":\"guest-ping\"}");
    json_t *wrong = host_line(&slow[1], PATIENCE_MS, NULL);
    assert_non_null(json_object_get(wrong, "error"));
    json_decref(wrong);
    host_send(&slow[1], "\n", 1);
    host_do(&slow[1], "{\"execute\":\"guest-ping\"}");
    host_send(&slow[0], "\"guest-ping\"}\n", 14);
    json_t *answer = host_line(&slow[0], PATIENCE_MS, NULL);
    assert_non_null(json_object_get(answer, "return"));
    json_decref(answer);
    for (int i = 0; i < 3; i++) {
        host_close(&slow[i]);
    }
    host_close(&good);
    free(text);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(a_user_cannot_touch_the_job_of_another),
        WITH_FIXTURE(who_says_nothing_keeps_nobody_out),
        WITH_FIXTURE(a_user_has_a_part_of_the_jobs_only),
        WITH_FIXTURE(a_flood_of_reports_holds_up_nobody),
        WITH_FIXTURE(slow_hosts_hold_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
