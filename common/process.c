/*
 * The end of a process is seen by a pidfd in the event loop, so no handler of SIGCHLD is needed.
 * Its group is signalled before it is waited for: until then nobody else can have its number.
 *
 * A process that not even SIGKILL ends (it hangs in a driver) is left behind, as its owner has to
 * go on. It is kept here until it ends after all, so that it does not stay a zombie.
 */
#include "common/process.h"

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

#include "common/log.h"

#define TERM_MS 1000 /* from SIGTERM to SIGKILL */
#define KILL_MS 2000 /* from SIGKILL to giving up */
#define MAX_ENV 4096

enum stage { RUNNING, TERMINATED, KILLED, LEFT_BEHIND, ENDED, STAGES };

static const char *const stage_names[] = {
    [RUNNING] = "RUNNING",         [TERMINATED] = "TERMINATED", [KILLED] = "KILLED",
    [LEFT_BEHIND] = "LEFT_BEHIND", [ENDED] = "ENDED",
};
_Static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == STAGES, "a name for each stage");

struct process {
    enum stage stage;
    pid_t pid;
    int pidfd;
    struct event *ended, *timer;
    process_done done; /* NULL: its owner has left it behind */
    void *arg;
};

static void set_stage(struct process *process, enum stage stage)
{
    ninja_log_debug("process %d: %s -> %s", (int)process->pid, stage_names[process->stage],
                    stage_names[stage]);
    process->stage = stage;
}

/* Cannot fail where a timer was set before: libevent keeps the room. */
static int in_ms(struct process *process, int ms)
{
    struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000 * 1000)};
    return evtimer_add(process->timer, &tv);
}

static void release(struct process *process)
{
    if (process->ended != NULL) {
        event_free(process->ended);
    }
    if (process->timer != NULL) {
        event_free(process->timer);
    }
    if (process->pidfd >= 0) {
        close(process->pidfd);
    }
    free(process);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct process *process = arg;
    int status = 0;
    bool timed_out = process->stage != RUNNING, told = process->stage == LEFT_BEHIND;
    if (timed_out) {
        kill(-process->pid, SIGKILL); /* what is left of the group */
    }
    if (waitpid(process->pid, &status, WNOHANG) != process->pid) {
        return;
    }
    set_stage(process, ENDED);
    event_del(process->ended);
    evtimer_del(process->timer);
    if (process->done == NULL) {
        release(process);
    } else if (!told) {
        process->done(process->arg, status, timed_out);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct process *process = arg;
    if (process->stage == RUNNING) {
        set_stage(process, TERMINATED);
        kill(-process->pid, SIGTERM);
        in_ms(process, TERM_MS);
    } else if (process->stage == TERMINATED) {
        set_stage(process, KILLED);
        kill(-process->pid, SIGKILL);
        in_ms(process, KILL_MS);
    } else {
        set_stage(process, LEFT_BEHIND);
        process->done(process->arg, -1, true);
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

/* Sees to the end of the process from now on. Returns an errno, or 0. */
static int watch(struct process *process, struct event_base *base, int timeout_ms)
{
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (process->pidfd < 0) {
        return errno;
    }
    event_assign(process->ended, base, process->pidfd, EV_READ | EV_PERSIST, on_ended, process);
    return event_add(process->ended, NULL) == 0 && in_ms(process, timeout_ms) == 0 ? 0 : ENOMEM;
}

/* Returns an errno, or 0. */
static int spawn_and_watch(struct process *process, struct event_base *base,
                           const struct process_options *options)
{
    process->ended = event_new(base, -1, EV_READ | EV_PERSIST, on_ended, process);
    process->timer = evtimer_new(base, on_timer, process);
    if (process->ended == NULL || process->timer == NULL) {
        return ENOMEM;
    }
    int rc = process_spawn(options, &process->pid);
    if (rc != 0) {
        return rc;
    }
    rc = watch(process, base, options->timeout_ms);
    if (rc != 0) {
        kill(-process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0); /* it has hardly begun */
    }
    return rc;
}

struct process *process_start(struct event_base *base, const struct process_options *options,
                              process_done done, void *arg, struct ninja_error *err)
{
    struct process *process = calloc(1, sizeof(*process));
    int rc = ENOMEM;
    if (process != NULL) {
        *process = (struct process){.pidfd = -1, .done = done, .arg = arg};
        rc = spawn_and_watch(process, base, options);
        if (rc == 0) {
            return process;
        }
        release(process);
    }
    ninja_error_set(err, ERR_COMMAND, "%s: cannot be run: %s", options->argv[0], strerror(rc));
    return NULL;
}

pid_t process_pid(const struct process *process)
{
    return process->pid;
}

void process_stop(struct process *process)
{
    if (process->stage == RUNNING) {
        in_ms(process, 0);
    }
}

void process_free(struct process *process)
{
    if (process == NULL) {
        return;
    }
    if (process->stage == LEFT_BEHIND) {
        process->done = NULL;
        return;
    }
    if (process->stage != ENDED) {
        struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
        kill(-process->pid, SIGKILL);
        poll(&ended, 1, KILL_MS);
        waitpid(process->pid, NULL, WNOHANG);
    }
    release(process);
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

const char *process_program(const char *variable, const char *installed)
{
    const char *named = getenv(variable);
    return named != NULL && named[0] != '\0' ? named : installed;
}

char **process_environment(const char *const (*values)[2], size_t n)
{
    char **env = calloc(MAX_ENV + n + 1, sizeof(*env));
    size_t used = 0;
    bool ok = env != NULL;
    for (size_t i = 0; ok && i < n; i++, used++) {
        ok = asprintf(&env[used], "%s=%s", values[i][0], values[i][1]) >= 0;
    }
    for (char **e = environ; ok && *e != NULL && used < MAX_ENV + n; e++) {
        if (!is_given(values, n, *e)) {
            env[used] = strdup(*e);
            ok = env[used++] != NULL;
        }
    }
    if (!ok && env != NULL) {
        env[used - 1] = NULL; /* asprintf() leaves anything there */
        process_environment_free(env);
        env = NULL;
    }
    return env;
}

void process_environment_free(char **env)
{
    for (char **e = env; e != NULL && *e != NULL; e++) {
        free(*e);
    }
    free(env);
}
