#include "config.h"

#include "host/report/report_html.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/report/report_figures.h"
#include "host/report/report_view.h"

/* The last one is small whatever the report holds: see the test. */
static const struct detail details[] = {
    /* rows, ranks, titles, lines, switches, marks, max_text */
    {64, 64, true, 48, 12, 100, 1000}, {64, 32, false, 48, 12, 100, 1000},
    {48, 16, false, 24, 6, 50, 300},   {16, 8, false, 12, 4, 30, 100},
    {6, 6, false, 6, 2, 10, 40},
};
#define N_DETAILS (sizeof(details) / sizeof(details[0]))

/* ---- the frame ---- */

static void head_put(struct html *html, const char *title, const char *id)
{
    html_put(html,
             "<!DOCTYPE html>\n"
             "<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\" xml:lang=\"en\">\n<head>\n"
             "<meta charset=\"utf-8\"/>\n"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
             "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"/>\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
             "<meta name=\"referrer\" content=\"no-referrer\"/>\n"
             "<title>%s %s</title>\n<style>\n",
             title, id);
    fputs(report_style, html->out);
    html_put(html,
             "</style>\n</head>\n<body>\n"
             "<svg class=\"defs\" xmlns=\"http://www.w3.org/2000/svg\" aria-hidden=\"true\"><defs>"
             "<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
             "patternTransform=\"rotate(45)\"><rect class=\"under\" width=\"6\" height=\"6\"/>"
             "<path class=\"hatch\" d=\"M0 0V6\"/></pattern>"
             "<pattern id=\"dots\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">"
             "<rect class=\"under\" width=\"4\" height=\"4\"/>"
             "<circle class=\"dot\" cx=\"2\" cy=\"2\" r=\"1.2\"/></pattern></defs></svg>\n");
}

static void foot_put(struct html *html)
{
    html_put(html,
             "<footer>Made by ninjactl %s from report.json. Times are counted from the beginning "
             "of a migration.</footer>\n</body>\n</html>\n",
             PACKAGE_VERSION);
}

/* ---- what it comes to ---- */

static void outcome_put(struct html *html, json_t *report)
{
    const char *outcome = json_text_in(report, "outcome");
    html_put(html, "<span class=\"outcome%s\">%s</span>",
             strcmp(outcome, "done") == 0 ? " done" : "", outcome);
}

static void tile_put(struct html *html, const char *name, const char *value, const char *more)
{
    html_put(html, "<div><dt>%s</dt><dd>%s<small>%s</small></dd></div>\n", name, value, more);
}

static const char *ms_or_dash(char *text, size_t size, double ms)
{
    if (ms >= 0) {
        return units_ms(text, size, ms);
    }
    snprintf(text, size, "-");
    return text;
}

static void tiles_put(const struct view *view)
{
    char a[40], b[40], more[120];
    json_t *report = view->report;
    html_put(view->html, "<dl class=\"tiles\">\n");
    snprintf(more, sizeof(more), "at most %s at a time",
             ms_or_dash(b, sizeof(b), view_ms(report, "stall_longest_ms")));
    tile_put(view->html, "Jobs stood still",
             ms_or_dash(a, sizeof(a), view_ms(report, "stall_total_ms")), more);
    tile_put(view->html, "Duration", ms_or_dash(a, sizeof(a), figure_value(report, "duration_ms")),
             "from beginning to end");
    tile_put(view->html, "VM downtime",
             ms_or_dash(a, sizeof(a), figure_value(report, "downtime_longest_ms")),
             "of the VM that was longest down");
    double sent = figure_value(report, "sent_bytes"),
           rate = figure_value(report, "rate_bytes_per_s");
    snprintf(more, sizeof(more), "on average %s", units_rate(b, sizeof(b), rate > 0 ? rate : 0));
    tile_put(view->html, "Memory sent", units_bytes(a, sizeof(a), sent > 0 ? sent : 0),
             rate > 0 ? more : "");
    snprintf(a, sizeof(a), "%.0f / %.0f", figure_value(report, "vms"),
             figure_value(report, "ranks"));
    tile_put(view->html, "VMs / MPI ranks", a, "");
    html_put(view->html, "</dl>\n");
}

