/*
 * By which way the memory of each VM was sent, where that was chosen: what was foreseen of each
 * way, and what came of the chosen one.
 */
#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/report/report_view.h"

#include <string.h>

/* A time, or a dash where there is none. */
static void time_put(const struct view *view, const json_t *object, const char *key)
{
    char text[40];
    double ms = view_ms(object, key);
    html_put(view->html, "<td>%s</td>", ms < 0 ? "-" : units_ms(text, sizeof(text), ms));
}

static void bytes_put(const struct view *view, const json_t *object, const char *key)
{
    char text[40];
    double bytes = json_number_value(json_object_get(object, key));
    html_put(view->html, "<td>%s</td>",
             bytes > 0 && bytes < 1e18 ? units_bytes(text, sizeof(text), bytes) : "-");
}

static void name_put(const struct view *view, json_t *vm, const char *way, const char *what)
{
    html_put(view->html,
             "<tr><th scope=\"row\">%s</th><td class=\"word\">%s</td><td class=\"word\">%s</td>",
             json_text_in(vm, "name"), way, what);
}

/* Why a way was not to be had; "" for one that was. */
static const char *way_note(json_t *way)
{
    if (!json_is_true(json_object_get(way, "possible"))) {
        return "cannot be had";
    }
    if (!json_is_true(json_object_get(way, "ends"))) {
        return "would not end";
    }
    return json_text_in(way, "breaks")[0] != '\0' ? "breaks a limit" : "";
}

static void foreseen_put(const struct view *view, json_t *vm, json_t *way)
{
    json_t *method = json_object_get(vm, "method");
    bool chosen = strcmp(json_text_in(way, "name"), json_text_in(method, "name")) == 0;
    name_put(view, vm, json_text_in(way, "name"), chosen ? "chosen, foreseen" : "foreseen");
    time_put(view, way, "copy_ms");
    bytes_put(view, way, "bytes");
    time_put(view, way, "downtime_ms");
    time_put(view, way, "behind_ms");
    html_put(view->html, "<td class=\"word\">%s</td></tr>\n",
             chosen ? json_text_in(method, "why") : way_note(way));
}

static void measured_put(const struct view *view, json_t *vm)
{
    json_t *method = json_object_get(vm, "method");
    bool alone = json_array_size(json_object_get(method, "ways")) == 0;
    name_put(view, vm, json_text_in(method, "name"), "measured");
    time_put(view, json_object_get(vm, "stages"), "copy");
    bytes_put(view, vm, "transferred_bytes");
    time_put(view, vm, "downtime_ms");
    html_put(view->html, "<td>-</td><td class=\"word\">%s</td></tr>\n",
             alone ? json_text_in(method, "why") : "");
}

static bool was_chosen(json_t *vm)
{
    return json_is_object(json_object_get(vm, "method"));
}

static size_t count_chosen(json_t *vms)
{
    size_t i, n = 0;
    json_t *vm;
    json_array_foreach(vms, i, vm)
    {
        n += was_chosen(vm);
    }
    return n;
}

static void vm_put(const struct view *view, json_t *vm)
{
    size_t i;
    json_t *way;
    json_array_foreach(json_object_get(json_object_get(vm, "method"), "ways"), i, way)
    {
        foreseen_put(view, vm, way);
    }
    measured_put(view, vm);
}

void methods_put(const struct view *view)
{
    size_t i, shown = 0;
    json_t *vm, *vms = json_object_get(view->report, "vms");
    size_t chosen = count_chosen(vms);
    if (chosen == 0) {
        return;
    }
    html_put(view->html,
             "<section><h2>Ways of the memory</h2>\n<div class=\"table\"><table><caption>What was "
             "foreseen of each way, and what came of the chosen one</caption><thead><tr>"
             "<th scope=\"col\" class=\"word\">VM</th><th scope=\"col\" class=\"word\">way</th>"
             "<th scope=\"col\" class=\"word\"></th><th scope=\"col\">all copied after</th>"
             "<th scope=\"col\">sent</th><th scope=\"col\">stands still</th>"
             "<th scope=\"col\">runs without all of it</th>"
             "<th scope=\"col\" class=\"word\">why</th></tr></thead><tbody>\n");
    json_array_foreach(vms, i, vm)
    {
        if (was_chosen(vm) && shown < (size_t)view->detail->lines) {
            vm_put(view, vm);
            shown++;
        }
    }
    html_put(view->html, "</tbody></table></div>\n");
    if (chosen > shown) {
        html_put(view->html,
                 "<p class=\"note\">%lld VMs more are in the text and the JSON report.</p>\n",
                 (long long)(chosen - shown));
    }
    html_put(view->html, "</section>\n");
}
