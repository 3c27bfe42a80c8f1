/*
 * Theory of operation
 *
 * A stage runs the executables of the directory one after the other, each in a session of its own.
 * What they read is a memory file, so that nobody has to write to one that does not read. What they
 * write goes to the log; the last line of standard error tells why one failed.
 *
 * They are run as root, so nobody else may be able to change a script or the directory. A script
 * that somebody else can change is not run, and counts as one that failed, as the administrator
 * relies on it.
 */
#include "host/migration/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/pipe_reader.h"
#include "common/printable.h"
#include "common/process.h"
#include "common/script_dir.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define MAX_LINE  480 /* longer ones are cut */
#define MAX_LINES 200 /* of a stream are logged */

/* One of the two outputs of a script. */
struct stream {
    struct pipe_reader reader;
    const char *label; /* before each line; borrowed */
    char last[MAX_LINE + 1];
    int lines;
    bool in_rest; /* of a line that was cut */
};

struct hooks_run {
    struct event_base *base;
    const struct hooks *hooks;
    const struct hooks_handler *handler;
    void *arg;

    char stage[HOOKS_MAX_STAGE];
    bool may_veto, stopped;
    char **env;
    int input; /* a memory file */
    struct dirent **names;
    int n, next;
    struct ninja_error unusable; /* the directory is */
    struct event *soon;

    /* of the script that runs */
    char label[HOOKS_MAX_STAGE + 300];
    struct stream output, error;
    struct process *process;
};

/* ---- what is there ---- */

static bool is_safe(const char *path, char *why, size_t size)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        snprintf(why, size, "%s", strerror(errno));
    } else if (st.st_uid != 0 && st.st_uid != geteuid()) {
        snprintf(why, size, "it belongs to user %u, not to root; chown root it",
                 (unsigned)st.st_uid);
    } else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        snprintf(why, size, "others may write to it (mode %03o); chmod go-w it",
                 (unsigned)st.st_mode & 0777);
    } else {
        return true;
    }
    return false;
}

/* -1 with err: it is there, and cannot be used. */
static int list_dir(const char *dir, struct dirent ***names, struct ninja_error *err)
{
    char why[200];
    int n = script_dir_list(dir, names), kept = 0;
    if (n < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 0;
    }
    if (n < 0) {
        ninja_error_set(err, ERR_HOOK, "the hooks in %.200s cannot be read: %m", dir);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        if (script_dir_has(dir, (*names)[i]->d_name)) {
            (*names)[kept++] = (*names)[i];
        } else {
            free((*names)[i]);
        }
    }
    if (kept > 0 && !is_safe(dir, why, sizeof(why))) {
        ninja_error_set(err, ERR_HOOK, "the hooks in %.200s are not run: %s", dir, why);
        script_dir_free(*names, kept);
        *names = NULL;
        return -1;
    }
    return kept;
}

bool hooks_list(const struct hooks *hooks, json_t **list, struct ninja_error *err)
{
    struct dirent **names = NULL;
    *list = json_array();
    int n = hooks->dir != NULL ? list_dir(hooks->dir, &names, err) : 0;
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX], why[200] = "";
        snprintf(path, sizeof(path), "%s/%s", hooks->dir, names[i]->d_name);
        is_safe(path, why, sizeof(why));
        json_array_append_new(
            *list, json_pack("{s:o, s:s}", "name", json_text(names[i]->d_name), "problem", why));
    }
    if (n >= 0) {
        script_dir_free(names, n);
    }
    return n >= 0;
}

/* ---- what a script writes ---- */

static void take_line(struct stream *stream, const char *line, size_t len)
{
    char text[MAX_LINE + 1];
    len = len < MAX_LINE ? len : MAX_LINE;
    for (size_t i = 0; i < len; i++) {
        text[i] = line[i] != '\0' ? line[i] : '?';
    }
    text[len] = '\0';
    ninja_printable(text);
    if (text[strspn(text, " ")] == '\0') {
        return;
    }
    strcpy(stream->last, text);
    if (stream->lines < MAX_LINES) {
        ninja_log_info("%s: %s", stream->label, text);
    } else if (stream->lines == MAX_LINES) {
        ninja_log_warning("%s: further lines are left out", stream->label);
    }
    stream->lines++;
}

