/*
 * Inside the page of a report: what its parts need to know of the report, and how fine they are
 * drawn.
 */
#ifndef NINJA_REPORT_VIEW_H
#define NINJA_REPORT_VIEW_H

#include <jansson.h>

#include "host/report/html.h"
#include "host/report/svg.h"

/* How fine a page is. A coarser one is tried where it became too large. */
struct detail {
    int rows;        /* lines for VMs: more VMs are drawn together */
    int ranks;       /* so many ranks of a switch have a line each; more are drawn by VM */
    bool titles;     /* a bar tells what it is, to who points at it */
    int lines;       /* of a table that may be long */
    int switches;    /* that are shown one by one */
    int marks;       /* stalls, or rounds of a switch, in a picture */
    size_t max_text; /* see html.h */
};

struct view {
    struct html *html;
    json_t *report;
    const struct detail *detail;
    struct svg_scale scale; /* of the whole migration, or of the longer of two */
    double length;          /* of this one, in ms */
};

/* The VMs of one line: [first, end) of the report's list. */
struct vm_group {
    size_t first, end;
};

struct span {
    double begin_ms, end_ms;
};

/* In the order in which a VM goes through them. */
extern const char *const report_stages[];
extern const size_t report_n_stages;

/** How long it lasted; at least 1. */
double view_length(json_t *report);
/** The figure in the key, at least 0 and not beyond what a clock could say; -1: there is none. */
double view_ms(const json_t *object, const char *key);

/** How many lines the VMs get, and which VMs one of them stands for. */
size_t view_n_groups(const struct view *view);
struct vm_group view_group(const struct view *view, size_t line);
/** "vm1", or "vm1 to vm4". */
void view_group_name(const struct view *view, struct vm_group group, char *name, size_t size);

/**
 * Over all VMs of a group: when the stage began first, and ended last; and its shortest and
 * longest time.
 *
 * @return false: no VM was in it
 */
bool view_stage(const struct view *view, struct vm_group group, const char *stage,
                struct span *when, struct span *ms);

/** False: it is of a version that did not tell when a stage began. */
bool view_has_timeline(json_t *report);

/** When jobs stood still, the given-up attempts too; at most 200. A new array of objects in order
 * of time: `start_ms`, `ms`, `switch` (from 1), whether it was `given_up`. */
json_t *view_stalls(json_t *report);

/** The names of transports, "tcp, vader"; "none" if there are none. `object` as in the report. */
void view_transports(json_t *object, char *text, size_t size);
/** The same of all ranks of all jobs in jobs_before or jobs_after. A new object. */
json_t *view_all_transports(json_t *jobs);

/* ---- the parts (report_timeline.c, report_ranks.c, report_memory.c, report_methods.c) ---- */

void timeline_put(const struct view *view, bool with_name);
void memory_put(const struct view *view);
void methods_put(const struct view *view);
void ranks_put(const struct view *view);

extern const char report_style[];

#endif
