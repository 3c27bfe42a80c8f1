/*
 * The picture of a migration: a line for its states, one for the jobs, and one for each VM. Where
 * the jobs stood still a band goes through all of them.
 */
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/report/report_view.h"

#define TOP    34 /* room for what the bands are */
#define HEIGHT 24 /* of a line */
#define LOW    13 /* where they are many */
#define MANY   20
#define CALL   96 /* how wide the text of one is */

struct picture {
    const struct view *view;
    json_t *stalls;
    int line_height, bottom;
};

static int bar_height(const struct picture *picture)
{
    return picture->line_height - 4;
}

static void put_bar(const struct picture *picture, const char *class, struct span span, int y,
                    const char *label, const char *what)
{
    char title[200], from[40], took[40];
    snprintf(title, sizeof(title), "%.120s: %s, from %s on", what,
             units_ms(took, sizeof(took), span.end_ms - span.begin_ms),
             units_ms(from, sizeof(from), span.begin_ms));
    svg_bar(picture->view->html, &picture->view->scale, class, span.begin_ms, span.end_ms, y,
            bar_height(picture), label, picture->view->detail->titles ? title : NULL);
}

static void put_bands(const struct picture *picture)
{
    size_t i;
    json_t *stall;
    json_array_foreach(picture->stalls, i, stall)
    {
        double begin = view_ms(stall, "start_ms");
        if (i < (size_t)picture->view->detail->marks) {
            svg_bar(picture->view->html, &picture->view->scale, "band", begin,
                    begin + view_ms(stall, "ms"), TOP - 6, picture->bottom - TOP + 6, NULL, NULL);
        }
    }
}

/* In two rows, as they may be close to each other; one for which there is no room has none. */
static void put_calls(const struct picture *picture)
{
    double free_from[2] = {0, 0};
    size_t i;
    json_t *stall;
    json_array_foreach(picture->stalls, i, stall)
    {
        char text[60], ms[40];
        double begin = view_ms(stall, "start_ms"), length = view_ms(stall, "ms");
        double x = svg_x(&picture->view->scale, begin + length / 2);
        x = x < CALL / 2.0 ? CALL / 2.0 : x > SVG_WIDTH - CALL / 2.0 ? SVG_WIDTH - CALL / 2.0 : x;
        int row = x - CALL / 2.0 >= free_from[0] ? 0 : 1;
        if (x - CALL / 2.0 >= free_from[row]) {
            snprintf(text, sizeof(text), "stall %s", units_ms(ms, sizeof(ms), length));
            svg_text(picture->view->html, "call", x, TOP - 10 - 12 * row, text);
            free_from[row] = x + CALL / 2.0;
        }
    }
}

static void put_states(const struct picture *picture, int y)
{
    size_t i;
    json_t *state;
    svg_row_name(picture->view->html, y, bar_height(picture), "migration");
    json_array_foreach(json_object_get(picture->view->report, "states"), i, state)
    {
        double begin = view_ms(state, "start_ms"), ms = view_ms(state, "ms");
        if (begin >= 0 && ms > 0) {
            put_bar(picture, "state", (struct span){begin, begin + ms}, y,
                    json_text_in(state, "state"), json_text_in(state, "state"));
        }
    }
}

/* The transports of the jobs after a switch; earlier reports do not have them. */
static json_t *transports_after(const struct view *view, json_t *stall)
{
    json_t *switches = json_object_get(view->report, "switches");
    size_t n = (size_t)view_ms(stall, "switch");
    bool given_up = json_is_true(json_object_get(stall, "given_up"));
    return given_up ? NULL : json_object_get(json_array_get(switches, n - 1), "transports");
}

/* Ranks tell of their transports from the first switch on. */
static void put_running(const struct picture *picture, struct span span, int y, json_t *transports)
{
    char label[200], what[220];
    json_t *jobs = json_object_get(picture->view->report, "jobs_before");
    view_transports(transports, label, sizeof(label));
    if (json_object_size(transports) == 0 && json_array_size(jobs) > 0) {
        snprintf(label, sizeof(label), "what they began with");
    }
    snprintf(what, sizeof(what), "jobs run on %s", label);
    if (span.end_ms > span.begin_ms) {
        put_bar(picture, "run", span, y, label, what);
    }
}