static void reason_put(const struct view *view)
{
    size_t i;
    json_t *warning, *warnings = json_object_get(view->report, "warnings");
    const char *reason = json_text_in(view->report, "reason");
    if (reason[0] != '\0') {
        html_put(view->html, "<p class=\"reason\"><b>Reason:</b> %s</p>\n", reason);
    }
    if (json_array_size(warnings) <= 1) {
        return; /* the reason has it */
    }
    html_put(view->html, "<ul class=\"warnings\">\n");
    json_array_foreach(warnings, i, warning)
    {
        if (i == (size_t)view->detail->lines) {
            html_put(view->html, "<li>and %lld more</li>\n",
                     (long long)(json_array_size(warnings) - i));
            break;
        }
        html_put(view->html, "<li>%s</li>\n", json_string_value(warning));
    }
    html_put(view->html, "</ul>\n");
}

static void lead_put(const struct view *view)
{
    json_t *report = view->report;
    html_put(view->html, "<h1>Migration %s ", json_text_in(report, "id"));
    outcome_put(view->html, report);
    html_put(view->html,
             "</h1>\n<p class=\"lead\">Cluster <b>%s</b>, from <b>%s</b> to <b>%s</b>, mode "
             "%s. Begin %s, end %s.</p>\n",
             json_text_in(report, "cluster"), json_text_in(report, "from"),
             json_text_in(report, "to"), json_text_in(report, "mode"),
             json_text_in(report, "begin"), json_text_in(report, "end"));
    if (json_text_in(report, "taken_on_in")[0] != '\0') {
        html_put(view->html,
                 "<p class=\"note\">Its first coordinator ended in the state %s. Another took it "
                 "on, and the times of states and stages count from then.</p>\n",
                 json_text_in(report, "taken_on_in"));
    }
    reason_put(view);
    tiles_put(view);
}

/* What the jobs ran on, in the order of time. */
static void way_put(const struct view *view)
{
    char names[200], at[40];
    size_t i;
    json_t *sw, *before = view_all_transports(json_object_get(view->report, "jobs_before"));
    if (json_object_size(before) > 0) {
        view_transports(before, names, sizeof(names));
        html_put(view->html, "<p>The jobs ran on <b>%s</b>", names);
        json_array_foreach(json_object_get(view->report, "switches"), i, sw)
        {
            double ms = view_ms(sw, "start_ms") + view_ms(sw, "stall_ms");
            if (i < (size_t)view->detail->switches &&
                json_object_size(json_object_get(sw, "transports")) > 0) {
                view_transports(json_object_get(sw, "transports"), names, sizeof(names));
                html_put(view->html, ", from %s on over <b>%s</b>",
                         units_ms(at, sizeof(at), ms > 0 ? ms : 0), names);
            }
        }
        html_put(view->html, ".</p>\n");
    }
    json_decref(before);
}

/* ---- tables ---- */

static void states_put(const struct view *view)
{
    size_t i;
    json_t *state;
    html_put(view->html,
             "<div class=\"table\"><table><caption>States of the migration, in ms</caption><thead>"
             "<tr><th scope=\"col\" class=\"word\">state</th><th scope=\"col\">begins at</th>"
             "<th scope=\"col\">lasts</th></tr></thead><tbody>\n");
    json_array_foreach(json_object_get(view->report, "states"), i, state)
    {
        if (i < 64) {
            html_put(view->html, "<tr><th scope=\"row\">%s</th><td>%lld</td><td>%lld</td></tr>\n",
                     json_text_in(state, "state"), (long long)view_ms(state, "start_ms"),
                     (long long)view_ms(state, "ms"));
        }
    }
    html_put(view->html, "</tbody></table></div>\n");
}

