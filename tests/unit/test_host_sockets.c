/* Why a socket cannot be connected: every reason has words of its own, and the path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/base/unix_socket.h"
#include "tests/unit/fake_peer.h"

#define OTHER_USER 65534

static bool answers(const char *path, struct ninja_error *err)
{
    struct channel_way way = unix_socket_way(NULL, path);
    return way.answers(&way, err);
}

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

static void in_dir(char path[108], const char *name)
{
    snprintf(path, 108, "%.80s/%.20s", fake_dir(), name);
}

static int make_socket(const char *path, int type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void expect(const char *path, const char *class, const char *words)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char expected[500];
    snprintf(expected, sizeof(expected), "%s: %s", path, words);
    assert_false(answers(path, &err));
    assert_string_equal(err.message, expected);
    assert_string_equal(ninja_error_class_name(err.class), class);
}

static void nobody_is_there(void **state)
{
    char path[108];
    in_dir(path, "socket");
    expect(path, "Absent", "there is no such socket");
    int fd = make_socket(path, SOCK_STREAM);
    expect(path, "Absent", "nobody listens at this socket");
    assert_int_equal(listen(fd, 0), 0);
    assert_true(answers(path, NULL));
    expect(path, "Busy", "others wait already to be connected to it");
    close(fd);
    expect(path, "Absent", "nobody listens at this socket");
}

static void something_else_is_there(void **state)
{
    char path[108], below[130];
    in_dir(path, "socket");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(path, "Connect", "it is a FIFO, not a socket");
    snprintf(below, sizeof(below), "%s/socket", path);
    expect(below, "Connect", "Not a directory");
    unlink(path);
    expect(fake_dir(), "Connect", "it is a directory, not a socket");
    close(make_socket(path, SOCK_DGRAM));
    expect(path, "Absent", "nobody listens at this socket");
    unlink(path);
    int fd = make_socket(path, SOCK_DGRAM);
    expect(path, "Connect", "it is a socket of another type");
    close(fd);
}

static void a_path_may_be_too_long(void **state)
{
    char path[UNIX_SOCKET_MAX_PATH + 2];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    expect(path, "Connect", "a socket's path has at most 107 characters");
    path[sizeof(path) - 2] = '\0';
    expect(path, "Absent", "there is no such socket");
}

/* In a child, as another user. */
static void it_may_not_be_allowed(void **state)
{
    char path[108], words[100];
    in_dir(path, "socket");
    int fd = make_socket(path, SOCK_STREAM), status;
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(chmod(fake_dir(), 0755), 0);
    assert_int_equal(chmod(path, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct ninja_error err = NINJA_ERROR_INIT;
        if (geteuid() == 0 && setuid(OTHER_USER) != 0) {
            _exit(2);
        }
        snprintf(words, sizeof(words), "user %u has no permission to connect to it",
                 (unsigned)geteuid());
        bool ok = answers(path, &err);
        _exit(ok || err.class != ERR_CONNECT || strstr(err.message, words) == NULL ||
              strstr(err.message, path) == NULL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nobody_is_there, teardown),
        cmocka_unit_test_teardown(something_else_is_there, teardown),
        cmocka_unit_test(a_path_may_be_too_long),
        cmocka_unit_test_teardown(it_may_not_be_allowed, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