static void put_jobs(const struct picture *picture, int y)
{
    const struct view *view = picture->view;
    json_t *now = view_all_transports(json_object_get(view->report, "jobs_before")), *stall;
    double since = 0;
    size_t i;
    svg_row_name(view->html, y, bar_height(picture), "MPI jobs");
    json_array_foreach(picture->stalls, i, stall)
    {
        double begin = view_ms(stall, "start_ms"), end = begin + view_ms(stall, "ms");
        if (i < (size_t)picture->view->detail->marks) {
            put_running(picture, (struct span){since, begin}, y, now);
            put_bar(picture, "stall", (struct span){begin, end}, y, "stall",
                    "jobs stand still (stall)");
        }
        json_t *after = transports_after(view, stall);
        if (after != NULL) {
            json_decref(now);
            now = json_incref(after);
        }
        since = end;
    }
    put_running(picture, (struct span){since, view->length}, y, now);
    json_decref(now);
}

/* When the VM itself stood still: QEMU says for how long, the coordinator when it ran again. */
static void put_downtime(const struct picture *picture, json_t *vm, int y)
{
    double arrived = view_ms(vm, "arrived_ms"), ms = view_ms(vm, "downtime_ms");
    char what[160];
    if (arrived >= 0 && ms > 0) {
        snprintf(what, sizeof(what), "%.100s downtime", json_text_in(vm, "name"));
        put_bar(picture, "downtime", (struct span){arrived > ms ? arrived - ms : 0, arrived}, y,
                NULL, what);
    }
}

static void put_runs(const struct picture *picture, json_t *vm, int y)
{
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(vm, "timeline"), i, run)
    {
        char what[200];
        const char *stage = json_text_in(run, "stage");
        double begin = view_ms(run, "start_ms"), ms = view_ms(run, "ms");
        snprintf(what, sizeof(what), "%.100s %.40s", json_text_in(vm, "name"), stage);
        if (begin >= 0) {
            double end = ms < 0 ? picture->view->length : begin + ms;
            put_bar(picture, stage, (struct span){begin, end}, y, stage, what);
        }
    }
    put_downtime(picture, vm, y);
}

static void put_group(const struct picture *picture, struct vm_group group, int y)
{
    for (size_t s = 0; s < report_n_stages; s++) {
        struct span when, ms;
        if (view_stage(picture->view, group, report_stages[s], &when, &ms)) {
            put_bar(picture, report_stages[s], when, y, report_stages[s], report_stages[s]);
        }
    }
}

static void put_vms(const struct picture *picture, int y)
{
    const struct view *view = picture->view;
    json_t *vms = json_object_get(view->report, "vms");
    for (size_t line = 0; line < view_n_groups(view); line++, y += picture->line_height) {
        struct vm_group group = view_group(view, line);
        char name[160];
        view_group_name(view, group, name, sizeof(name));
        svg_row_name(view->html, y, bar_height(picture), name);
        if (group.end - group.first == 1) {
            put_runs(picture, json_array_get(vms, group.first), y);
        } else {
            put_group(picture, group, y);
        }
    }
}

static void put_legend(const struct view *view)
{
    html_put(view->html, "<ul class=\"legend\">");
    for (size_t s = 0; s < report_n_stages; s++) {
        html_put(view->html, "<li><i class=\"%s\"></i>%s</li>", report_stages[s], report_stages[s]);
    }
    html_put(view->html, "<li><i class=\"downtime\"></i>downtime of the VM</li>"
                         "<li><i class=\"stall\"></i>stall of the jobs</li></ul>\n");
}

void timeline_put(const struct view *view, bool with_name)
{
    size_t lines = view_n_groups(view) + 2;
    struct picture picture = {.view = view,
                              .stalls = view_stalls(view->report),
                              .line_height = lines > MANY ? LOW : HEIGHT};
    char title[200];
    picture.bottom = TOP + (int)lines * picture.line_height;
    snprintf(title, sizeof(title), "Timeline of migration %.60s", json_text_in(view->report, "id"));
    html_put(view->html, "<figure>");
    if (with_name) {
        html_put(view->html, "<figcaption><b>%s</b>: %s to %s, %s, %s</figcaption>",
                 json_text_in(view->report, "id"), json_text_in(view->report, "from"),
                 json_text_in(view->report, "to"), json_text_in(view->report, "mode"),
                 json_text_in(view->report, "outcome"));
    }
    svg_begin(view->html, picture.bottom + 22, title,
              "A line each for the states of the migration, the MPI jobs and every VM, over time. "
              "The table below has the same figures.");
    svg_axis(view->html, &view->scale, TOP - 6, picture.bottom);
    put_states(&picture, TOP);
    put_jobs(&picture, TOP + picture.line_height);
    put_vms(&picture, TOP + 2 * picture.line_height);
    put_bands(&picture);
    put_calls(&picture);
    svg_end(view->html);
    put_legend(view);
    html_put(view->html, "</figure>\n");
    json_decref(picture.stalls);
}
