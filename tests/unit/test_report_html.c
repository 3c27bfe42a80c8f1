/* Reports as pages: what guests said stays text, a page stays small, and all of it is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/stages.h"
#include "common/switch_steps.h"
#include "host/base/units.h"
#include "host/migration/samples.h"
#include "host/report/html.h"
#include "host/report/report_figures.h"
#include "host/report/report_html.h"
#include "host/report/report_view.h"
#include "tests/unit/fake_peer.h"

#define EVIL                                                                                       \
    "</title></svg><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"alert(3)' "    \
    "]]>&lt;"

/* ---- text in markup ---- */

static char *put(const char *text, size_t max)
{
    struct html html;
    size_t size;
    html_begin(&html, max);
    html_put(&html, "%s", text);
    return html_end(&html, &size);
}

static void assert_put(const char *text, const char *expected)
{
    char *said = put(text, 100);
    assert_string_equal(said, expected);
    free(said);
}

static void text_stays_text(void **state)
{
    assert_put("a<b>\"c\"'d'&e", "a&lt;b&gt;&quot;c&quot;&#39;d&#39;&amp;e");
    assert_put("a\nb\tc", "a b c");
    assert_put("\x1b[31m\x01\x7f", "?[31m??");
    assert_put("h\xc3\xa9", "h\xc3\xa9");
    assert_put("\xe2\x80\xaetxt.exe", "?txt.exe"); /* right to left */
    assert_put("\xef\xbf\xbe\xef\xbf\xbf", "??");  /* no characters of XML */
    assert_put("\xc2\x85", "?");
    assert_put("\xff\xc3", "??");
    assert_put("\xed\xa0\x80", "?");
}

static void a_long_text_is_cut_between_characters(void **state)
{
    char *said = put("abc\xc3\xa9\xc3\xa9", 4);
    assert_string_equal(said, "abc\xE2\x80\xA6");
    free(said);
    said = put("abcd", 4);
    assert_string_equal(said, "abcd");
    free(said);
}

static void markup_takes_figures(void **state)
{
    struct html html;
    size_t size;
    html_begin(&html, 10);
    html_put(&html, "<a b=\"%d\" c=\"%lld\">%.1f%%</a>", -3, 5LL, 2.25);
    char *text = html_end(&html, &size);
    assert_string_equal(text, "<a b=\"-3\" c=\"5\">2.2%</a>");
    assert_int_equal(size, strlen(text));
    free(text);
}

static void figures_have_units(void **state)
{
    char text[40];
    assert_string_equal(units_ms(text, sizeof(text), 0), "0 ms");
    assert_string_equal(units_ms(text, sizeof(text), 0.44), "0.4 ms");
    assert_string_equal(units_ms(text, sizeof(text), 34.4), "34 ms");
    assert_string_equal(units_ms(text, sizeof(text), 1250), "1.25 s");
    assert_string_equal(units_ms(text, sizeof(text), 20000), "20 s");
    assert_string_equal(units_ms(text, sizeof(text), 192000), "3 min 12 s");
    assert_string_equal(units_bytes(text, sizeof(text), 512), "512 B");
    assert_string_equal(units_bytes(text, sizeof(text), 1.5 * 1024 * 1024), "1.5 MiB");
    assert_string_equal(units_rate(text, sizeof(text), 1.5 * 1024 * 1024), "1.5 MiB/s");
    assert_string_equal(units_bytes_short(text, sizeof(text), 128 << 20), "128M");
    assert_string_equal(units_bytes_short(text, sizeof(text), -1), "0");
    assert_string_equal(units_clock(text, sizeof(text), 65), "1:05");
    assert_string_equal(units_clock(text, sizeof(text), 9000), "2h30m");
    assert_string_equal(units_clock(text, sizeof(text), -1), "-");
}

/* ---- reports ---- */

#define STAGE_NAME(stage, name) name,
static const char *const stages[] = {NINJA_EACH_STAGE(STAGE_NAME)};
#define N_STAGES (sizeof(stages) / sizeof(stages[0]))

