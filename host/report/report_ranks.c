/*
 * Each switch of the transports, enlarged: a line for the steps as the coordinator gave them, and
 * what each rank took of them. Many ranks are drawn by VM: as far as the fastest in one colour, as
 * far as the slowest in a lighter one.
 *
 * In paused mode the jobs are held between release and open, while memory is copied. That time is
 * left out of the picture.
 */
#include <stdlib.h>
#include <string.h>

#include "common/switch_steps.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/units.h"
#include "host/report/report_view.h"

#define TOP    16
#define HEIGHT 22
#define LOW    13
#define MANY   20

/* One step in all its rounds. */
struct taken {
    bool run;
    int rounds;
    double begin_ms, ms, slowest_ms; /* ms: of all rounds */
};

/* One line: a rank, or all ranks of a job in a VM (or in several VMs). */
struct line {
    char name[160];
    int n;                                             /* ranks */
    double fastest[NINJA_STEPS], slowest[NINJA_STEPS]; /* ms; -1: it did not take it */
};

struct lines {
    struct line *lines;
    size_t n;
};

static void read_steps(json_t *sw, struct taken *all)
{
    size_t i;
    json_t *entry;
    memset(all, 0, NINJA_STEPS * sizeof(*all));
    json_array_foreach(json_object_get(sw, "steps"), i, entry)
    {
        for (size_t s = 0; s < NINJA_STEPS; s++) {
            struct taken *step = &all[s];
            double begin = view_ms(entry, "start_ms"), ms = view_ms(entry, "ms");
            double slowest = view_ms(entry, "max_rank_micros") / 1000;
            if (strcmp(ninja_step_name(s), json_text_in(entry, "step")) != 0) {
                continue;
            }
            step->begin_ms = step->run ? step->begin_ms : begin;
            step->ms += ms > 0 ? ms : 0;
            step->slowest_ms = slowest > step->slowest_ms ? slowest : step->slowest_ms;
            step->rounds++;
            step->run = true;
        }
    }
}

/* ---- the lines ---- */

static void note_rank(struct line *line, json_t *micros, size_t rank)
{
    line->n++;
    for (size_t s = 0; s < NINJA_STEPS; s++) {
        json_t *of_step = json_object_get(micros, ninja_step_name(s));
        double ms = (double)json_integer_value(json_array_get(of_step, rank)) / 1000;
        if (of_step == NULL || ms < 0) {
            continue;
        }
        ms = ms > 1e9 ? 1e9 : ms;
        line->fastest[s] = line->fastest[s] < 0 || ms < line->fastest[s] ? ms : line->fastest[s];
        line->slowest[s] = ms > line->slowest[s] ? ms : line->slowest[s];
    }
}

static struct line *add_line(struct lines *lines, size_t room)
{
    struct line *line = lines->n < room ? &lines->lines[lines->n++] : NULL;
    for (size_t s = 0; line != NULL && s < NINJA_STEPS; s++) {
        line->fastest[s] = line->slowest[s] = -1;
    }
    return line;
}

static json_t *job_named(json_t *report, const char *name)
{
    static const char *const keys[] = {"jobs_before", "jobs_after"};
    size_t i;
    json_t *job;
    for (size_t k = 0; k < 2; k++) {
        json_array_foreach(json_object_get(report, keys[k]), i, job)
        {
            if (strcmp(json_text_in(job, "job"), name) == 0) {
                return job;
            }
        }
    }
    return NULL;
}

static const char *vm_of_rank(json_t *job, size_t rank)
{
    return json_text_in(json_array_get(json_object_get(job, "ranks"), rank), "vm");
}

static size_t group_of_vm(const struct view *view, const char *vm)
{
    size_t i;
    json_t *entry, *vms = json_object_get(view->report, "vms");
    size_t n = json_array_size(vms), groups = view_n_groups(view);
    json_array_foreach(vms, i, entry)
    {
        if (strcmp(json_text_in(entry, "name"), vm) == 0) {
            return i / ((n + (size_t)view->detail->rows - 1) / (size_t)view->detail->rows);
        }
    }
    return groups;
}

static void add_job_by_rank(const struct view *view, struct lines *lines, size_t room,
                            const char *job, size_t size, json_t *micros)
{
    for (size_t r = 0; r < size; r++) {
        struct line *line = add_line(lines, room);
        if (line != NULL) {
            snprintf(line->name, sizeof(line->name), "rank %zu, %.100s", r,
                     vm_of_rank(job_named(view->report, job), r));
            note_rank(line, micros, r);
        }
    }
}

