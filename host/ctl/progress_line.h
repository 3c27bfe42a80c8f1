/*
 * One line of a progress display, of a given width.
 */
#ifndef NINJA_PROGRESS_LINE_H
#define NINJA_PROGRESS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_STAGE_WIDTH 9
#define PROGRESS_MAX_LINE    256

#define PROGRESS_UNKNOWN INT64_MIN

/* A VM, or all of them together. */
struct progress_row {
    const char *name;
    const char *stage;
    bool copying;                          /* the figures below mean something */
    int64_t transferred, total, remaining; /* bytes */
    int64_t bytes_per_s, dirty_bytes_per_s; /* PROGRESS_UNKNOWN: not shown */
    int64_t eta_s;     /* -1: not known */
    int64_t elapsed_s; /* shown where nothing is copied */
};

/**
 * Seconds until it is copied at the present rates; -1: not known, or memory is dirtied as fast as
 * it is sent.
 */
int64_t progress_eta(int64_t remaining, int64_t bytes_per_s, int64_t dirty_bytes_per_s);

/**
 * Writes a line of at most `width` characters, ASCII, without a newline. What has no room is left
 * out: first the dirty rate, then the bytes, the bar, the rate, the ETA.
 *
 * @param text        out: PROGRESS_MAX_LINE bytes
 * @param name_width  of the column of names; the column of stages begins after one blank
 * @param bar         whether there is to be one
 */
void progress_line(char *text, int width, int name_width, bool bar, const struct progress_row *row);

#endif
