/*
 * On a terminal, a block of lines stays below all that is logged: it is erased before a line of the
 * log and drawn again after it. Lines never fill the last column, where terminals differ in what
 * they do. A terminal that has become narrower wraps what was drawn, so a line that was drawn
 * counts as many rows as it now needs when it is erased. Terminals wrap first and tell of it a
 * little later (tmux up to 250 ms); what is drawn in between is drawn for a width that is gone. So
 * nothing is drawn for a while after a change of the size, as more may follow.
 *
 * The file "progress" is for those who look on from outside. It is not synced, and nothing depends
 * on it.
 */
#include "host/ctl/progress.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/timer.h"
#include "host/ctl/progress_line.h"

#define TICK_MS    250
#define CHANGE_MS  40  /* changes within that time are shown together */
#define SETTLE_MS  400 /* after a change of the terminal's size */
#define PLAIN_MS   5000
#define RECORD_MS  1000 /* for 16 VMs; more of them are recorded less often */
#define MAX_BLOCK  512
#define NAME_WIDTH 16

struct progress_vm {
    struct migration_progress now;
    const char *stage; /* as last seen */
    int64_t since_ms;  /* it is in it */
};

struct progress {
    struct event_base *base;
    const struct migration *migration;
    int n, name_width;
    struct progress_vm *vms;
    int64_t began_ms, recorded_ms, told_ms, resized_ms;
    bool terminal, colours, changed;
    struct event *timer, *resized;
    int drawn[MAX_BLOCK]; /* lengths of the lines on the screen */
    int n_drawn;
    FILE *screen; /* what is about to be written there */
    FILE *record; /* NULL: it could not be opened */
};

/* ---- what there is to show ---- */

static void look(struct progress *progress)
{
    for (int i = 0; i < progress->n; i++) {
        struct progress_vm *vm = &progress->vms[i];
        migration_get_progress(progress->migration, i, &vm->now);
        if (vm->stage == NULL || strcmp(vm->stage, vm->now.stage) != 0) {
            vm->stage = vm->now.stage;
            vm->since_ms = now_ms();
        }
    }
}

static bool is_copying(const struct progress_vm *vm)
{
    return strcmp(vm->now.stage, "copy") == 0 && vm->now.copy.total > 0;
}

static bool measures(const struct vmm_progress *copy, enum vmm_measure what)
{
    return (copy->measured & what) != 0;
}

static struct progress_row row_of(const struct progress_vm *vm)
{
    const struct vmm_progress *copy = &vm->now.copy;
    bool has_rate = measures(copy, VMM_MEASURES_RATE);
    bool has_dirty_rate = measures(copy, VMM_MEASURES_DIRTY_RATE);
    return (struct progress_row){
        .name = vm->now.vm,
        .stage = vm->now.stage[0] != '\0' ? vm->now.stage : "-",
        .copying = is_copying(vm),
        .transferred = copy->transferred,
        .total = copy->total,
        .remaining = copy->remaining,
        .bytes_per_s = has_rate ? copy->bytes_per_s : PROGRESS_UNKNOWN,
        .dirty_bytes_per_s = has_dirty_rate ? copy->dirty_bytes_per_s : PROGRESS_UNKNOWN,
        .eta_s = has_rate && has_dirty_rate
                     ? progress_eta(copy->remaining, copy->bytes_per_s, copy->dirty_bytes_per_s)
                     : -1,
        .elapsed_s = vm->now.stage[0] != '\0' ? (now_ms() - vm->since_ms) / 1000 : -1,
    };
}

static const char *short_state(const struct progress *progress)
{
    const char *state = migration_state_name(progress->migration);
    return strcmp(state, "ROLLING_BACK") == 0 ? "ROLLBACK" : state;
}

/* Of two rates, each of which may be unknown. */
static int64_t sum(int64_t a, int64_t b)
{
    return a == PROGRESS_UNKNOWN || b == PROGRESS_UNKNOWN ? PROGRESS_UNKNOWN : a + b;
}

/* VMs that have been copied already count as done. */
static struct progress_row row_of_all(const struct progress *progress)
{
    struct progress_row all = {.name = "all",
                               .stage = short_state(progress),
                               .elapsed_s = (now_ms() - progress->began_ms) / 1000};
    for (int i = 0; i < progress->n; i++) {
        const struct progress_vm *vm = &progress->vms[i];
        struct progress_row row = row_of(vm);
        all.transferred += row.transferred;
        all.total += row.total;
        if (row.copying) {
            all.copying = true;
            all.remaining += row.remaining;
            all.bytes_per_s = sum(all.bytes_per_s, row.bytes_per_s);
            all.dirty_bytes_per_s = sum(all.dirty_bytes_per_s, row.dirty_bytes_per_s);
            all.eta_s = all.eta_s < 0 || row.eta_s < 0 ? -1
                        : row.eta_s > all.eta_s        ? row.eta_s
                                                       : all.eta_s;
        }
    }
    return all;
}

