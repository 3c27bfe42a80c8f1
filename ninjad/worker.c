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

#include "common/pipe_reader.h"
#include "common/process.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

extern char **environ;

struct worker {
    pid_t pid;
    int pidfd;
    enum worker_kind kind;
    worker_done done;
    void *arg;
    struct pipe_reader output_pipe, error_pipe;
    struct evbuffer *output, *error; /* what came */
    struct event *ended, *timer;
    bool runs, late, too_much;
};

static void kill_it(struct worker *worker)
{
    if (worker->runs) {
        kill(-worker->pid, SIGKILL);
    }
}

static bool is_too_much(struct evbuffer *text, size_t max)
{
    bool is = evbuffer_get_length(text) > max;
    if (is) {
        evbuffer_drain(text, evbuffer_get_length(text));
    }
    return is;
}

static void take_output(void *arg, struct evbuffer *bytes, bool ended)
{
    struct worker *worker = arg;
    evbuffer_add_buffer(worker->output, bytes);
    if (is_too_much(worker->output, WORKER_MAX_OUTPUT)) {
        worker->too_much = true;
        kill_it(worker);
    }
}

/* Its error is one line. One that is longer is none, and is forgotten. */
static void take_error(void *arg, struct evbuffer *bytes, bool ended)
{
    struct worker *worker = arg;
    evbuffer_add_buffer(worker->error, bytes);
    is_too_much(worker->error, WORKER_MAX_ERROR);
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

static char *text_of(struct evbuffer *text)
{
    evbuffer_add(text, "", 1);
    return (char *)evbuffer_pullup(text, -1);
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
    pipe_reader_end(&worker->error_pipe);
    pipe_reader_end(&worker->output_pipe);
    struct worker_result result = {
        .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        .late = worker->late,
        .too_much = worker->too_much,
        .length = evbuffer_get_length(worker->output),
        .output = text_of(worker->output),
        .error = text_of(worker->error),
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

static bool spawn_with_pipes(struct worker *worker, struct event_base *base, char *const argv[])
{
    int out = pipe_reader_start(&worker->output_pipe, base, take_output, worker);
    int said = out < 0 ? -1 : pipe_reader_start(&worker->error_pipe, base, take_error, worker);
    int rc = errno;
    if (said >= 0) {
        rc = spawn(worker, argv, out, said);
        worker->runs = rc == 0;
        close(said);
    }
    if (out >= 0) {
        close(out);
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
    worker->ended =
        xchecked(event_new(base, worker->pidfd, EV_READ | EV_PERSIST, on_ended, worker));
    return event_add(worker->ended, NULL) == 0;
}

struct worker *worker_start(struct event_base *base, char *const argv[], int timeout_ms,
                            enum worker_kind kind, worker_done done, void *arg,
                            struct ninja_error *err)
{
    struct worker *worker = xcalloc(1, sizeof(*worker));
    worker->kind = kind;
    worker->done = done;
    worker->arg = arg;
    worker->pidfd = -1;
    worker->output = xchecked(evbuffer_new());
    worker->error = xchecked(evbuffer_new());
    if (!spawn_with_pipes(worker, base, argv) || !wait_for_it(worker, base)) {
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
    worker->runs = false; /* one that changes anything goes on */
    if (worker->ended != NULL) {
        event_free(worker->ended);
    }
    timer_free(&worker->timer);
    pipe_reader_end(&worker->output_pipe);
    pipe_reader_end(&worker->error_pipe);
    evbuffer_free(worker->output);
    evbuffer_free(worker->error);
    if (worker->pidfd >= 0) {
        close(worker->pidfd);
    }
    free(worker);
}
