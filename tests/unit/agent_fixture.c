#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "common/agent_proto.h"
#include "common/clock.h"

static void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* The directory. */

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    strcpy(f->dir, "/tmp/ninja-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->host_path, sizeof(f->host_path), "%s/run/host.sock", f->dir);
    snprintf(f->rank_path, sizeof(f->rank_path), "%s/run/agent.sock", f->dir);
    snprintf(f->scripts, sizeof(f->scripts), "%s/scripts.d", f->dir);
    snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
    snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
    assert_int_equal(mkdir(f->scripts, 0755), 0);
    assert_int_equal(mkdir(f->sys, 0755), 0);
    assert_int_equal(mkdir(f->proc, 0755), 0);
    assert_int_equal(chmod(f->dir, 0755), 0);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->agent > 0) {
        fixture_stop(f, SIGTERM);
    }
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void make_directories_of(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0) {
            assert_int_equal(errno, EEXIST);
        }
        *slash = '/';
    }
}

void make_file(const struct fixture *f, const char *name, mode_t mode, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    make_directories_of(path);
    /* A new file, and written before it gets its name: its reader may look at any time. */
    char made[280];
    snprintf(made, sizeof(made), "%s.new~", path);
    FILE *file = fopen(made, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(made, mode), 0);
    assert_int_equal(rename(made, path), 0);
}

void make_link(const struct fixture *f, const char *name, const char *target)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    make_directories_of(path);
    assert_int_equal(symlink(target, path), 0);
}

/* The program. */

pid_t spawn_agent(const char *const *args, int stdout_fd, int stderr_fd)
{
    char *argv[32] = {(char *)NINJA_AGENT};
    for (int i = 0; args[i] != NULL; i++) {
        assert_true(i < 30);
        argv[i + 1] = (char *)args[i];
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that failed leaves none behind */
        if ((stdout_fd < 0 || dup2(stdout_fd, STDOUT_FILENO) >= 0) &&
            (stderr_fd < 0 || dup2(stderr_fd, STDERR_FILENO) >= 0)) {
            execv(NINJA_AGENT, argv);
        }
        _exit(127);
    }
    return pid;
}

