#include "host/ctl/progress_line.h"

#include <stdio.h>
#include <string.h>

#include "host/base/units.h"

#define BAR_MIN 6
#define BAR_MAX 30

/* In the order in which they are shown. */
enum field {
    BAR,
    PERCENT,
    BYTES,
    RATE,
    DIRTY,
    ETA,
    FIELDS,
};

static const enum field first_to_go[] = {DIRTY, BYTES, BAR, RATE, ETA, PERCENT};

int64_t progress_eta(int64_t remaining, int64_t bytes_per_s, int64_t dirty_bytes_per_s)
{
    int64_t gain = bytes_per_s - dirty_bytes_per_s;
    if (remaining == 0) {
        return 0;
    }
    return gain > 0 ? (remaining + gain - 1) / gain : -1;
}

static int percent(const struct progress_row *row)
{
    int64_t done = row->total - row->remaining;
    if (row->total <= 0 || done <= 0) {
        return 0;
    }
    return done >= row->total ? 100 : (int)((double)done * 100.0 / (double)row->total);
}

static void draw_bar(char *text, int cells, int done)
{
    int full = cells * done / 100;
    *text++ = '[';
    memset(text, '#', (size_t)full);
    memset(text + full, '.', (size_t)(cells - full));
    strcpy(text + cells, "]");
}

static void make_fields(char fields[FIELDS][PROGRESS_MAX_LINE], const struct progress_row *row)
{
    char a[16], b[16];
    snprintf(fields[PERCENT], PROGRESS_MAX_LINE, "%3d%%", percent(row));
    units_bytes_short(a, sizeof(a), row->transferred);
    units_bytes_short(b, sizeof(b), row->total);
    snprintf(fields[BYTES], PROGRESS_MAX_LINE, "%4s/%-4s", a, b);
    units_bytes_short(a, sizeof(a), row->bytes_per_s);
    snprintf(fields[RATE], PROGRESS_MAX_LINE, "%4s/s", a);
    units_bytes_short(a, sizeof(a), row->dirty_bytes_per_s);
    snprintf(fields[DIRTY], PROGRESS_MAX_LINE, "dirty %4s/s", a);
    units_clock(a, sizeof(a), row->eta_s);
    snprintf(fields[ETA], PROGRESS_MAX_LINE, "ETA %5s", a);
    draw_bar(fields[BAR], BAR_MIN, percent(row));
}

static int width_of(char fields[FIELDS][PROGRESS_MAX_LINE], const bool *shown)
{
    int width = 0;
    for (int f = 0; f < FIELDS; f++) {
        width += shown[f] ? 1 + (int)strlen(fields[f]) : 0;
    }
    return width;
}

static void add_fields(char *text, int room, bool bar, const struct progress_row *row)
{
    char fields[FIELDS][PROGRESS_MAX_LINE];
    bool shown[FIELDS];
    make_fields(fields, row);
    for (int f = 0; f < FIELDS; f++) {
        shown[f] = (f != BAR || bar) && (f != RATE || row->bytes_per_s != PROGRESS_UNKNOWN) &&
                   (f != DIRTY || row->dirty_bytes_per_s != PROGRESS_UNKNOWN);
    }
    for (size_t i = 0; i < FIELDS && width_of(fields, shown) > room; i++) {
        shown[first_to_go[i]] = false;
    }
    if (shown[BAR]) {
        int cells = BAR_MIN + room - width_of(fields, shown);
        draw_bar(fields[BAR], cells > BAR_MAX ? BAR_MAX : cells, percent(row));
    }
    for (int f = 0; f < FIELDS; f++) {
        if (shown[f]) {
            strcat(text, " ");
            strcat(text, fields[f]);
        }
    }
}

/* Names differ at their beginning or their end, so the middle is left out. */
static void fit_name(char *text, int width, const char *name)
{
    int len = (int)strlen(name), head = width / 2;
    if (len <= width || width < 3) {
        snprintf(text, PROGRESS_MAX_LINE, "%-*.*s", width, width, name);
    } else {
        snprintf(text, PROGRESS_MAX_LINE, "%.*s~%s", head, name, name + len - (width - head - 1));
    }
}

void progress_line(char *text, int width, int name_width, bool bar, const struct progress_row *row)
{
    char elapsed[16];
    width = width >= PROGRESS_MAX_LINE ? PROGRESS_MAX_LINE - 1 : width;
    fit_name(text, name_width, row->name);
    snprintf(text + strlen(text), PROGRESS_MAX_LINE - strlen(text), " %-*s", PROGRESS_STAGE_WIDTH,
             row->stage);
    int room = width - (int)strlen(text);
    if (row->copying && room > 0) {
        add_fields(text, room, bar, row);
    } else if (row->elapsed_s >= 0 && room > 6) {
        units_clock(elapsed, sizeof(elapsed), row->elapsed_s);
        snprintf(text + strlen(text), (size_t)room, " %5s", elapsed);
    }
    size_t len = strnlen(text, width > 0 ? (size_t)width : 0);
    while (len > 0 && text[len - 1] == ' ') {
        len--;
    }
    text[len] = '\0';
}