struct knobs {
    int vms, ranks; /* ranks: of each VM */
    int jobs, switches, rounds, given_up, warnings, samples;
    const char *text; /* in every name and reason */
};

/* Pre-copy and post-copy were looked at, and the latter was chosen. */
static json_t *make_method(const struct knobs *knobs)
{
    json_t *ways = json_pack(
        "[{s:s, s:b, s:b, s:i, s:i, s:i, s:I, s:n}, {s:s, s:b, s:b, s:i, s:i, s:i, s:I, s:s}]",
        "name", "pre-copy", "possible", 1, "ends", 0, "downtime_ms", 300, "copy_ms", 60000,
        "behind_ms", 0, "bytes", (json_int_t)3 << 30, "breaks", "name", "post-copy", "possible", 1,
        "ends", 1, "downtime_ms", 50, "copy_ms", 5000, "behind_ms", 4800, "bytes",
        (json_int_t)1 << 30, "breaks", knobs->text);
    return json_pack("{s:s, s:o, s:s, s:o}", "name", "post-copy", "why",
                     json_sprintf("a pre-copy would not end%s", knobs->text), "priority", "latency",
                     "ways", ways);
}

static json_t *make_vm(const struct knobs *knobs, int v)
{
    json_t *timeline = json_array(), *durations = json_object();
    for (size_t s = 0; s < N_STAGES; s++) {
        json_array_append_new(timeline, json_pack("{s:s, s:i, s:i}", "stage", stages[s], "start_ms",
                                                  (int)s * 1000 + v % 50, "ms", 900 + v % 40));
        json_object_set_new(durations, stages[s], json_integer(900 + v % 40));
    }
    return json_pack("{s:o, s:s, s:s, s:I, s:i, s:i, s:s, s:s, s:o, s:o, s:o}", "name",
                     json_sprintf("vm%d%s", v + 1, knobs->text), "from", knobs->text, "at",
                     knobs->text, "transferred_bytes", (json_int_t)1 << 31, "downtime_ms", 40,
                     "arrived_ms", 3900, "link", knobs->text, "link_name", knobs->text, "timeline",
                     timeline, "stages", durations, "method", make_method(knobs));
}

static json_t *make_switch(const struct knobs *knobs, int number)
{
    json_t *list = json_array(), *given_up = json_array(), *all = json_array();
    for (int r = 0; r < knobs->rounds; r++) {
        for (size_t s = 0; s < NINJA_STEPS; s++) {
            json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:i, s:i}", "step",
                                                  ninja_step_name((unsigned)s), "round", r,
                                                  "start_ms", number * 4000 + 10 * (int)s, "ms", 9,
                                                  "max_rank_micros", 8000));
        }
    }
    for (int g = 0; g < knobs->given_up; g++) {
        json_array_append_new(given_up, json_pack("{s:s, s:i, s:i, s:i}", "reason", knobs->text,
                                                  "rounds", 3, "start_ms", g, "stall_ms", 1));
    }
    for (int j = 0; j < knobs->jobs; j++) {
        json_t *micros = json_object();
        for (size_t s = 0; s < NINJA_STEPS; s++) {
            json_t *of_step = json_array();
            for (int r = 0; r < knobs->vms * knobs->ranks; r++) {
                json_array_append_new(of_step, json_integer(1000 + 37 * r % 6000));
            }
            json_object_set_new(micros, ninja_step_name((unsigned)s), of_step);
        }
        json_array_append_new(all,
                              json_pack("{s:o, s:o}", "job",
                                        json_sprintf("job%d%s", j, knobs->text), "micros", micros));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:{s:i}}", "release",
                     knobs->text, "reselect", knobs->text, "outcome", "done", "reason", knobs->text,
                     "start_ms", number * 4000, "stall_ms", 70, "steps", list, "given_up", given_up,
                     "ranks", all, "transports", knobs->text[0] ? knobs->text : "tcp", 4);
}

