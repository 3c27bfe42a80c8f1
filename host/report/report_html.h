/*
 * A report as a page: one file that needs nothing else, for whoever has a browser.
 *
 * What a guest said is in it as text only; a policy in the page keeps a browser from running or
 * loading anything even so.
 */
#ifndef NINJA_REPORT_HTML_H
#define NINJA_REPORT_HTML_H

#include <jansson.h>
#include <stddef.h>

/* However many VMs and ranks there are: a page becomes coarser before it becomes larger. */
#define REPORT_HTML_MAX 200000

/** The page, `size` bytes, for the caller to free. */
char *report_html(json_t *report, size_t *size);

/** Two migrations on one page, `a` first, in the same scale. */
char *report_html_compare(json_t *a, json_t *b, size_t *size);

#endif