/* A line that has not ended is taken when it is long enough, or nothing follows. */
static void take_lines(void *arg, struct evbuffer *bytes, bool ended)
{
    struct stream *stream = arg;
    char *line, begun[MAX_LINE];
    size_t len;
    while ((line = evbuffer_readln(bytes, &len, EVBUFFER_EOL_LF)) != NULL) {
        if (!stream->in_rest) {
            take_line(stream, line, len);
        }
        stream->in_rest = false;
        free(line);
    }
    len = evbuffer_get_length(bytes);
    if (len < MAX_LINE && !ended) {
        return;
    }
    if (!stream->in_rest) {
        take_line(stream, begun, (size_t)evbuffer_copyout(bytes, begun, MAX_LINE));
        stream->in_rest = true;
    }
    evbuffer_drain(bytes, len);
}

/* ---- one script ---- */

static void run_next(evutil_socket_t fd, short what, void *arg);

static void run_soon(struct hooks_run *run)
{
    timer_free(&run->soon);
    run->soon = timer_start(run->base, 0, run_next, run);
}

static void failed(struct hooks_run *run, const struct ninja_error *err)
{
    if (run->stopped) {
        return;
    }
    if (run->may_veto) {
        run->next = run->n;
    }
    run->handler->failed(run->arg, err);
}

static void on_ended(void *arg, int status, bool timed_out)
{
    struct hooks_run *run = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    pipe_reader_end(&run->output.reader);
    pipe_reader_end(&run->error.reader);
    const char *last = run->error.last;
    const char *colon = last[0] != '\0' ? ": " : "";
    process_free(run->process);
    run->process = NULL;
    if (timed_out) {
        ninja_error_set(&err, ERR_HOOK, "%s did not end within %.1f s%s%s", run->label,
                        run->hooks->timeout_ms / 1000.0, colon, last);
    } else if (WIFSIGNALED(status)) {
        ninja_error_set(&err, ERR_HOOK, "%s was ended by signal %d (%s)%s%s", run->label,
                        WTERMSIG(status), strsignal(WTERMSIG(status)), colon, last);
    } else if (WEXITSTATUS(status) != 0) {
        ninja_error_set(&err, ERR_HOOK, "%s ended with status %d%s%s", run->label,
                        WEXITSTATUS(status), colon, last);
    }
    if (ninja_error_is_set(&err)) {
        failed(run, &err);
    }
    run_soon(run);
}

static int open_stream(struct hooks_run *run, struct stream *stream)
{
    *stream = (struct stream){.label = run->label};
    return pipe_reader_start(&stream->reader, run->base, take_lines, stream);
}

/* False: one of them is missing, with errno. */
static bool open_outputs(struct hooks_run *run, struct process_options *options)
{
    options->output = open_stream(run, &run->output);
    options->error = options->output < 0 ? -1 : open_stream(run, &run->error);
    return options->error >= 0;
}

static bool start(struct hooks_run *run, const char *name, struct ninja_error *err)
{
    char path[PATH_MAX], why[200];
    char *argv[] = {path, run->stage, NULL};
    struct process_options options = {argv, run->env, run->input, -1, -1, run->hooks->timeout_ms};
    snprintf(path, sizeof(path), "%s/%s", run->hooks->dir, name);
    snprintf(run->label, sizeof(run->label), "hook %.255s (%s)", name, run->stage);
    if (!is_safe(path, why, sizeof(why))) {
        return ninja_error_set(err, ERR_HOOK, "%s is not run: %s", run->label, why);
    }
    if (open_outputs(run, &options) && lseek(run->input, 0, SEEK_SET) == 0) {
        ninja_log_debug("running %s", run->label);
        run->process = process_start(run->base, &options, on_ended, run, err);
        ninja_error_where(err, "%s", run->label);
    } else {
        ninja_error_set(err, ERR_HOOK, "%s is not run: %m", run->label);
    }
    if (options.output >= 0) {
        close(options.output);
    }
    if (options.error >= 0) {
        close(options.error);
    }
    if (run->process == NULL) {
        pipe_reader_end(&run->output.reader);
        pipe_reader_end(&run->error.reader);
    }
    return run->process != NULL;
}