static void stage_cell_put(const struct view *view, struct vm_group group, const char *stage)
{
    struct span when, ms;
    json_t *vm = json_array_get(json_object_get(view->report, "vms"), group.first);
    double alone = view_ms(json_object_get(vm, "stages"), stage);
    if (!view_has_timeline(view->report) && alone >= 0 && group.end - group.first == 1) {
        html_put(view->html, "<td>%lld</td>", (long long)alone);
        return;
    }
    if (!view_stage(view, group, stage, &when, &ms)) {
        html_put(view->html, "<td>-</td>");
        return;
    }
    if (ms.begin_ms < ms.end_ms) {
        html_put(view->html, "<td>%lld to %lld", (long long)ms.begin_ms, (long long)ms.end_ms);
    } else {
        html_put(view->html, "<td>%lld", (long long)ms.begin_ms);
    }
    html_put(view->html, "<small>at %lld</small></td>", (long long)when.begin_ms);
}

/* The longest downtime, and all bytes, of those VMs. */
static void copy_cells_put(const struct view *view, struct vm_group group)
{
    double downtime = -1, sent = 0;
    char text[40];
    for (size_t i = group.first; i < group.end; i++) {
        json_t *vm = json_array_get(json_object_get(view->report, "vms"), i);
        double ms = view_ms(vm, "downtime_ms"), bytes = figure_bytes(vm, "transferred_bytes");
        downtime = ms > downtime ? ms : downtime;
        sent += bytes;
    }
    if (downtime >= 0) {
        html_put(view->html, "<td>%lld</td>", (long long)downtime);
    } else {
        html_put(view->html, "<td>-</td>");
    }
    html_put(view->html, "<td>%s</td>", units_bytes(text, sizeof(text), sent));
}

static void place_cells_put(const struct view *view, struct vm_group group)
{
    json_t *vm = json_array_get(json_object_get(view->report, "vms"), group.first);
    const char *link = json_text_in(vm, "link"), *name = json_text_in(vm, "link_name");
    if (group.end - group.first > 1) {
        html_put(view->html, "<td class=\"word\">%lld VMs</td><td>-</td>",
                 (long long)(group.end - group.first));
        return;
    }
    html_put(view->html, "<td class=\"word\">%s to %s</td><td class=\"word\">%s%s%s</td>",
             json_text_in(vm, "from"), json_text_in(vm, "at"), link[0] ? link : "-",
             name[0] ? " " : "", name);
}

static void vms_put(const struct view *view)
{
    html_put(view->html,
             "<div class=\"table\"><table><caption>Stages of every VM: how long, and when it began "
             "(ms)</caption><thead><tr><th scope=\"col\" class=\"word\">VM</th>");
    for (size_t s = 0; s < report_n_stages; s++) {
        html_put(view->html, "<th scope=\"col\">%s</th>", report_stages[s]);
    }
    html_put(view->html, "<th scope=\"col\">downtime</th><th scope=\"col\">sent</th>"
                         "<th scope=\"col\" class=\"word\">way</th>"
                         "<th scope=\"col\" class=\"word\">new link</th></tr></thead><tbody>\n");
    for (size_t line = 0; line < view_n_groups(view); line++) {
        struct vm_group group = view_group(view, line);
        char name[160];
        view_group_name(view, group, name, sizeof(name));
        html_put(view->html, "<tr><th scope=\"row\">%s</th>", name);
        for (size_t s = 0; s < report_n_stages; s++) {
            stage_cell_put(view, group, report_stages[s]);
        }
        copy_cells_put(view, group);
        place_cells_put(view, group);
        html_put(view->html, "</tr>\n");
    }
    html_put(view->html, "</tbody></table></div>\n");
}

static void timeline_section_put(const struct view *view)
{
    html_put(view->html, "<section><h2>Timeline</h2>\n");
    timeline_put(view, false);
    way_put(view);
    if (!view_has_timeline(view->report)) {
        html_put(view->html, "<p class=\"note\">This report is of a ninjactl that did not yet say "
                             "when a stage began, so the VMs have no bars.</p>\n");
    }
    if (view_n_groups(view) < json_array_size(json_object_get(view->report, "vms"))) {
        html_put(view->html,
                 "<p class=\"note\">A line stands for up to %lld VMs: a stage is drawn from the "
                 "first one's beginning to the last one's end. The JSON report has each.</p>\n",
                 (long long)(view_group(view, 0).end - view_group(view, 0).first));
    }
    states_put(view);
    vms_put(view);
    html_put(view->html, "</section>\n");
}

