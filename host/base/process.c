/*
 * The end of a process is seen by a pidfd in the event loop, so no handler of SIGCHLD is needed.
 * Its group is signalled before it is waited for: until then nobody else can have its number.
 */
#include "host/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/base/timer.h"

#define TERM_MS 1000 /* from SIGTERM to SIGKILL */
#define KILL_MS 2000 /* from SIGKILL to giving up */
#define MAX_ENV 4096

enum stage {
    RUNNING,
    TERMINATED,
    KILLED,
    ENDED,
};

struct process {
    struct event_base *base;
    enum stage stage;
    bool timed_out;
    pid_t pid;
    int pidfd;
    struct event *ended, *timer;
    process_done done;
    void *arg;
};

static void end(struct process *process, int status)
{
    process->stage = ENDED;
    event_del(process->ended);
    timer_free(&process->timer);
    process->done(process->arg, status, process->timed_out);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct process *process = arg;
    int status = 0;
    if (process->stage != RUNNING) {
        kill(-process->pid, SIGKILL); /* what is left of the group */
    }
    if (waitpid(process->pid, &status, WNOHANG) == process->pid) {
        end(process, status);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct process *process = arg;
    timer_free(&process->timer);
    process->timed_out = true;
    if (process->stage == RUNNING) {
        process->stage = TERMINATED;
        kill(-process->pid, SIGTERM);
        process->timer = timer_start(process->base, TERM_MS, on_timer, process);
    } else if (process->stage == TERMINATED) {
        process->stage = KILLED;
        kill(-process->pid, SIGKILL);
        process->timer = timer_start(process->base, KILL_MS, on_timer, process);
    } else {
        end(process, -1);
    }
}

int process_spawn(const struct process_options *options, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, every;
    sigemptyset(&none);
    sigfillset(&every);
    posix_spawn_file_actions_init(&actions);
    if (options->input >= 0) {
        posix_spawn_file_actions_adddup2(&actions, options->input, STDIN_FILENO);
    } else {
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&actions, options->output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, options->error, STDERR_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &every);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(pid, options->argv[0], &actions, &attr, options->argv, options->env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

struct process *process_start(struct event_base *base, const struct process_options *options,
                              process_done done, void *arg, struct ninja_error *err)
{
    struct process *process = calloc(1, sizeof(*process));
    int rc = process_spawn(options, &process->pid);
    if (rc != 0) {
        free(process);
        ninja_error_set(err, ERR_COMMAND, "%s: cannot be run: %s", options->argv[0], strerror(rc));
        return NULL;
    }
    process->base = base;
    process->done = done;
    process->arg = arg;
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    process->ended = event_new(base, process->pidfd, EV_READ | EV_PERSIST, on_ended, process);
    if (process->pidfd < 0 || event_add(process->ended, NULL) != 0) {
        abort();
    }
    process->timer = timer_start(base, options->timeout_ms, on_timer, process);
    return process;
}

void process_stop(struct process *process)
{
    if (process->stage == RUNNING) {
        timer_free(&process->timer);
        process->timer = timer_start(process->base, 0, on_timer, process);
    }
}

void process_free(struct process *process)
{
    if (process == NULL) {
        return;
    }
    if (process->stage != ENDED) {
        struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
        kill(-process->pid, SIGKILL);
        poll(&ended, 1, KILL_MS);
        waitpid(process->pid, NULL, WNOHANG);
    }
    event_free(process->ended);
    timer_free(&process->timer);
    close(process->pidfd);
    free(process);
}

/* ---- environments ---- */

static bool is_given(const char *const (*values)[2], size_t n, const char *variable)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(values[i][0]);
        if (strncmp(variable, values[i][0], len) == 0 && variable[len] == '=') {
            return true;
        }
    }
    return false;
}

char **process_environment(const char *const (*values)[2], size_t n)
{
    char **env = calloc(MAX_ENV + n + 1, sizeof(*env));
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (asprintf(&env[used++], "%s=%s", values[i][0], values[i][1]) < 0) {
            abort();
        }
    }
    for (char **e = environ; *e != NULL && used < MAX_ENV + n; e++) {
        if (!is_given(values, n, *e)) {
            env[used++] = strdup(*e);
        }
    }
    return env;
}

void process_environment_free(char **env)
{
    for (char **e = env; *e != NULL; e++) {
        free(*e);
    }
    free(env);
}