static json_t *make_jobs(const struct knobs *knobs)
{
    json_t *jobs = json_array();
    for (int j = 0; j < knobs->jobs; j++) {
        json_t *ranks = json_array();
        for (int r = 0; r < knobs->vms * knobs->ranks; r++) {
            json_array_append_new(
                ranks, json_pack("{s:i, s:o, s:{s:i}}", "rank", r, "vm",
                                 json_sprintf("vm%d%s", r / knobs->ranks + 1, knobs->text),
                                 "transports", knobs->text[0] ? knobs->text : "openib", r));
        }
        json_array_append_new(jobs,
                              json_pack("{s:o, s:o}", "job",
                                        json_sprintf("job%d%s", j, knobs->text), "ranks", ranks));
    }
    return jobs;
}

static json_t *make_samples(const struct knobs *knobs)
{
    json_t *at = json_array(), *vms = json_array(), *column = json_array();
    for (int i = 0; i < knobs->samples; i++) {
        json_array_append_new(at, json_integer(3000 + i * 5));
        json_array_append_new(column, json_integer((json_int_t)i * 12345678));
    }
    for (int v = 0; v < knobs->vms; v++) {
        json_array_append_new(vms, json_pack("{s:s, s:O, s:O}", "name", knobs->text, "transferred",
                                             column, "dirty_bytes_per_s", column));
    }
    json_decref(column);
    return json_pack("{s:o, s:o}", "at_ms", at, "vms", vms);
}

static json_t *make_report(const struct knobs *knobs)
{
    json_t *vms = json_array(), *switches = json_array(), *warnings = json_array();
    for (int v = 0; v < knobs->vms; v++) {
        json_array_append_new(vms, make_vm(knobs, v));
    }
    for (int s = 0; s < knobs->switches; s++) {
        json_array_append_new(switches, make_switch(knobs, s));
    }
    for (int w = 0; w < knobs->warnings; w++) {
        json_array_append_new(warnings, json_string(knobs->text));
    }
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o,"
        " s:[{s:s, s:i, s:i}, {s:s, s:i, s:i}], s:i, s:i}",
        "version", 1, "id", "20250101-120000-1", "cluster", knobs->text, "mode", "live", "from",
        knobs->text, "to", knobs->text, "outcome", "done", "reason", knobs->text, "begin",
        "2025-01-01T12:00:00.000+0000", "end", "2025-01-01T12:00:09.000+0000", "vms", vms,
        "switches", switches, "warnings", warnings, "jobs_before", make_jobs(knobs), "jobs_after",
        make_jobs(knobs), "samples", make_samples(knobs), "states", "state", "PLANNED", "start_ms",
        0, "ms", 3000, "state", "COPYING", "start_ms", 3000, "ms", 6000, "stall_total_ms", 140,
        "stall_longest_ms", 70);
}

static char *page_of(const struct knobs *knobs)
{
    size_t size;
    json_t *report = make_report(knobs);
    assert_non_null(report);
    char *page = report_html(report, &size);
    assert_non_null(page);
    assert_int_equal(strlen(page), size);
    json_decref(report);
    return page;
}

static void assert_in(const char *page, const char *text)
{
    if (strstr(page, text) == NULL) {
        fail_msg("\"%s\" is not in the page", text);
    }
}

static const struct knobs few = {
    .vms = 2, .ranks = 2, .jobs = 1, .switches = 2, .rounds = 1, .samples = 40, .text = ""};

