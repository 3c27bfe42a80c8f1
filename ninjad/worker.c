/*
 * The end of the process is seen by a pidfd, not by the end of its output: a migration that it left
 * in the background may hold that open.
 */
#include "ninjad/worker.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

extern char **environ;

/* One of its two outputs. */
struct stream {
    int fd;
    struct event *readable;
    struct evbuffer *text;
};

struct worker {
    pid_t pid;
    int pidfd;
    enum worker_kind kind;
    worker_done done;
    void *arg;
    struct stream output, error;
    struct event *ended, *timer;
    bool runs, late, too_much;
};

static void kill_it(struct worker *worker)
{
    if (worker->runs) {
        kill(-worker->pid, SIGKILL);
    }
}

/* Returns whether there may be more. */
static bool read_some(struct stream *stream)
{
    errno = 0;
    int n = evbuffer_read(stream->text, stream->fd, 65536);
    return n > 0 || (n < 0 && errno == EINTR);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    if (!read_some(&worker->output) && errno != EAGAIN) {
        event_del(worker->output.readable);
    }
    if (evbuffer_get_length(worker->output.text) > WORKER_MAX_OUTPUT) {
        worker->too_much = true;
        event_del(worker->output.readable);
        kill_it(worker);
    }
}

/* Its error is one line. A program that writes more finds that nobody reads it. */
static void on_error(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    struct stream *error = &worker->error;
    if (error->fd >= 0 && !read_some(error) && errno != EAGAIN) {
        event_del(error->readable);
    }
    if (error->fd >= 0 && evbuffer_get_length(error->text) > WORKER_MAX_ERROR) {
        event_del(error->readable);
        close(error->fd);
        error->fd = -1;
    }
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    timer_free(&worker->timer);
    worker->late = true;
    if (worker->kind == WORKER_CHANGES) {
        kill(worker->pid, SIGTERM);
    } else {
        kill_it(worker);
    }
}

static char *text_of(struct stream *stream)
{
    evbuffer_add(stream->text, "", 1);
    return (char *)evbuffer_pullup(stream->text, -1);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    int status;
    if (waitpid(worker->pid, &status, WNOHANG) != worker->pid) {
        return;
    }
    worker->runs = false;
    event_del(worker->ended);
    timer_free(&worker->timer);
    on_error(-1, EV_READ, worker);
    for (int i = 0; i < 128 && !worker->too_much && read_some(&worker->output); i++) {
        worker->too_much = evbuffer_get_length(worker->output.text) > WORKER_MAX_OUTPUT;
    }
    struct worker_result result = {
        .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        .late = worker->late,
        .too_much = worker->too_much,
        .length = evbuffer_get_length(worker->output.text),
        .output = text_of(&worker->output),
        .error = text_of(&worker->error),
    };
    worker->done(worker->arg, &result);
}

/* ---- starting ---- */

#define ERROR_FD "NINJA_ERROR_FD="

/* What systemd told this process about itself is not for its children. */
static char **environment(char *error_fd)
{
    static const char *const own[] = {"NOTIFY_SOCKET=",  "WATCHDOG_",      "LISTEN_",
                                      "JOURNAL_STREAM=", "INVOCATION_ID=", ERROR_FD};
    size_t n = 0, kept = 0;
    while (environ[n] != NULL) {
        n++;
    }
    char **copy = xcalloc(n + 2, sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        bool keep = true;
        for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++) {
            keep &= strncmp(environ[i], own[k], strlen(own[k])) != 0;
        }
        if (keep) {
            copy[kept++] = environ[i];
        }
    }
    copy[kept] = error_fd;
    return copy;
}

/* Its standard error is for people, and there are none here. Returns an errno. */
static int spawn(struct worker *worker, char *const argv[], int out, int error)
{
    char error_fd[sizeof(ERROR_FD) + 12];
    snprintf(error_fd, sizeof(error_fd), ERROR_FD "%d", error);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    char **env = environment(error_fd);
    struct process_options options = {argv, env, -1, out, nowhere, 0};
    int rc = nowhere < 0 ? errno : 0;
    if (rc == 0) {
        fcntl(error, F_SETFD, 0); /* closed when it is started: nothing else is, meanwhile */
        rc = process_spawn(&options, &worker->pid);
    }
    free(env);
    if (nowhere >= 0) {
        close(nowhere);
    }
    return rc;
}

/* Returns the end that is written to, or -1. */
static int stream_open(struct stream *stream)
{
    int ends[2];
    stream->text = evbuffer_new();
    if (stream->text == NULL || pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    stream->fd = ends[0];
    fcntl(stream->fd, F_SETFL, O_NONBLOCK);
    return ends[1];
}

static void stream_close(struct stream *stream)
{
    if (stream->readable != NULL) {
        event_free(stream->readable);
    }
    if (stream->text != NULL) {
        evbuffer_free(stream->text);
    }
    if (stream->fd >= 0) {
        close(stream->fd);
    }
}

static bool spawn_with_streams(struct worker *worker, char *const argv[])
{
    int out = stream_open(&worker->output), said = stream_open(&worker->error);
    int rc = errno;
    if (out >= 0 && said >= 0) {
        rc = spawn(worker, argv, out, said);
        worker->runs = rc == 0;
    }
    if (out >= 0) {
        close(out);
    }
    if (said >= 0) {
        close(said);
    }
    errno = rc;
    return worker->runs;
}

static bool wait_for_it(struct worker *worker, struct event_base *base)
{
    worker->pidfd = (int)syscall(SYS_pidfd_open, worker->pid, 0);
    if (worker->pidfd < 0) {
        return false;
    }
    worker->ended = event_new(base, worker->pidfd, EV_READ | EV_PERSIST, on_ended, worker);
    worker->output.readable =
        event_new(base, worker->output.fd, EV_READ | EV_PERSIST, on_output, worker);
    worker->error.readable =
        event_new(base, worker->error.fd, EV_READ | EV_PERSIST, on_error, worker);
    return worker->ended != NULL && worker->output.readable != NULL &&
           worker->error.readable != NULL && event_add(worker->ended, NULL) == 0 &&
           event_add(worker->output.readable, NULL) == 0 &&
           event_add(worker->error.readable, NULL) == 0;
}

struct worker *worker_start(struct event_base *base, char *const argv[], int timeout_ms,
                            enum worker_kind kind, worker_done done, void *arg,
                            struct ninja_error *err)
{
    struct worker *worker = xcalloc(1, sizeof(*worker));
    worker->kind = kind;
    worker->done = done;
    worker->arg = arg;
    worker->pidfd = worker->output.fd = worker->error.fd = -1;
    if (!spawn_with_streams(worker, argv) || !wait_for_it(worker, base)) {
        ninja_error_set(err, ERR_FAILED, "%s cannot be started: %m", argv[0]);
        worker->kind = WORKER_LOOKS;
        worker_free(worker);
        return NULL;
    }
    worker->timer = timer_start(base, timeout_ms, on_timeout, worker);
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    if (worker->runs && worker->kind == WORKER_LOOKS) {
        kill_it(worker);
        waitpid(worker->pid, NULL, 0);
    }
    if (worker->ended != NULL) {
        event_free(worker->ended);
    }
    timer_free(&worker->timer);
    stream_close(&worker->output);
    stream_close(&worker->error);
    if (worker->pidfd >= 0) {
        close(worker->pidfd);
    }
    free(worker);
}