static void add_job_by_vm(const struct view *view, struct lines *lines, size_t room,
                          const char *job_name, size_t size, json_t *micros)
{
    size_t groups = view_n_groups(view);
    json_t *job = job_named(view->report, job_name);
    struct line **of_group = xcalloc(groups + 1, sizeof(struct line *));
    for (size_t r = 0; r < size; r++) {
        size_t group = group_of_vm(view, vm_of_rank(job, r));
        if (of_group[group] == NULL) {
            of_group[group] = add_line(lines, room);
        }
        if (of_group[group] != NULL) {
            note_rank(of_group[group], micros, r);
        }
    }
    for (size_t g = 0; g <= groups; g++) {
        char name[130] = "?";
        if (g < groups) {
            view_group_name(view, view_group(view, g), name, sizeof(name));
        }
        if (of_group[g] != NULL) {
            snprintf(of_group[g]->name, sizeof(of_group[g]->name), "%s: %d rank%s", name,
                     of_group[g]->n, of_group[g]->n == 1 ? "" : "s");
        }
    }
    free(of_group);
}

static size_t ranks_in(json_t *entry)
{
    size_t most = 0;
    const char *name;
    json_t *list;
    json_object_foreach(json_object_get(entry, "micros"), name, list)
    {
        most = json_array_size(list) > most ? json_array_size(list) : most;
    }
    return most;
}

static size_t ranks_of(json_t *sw)
{
    size_t i, all = 0;
    json_t *entry;
    json_array_foreach(json_object_get(sw, "ranks"), i, entry)
    {
        all += ranks_in(entry);
    }
    return all;
}

/* Whether each rank has its own line. */
static bool is_by_rank(const struct view *view, json_t *sw)
{
    return ranks_of(sw) <= (size_t)view->detail->ranks;
}

static struct lines read_lines(const struct view *view, json_t *sw)
{
    size_t i, room = (size_t)(view->detail->rows + view->detail->ranks);
    struct lines lines = {.lines = xcalloc(room, sizeof(*lines.lines))};
    json_t *entry;
    json_array_foreach(json_object_get(sw, "ranks"), i, entry)
    {
        (is_by_rank(view, sw) ? add_job_by_rank
                              : add_job_by_vm)(view, &lines, room, json_text_in(entry, "job"),
                                               ranks_in(entry), json_object_get(entry, "micros"));
    }
    return lines;
}

/* ---- the picture ---- */

/* From the first step to the last, without a long wait between release and open. */
static struct svg_scale scale_of(json_t *sw, const struct taken *all)
{
    double begin = view_ms(sw, "start_ms"), stall = view_ms(sw, "stall_ms");
    struct svg_scale scale = {.from = begin, .to = begin + (stall > 0 ? stall : 1)};
    const struct taken *release = &all[NINJA_STEP_RELEASE], *open = &all[NINJA_STEP_OPEN];
    double longest = release->slowest_ms > release->ms ? release->slowest_ms : release->ms;
    double released = release->begin_ms + longest;
    if (release->run && open->run && open->begin_ms - released > 0.2 * stall) {
        scale.gap_begin = released;
        scale.gap_end = open->begin_ms;
    }
    return scale;
}

static void put_steps(const struct view *view, const struct svg_scale *scale, json_t *sw)
{
    size_t i;
    json_t *entry;
    svg_row_name(view->html, TOP, HEIGHT - 4, "coordinator");
    json_array_foreach(json_object_get(sw, "steps"), i, entry)
    {
        double begin = view_ms(entry, "start_ms"), ms = view_ms(entry, "ms");
        const char *step = json_text_in(entry, "step");
        if (i < (size_t)view->detail->marks && begin >= 0) {
            svg_bar(view->html, scale, step, begin, begin + ms, TOP, HEIGHT - 4, step,
                    view->detail->titles ? step : NULL);
        }
    }
}