static void every_stage_of_every_vm_and_rank_is_there(void **state)
{
    char *page = page_of(&few), text[120];
    for (int v = 0; v < few.vms; v++) {
        for (size_t s = 0; s < N_STAGES; s++) {
            snprintf(text, sizeof(text), "<title>vm%d %s: %d ms, from ", v + 1, stages[s], 900 + v);
            assert_in(page, text);
        }
        snprintf(text, sizeof(text), "<title>vm%d downtime: 40 ms, from 3.86 s on</title>", v + 1);
        assert_in(page, text);
    }
    for (int r = 0; r < few.vms * few.ranks; r++) {
        for (size_t s = 0; s < NINJA_STEPS; s++) {
            snprintf(text, sizeof(text), "<title>rank %d, vm%d, %s: ", r, r / few.ranks + 1,
                     ninja_step_name((unsigned)s));
            assert_in(page, text);
        }
    }
    assert_in(page, "class=\"stall\"");
    assert_in(page, "class=\"band\"");
    assert_in(page, ">stall 70 ms</text>");
    assert_in(page, "The jobs ran on <b>openib</b>, from 70 ms on over <b>tcp</b>");
    assert_in(page, "<td class=\"word\">openib: 3</td>");
    assert_in(page, "Bytes sent: all VMs (thick), each VM (thin)");
    assert_in(page, "<th scope=\"row\">vm2</th><td class=\"word\">pre-copy</td>"
                    "<td class=\"word\">foreseen</td><td>1 min</td><td>3.0 GiB</td>"
                    "<td>300 ms</td><td>0 ms</td><td class=\"word\">would not end</td>");
    assert_in(page, "<td class=\"word\">chosen, foreseen</td><td>5 s</td><td>1.0 GiB</td>"
                    "<td>50 ms</td><td>4.8 s</td>"
                    "<td class=\"word\">a pre-copy would not end</td>");
    assert_in(page, "<td class=\"word\">measured</td><td>901 ms</td><td>2.0 GiB</td>"
                    "<td>40 ms</td><td>-</td>");
    free(page);
}

static void a_page_asks_for_nothing(void **state)
{
    static const char *const never[] = {"<script", "<link",  "<img",  "<iframe", "<object",
                                        "@import", "url(\"", "url(h", "src=",    "href=\"h"};
    char *page = page_of(&few);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strstr(page, never[i]) != NULL) {
            fail_msg("\"%s\" is in the page", never[i]);
        }
    }
    assert_in(page, "content=\"default-src 'none'; style-src 'unsafe-inline'; ");
    free(page);
}

/* Wherever a text of a report goes, it is not markup there. */
static void what_a_guest_says_is_text(void **state)
{
    struct knobs knobs = few;
    size_t size;
    knobs.text = EVIL;
    knobs.given_up = knobs.warnings = 2;
    char *page = page_of(&knobs);
    json_t *report = make_report(&knobs);
    char *both = report_html_compare(report, report, &size);
    char *pages[] = {page, both};
    for (int i = 0; i < 2; i++) {
        assert_null(strstr(pages[i], "<script"));
        assert_null(strstr(pages[i], "<img"));
        assert_null(strstr(pages[i], "\" onload"));
        assert_null(strstr(pages[i], "]]>"));
        assert_in(pages[i], "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)"
                            "&gt;&quot; onload=&quot;alert(3)&#39; ]]&gt;&amp;lt;");
        free(pages[i]);
    }
    json_decref(report);
}

static void a_page_stays_small(void **state)
{
    char *longest = malloc(256);
    memset(longest, '"', 255); /* six times as long in the page */
    longest[255] = '\0';
    const struct knobs many[] = {
        {8, 64, 1, 2, 3, 0, 0, 240, ""},
        {16, 64, 1, 2, 3, 0, 0, 240, ""},
        {1, 1024, 1, 2, 3, 0, 0, 240, ""},
        {256, 4, 1, 2, 3, 0, 0, 64, ""},
        {256, 2, 8, 12, 300, 300, 300, 64, longest},
        {4, 1, 64, 12, 500, 2000, 2000, 240, longest},
    };
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        char *page = page_of(&many[i]);
        if (strlen(page) > REPORT_HTML_MAX) {
            fail_msg("page %zu has %zu bytes", i, strlen(page));
        }
        assert_in(page, "</html>");
        if (i < 4) {
            assert_in(page, "ranks are drawn together, by VM");
        }
        free(page);
    }
    free(longest);
}

static void many_vms_share_lines_and_the_page_says_so(void **state)
{
    const struct knobs many = {256, 1, 1, 1, 1, 0, 0, 10, ""};
    char *page = page_of(&many);
    assert_in(page, "A line stands for up to 4 VMs");
    assert_in(page, ">vm1 to vm4</text>");
    assert_in(page, ">vm253 to vm256</text>");
    assert_in(page, "<td>900 to 903<small>at 0</small></td>");
    free(page);
}