static void run_next(evutil_socket_t fd, short what, void *arg)
{
    struct hooks_run *run = arg;
    timer_free(&run->soon);
    if (ninja_error_is_set(&run->unusable)) {
        failed(run, &run->unusable);
    }
    while (run->next < run->n && !run->stopped) {
        struct ninja_error err = NINJA_ERROR_INIT;
        if (start(run, run->names[run->next++]->d_name, &err)) {
            return;
        }
        failed(run, &err);
    }
    run->handler->done(run->arg);
}

/* ---- one stage ---- */

/* A memory file with what the scripts read, and none can change for the next; -1 with errno. */
static int make_input(const struct hooks_stage *stage)
{
    json_t *json = json_pack("{s:i, s:s, s:b}", "version", HOOKS_JSON_VERSION, "stage", stage->name,
                             "may_veto", stage->may_veto);
    json_object_update_missing(json, stage->input);
    int fd = memfd_create("hook", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (json_dumpfd(json, fd, JSON_COMPACT) < 0 || write(fd, "\n", 1) != 1 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0)) {
        close(fd);
        fd = -1;
    }
    json_decref(json);
    return fd;
}

static char **make_environment(const struct hooks_stage *stage)
{
    const char *(*values)[2] = xcalloc(stage->n_env + 2, sizeof(*values));
    for (size_t i = 0; i < stage->n_env; i++) {
        values[i][0] = stage->env[i][0];
        values[i][1] = stage->env[i][1];
    }
    values[stage->n_env][0] = "NINJA_STAGE";
    values[stage->n_env][1] = stage->name;
    values[stage->n_env + 1][0] = "NINJA_MAY_VETO";
    values[stage->n_env + 1][1] = stage->may_veto ? "yes" : "no";
    char **env = process_environment((const char *const(*)[2])values, stage->n_env + 2);
    free(values);
    return xchecked(env);
}

struct hooks_run *hooks_start(struct event_base *base, const struct hooks *hooks,
                              const struct hooks_stage *stage, const struct hooks_handler *handler,
                              void *arg)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct dirent **names = NULL;
    int n = hooks != NULL && hooks->dir != NULL ? list_dir(hooks->dir, &names, &err) : 0;
    if (n == 0) {
        free(names);
        return NULL;
    }
    struct hooks_run *run = xcalloc(1, sizeof(*run));
    run->base = base;
    run->hooks = hooks;
    run->handler = handler;
    run->arg = arg;
    run->may_veto = stage->may_veto;
    run->names = names;
    run->n = n > 0 ? n : 0;
    run->unusable = err;
    snprintf(run->stage, sizeof(run->stage), "%s", stage->name);
    run->env = make_environment(stage);
    run->input = make_input(stage);
    if (run->input < 0) {
        ninja_error_set(&run->unusable, ERR_HOOK, "the hooks of %s are not run: %m", stage->name);
        run->next = run->n;
    }
    run_soon(run);
    return run;
}

void hooks_stop(struct hooks_run *run)
{
    run->stopped = true;
    if (run->process != NULL) {
        process_stop(run->process);
    }
}

void hooks_free(struct hooks_run *run)
{
    if (run == NULL) {
        return;
    }
    process_free(run->process);
    pipe_reader_end(&run->output.reader);
    pipe_reader_end(&run->error.reader);
    timer_free(&run->soon);
    script_dir_free(run->names, run->n);
    process_environment_free(run->env);
    if (run->input >= 0) {
        close(run->input);
    }
    free(run);
}