static void put_line(const struct view *view, const struct svg_scale *scale,
                     const struct line *line, const struct taken *all, int y, int height)
{
    svg_row_name(view->html, y, height - 4, line->name);
    for (size_t s = 0; s < NINJA_STEPS; s++) {
        char title[300], fastest[40], slowest[40], class[40];
        double begin = all[s].begin_ms;
        if (!all[s].run || line->slowest[s] < 0) {
            continue;
        }
        units_ms(fastest, sizeof(fastest), line->fastest[s]);
        units_ms(slowest, sizeof(slowest), line->slowest[s]);
        snprintf(title, sizeof(title), "%s, %s: %s%s%s", line->name, ninja_step_name(s), fastest,
                 line->n > 1 ? " to " : "", line->n > 1 ? slowest : "");
        if (line->n > 1 && line->slowest[s] > line->fastest[s]) {
            snprintf(class, sizeof(class), "%s most", ninja_step_name(s));
            svg_bar(view->html, scale, class, begin, begin + line->slowest[s], y, height - 4, NULL,
                    view->detail->titles ? title : NULL);
        }
        svg_bar(view->html, scale, ninja_step_name(s), begin, begin + line->fastest[s], y,
                height - 4, NULL, view->detail->titles ? title : NULL);
    }
}

static void put_picture(const struct view *view, json_t *sw, size_t number, const struct taken *all)
{
    struct lines lines = read_lines(view, sw);
    struct svg_scale scale = scale_of(sw, all);
    int height = lines.n > MANY ? LOW : HEIGHT, y = TOP + HEIGHT + 4;
    int bottom = y + (int)lines.n * height;
    char title[80];
    snprintf(title, sizeof(title), "Switch %zu, enlarged", number);
    svg_begin(view->html, bottom + 22, title,
              "A line for the steps, and one for each rank or for the ranks of each VM, over the "
              "time in which the jobs stood still.");
    svg_axis(view->html, &scale, TOP - 6, bottom);
    put_steps(view, &scale, sw);
    for (size_t i = 0; i < lines.n; i++, y += height) {
        put_line(view, &scale, &lines.lines[i], all, y, height);
    }
    svg_end(view->html);
    if (scale.gap_end > scale.gap_begin) {
        html_put(
            view->html,
            "<p class=\"note\">Between release and open the jobs were held for %s. That is left "
            "out, and the times after it count from its end.</p>\n",
            units_ms(title, sizeof(title), scale.gap_end - scale.gap_begin));
    }
    html_put(view->html, "<ul class=\"legend\">");
    for (size_t s = 0; s < NINJA_STEPS; s++) {
        html_put(view->html, "<li><i class=\"%s\"></i>%s</li>", ninja_step_name(s),
                 ninja_step_name(s));
    }
    html_put(view->html, "</ul>\n");
    free(lines.lines);
}

/* ---- the tables ---- */

/* These are figures of all ranks of all jobs. */
static void put_step_row(const struct view *view, json_t *sw, size_t s, const struct taken *step)
{
    size_t i, r, n = 0;
    double fastest = -1, sum = 0;
    json_t *entry, *value;
    json_array_foreach(json_object_get(sw, "ranks"), i, entry)
    {
        json_array_foreach(json_object_get(json_object_get(entry, "micros"), ninja_step_name(s)), r,
                           value)
        {
            double ms = json_number_value(value) / 1000;
            fastest = fastest < 0 || ms < fastest ? ms : fastest;
            sum += ms;
            n++;
        }
    }
    html_put(view->html, "<tr><th scope=\"row\">%s</th><td>%lld</td><td>%lld</td><td>%d</td>",
             ninja_step_name(s), (long long)step->begin_ms, (long long)step->ms, step->rounds);
    if (n > 0) {
        html_put(view->html, "<td>%.1f</td><td>%.1f</td><td>%.1f</td></tr>\n", fastest,
                 sum / (double)n, step->slowest_ms);
    } else {
        html_put(view->html, "<td>-</td><td>-</td><td>%.1f</td></tr>\n", step->slowest_ms);
    }
}

static void put_step_table(const struct view *view, json_t *sw, size_t number,
                           const struct taken *all)
{
    html_put(view->html,
             "<div class=\"table\"><table><caption>Steps of switch %lld, in ms</caption>"
             "<thead><tr><th scope=\"col\" class=\"word\">step</th><th scope=\"col\">begins at</th>"
             "<th scope=\"col\">all ranks done in</th><th scope=\"col\">times</th>"
             "<th scope=\"col\">fastest rank</th><th scope=\"col\">mean</th>"
             "<th scope=\"col\">slowest rank</th></tr></thead><tbody>\n",
             (long long)number);
    for (size_t s = 0; s < NINJA_STEPS; s++) {
        if (all[s].run) {
            put_step_row(view, sw, s, &all[s]);
        }
    }
    html_put(view->html, "</tbody></table></div>\n");
}

