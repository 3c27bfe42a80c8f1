/*
 * The command's output goes to a memory file rather than a pipe: a QEMU that it leaves running may
 * keep it open.
 */
#include "host/vmm/host_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process.h"
#include "host/base/memory.h"
#include "host/vmm/vm_sockets.h"

struct host_command {
    char *text;
    struct process *process;
    int output;
    host_command_done done;
    void *arg;
};

static const char *value_of(const struct cluster *cluster, int vm, int site, int from,
                            const char *name)
{
    const struct vm_sockets *sockets = vm_sockets_at(cluster, vm, site);
    const struct {
        const char *name, *value;
    } values[] = {
        {"vm", cluster->vms[vm]},
        {"site", cluster_site_name(&cluster->sites[site])},
        {"host", cluster->sites[site].name},
        {"from", from >= 0 ? cluster->sites[from].name : ""},
        {"qmp", sockets->qmp},
        {"agent", sockets->agent},
        {"receive", sockets->receive},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strcmp(values[i].name, name) == 0) {
            return values[i].value ? values[i].value : "";
        }
    }
    return NULL;
}

/* The command with its values in place, malloc'ed. */
static char *text_of(const struct cluster *cluster, const char *text, int vm, int site, int from)
{
    char *result = NULL;
    size_t size = 0;
    FILE *out = xopen_stream(&result, &size);
    while (*text != '\0') {
        char name[16];
        const char *close = *text == '{' ? strchr(text, '}') : NULL;
        size_t len = close ? (size_t)(close - text - 1) : 0;
        const char *value = NULL;
        if (len > 0 && len < sizeof(name)) {
            memcpy(name, text + 1, len);
            name[len] = '\0';
            value = value_of(cluster, vm, site, from, name);
        }
        if (value != NULL) {
            fputs(value, out);
            text = close + 1;
        } else {
            fputc(*text++, out);
        }
    }
    fclose(out);
    return result;
}

static char **environment(const struct cluster *cluster, int vm, int site, int from)
{
    static const char *const names[][2] = {
        {"vm", "NINJA_VM"},           {"site", "NINJA_SITE"}, {"host", "NINJA_HOST"},
        {"from", "NINJA_FROM"},       {"qmp", "NINJA_QMP"},   {"agent", "NINJA_AGENT"},
        {"receive", "NINJA_RECEIVE"},
    };
    const char *values[sizeof(names) / sizeof(names[0])][2];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        values[i][0] = names[i][1];
        values[i][1] = value_of(cluster, vm, site, from, names[i][0]);
    }
    return xchecked(process_environment(values, sizeof(names) / sizeof(names[0])));
}

/* The last line that the command wrote, for its error. */
static void last_words(int fd, char *text, size_t size)
{
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
    ssize_t n = end > 0 ? pread(fd, text, size - 1, from) : 0;
    text[n > 0 ? n : 0] = '\0';
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n') {
        text[--len] = '\0';
    }
    char *line = strrchr(text, '\n');
    if (line != NULL) {
        memmove(text, line + 1, strlen(line));
    }
}

static void on_ended(void *arg, int status, bool timed_out)
{
    struct host_command *command = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    char words[240];
    if (timed_out) {
        ninja_error_set(&err, ERR_TIMEOUT, "the command \"%.200s\" did not end in time",
                        command->text);
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        last_words(command->output, words, sizeof(words));
        ninja_error_set(&err, ERR_COMMAND, "the command \"%.120s\" ended with %s %d%s%s",
                        command->text, WIFEXITED(status) ? "status" : "signal",
                        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                        words[0] ? ": " : "", words);
    }
    command->done(command->arg, ninja_error_is_set(&err) ? &err : NULL);
}

struct host_command *host_command_start(struct event_base *base, const struct cluster *cluster,
                                        const char *text, int vm, int site, int from,
                                        int timeout_ms, host_command_done done, void *arg)
{
    struct host_command *command = xcalloc(1, sizeof(*command));
    command->text = text_of(cluster, text, vm, site, from);
    command->done = done;
    command->arg = arg;
    command->output = memfd_create("output", MFD_CLOEXEC);
    ninja_log_debug("running: %s", command->text);
    char shell[] = "/bin/sh", name[] = "-c";
    char *argv[] = {shell, name, command->text, NULL};
    char **env = environment(cluster, vm, site, from);
    struct process_options options = {
        argv, env, -1, command->output, command->output, timeout_ms,
    };
    command->process = process_start(base, &options, on_ended, command, NULL);
    process_environment_free(env);
    if (command->process == NULL || command->output < 0) {
        abort();
    }
    return command;
}

void host_command_free(struct host_command *command)
{
    if (command == NULL) {
        return;
    }
    process_free(command->process);
    close(command->output);
    free(command->text);
    free(command);
}
