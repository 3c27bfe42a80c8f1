/*
 * Theory of operation
 *
 * A script runs in its own process group with a pipe as its output. When its time is over the group
 * gets SIGTERM, a little later SIGKILL; a process that not even this ends (it hangs in a driver) is
 * left behind, as the coordinator waits for an answer. Its end is noted by SIGCHLD, not by the end
 * of its output: it may have left a daemon behind that holds the pipe.
 */
#include "guest-agent/scripts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/script_dir.h"

#define TERM_MS     1000 /* from SIGTERM to SIGKILL */
#define KILL_MS     2000 /* from SIGKILL to giving up */
#define MAX_ENV     512
#define REMARK_ROOM 640 /* at the end of the output, for the mark of a cut and one remark */

enum stage { IDLE, RUNNING, TERMINATED, KILLED, STAGES };

static const char *const stage_names[] = {
    [IDLE] = "IDLE",
    [RUNNING] = "RUNNING",
    [TERMINATED] = "TERMINATED",
    [KILLED] = "KILLED",
};
_Static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == STAGES, "a name for each stage");

struct scripts {
    const char *dir;
    uint32_t each_ms;
    struct event_base *base;
    struct event *child, *timer, *readable;

    /* of the run in progress */
    bool busy;
    char *event, *device;
    scripts_done *done;
    void *ctx;
    struct dirent **names;
    int n_names, next;
    int64_t deadline_ms;
    enum stage stage;
    pid_t pid;
    int pipe;
    char output[SCRIPTS_MAX_OUTPUT];
    size_t output_len;
    bool output_cut;
};

static void set_stage(struct scripts *scripts, enum stage stage)
{
    if (scripts->stage != stage) {
        ninja_log_debug("script process %d: %s -> %s", (int)scripts->pid,
                        stage_names[scripts->stage], stage_names[stage]);
        scripts->stage = stage;
    }
}

static void in_ms(struct event *timer, uint32_t ms)
{
    struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(timer, &tv);
}

static void add_output(struct scripts *scripts, const char *bytes, size_t len)
{
    static const char mark[] = "\n[cut]\n";
    for (size_t i = 0; i < len && !scripts->output_cut; i++) {
        scripts->output[scripts->output_len++] = bytes[i] != '\0' ? bytes[i] : '?';
        if (scripts->output_len == SCRIPTS_MAX_OUTPUT - REMARK_ROOM) {
            scripts->output_cut = true;
            memcpy(scripts->output + scripts->output_len, mark, sizeof(mark) - 1);
            scripts->output_len += sizeof(mark) - 1;
        }
    }
}