/* ---- the terminal ---- */

static void window_size(int *columns, int *rows)
{
    struct winsize size = {0};
    const char *env = getenv("COLUMNS");
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    *columns = size.ws_col > 0 ? size.ws_col : env != NULL ? atoi(env) : 80;
    *rows = size.ws_row > 0 ? size.ws_row : 24;
    *columns = *columns > 0 ? *columns : 80;
}

static void erase(struct progress *progress)
{
    int columns, rows, up = -1;
    if (progress->n_drawn == 0) {
        return;
    }
    window_size(&columns, &rows);
    for (int i = 0; i < progress->n_drawn; i++) {
        up += progress->drawn[i] > 0 ? (progress->drawn[i] + columns - 1) / columns : 1;
    }
    up = up < rows - 1 ? up : rows - 1;
    /* Line by line: tmux takes the erasing of all of the screen as a page to keep in its history.
     */
    fprintf(progress->screen, "\r\033[2K");
    for (; up > 0; up--) {
        fprintf(progress->screen, "\033[A\033[2K");
    }
    progress->n_drawn = 0;
}

static const char *colour_of(const char *stage)
{
    static const struct {
        const char *stage, *colour;
    } colours[] = {{"ROLLBACK", "31;1"}, {"FAILED", "31;1"}, {"DONE", "32;1"}, {"-", "0"}};
    for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++) {
        if (strcmp(stage, colours[i].stage) == 0) {
            return colours[i].colour;
        }
    }
    return "1";
}

static void draw_text(struct progress *progress, const char *line, const char *stage)
{
    int len = (int)strlen(line), at = progress->name_width + 1;
    int coloured = (int)strlen(stage);
    if (progress->n_drawn >= MAX_BLOCK) {
        return;
    }
    if (progress->n_drawn > 0) {
        fputc('\n', progress->screen);
    }
    progress->drawn[progress->n_drawn++] = len;
    if (progress->colours && at + coloured <= len) {
        fprintf(progress->screen, "%.*s\033[%sm%.*s\033[0m%s", at, line, colour_of(stage), coloured,
                line + at, line + at + coloured);
    } else {
        fputs(line, progress->screen);
    }
}

static void draw_row(struct progress *progress, int columns, const struct progress_row *row)
{
    char line[PROGRESS_MAX_LINE];
    progress_line(line, columns - 1, progress->name_width, true, row);
    draw_text(progress, line, row->stage);
}

static void draw(struct progress *progress)
{
    int columns, rows, left_out = 0;
    window_size(&columns, &rows);
    int room = rows - 2 > 1 ? rows - 2 : 1; /* a line of the log, and that for all */
    for (int i = 0; i < progress->n; i++) {
        struct progress_row row = row_of(&progress->vms[i]);
        if (progress->n <= room || progress->n_drawn < room - 1) {
            draw_row(progress, columns, &row);
        } else {
            left_out++;
        }
    }
    if (left_out > 0) {
        char line[PROGRESS_MAX_LINE];
        snprintf(line, sizeof(line), "and %d more", left_out);
        line[columns - 1 < (int)strlen(line) ? columns - 1 : (int)strlen(line)] = '\0';
        draw_text(progress, line, "");
    }
    struct progress_row all = row_of_all(progress);
    draw_row(progress, columns, &all);
}

/* In one piece, so that it does not flicker. */
static void put_on_screen(struct progress *progress, bool erasing, bool drawing)
{
    char *text = NULL;
    size_t size = 0;
    progress->screen = xopen_stream(&text, &size);
    if (erasing) {
        erase(progress);
    }
    if (drawing) {
        draw(progress);
    }
    fclose(progress->screen);
    fwrite(text, 1, size, stderr);
    fflush(stderr);
    free(text);
}

static void before_log(void *arg)
{
    put_on_screen(arg, true, false);
}

static void after_log(void *arg)
{
    put_on_screen(arg, false, true);
}

/* ---- elsewhere ---- */

static void tell(const struct progress *progress)
{
    char line[PROGRESS_MAX_LINE];
    struct progress_row all = row_of_all(progress);
    for (int i = 0; i < progress->n && progress->n <= 16 && all.copying; i++) {
        struct progress_row row = row_of(&progress->vms[i]);
        progress_line(line, 100, progress->name_width, false, &row);
        ninja_log_info("%s", line);
    }
    if (all.copying) {
        progress_line(line, 100, progress->name_width, false, &all);
        ninja_log_info("%s", line);
    }
}