/* As of a ninjactl before this one, by hand, or from who knows where. */
static void a_report_that_lacks_things_is_shown(void **state)
{
    static const char *const reports[] = {
        "{}",
        "{\"vms\": 3, \"switches\": {}, \"states\": [1], \"samples\": [], \"jobs_before\": \"x\"}",
        "{\"vms\": [{\"name\": 7, \"timeline\": [{\"stage\": \"copy\", \"start_ms\": -5, \"ms\": "
        "1e300}]}], \"switches\": [{}, {\"start_ms\": 1e99, \"stall_ms\": -1, \"steps\": [{}], "
        "\"ranks\": [{\"micros\": {\"stop\": [\"x\", -5, 1e99]}}], \"given_up\": [{}]}]}",
        "{\"samples\": {\"at_ms\": [5, 1, -3, 1e99, \"x\"], \"vms\": [{\"transferred\": [1, 2, "
        "-1e99]}, 5, null]}}",
        "{\"jobs_before\": [{\"job\": 1, \"ranks\": [1, {\"transports\": []}]}, 5], "
        "\"jobs_after\": "
        "[{}]}",
    };
    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
        size_t size;
        json_t *report = json_loads(reports[i], 0, NULL);
        assert_non_null(report);
        char *page = report_html(report, &size);
        assert_in(page, "</html>");
        free(page);
        page = report_html_compare(report, report, &size);
        assert_in(page, "</html>");
        free(page);
        json_decref(compare_to_json(report, report));
        json_decref(report);
    }
}

/* Before the first switch ranks have not said what they run on; they run all the same. */
static void jobs_that_said_nothing_run_on_what_they_began_with(void **state)
{
    size_t size;
    json_t *report = make_report(&few), *job, *rank;
    size_t i, j;
    json_array_clear(json_object_get(report, "switches"));
    json_array_foreach(json_object_get(report, "jobs_before"), j, job)
    {
        json_array_foreach(json_object_get(job, "ranks"), i, rank)
        {
            json_object_set_new(rank, "transports", json_null());
        }
    }
    char *page = report_html(report, &size);
    assert_in(page, "jobs run on what they began with: ");
    assert_null(strstr(page, "jobs run on none"));
    free(page);
    json_array_clear(json_object_get(report, "jobs_before"));
    page = report_html(report, &size);
    assert_in(page, "jobs run on none: ");
    free(page);
    json_decref(report);
}

static void an_old_report_has_its_figures(void **state)
{
    size_t size;
    json_t *report = make_report(&few);
    json_object_del(json_array_get(json_object_get(report, "vms"), 0), "timeline");
    json_object_del(json_array_get(json_object_get(report, "vms"), 1), "timeline");
    char *page = report_html(report, &size);
    assert_in(page, "did not yet say when a stage began");
    assert_in(page, "<td>901</td>");
    free(page);
    json_decref(report);
}

static void two_migrations_are_compared(void **state)
{
    struct knobs more = few;
    char a[FIGURE_SIZE], b[FIGURE_SIZE], difference[FIGURE_DIFF_SIZE];
    more.vms = 3;
    json_t *first = make_report(&few), *second = make_report(&more);
    json_object_set_new(second, "stall_total_ms", json_integer(210));
    json_t *json = compare_to_json(first, second);
    json_t *differences = json_object_get(json, "differences");
    assert_int_equal(json_integer_value(json_object_get(differences, "stall_total_ms")), 70);
    assert_int_equal(json_integer_value(json_object_get(differences, "vms")), 1);
    assert_true(json_is_null(json_object_get(differences, "state_rolling_back_ms")));
    assert_int_equal((int)figure_value(first, "duration_ms"), 9000);
    assert_int_equal((int)figure_value(second, "stage_copy_ms"), 902);
    for (size_t i = 0; i < figure_count(); i++) {
        if (strcmp(figure_label(i), "jobs stood still, in all") == 0) {
            assert_true(figure_row(i, first, second, a, b, difference));
            assert_string_equal(a, "140 ms");
            assert_string_equal(b, "210 ms");
            assert_string_equal(difference, "+70 ms (+50%)");
        }
    }
    json_decref(json);
    json_decref(first);
    json_decref(second);
}

/* ---- samples ---- */