int wait_exit(pid_t pid)
{
    int status;
    int64_t end = now_ms() + PATIENCE_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() > end) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fail_msg("process %d did not end", (int)pid);
        }
        sleep_ms(5);
    }
    if (!WIFEXITED(status)) {
        fail_msg("process %d was ended by signal %d", (int)pid, WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

static bool can_connect(const char *path, int type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, type, 0);
    bool ok = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    close(fd);
    return ok;
}

void fixture_start(struct fixture *f)
{
    const char *args[] = {"--listen",
                          f->host_path,
                          "--socket",
                          f->rank_path,
                          "--scripts",
                          f->scripts,
                          "--sysfs",
                          f->sys,
                          "--procfs",
                          f->proc,
                          "--script-timeout",
                          "1",
                          getenv("NINJA_TEST_VERBOSE") != NULL ? "-v" : NULL,
                          NULL};
    int quiet = getenv("NINJA_TEST_VERBOSE") == NULL ? open("/dev/null", O_WRONLY) : -1;
    /* Warnings are part of many tests; what a sanitizer finds shows in the exit status. */
    f->agent = spawn_agent(args, -1, quiet);
    if (quiet >= 0) {
        close(quiet);
    }
    int64_t end = now_ms() + PATIENCE_MS;
    while (!can_connect(f->host_path, SOCK_STREAM)) {
        assert_true(now_ms() < end);
        assert_int_equal(waitpid(f->agent, NULL, WNOHANG), 0);
        sleep_ms(5);
    }
}

void fixture_stop(struct fixture *f, int signal_number)
{
    struct stat st;
    pid_t pid = f->agent;
    f->agent = 0;
    assert_int_equal(kill(pid, signal_number), 0);
    assert_int_equal(wait_exit(pid), 0);
    assert_int_not_equal(stat(f->host_path, &st), 0);
}

/* The host. */

void host_open(struct host *host, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, path);
    memset(host, 0, sizeof(*host));
    host->events = json_array();
    host->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(host->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

void host_close(struct host *host)
{
    close(host->fd);
    free(host->buf);
    json_decref(host->events);
}

void host_send(struct host *host, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(host->fd, bytes, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

/* Returns false when nothing came in time. */
static bool fill(struct host *host, int64_t end)
{
    struct pollfd pfd = {.fd = host->fd, .events = POLLIN};
    int64_t left = end - now_ms();
    if (poll(&pfd, 1, left > 0 ? (int)left : 0) == 0) {
        return false;
    }
    if (host->room - host->len < 65536) {
        host->room = 2 * host->room + 65536;
        host->buf = realloc(host->buf, host->room);
        assert_non_null(host->buf);
    }
    ssize_t n = read(host->fd, host->buf + host->len, host->room - host->len);
    assert_true(n > 0);
    host->len += (size_t)n;
    return true;
}

json_t *host_line(struct host *host, int timeout_ms, bool *delimited)
{
    int64_t end = now_ms() + timeout_ms;
    char *newline;
    while ((newline = host->len > 0 ? memchr(host->buf, '\n', host->len) : NULL) == NULL) {
        if (!fill(host, end)) {
            return NULL;
        }
    }
    size_t len = (size_t)(newline - host->buf), skip = 0;
    if ((unsigned char)host->buf[0] == 0xFF) {
        skip = 1;
    }
    if (delimited != NULL) {
        *delimited = skip == 1;
    }
    json_error_t error;
    json_t *json = json_loadb(host->buf + skip, len - skip, 0, &error);
    if (json == NULL) {
        fail_msg("the agent sent no JSON: %.200s", host->buf + skip);
    }
    memmove(host->buf, newline + 1, host->len - len - 1);
    host->len -= len + 1;
    return json;
}

static json_t *ask(struct host *host, const char *fmt, va_list ap)
{
    char *line;
    int len = vasprintf(&line, fmt, ap);
    assert_true(len > 0);
    host_send(host, line, (size_t)len);
    host_send(host, "\n", 1);
    for (;;) {
        json_t *answer = host_line(host, PATIENCE_MS, NULL);
        if (answer == NULL) {
            fail_msg("no answer to %s", line);
        }
        if (json_object_get(answer, "event") == NULL) {
            free(line);
            return answer;
        }
        json_array_append_new(host->events, answer);
    }
}

json_t *host_ask(struct host *host, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *answer = ask(host, fmt, ap);
    va_end(ap);
    return answer;
}

void host_do(struct host *host, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *answer = ask(host, fmt, ap);
    va_end(ap);
    json_t *value = json_object_get(answer, "return");
    if (!json_is_object(value) || json_object_size(value) != 0) {
        fail_msg("%s is answered by %s", fmt, json_dumps(answer, 0));
    }
    json_decref(answer);
}

void host_refused(struct host *host, const char *class, const char *words, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *answer = ask(host, fmt, ap);
    va_end(ap);
    json_t *error = json_object_get(answer, "error");
    if (error == NULL || strcmp(text_of(error, "class"), class) != 0 ||
        strstr(text_of(error, "desc"), words) == NULL) {
        fail_msg("%s is answered by %s", fmt, json_dumps(answer, 0));
    }
    json_decref(answer);
}

void host_hello(struct host *host, const char *path)
{
    host_open(host, path);
    json_t *answer = host_ask(
        host, "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT
              ",\"version\":\"0.1.0\"}}");
    assert_int_equal(int_of(json_object_get(answer, "return"), "protocol"), NINJA_AGENT_PROTOCOL);
    json_decref(answer);
}

/* The first event of that name; other events stay, as the agent orders only what belongs together:
 * a rank's BYE may be read before another rank's answer to a step. */
static json_t *find_event(struct host *host, const char *name, int timeout_ms)
{
    int64_t end = now_ms() + timeout_ms;
    for (size_t i = 0;; i++) {
        json_t *event = json_array_get(host->events, i);
        if (event == NULL) {
            event = host_line(host, (int)(end - now_ms()), NULL);
            if (event == NULL) {
                return NULL;
            }
            json_array_append_new(host->events, event);
        }
        if (strcmp(text_of(event, "event"), name) == 0) {
            json_t *data = json_incref(json_object_get(event, "data"));
            json_array_remove(host->events, i);
            return data;
        }
    }
}

json_t *host_event(struct host *host, const char *name)
{
    json_t *data = find_event(host, name, PATIENCE_MS);
    if (data == NULL) {
        fail_msg("no event %s", name);
    }
    return data;
}

void host_no_event(struct host *host, const char *name, int ms)
{
    json_t *data = find_event(host, name, ms);
    if (data != NULL) {
        fail_msg("unexpected event %s %s", name, json_dumps(data, 0));
    }
}

/* The ranks. */

int rank_open(const struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, f->rank_path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

void rank_send(int fd, struct ninja_rank_msg msg)
{
    assert_int_equal(ninja_rank_send(fd, &msg), 0);
}

static void say_hello(int fd, const char *job, uint32_t rank, uint32_t size,
                      enum ninja_rank_state rank_state, uint32_t epoch)
{
    char text[600];
    struct ninja_rank_pair pair = {rank, size};
    snprintf(text, sizeof(text), "%s\n0.1.0", job);
    rank_send(fd, (struct ninja_rank_msg){.type = NINJA_RANK_HELLO,
                                          .arg = (uint32_t)getpid(),
                                          .status = rank_state,
                                          .epoch = epoch,
                                          .n_a = 1,
                                          .a = &pair,
                                          .text = text});
}

void rank_say_hello(int fd, const char *job, uint32_t rank, uint32_t size)
{
    say_hello(fd, job, rank, size, NINJA_RANK_RUNNING, 0);
}

int rank_rejoin(const struct fixture *f, const char *job, uint32_t rank, uint32_t size,
                enum ninja_rank_state rank_state, uint32_t epoch)
{
    int fd = rank_open(f);
    say_hello(fd, job, rank, size, rank_state, epoch);
    rank_expect(fd, NINJA_RANK_WELCOME);
    return fd;
}

int rank_join(const struct fixture *f, const char *job, uint32_t rank, uint32_t size)
{
    return rank_rejoin(f, job, rank, size, NINJA_RANK_RUNNING, 0);
}

struct ninja_rank_msg rank_take(int fd, uint16_t type)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    struct ninja_rank_msg msg;
    if (poll(&pfd, 1, PATIENCE_MS) != 1) {
        fail_msg("no %s came", ninja_rank_type_name(type));
    }
    assert_int_equal(ninja_rank_recv(fd, 0, &msg, NULL), 1);
    if (msg.type != type) {
        fail_msg("%s '%s' came in place of %s", ninja_rank_type_name(msg.type), msg.text,
                 ninja_rank_type_name(type));
    }
    return msg;
}

void rank_expect(int fd, uint16_t type)
{
    struct ninja_rank_msg msg = rank_take(fd, type);
    ninja_rank_msg_clear(&msg);
}

void rank_expect_nothing(int fd, int ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, ms), 0);
}

void rank_expect_end(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    struct ninja_rank_msg msg;
    assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
    int rc = ninja_rank_recv(fd, MSG_DONTWAIT, &msg, NULL);
    assert_true(rc == 0 || (rc < 0 && errno == ECONNRESET));
}

void rank_report(int fd, uint16_t step, uint32_t epoch, uint16_t round, uint32_t status,
                 const char *text)
{
    rank_send(fd, (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                          .arg = step,
                                          .epoch = epoch,
                                          .round = round,
                                          .status = status,
                                          .micros = 77,
                                          .text = (char *)text});
}

/* JSON. */

const char *text_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        fail_msg("no string '%s' in %s", key, json_dumps(object, 0));
    }
    return json_string_value(value);
}

json_int_t int_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) {
        fail_msg("no number '%s' in %s", key, json_dumps(object, 0));
    }
    return json_integer_value(value);
}

json_t *entry_of(json_t *array, const char *key, json_int_t value)
{
    size_t i;
    json_t *entry;
    json_array_foreach(array, i, entry)
    {
        if (json_integer_value(json_object_get(entry, key)) == value) {
            return entry;
        }
    }
    fail_msg("nothing with '%s' %lld in %s", key, (long long)value, json_dumps(array, 0));
    return NULL;
}