/* The agent's own line; there is at most one in a run, and room for it. */
static void add_remark(struct scripts *scripts, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add_remark(struct scripts *scripts, const char *fmt, ...)
{
    char line[REMARK_ROOM - 32];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    ninja_log_warning("scripts: %s", line);
    scripts->output_len += (size_t)sprintf(scripts->output + scripts->output_len, "%s\n", line);
}

static void finish(struct scripts *scripts, bool ok)
{
    script_dir_free(scripts->names, scripts->n_names);
    scripts->names = NULL;
    scripts->n_names = 0;
    free(scripts->event);
    free(scripts->device);
    scripts->event = scripts->device = NULL;
    evtimer_del(scripts->timer);
    set_stage(scripts, IDLE);
    scripts->output[scripts->output_len] = '\0';
    scripts->busy = false;
    scripts->done(scripts->ctx, ok, scripts->output);
}

static uint32_t ms_left(const struct scripts *scripts)
{
    int64_t ms = scripts->deadline_ms - now_ms();
    return ms > 0 ? (uint32_t)ms : 0;
}

/* Ours come first, and what the agent inherited of the same names is left out. */
static void make_environment(char *env[MAX_ENV], char *event, char *device)
{
    size_t n = 0;
    env[n++] = event;
    env[n++] = device;
    if (getenv("PATH") == NULL) {
        env[n++] = (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    }
    for (char **e = environ; *e != NULL && n < MAX_ENV - 1; e++) {
        if (strncmp(*e, "NINJA_EVENT=", 12) != 0 && strncmp(*e, "NINJA_DEVICE=", 13) != 0) {
            env[n++] = *e;
        }
    }
    env[n] = NULL;
}

static int spawn(struct scripts *scripts, const char *path, int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, every;
    char event[64], device[2048], *env[MAX_ENV];
    char *argv[] = {(char *)path, scripts->event, scripts->device, NULL};

    snprintf(event, sizeof(event), "NINJA_EVENT=%s", scripts->event);
    snprintf(device, sizeof(device), "NINJA_DEVICE=%s", scripts->device);
    make_environment(env, event, device);
    sigemptyset(&none);
    sigfillset(&every);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &every);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(pid, path, &actions, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static const char *current(const struct scripts *scripts)
{
    return scripts->names[scripts->next - 1]->d_name;
}

static void on_readable(evutil_socket_t fd, short what, void *arg);

static bool start(struct scripts *scripts)
{
    char path[PATH_MAX];
    int fds[2];
    snprintf(path, sizeof(path), "%s/%s", scripts->dir, current(scripts));
    if (pipe2(fds, O_CLOEXEC) != 0) {
        add_remark(scripts, "%s: no pipe: %s", path, strerror(errno));
        return false;
    }
    int rc = spawn(scripts, path, fds[1], &scripts->pid);
    close(fds[1]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK); /* our end only: a script may not expect it */
    scripts->readable =
        rc == 0 ? event_new(scripts->base, fds[0], EV_READ | EV_PERSIST, on_readable, scripts)
                : NULL;
    if (scripts->readable == NULL || event_add(scripts->readable, NULL) != 0) {
        add_remark(scripts, "%s: cannot be run: %s", path, strerror(rc != 0 ? rc : ENOMEM));
        close(fds[0]);
        if (rc == 0) {
            kill(-scripts->pid, SIGKILL);
        }
        return false;
    }
    scripts->pipe = fds[0];
    set_stage(scripts, RUNNING);
    ninja_log_info("script %s %s %s: process %d", path, scripts->event, scripts->device,
                   (int)scripts->pid);
    uint32_t left = ms_left(scripts);
    in_ms(scripts->timer, left < scripts->each_ms ? left : scripts->each_ms);
    return true;
}

static void run_next(struct scripts *scripts)
{
    while (scripts->next < scripts->n_names) {
        const char *name = scripts->names[scripts->next++]->d_name;
        if (!script_dir_has(scripts->dir, name)) {
            continue;
        }
        if (!start(scripts)) {
            finish(scripts, false);
        }
        return;
    }
    finish(scripts, true);
}

/* Takes what is there of the output; at its end stops waiting for more. */
static void drain(struct scripts *scripts)
{
    char bytes[4096];
    ssize_t n;
    int rounds = 0; /* a script that writes without end must not keep us here */
    do {
        n = read(scripts->pipe, bytes, sizeof(bytes));
        if (n > 0) {
            add_output(scripts, bytes, (size_t)n);
        }
    } while ((n > 0 && ++rounds < 64) || (n < 0 && errno == EINTR));
    if (n == 0) {
        event_del(scripts->readable);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    drain(arg);
}

static void close_output(struct scripts *scripts)
{
    if (scripts->readable != NULL) {
        event_free(scripts->readable);
        scripts->readable = NULL;
        close(scripts->pipe);
    }
}

static void ended(struct scripts *scripts, int status)
{
    const char *name = current(scripts);
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0 && scripts->stage == RUNNING;
    drain(scripts);
    close_output(scripts);
    evtimer_del(scripts->timer);
    scripts->pid = 0;
    if (scripts->stage != RUNNING) {
        add_remark(scripts, "%s: ended, as its time was over", name);
    } else if (WIFSIGNALED(status)) {
        add_remark(scripts, "%s: ended by signal %d (%s)", name, WTERMSIG(status),
                   strsignal(WTERMSIG(status)));
    } else if (!ok) {
        add_remark(scripts, "%s: exit status %d", name, WEXITSTATUS(status));
    }
    if (ok) {
        run_next(scripts);
    } else {
        finish(scripts, false);
    }
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
    struct scripts *scripts = arg;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (scripts->stage != IDLE && pid == scripts->pid) {
            ended(scripts, status);
        }
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct scripts *scripts = arg;
    switch (scripts->stage) {
    case IDLE:
        run_next(scripts);
        break;
    case RUNNING:
        kill(-scripts->pid, SIGTERM);
        set_stage(scripts, TERMINATED);
        in_ms(scripts->timer, TERM_MS);
        break;
    case TERMINATED:
        kill(-scripts->pid, SIGKILL);
        set_stage(scripts, KILLED);
        in_ms(scripts->timer, KILL_MS);
        break;
    default:
        drain(scripts);
        close_output(scripts);
        add_remark(scripts, "%s: its time is over and process %d cannot be killed",
                   current(scripts), (int)scripts->pid);
        finish(scripts, false);
        break;
    }
}

struct scripts *scripts_new(struct event_base *base, const char *dir, uint32_t each_ms)
{
    struct scripts *scripts = calloc(1, sizeof(*scripts));
    if (scripts == NULL) {
        return NULL;
    }
    scripts->base = base;
    scripts->dir = dir;
    scripts->each_ms = each_ms;
    scripts->child = evsignal_new(base, SIGCHLD, on_child, scripts);
    scripts->timer = evtimer_new(base, on_timer, scripts);
    if (scripts->child == NULL || scripts->timer == NULL || event_add(scripts->child, NULL) != 0) {
        scripts_free(scripts);
        return NULL;
    }
    return scripts;
}

static void ignore(void *ctx, bool ok, const char *output)
{
}

void scripts_free(struct scripts *scripts)
{
    if (scripts == NULL) {
        return;
    }
    if (scripts->busy) {
        if (scripts->stage != IDLE) {
            kill(-scripts->pid, SIGKILL);
        }
        close_output(scripts);
        scripts->done = ignore;
        finish(scripts, false);
    }
    if (scripts->child != NULL) {
        event_free(scripts->child);
    }
    if (scripts->timer != NULL) {
        event_free(scripts->timer);
    }
    free(scripts);
}

bool scripts_run(struct scripts *scripts, const char *event, const char *device, uint32_t total_ms,
                 scripts_done *done, void *ctx)
{
    if (scripts->busy) {
        return false;
    }
    scripts->event = strdup(event);
    scripts->device = strdup(device);
    if (scripts->event == NULL || scripts->device == NULL) {
        free(scripts->event);
        free(scripts->device);
        return false;
    }
    scripts->busy = true;
    scripts->done = done;
    scripts->ctx = ctx;
    scripts->output_len = 0;
    scripts->output_cut = false;
    scripts->next = 0;
    scripts->n_names = script_dir_list(scripts->dir, &scripts->names);
    if (scripts->n_names < 0) {
        scripts->n_names = 0;
        ninja_log_debug("no scripts in %s: %m", scripts->dir);
    }
    scripts->deadline_ms = now_ms() + total_ms;
    in_ms(scripts->timer, 0);
    return true;
}