static void put_given_up(const struct view *view, json_t *sw)
{
    size_t i;
    json_t *attempt, *list = json_object_get(sw, "given_up");
    if (json_array_size(list) == 0) {
        return;
    }
    html_put(view->html, "<ul class=\"warnings\">\n");
    json_array_foreach(list, i, attempt)
    {
        char stall[40];
        if (i == (size_t)view->detail->lines) {
            html_put(view->html, "<li>and %lld more</li>", (long long)(json_array_size(list) - i));
            break;
        }
        double ms = view_ms(attempt, "stall_ms");
        html_put(view->html, "<li>An attempt was given up after %s: %s</li>\n",
                 units_ms(stall, sizeof(stall), ms > 0 ? ms : 0), json_text_in(attempt, "reason"));
    }
    html_put(view->html, "</ul>\n");
}

static void put_left_out(const struct view *view, json_t *sw)
{
    size_t i;
    json_t *left, *list = json_object_get(sw, "left_out");
    if (json_array_size(list) == 0) {
        return;
    }
    html_put(view->html, "<ul class=\"warnings\">\n");
    json_array_foreach(list, i, left)
    {
        if (i == (size_t)view->detail->lines) {
            html_put(view->html, "<li>and %lld more</li>", (long long)(json_array_size(list) - i));
            break;
        }
        html_put(view->html,
                 "<li>Rank %lld in %s went on without %s: no message got through</li>\n",
                 (long long)json_integer_value(json_object_get(left, "rank")),
                 json_text_in(left, "vm"), json_text_in(left, "transports"));
    }
    html_put(view->html, "</ul>\n");
}

static void put_switch(const struct view *view, json_t *sw, size_t number)
{
    struct taken all[NINJA_STEPS];
    char stall[40], now[200];
    double ms = view_ms(sw, "stall_ms");
    read_steps(sw, all);
    view_transports(json_object_get(sw, "transports"), now, sizeof(now));
    html_put(view->html,
             "<h3>Switch %lld: %s, jobs stood still for %s</h3>\n<p>Let go: <code>%s</code>. "
             "Chosen from: <code>%s</code>. Then the jobs ran on: <b>%s</b>.</p>\n",
             (long long)number, json_text_in(sw, "outcome"),
             units_ms(stall, sizeof(stall), ms > 0 ? ms : 0), json_text_in(sw, "release"),
             json_text_in(sw, "reselect"), now);
    if (json_text_in(sw, "reason")[0] != '\0') {
        html_put(view->html, "<p class=\"reason\">%s</p>\n", json_text_in(sw, "reason"));
    }
    put_given_up(view, sw);
    put_left_out(view, sw);
    if (view_ms(sw, "start_ms") >= 0 && json_array_size(json_object_get(sw, "steps")) > 0) {
        html_put(view->html, "<figure>");
        put_picture(view, sw, number, all);
        html_put(view->html, "</figure>\n");
        if (!is_by_rank(view, sw)) {
            html_put(view->html,
                     "<p class=\"note\">%lld ranks are drawn together, by VM: the full colour "
                     "reaches as far as the fastest of them took, the light one as far as the "
                     "slowest. The JSON report has every rank.</p>\n",
                     (long long)ranks_of(sw));
        }
    }
    put_step_table(view, sw, number, all);
}

void ranks_put(const struct view *view)
{
    size_t i;
    json_t *sw, *switches = json_object_get(view->report, "switches");
    if (json_array_size(switches) == 0) {
        return;
    }
    html_put(view->html, "<section><h2>Switches of the transports</h2>\n"
                         "<p>In a switch every rank comes to a point at which no message is in "
                         "flight, lets go of its transports and chooses others. A bar is what a "
                         "rank took of a step; rounds of drain and settle are added up. Times "
                         "count from the beginning of the switch in the pictures, and from that "
                         "of the migration in the tables.</p>\n");
    json_array_foreach(switches, i, sw)
    {
        if (i == (size_t)view->detail->switches) {
            html_put(view->html, "<p class=\"note\">%lld more are in the JSON report.</p>\n",
                     (long long)(json_array_size(switches) - i));
            break;
        }
        put_switch(view, sw, i + 1);
    }
    html_put(view->html, "</section>\n");
}