static void ask(void *arg, int vm, struct sample *sample)
{
    int64_t *transferred = arg;
    *sample = (struct sample){
        .vm = vm ? "b" : "a", .copying = true, .progress = {.transferred = ++*transferred}};
}

static void samples_stay_few(void **state)
{
    int64_t transferred = 0;
    struct event_base *base = event_base_new();
    struct samples *samples = samples_new(base, 2, ask, &transferred);
    for (int i = 0; i < 5000; i++) {
        samples_take(samples);
    }
    json_t *json = samples_to_json(samples);
    json_t *vm = json_array_get(json_object_get(json, "vms"), 1);
    json_t *column = json_object_get(vm, "transferred");
    size_t n = json_array_size(column);
    assert_in_range(n, 120, 240);
    assert_int_equal(json_array_size(json_object_get(json, "at_ms")), n);
    assert_int_equal(json_integer_value(json_array_get(column, 0)), 2);
    for (size_t i = 1; i < n; i++) {
        assert_true(json_integer_value(json_array_get(column, i)) >
                    json_integer_value(json_array_get(column, i - 1)));
    }
    assert_true(json_integer_value(json_array_get(column, n - 1)) > 9000);
    json_decref(json);
    samples_free(samples);
    event_base_free(base);
}

static void ask_about_rates(void *arg, int vm, struct sample *sample)
{
    *sample = (struct sample){
        .vm = "a", .copying = true, .progress = {.measured = *(unsigned *)arg, .bytes_per_s = 7}};
}

static void what_no_driver_measured_is_not_sampled(void **state)
{
    static const struct {
        unsigned measured;
        bool rate, dirty_rate;
    } cases[] = {{0, false, false},
                 {VMM_MEASURES_RATE, true, false},
                 {VMM_MEASURES_DIRTY_RATE, false, true},
                 {VMM_MEASURES_RATE | VMM_MEASURES_DIRTY_RATE, true, true}};
    struct event_base *base = event_base_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned measured = cases[i].measured;
        struct samples *samples = samples_new(base, 1, ask_about_rates, &measured);
        samples_take(samples);
        json_t *json = samples_to_json(samples);
        json_t *vm = json_array_get(json_object_get(json, "vms"), 0);
        json_t *rate = json_object_get(vm, "bytes_per_s");
        json_t *dirty = json_object_get(vm, "dirty_bytes_per_s");
        assert_true(cases[i].rate ? json_array_size(rate) == 1 : json_is_null(rate));
        assert_true(cases[i].dirty_rate ? json_array_size(dirty) == 1 : json_is_null(dirty));
        assert_int_equal(json_array_size(json_object_get(vm, "transferred")), 1);
        json_decref(json);
        samples_free(samples);
    }
    event_base_free(base);
}

static void every_stage_and_step_has_a_look(void **state)
{
    char class[32];
    for (size_t s = 0; s < N_STAGES; s++) {
        snprintf(class, sizeof(class), ".%s", stages[s]);
        assert_non_null(strstr(report_style, class));
    }
    for (unsigned s = 0; s < NINJA_STEPS; s++) {
        snprintf(class, sizeof(class), ".%s", ninja_step_name(s));
        assert_non_null(strstr(report_style, class));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_stays_text),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(markup_takes_figures),
        cmocka_unit_test(figures_have_units),
        cmocka_unit_test(every_stage_of_every_vm_and_rank_is_there),
        cmocka_unit_test(a_page_asks_for_nothing),
        cmocka_unit_test(what_a_guest_says_is_text),
        cmocka_unit_test(a_page_stays_small),
        cmocka_unit_test(many_vms_share_lines_and_the_page_says_so),
        cmocka_unit_test(a_report_that_lacks_things_is_shown),
        cmocka_unit_test(jobs_that_said_nothing_run_on_what_they_began_with),
        cmocka_unit_test(an_old_report_has_its_figures),
        cmocka_unit_test(two_migrations_are_compared),
        cmocka_unit_test(samples_stay_few),
        cmocka_unit_test(what_no_driver_measured_is_not_sampled),
        cmocka_unit_test(every_stage_and_step_has_a_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
