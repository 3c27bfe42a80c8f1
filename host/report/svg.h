/*
 * Pictures in a page: a scale of time, bars on it, and texts.
 */
#ifndef NINJA_SVG_H
#define NINJA_SVG_H

#include <stdint.h>

#include "host/report/html.h"

/* Where every picture has its plot; the names of its rows are left of it. */
#define SVG_WIDTH 1000
#define SVG_LEFT  150
#define SVG_RIGHT 980

/* Milliseconds, from `from` to `to`; those between the gap's ends are left out, and ticks count
 * anew after it. */
struct svg_scale {
    double from, to;
    double gap_begin, gap_end; /* equal: there is none */
};

double svg_x(const struct svg_scale *scale, double ms);

/** Begins a picture that is `height` high; title and description are for who cannot see it. */
void svg_begin(struct html *html, int height, const char *title, const char *description);
void svg_end(struct html *html);

/** Lines and times, from the y `top` to `bottom`; the times stand below it. */
void svg_axis(struct html *html, const struct svg_scale *scale, int top, int bottom);

/**
 * A bar, never too narrow to be seen.
 *
 * @param class  of the style sheet
 * @param label  is written into it where there is room; NULL: none
 * @param title  shown by a browser for who points at it; NULL: none
 */
void svg_bar(struct html *html, const struct svg_scale *scale, const char *class, double begin_ms,
             double end_ms, int y, int height, const char *label, const char *title);

/** The name of a row, left of the plot. */
void svg_row_name(struct html *html, int y, int height, const char *name);

void svg_text(struct html *html, const char *class, double x, double y, const char *text);

#endif