/* ---- transports before and after ---- */

/* Ranks that follow each other, in one VM and on the same transports, are one line. */
static bool are_alike(json_t *a, json_t *b)
{
    return strcmp(json_text_in(a, "vm"), json_text_in(b, "vm")) == 0 &&
           json_equal(json_object_get(a, "transports"), json_object_get(b, "transports"));
}

static void peers_put(struct html *html, json_t *rank)
{
    const char *name;
    json_t *peers;
    int n = 0;
    html_put(html, "<td class=\"word\">");
    json_object_foreach(json_object_get(rank, "transports"), name, peers)
    {
        if (n < 16) {
            html_put(html, "%s%s: %lld", n++ ? ", " : "", name,
                     (long long)json_integer_value(peers));
        }
    }
    html_put(html, "%s</td>", n ? "" : "-");
}

static json_t *rank_after(json_t *report, json_t *job, size_t rank)
{
    size_t i;
    json_t *after;
    json_array_foreach(json_object_get(report, "jobs_after"), i, after)
    {
        if (strcmp(json_text_in(after, "job"), json_text_in(job, "job")) == 0) {
            return json_array_get(json_object_get(after, "ranks"), rank);
        }
    }
    return NULL;
}

/* Its lines; how many there would be, in all. */
static int job_put(const struct view *view, json_t *job, int lines)
{
    json_t *ranks = json_object_get(job, "ranks");
    size_t n = json_array_size(ranks), end;
    for (size_t r = 0; r < n; r = end, lines++) {
        json_t *before = json_array_get(ranks, r), *after = rank_after(view->report, job, r);
        for (end = r + 1; end < n && are_alike(before, json_array_get(ranks, end)); end++) {
            json_t *next = rank_after(view->report, job, end);
            if ((after == NULL) != (next == NULL) || (after != NULL && !are_alike(after, next))) {
                break;
            }
        }
        if (lines >= view->detail->lines) {
            continue;
        }
        html_put(view->html, "<tr><td class=\"word\">%s</td><th scope=\"row\">%lld",
                 json_text_in(job, "job"), (long long)r);
        if (end - r > 1) {
            html_put(view->html, " to %lld", (long long)end - 1);
        }
        html_put(view->html, "</th><td class=\"word\">%s</td>", json_text_in(before, "vm"));
        peers_put(view->html, before);
        peers_put(view->html, after);
        html_put(view->html, "</tr>\n");
    }
    return lines;
}

static void transports_put(const struct view *view)
{
    size_t i;
    int lines = 0;
    json_t *job, *jobs = json_object_get(view->report, "jobs_before");
    if (json_array_size(jobs) == 0) {
        html_put(view->html, "<p class=\"note\">No MPI job was running.</p>\n");
        return;
    }
    html_put(view->html,
             "<section><h2>Transports before and after</h2>\n<div class=\"table\"><table>"
             "<caption>How many ranks each rank reached over which transport (-: it was not asked "
             "yet)</caption><thead><tr><th scope=\"col\" class=\"word\">job</th>"
             "<th scope=\"col\" class=\"word\">ranks</th><th scope=\"col\" class=\"word\">VM</th>"
             "<th scope=\"col\" class=\"word\">before</th>"
             "<th scope=\"col\" class=\"word\">after</th></tr></thead><tbody>\n");
    json_array_foreach(jobs, i, job)
    {
        lines = job_put(view, job, lines);
    }
    html_put(view->html, "</tbody></table></div>\n");
    if (lines > view->detail->lines) {
        html_put(view->html,
                 "<p class=\"note\">%d lines more are in the text and the JSON "
                 "report.</p>\n",
                 lines - view->detail->lines);
    }
    html_put(view->html, "</section>\n");
}

