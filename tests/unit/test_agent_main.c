#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"

/* The program itself: options, start and end, its sockets, the port. */

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Runs the program to its end and gives what it wrote. */
static int outcome(const char *const *args, char *out, size_t size)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = spawn_agent(args, fds[1], fds[1]);
    close(fds[1]);
    size_t len = 0;
    struct pollfd pfd = {.fd = fds[0], .events = POLLIN};
    while (len < size - 1) {
        if (poll(&pfd, 1, PATIENCE_MS) != 1) {
            kill(pid, SIGTERM);
            wait_exit(pid);
            fail_msg("the agent did not end");
        }
        ssize_t n = read(fds[0], out + len, size - 1 - len);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fds[0]);
    return wait_exit(pid);
}

static void ends_with(int status, const char *words, const char *const *args)
{
    char out[8192];
    assert_int_equal(outcome(args, out, sizeof(out)), status);
    if (strstr(out, words) == NULL) {
        fail_msg("no '%s' in: %s", words, out);
    }
}

static void help_and_version(void **state)
{
    ends_with(0, "--script-timeout=S", ARGS("--help"));
    ends_with(0, "ninja-agent 0.1.0\n", ARGS("--version"));
}

static void wrong_usage_is_64(void **state)
{
    ends_with(64, "--help", ARGS("--no-such-option"));
    ends_with(64, "unexpected argument 'x'", ARGS("x"));
    ends_with(64, "--help", ARGS("--listen"));
    ends_with(64, "must not be empty", ARGS("--listen", ""));
    ends_with(64, "exclude each other", ARGS("--listen", "/a", "--port", "/b"));
    ends_with(64, "from 1 to 3600 seconds, not '0'", ARGS("--script-timeout", "0"));
    ends_with(64, "not 'soon'", ARGS("--script-timeout", "soon"));
    ends_with(64, "not '-1'", ARGS("--script-timeout", "-1"));
    ends_with(64, "not '5x'", ARGS("--script-timeout=5x"));
}

static void it_does_not_start_without_its_sockets(void **state)
{
    struct fixture *f = *state;
    char long_path[300] = "/tmp/", file[256], below[300];
    memset(long_path + 5, 'x', 200);
    ends_with(69, "longer than 107 bytes", ARGS("--listen", f->host_path, "--socket", long_path));
    make_file(f, "plain", 0644, "");
    snprintf(file, sizeof(file), "%s/plain", f->dir);
    ends_with(69, "is not a socket", ARGS("--listen", f->host_path, "--socket", file));
    ends_with(69, "is not a socket", ARGS("--listen", file, "--socket", f->rank_path));
    snprintf(below, sizeof(below), "%s/none", file);
    ends_with(69, "Not a directory", ARGS("--listen", f->host_path, "--socket", below));
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_not_equal(stat(f->rank_path, &st), 0);
}

static void a_second_agent_does_not_start(void **state)
{
    struct fixture *f = *state;
    struct host host;
    char other[128];
    snprintf(other, sizeof(other), "%s/other.sock", f->dir);
    fixture_start(f);
    ends_with(69, "another program listens on", ARGS("--listen", other, "--socket", f->rank_path));
    ends_with(69, "another program listens on", ARGS("--listen", f->host_path, "--socket", other));
    host_open(&host, f->host_path); /* and the first one is as it was */
    host_do(&host, "{\"execute\":\"guest-ping\"}");
    host_close(&host);
    close(rank_open(f));
}

static void a_killed_agents_sockets_are_replaced(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    fixture_start(f);
    kill(f->agent, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)f->agent, &info, WEXITED);
    assert_int_equal(stat(f->host_path, &st), 0);
    assert_int_equal(stat(f->rank_path, &st), 0);
    fixture_start(f);
    close(rank_open(f));
}

static void the_sockets_have_their_modes(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    fixture_start(f);
    assert_int_equal(stat(f->host_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(f->rank_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    fixture_stop(f, SIGINT);
    assert_int_not_equal(stat(f->rank_path, &st), 0);
}

static void the_environment_names_the_socket(void **state)
{
    struct fixture *f = *state;
    setenv("NINJA_AGENT_SOCKET", f->rank_path, 1);
    pid_t pid = spawn_agent(ARGS("--listen", f->host_path), -1, -1);
    unsetenv("NINJA_AGENT_SOCKET");
    struct stat st;
    for (int i = 0; stat(f->host_path, &st) != 0; i++) {
        assert_true(i < 2000);
        usleep(10000);
    }
    assert_int_equal(stat(f->rank_path, &st), 0);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
}

/* The port: a pseudo terminal stands in, which ends for good when its master is closed. */

static int new_master(char *path, size_t size)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    assert_int_equal(ptsname_r(master, path, size), 0);
    return master;
}

static double cpu_seconds(pid_t pid)
{
    char path[64], line[1024];
    unsigned long user, system;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_int_equal(sscanf(strrchr(line, ')') + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
                     2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void ping(int master)
{
    struct host host = {.fd = master, .events = json_array()};
    const char request[] = "{\"execute\":\"guest-ping\",\"id\":1}\n";
    assert_int_equal(write(master, request, sizeof(request) - 1), sizeof(request) - 1);
    json_t *answer = host_line(&host, PATIENCE_MS, NULL);
    assert_non_null(answer);
    assert_int_equal(int_of(answer, "id"), 1);
    json_decref(answer);
    json_decref(host.events);
    free(host.buf);
}

/* Before it was asked for anything. */
static void assert_port_was_opened(int master)
{
    struct host host = {.fd = master};
    json_t *line = host_line(&host, PATIENCE_MS, NULL);
    assert_non_null(line);
    assert_string_equal(text_of(line, "event"), "NINJA_OPENED");
    assert_int_equal(host.len, 0);
    json_decref(line);
    free(host.buf);
}

static void the_port_may_come_late_and_lose_its_host(void **state)
{
    struct fixture *f = *state;
    char link_path[128], pts[64];
    struct stat st;
    snprintf(link_path, sizeof(link_path), "%s/port", f->dir);
    pid_t pid = spawn_agent(ARGS("--port", link_path, "--socket", f->rank_path), -1, -1);
    for (int i = 0; stat(f->rank_path, &st) != 0; i++) {
        assert_true(i < 2000);
        usleep(10000);
    }
    int master = new_master(pts, sizeof(pts));
    int slave = open(pts, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw; /* or it would echo what comes before the agent has opened it */
    assert_int_equal(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    assert_int_equal(symlink(pts, link_path), 0);
    assert_port_was_opened(master);
    ping(master);
    close(slave);
    ping(master);
    close(master);
    /* nobody at the other end: that is no end, and nothing spins */
    double before = cpu_seconds(pid);
    usleep(1000000);
    assert_true(cpu_seconds(pid) - before < 0.5);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), 0);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(wrong_usage_is_64),
        WITH_FIXTURE(it_does_not_start_without_its_sockets),
        WITH_FIXTURE(a_second_agent_does_not_start),
        WITH_FIXTURE(a_killed_agents_sockets_are_replaced),
        WITH_FIXTURE(the_sockets_have_their_modes),
        WITH_FIXTURE(the_environment_names_the_socket),
        WITH_FIXTURE(the_port_may_come_late_and_lose_its_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