static void record(struct progress *progress)
{
    char time[40];
    json_t *vms = json_array();
    wall_clock_text(time, sizeof(time));
    for (int i = 0; i < progress->n; i++) {
        const struct migration_progress *vm = &progress->vms[i].now;
        json_t *json = json_pack("{s:s, s:s}", "name", vm->vm, "stage", vm->stage);
        if (vm->copy.total > 0) {
            json_object_set_new(json, "transferred", json_integer(vm->copy.transferred));
            json_object_set_new(json, "total", json_integer(vm->copy.total));
            json_object_set_new(json, "remaining", json_integer(vm->copy.remaining));
        }
        if (vm->copy.total > 0 && measures(&vm->copy, VMM_MEASURES_RATE)) {
            json_object_set_new(json, "bytes_per_s", json_integer(vm->copy.bytes_per_s));
        }
        if (vm->copy.total > 0 && measures(&vm->copy, VMM_MEASURES_DIRTY_RATE)) {
            json_object_set_new(json, "dirty_bytes_per_s",
                                json_integer(vm->copy.dirty_bytes_per_s));
        }
        json_array_append_new(vms, json);
    }
    json_t *line = json_pack("{s:s, s:s, s:o}", "time", time, "state",
                             migration_state_name(progress->migration), "vms", vms);
    if (progress->record != NULL) {
        json_dumpf(line, progress->record, JSON_COMPACT);
        fputc('\n', progress->record);
        fflush(progress->record);
    }
    json_decref(line);
}

/* ---- when ---- */

static bool any_copies(const struct progress *progress)
{
    for (int i = 0; i < progress->n; i++) {
        if (is_copying(&progress->vms[i])) {
            return true;
        }
    }
    return false;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct progress *progress = arg;
    int64_t now = now_ms();
    look(progress);
    if (progress->changed ||
        (any_copies(progress) &&
         now - progress->recorded_ms >= RECORD_MS * (1 + (int64_t)progress->n / 16))) {
        progress->recorded_ms = now;
        record(progress);
    }
    if (progress->terminal) {
        if (now - progress->resized_ms >= SETTLE_MS) {
            put_on_screen(progress, true, true);
        }
    } else if (now - progress->told_ms >= PLAIN_MS) {
        progress->told_ms = now;
        tell(progress);
    }
    progress->changed = false;
    timer_free(&progress->timer);
    progress->timer = timer_start(progress->base, TICK_MS, on_timer, progress);
}

void progress_changed(struct progress *progress)
{
    if (progress != NULL && !progress->changed) {
        progress->changed = true;
        timer_free(&progress->timer);
        progress->timer = timer_start(progress->base, CHANGE_MS, on_timer, progress);
    }
}

static void on_resize(evutil_socket_t fd, short what, void *arg)
{
    struct progress *progress = arg;
    progress->resized_ms = now_ms();
}

static bool can_draw(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

static FILE *open_record(const char *dir)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/progress", dir);
    int fd = plain_file_open(path, O_WRONLY | O_CREAT | O_APPEND, 0644, ERR_STATE, NULL);
    return fd >= 0 ? fdopen(fd, "a") : NULL;
}

struct progress *progress_start(struct event_base *base, const struct migration *migration,
                                int n_vms, const char *dir, bool colours)
{
    struct progress *progress = xcalloc(1, sizeof(*progress));
    const char *no_colour = getenv("NO_COLOR");
    progress->base = base;
    progress->migration = migration;
    progress->n = n_vms;
    progress->vms = xcalloc((size_t)n_vms, sizeof(*progress->vms));
    progress->began_ms = progress->told_ms = now_ms();
    progress->resized_ms = progress->began_ms - SETTLE_MS;
    progress->terminal = can_draw();
    progress->colours = colours && (no_colour == NULL || no_colour[0] == '\0');
    progress->record = open_record(dir);
    progress->name_width = 3; /* "all" */
    look(progress);
    for (int i = 0; i < n_vms; i++) {
        int width = (int)strlen(progress->vms[i].now.vm);
        progress->name_width = width > progress->name_width ? width : progress->name_width;
    }
    if (progress->name_width > NAME_WIDTH) {
        progress->name_width = NAME_WIDTH;
    }
    if (progress->terminal) {
        ninja_log_surround(before_log, after_log, progress);
        progress->resized = evsignal_new(base, SIGWINCH, on_resize, progress);
        event_add(progress->resized, NULL);
    }
    progress->timer = timer_start(base, CHANGE_MS, on_timer, progress);
    return progress;
}

void progress_free(struct progress *progress)
{
    if (progress == NULL) {
        return;
    }
    if (progress->terminal) {
        ninja_log_surround(NULL, NULL, NULL);
        put_on_screen(progress, true, false);
        event_free(progress->resized);
    }
    if (progress->record != NULL) {
        look(progress);
        record(progress);
        fclose(progress->record);
    }
    timer_free(&progress->timer);
    free(progress->vms);
    free(progress);
}
