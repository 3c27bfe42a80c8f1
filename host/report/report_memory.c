/*
 * How the memory was sent: bytes and rate over time, on the same scale as the timeline.
 */
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/units.h"
#include "host/report/report_view.h"

#include <stdlib.h>

#define TOP     14
#define HEIGHT  130 /* of a plot */
#define MAX_VMS 8   /* that have a line of their own */

/* A figure of one VM, or of all together, by sample. */
struct curve {
    double *at_ms, *value;
    size_t n;
    double most;
};

static json_t *at_list(const struct view *view)
{
    return json_object_get(json_object_get(view->report, "samples"), "at_ms");
}

static json_t *vm_list(const struct view *view)
{
    return json_object_get(json_object_get(view->report, "samples"), "vms");
}

static void make_curve(const struct view *view, struct curve *curve)
{
    size_t n = json_array_size(at_list(view));
    *curve = (struct curve){.n = n};
    curve->at_ms = xcalloc(n + 1, sizeof(double));
    curve->value = xcalloc(n + 1, sizeof(double));
    for (size_t i = 0; i < n; i++) {
        double ms = json_number_value(json_array_get(at_list(view), i));
        double least = i > 0 ? curve->at_ms[i - 1] : 0;
        curve->at_ms[i] = ms < least ? least : ms > view->scale.to ? view->scale.to : ms;
    }
}

static void clear_curve(struct curve *curve)
{
    free(curve->at_ms);
    free(curve->value);
}

static void add_vm(struct curve *curve, json_t *vm, const char *key)
{
    for (size_t i = 0; i < curve->n; i++) {
        double value = json_number_value(json_array_get(json_object_get(vm, key), i));
        curve->value[i] += value > 0 && value < 1e18 ? value : 0;
        curve->most = curve->value[i] > curve->most ? curve->value[i] : curve->most;
    }
}

/* Bytes become bytes a second, from one sample to the next. */
static void differentiate(struct curve *curve)
{
    double before = 0, since = curve->n > 1 ? 2 * curve->at_ms[0] - curve->at_ms[1] : 0;
    curve->most = 0;
    for (size_t i = 0; i < curve->n; i++) {
        double bytes = curve->value[i] - before, ms = curve->at_ms[i] - since;
        before = curve->value[i];
        since = curve->at_ms[i];
        curve->value[i] = ms > 0 && bytes > 0 ? bytes / ms * 1000 : 0;
        curve->most = curve->value[i] > curve->most ? curve->value[i] : curve->most;
    }
}

static void put_curve(const struct view *view, const struct curve *curve, const char *class,
                      int bottom, double most)
{
    html_put(view->html, "<path class=\"%s\" d=\"", class);
    for (size_t i = 0; i < curve->n; i++) {
        html_put(view->html, "%s%.1f %.1f", i ? "L" : "M", svg_x(&view->scale, curve->at_ms[i]),
                 bottom - (most > 0 ? curve->value[i] / most : 0) * (HEIGHT - 16));
    }
    html_put(view->html, "\"/>\n");
}

static void put_bands(const struct view *view, int bottom)
{
    json_t *stalls = view_stalls(view->report), *stall;
    size_t i;
    json_array_foreach(stalls, i, stall)
    {
        double begin = view_ms(stall, "start_ms");
        if (i < (size_t)view->detail->marks) {
            svg_bar(view->html, &view->scale, "band", begin, begin + view_ms(stall, "ms"), TOP - 4,
                    bottom - TOP + 4, NULL, NULL);
        }
    }
    json_decref(stalls);
}

static void frame_begin(const struct view *view, const char *title, const char *most)
{
    int bottom = TOP + HEIGHT;
    html_put(view->html, "<figure><figcaption>%s</figcaption>", title);
    svg_begin(view->html, bottom + 22, title,
              "Over time; the table below has the figures. Where jobs stood still is a band.");
    svg_axis(view->html, &view->scale, TOP - 4, bottom);
    put_bands(view, bottom);
    svg_text(view->html, "row", SVG_LEFT - 8, TOP + 18, most);
    svg_text(view->html, "row", SVG_LEFT - 8, bottom, "0");
    html_put(view->html, "<path class=\"base\" d=\"M%d %dH%d\"/>\n", SVG_LEFT, bottom, SVG_RIGHT);
}