/* ---- the pages ---- */

static void page_put(const struct view *view)
{
    head_put(view->html, "Migration", json_text_in(view->report, "id"));
    html_put(view->html, "<main>\n");
    lead_put(view);
    timeline_section_put(view);
    memory_put(view);
    methods_put(view);
    ranks_put(view);
    transports_put(view);
    html_put(view->html, "</main>\n");
    foot_put(view->html);
}

static void compare_table_put(struct html *html, json_t *a, json_t *b)
{
    html_put(html,
             "<section><h2>Figures</h2><div class=\"table\"><table><thead><tr>"
             "<th scope=\"col\" class=\"word\"></th><th scope=\"col\">%s</th>"
             "<th scope=\"col\">%s</th><th scope=\"col\">difference</th></tr></thead><tbody>\n",
             json_text_in(a, "id"), json_text_in(b, "id"));
    for (size_t i = 0; i < figure_count(); i++) {
        char of_a[40], of_b[40], difference[60];
        if (figure_row(i, a, b, of_a, of_b, difference)) {
            html_put(html, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td></tr>\n",
                     figure_label(i), of_a, of_b, difference);
        }
    }
    html_put(html, "</tbody></table></div></section>\n");
}

static void side_put(struct html *html, json_t *report)
{
    html_put(html, "<tr><th scope=\"row\">%s</th><td class=\"word\">", json_text_in(report, "id"));
    outcome_put(html, report);
    html_put(
        html,
        "</td><td class=\"word\">%s</td><td class=\"word\">%s to %s</td>"
        "<td class=\"word\">%s</td><td class=\"word\">%s</td><td class=\"word\">%s</td></tr>\n",
        json_text_in(report, "cluster"), json_text_in(report, "from"), json_text_in(report, "to"),
        json_text_in(report, "mode"), json_text_in(report, "begin"),
        json_text_in(report, "reason"));
}

static void compare_put(const struct view *a, const struct view *b)
{
    struct html *html = a->html;
    head_put(html, "Two migrations:", json_text_in(a->report, "id"));
    html_put(html, "<main>\n<h1>Two migrations</h1>\n<div class=\"table\"><table><thead><tr>"
                   "<th scope=\"col\" class=\"word\">ID</th><th scope=\"col\" class=\"word\">"
                   "outcome</th><th scope=\"col\" class=\"word\">cluster</th>"
                   "<th scope=\"col\" class=\"word\">way</th><th scope=\"col\" class=\"word\">mode"
                   "</th><th scope=\"col\" class=\"word\">begin</th>"
                   "<th scope=\"col\" class=\"word\">reason</th></tr></thead><tbody>\n");
    side_put(html, a->report);
    side_put(html, b->report);
    html_put(html, "</tbody></table></div>\n<section><h2>Timelines, in the same scale</h2>\n");
    timeline_put(a, true);
    timeline_put(b, true);
    html_put(html, "</section>\n");
    compare_table_put(html, a->report, b->report);
    html_put(html, "</main>\n");
    foot_put(html);
}

/* In the finest detail that is small enough. `b` is NULL on the page of one migration. */
static char *page(json_t *a, json_t *b, size_t *size)
{
    double length = view_length(a);
    double other = b != NULL ? view_length(b) : 0;
    struct svg_scale scale = {.to = other > length ? other : length};
    char *text = NULL;
    for (size_t i = 0; i < N_DETAILS; i++) {
        struct html html;
        html_begin(&html, details[i].max_text);
        struct view of_a = {&html, a, &details[i], scale, length};
        struct view of_b = {&html, b, &details[i], scale, other};
        if (b != NULL) {
            compare_put(&of_a, &of_b);
        } else {
            page_put(&of_a);
        }
        free(text);
        text = html_end(&html, size);
        if (*size <= REPORT_HTML_MAX) {
            break;
        }
    }
    return text;
}

char *report_html(json_t *report, size_t *size)
{
    return page(report, NULL, size);
}

char *report_html_compare(json_t *a, json_t *b, size_t *size)
{
    return page(a, b, size);
}
