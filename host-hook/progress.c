#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "host-hook/ninjactl.h"
#include "host-hook/timer.h"

#define TERMINAL_MS 300
#define PLAIN_MS    5000
#define MIB         1048576.0

struct progress {
    struct event_base *base;
    struct migration *migration;
    int n;
    bool terminal;
    struct event *timer;
};

static void describe(const struct migration_progress *vm, char *text, size_t size)
{
    const struct vmm_progress *copy = &vm->copy;
    if (strcmp(vm->stage, "copy") != 0 || copy->total == 0) {
        snprintf(text, size, "%s %s", vm->vm, vm->stage[0] ? vm->stage : "-");
        return;
    }
    double done = (double)(copy->total - copy->remaining) * 100.0 / (double)copy->total;
    snprintf(text, size, "%s copy %.0f%% (%.0f MiB sent, %.0f MiB/s)", vm->vm, done,
             (double)copy->transferred / MIB, (double)copy->bytes_per_s / MIB);
}

static void show(struct progress *progress)
{
    char line[1024] = "";
    bool copying = false;
    for (int i = 0; i < progress->n; i++) {
        struct migration_progress vm;
        char text[128];
        size_t len = strlen(line);
        migration_get_progress(progress->migration, i, &vm);
        describe(&vm, text, sizeof(text));
        copying |= strcmp(vm.stage, "copy") == 0;
        snprintf(line + len, sizeof(line) - len, "%s%s", len ? " | " : "", text);
    }
    if (progress->terminal) {
        /* Ends with a return, so the next line of the log overwrites it. */
        fprintf(stderr, "\033[K%.12s: %.100s\r", migration_state_name(progress->migration), line);
        fflush(stderr);
    } else if (copying) {
        ninja_log_info("%s", line);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct progress *progress = arg;
    show(progress);
    timer_free(&progress->timer);
    progress->timer = timer_start(progress->base, progress->terminal ? TERMINAL_MS : PLAIN_MS,
                                  on_timer, progress);
}

struct progress *progress_start(struct event_base *base, struct migration *migration, int n_vms)
{
    struct progress *progress = calloc(1, sizeof(*progress));
    progress->base = base;
    progress->migration = migration;
    progress->n = n_vms;
    progress->terminal = isatty(STDERR_FILENO);
    progress->timer =
        timer_start(base, progress->terminal ? TERMINAL_MS : PLAIN_MS, on_timer, progress);
    return progress;
}

void progress_free(struct progress *progress)
{
    if (progress == NULL) {
        return;
    }
    if (progress->terminal) {
        fprintf(stderr, "\033[K");
    }
    timer_free(&progress->timer);
    free(progress);
}