static void frame_end(const struct view *view)
{
    svg_end(view->html);
    html_put(view->html, "</figure>\n");
}

static struct curve curve_of_all(const struct view *view, const char *key)
{
    struct curve curve;
    size_t i;
    json_t *vm;
    make_curve(view, &curve);
    json_array_foreach(vm_list(view), i, vm)
    {
        add_vm(&curve, vm, key);
    }
    return curve;
}

static void put_sent(const struct view *view, const struct curve *sent)
{
    char most[40];
    size_t i, n = json_array_size(vm_list(view));
    json_t *vm;
    frame_begin(view,
                n > 1 && n <= MAX_VMS ? "Bytes sent: all VMs (thick), each VM (thin)"
                                      : "Bytes sent, all VMs together",
                units_bytes(most, sizeof(most), sent->most));
    json_array_foreach(vm_list(view), i, vm)
    {
        struct curve curve;
        if (n > 1 && n <= MAX_VMS) {
            make_curve(view, &curve);
            add_vm(&curve, vm, "transferred");
            put_curve(view, &curve, "line thin", TOP + HEIGHT, sent->most);
            clear_curve(&curve);
        }
    }
    put_curve(view, sent, "line", TOP + HEIGHT, sent->most);
    frame_end(view);
}

static void put_rate(const struct view *view, const struct curve *rate, const struct curve *dirty)
{
    char text[40];
    double top = dirty->most > rate->most ? dirty->most : rate->most;
    units_rate(text, sizeof(text), top);
    frame_begin(view,
                dirty->most > 0 ? "Rate, all VMs together: sent (solid), and dirtied by the guests "
                                  "(dashed)"
                                : "Rate at which all VMs together were sent",
                text);
    if (dirty->most > 0) {
        put_curve(view, dirty, "line dashed", TOP + HEIGHT, top);
    }
    put_curve(view, rate, "line", TOP + HEIGHT, top);
    frame_end(view);
}

static void put_table(const struct view *view, const struct curve *sent, const struct curve *rate,
                      const struct curve *dirty)
{
    size_t lines = (size_t)view->detail->lines, every = (sent->n + lines - 1) / lines;
    html_put(view->html,
             "<details><summary>The figures</summary><div class=\"table\"><table>"
             "<caption>All VMs together, by time since the beginning</caption><thead><tr>"
             "<th scope=\"col\">ms</th><th scope=\"col\">sent, MiB</th>"
             "<th scope=\"col\">sent, MiB/s</th><th scope=\"col\">dirtied, MiB/s</th></tr>"
             "</thead><tbody>\n");
    for (size_t i = 0; i < sent->n; i++) {
        if (i % every == 0 || i + 1 == sent->n) {
            html_put(view->html, "<tr><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td></tr>\n",
                     sent->at_ms[i], sent->value[i] / UNITS_MIB, rate->value[i] / UNITS_MIB,
                     dirty->value[i] / UNITS_MIB);
        }
    }
    html_put(view->html, "</tbody></table></div></details>\n");
}

void memory_put(const struct view *view)
{
    if (json_array_size(at_list(view)) == 0) {
        return;
    }
    struct curve sent = curve_of_all(view, "transferred"), rate = curve_of_all(view, "transferred");
    struct curve dirty = curve_of_all(view, "dirty_bytes_per_s");
    differentiate(&rate);
    html_put(view->html, "<section><h2>Memory</h2>\n");
    if (sent.n > 0 && rate.n == sent.n && dirty.n == sent.n) {
        put_sent(view, &sent);
        put_rate(view, &rate, &dirty);
        put_table(view, &sent, &rate, &dirty);
    }
    html_put(view->html, "</section>\n");
    clear_curve(&sent);
    clear_curve(&rate);
    clear_curve(&dirty);
}
