/*
 * Theory of operation
 *
 * The scripts run one after the other, each as a process of common/process.h, which ends one whose
 * time is over, or leaves it behind, as the coordinator waits for an answer. Its output is a pipe,
 * of which the beginning is kept.
 */
#include "guest-agent/scripts.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pipe_reader.h"
#include "common/process.h"
#include "common/script_dir.h"

#define REMARK_ROOM 640 /* at the end of the output, for the mark of a cut and one remark */

struct scripts {
    const char *dir;
    uint32_t each_ms;
    struct event_base *base;
    struct event *soon;

    /* of the run in progress */
    bool busy;
    char *event, *device;
    scripts_done *done;
    void *ctx;
    struct dirent **names;
    int n_names, next;
    int64_t deadline_ms;
    struct process *process; /* NULL: none runs */
    struct pipe_reader pipe;
    char output[SCRIPTS_MAX_OUTPUT];
    size_t output_len;
    bool output_cut;
};

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
    event_del(scripts->soon);
    scripts->output[scripts->output_len] = '\0';
    scripts->busy = false;
    scripts->done(scripts->ctx, ok, scripts->output);
}

static uint32_t ms_left(const struct scripts *scripts)
{
    int64_t ms = scripts->deadline_ms - now_ms();
    return ms > 0 ? (uint32_t)ms : 0;
}

/* NULL: out of memory. */
static char **make_environment(const struct scripts *scripts)
{
    const char *values[][2] = {
        {"NINJA_EVENT", scripts->event},
        {"NINJA_DEVICE", scripts->device},
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    };
    return process_environment(values, getenv("PATH") == NULL ? 3 : 2);
}

static const char *current(const struct scripts *scripts)
{
    return scripts->names[scripts->next - 1]->d_name;
}

static void take_output(void *arg, struct evbuffer *bytes, bool last)
{
    char piece[4096];
    int n;
    while ((n = evbuffer_remove(bytes, piece, sizeof(piece))) > 0) {
        add_output(arg, piece, (size_t)n);
    }
}

static void on_ended(void *arg, int status, bool timed_out);

/* NULL with err. */
static struct process *spawn(struct scripts *scripts, char *path, int output,
                             struct ninja_error *err)
{
    uint32_t left = ms_left(scripts);
    char *argv[] = {path, scripts->event, scripts->device, NULL};
    char **env = make_environment(scripts);
    struct process_options options = {
        .argv = argv,
        .env = env,
        .input = -1,
        .output = output,
        .error = output,
        .timeout_ms = (int)(left < scripts->each_ms ? left : scripts->each_ms),
    };
    struct process *process = NULL;
    if (env == NULL) {
        ninja_error_set(err, ERR_COMMAND, "%s: cannot be run: out of memory", path);
    } else {
        process = process_start(scripts->base, &options, on_ended, scripts, err);
    }
    process_environment_free(env);
    return process;
}

static bool start(struct scripts *scripts)
{
    char path[PATH_MAX];
    struct ninja_error err = NINJA_ERROR_INIT;
    snprintf(path, sizeof(path), "%s/%s", scripts->dir, current(scripts));
    int output = pipe_reader_start(&scripts->pipe, scripts->base, take_output, scripts);
    if (output < 0) {
        add_remark(scripts, "%s: no pipe: %s", path, strerror(errno));
        return false;
    }
    scripts->process = spawn(scripts, path, output, &err);
    close(output);
    if (scripts->process == NULL) {
        pipe_reader_end(&scripts->pipe);
        add_remark(scripts, "%s", err.message);
        return false;
    }
    ninja_log_info("script %s %s %s: process %d", path, scripts->event, scripts->device,
                   (int)process_pid(scripts->process));
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

static void on_ended(void *arg, int status, bool timed_out)
{
    struct scripts *scripts = arg;
    const char *name = current(scripts);
    int pid = (int)process_pid(scripts->process);
    process_free(scripts->process);
    scripts->process = NULL;
    pipe_reader_end(&scripts->pipe);
    if (timed_out && status == -1) {
        add_remark(scripts, "%s: its time is over and process %d cannot be killed", name, pid);
    } else if (timed_out) {
        add_remark(scripts, "%s: ended, as its time was over", name);
    } else if (WIFSIGNALED(status)) {
        add_remark(scripts, "%s: ended by signal %d (%s)", name, WTERMSIG(status),
                   strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != 0) {
        add_remark(scripts, "%s: exit status %d", name, WEXITSTATUS(status));
    } else {
        run_next(scripts);
        return;
    }
    finish(scripts, false);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    run_next(arg);
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
    scripts->soon = evtimer_new(base, on_soon, scripts);
    if (scripts->soon == NULL) {
        free(scripts);
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
        process_free(scripts->process);
        pipe_reader_end(&scripts->pipe);
        scripts->done = ignore;
        finish(scripts, false);
    }
    event_free(scripts->soon);
    free(scripts);
}

bool scripts_run(struct scripts *scripts, const char *event, const char *device, uint32_t total_ms,
                 scripts_done *done, void *ctx)
{
    if (scripts->busy) {
        return false;
    }
    const struct timeval now = {0, 0};
    scripts->event = strdup(event);
    scripts->device = strdup(device);
    if (scripts->event == NULL || scripts->device == NULL || event_add(scripts->soon, &now) != 0) {
        free(scripts->event);
        free(scripts->device);
        scripts->event = scripts->device = NULL;
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
    return true;
}
