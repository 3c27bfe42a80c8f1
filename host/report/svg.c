#include "host/report/svg.h"

#include <math.h>
#include <string.h>

#include "host/base/units.h"

#define GAP_WIDTH   36
#define MIN_BAR     1.5
#define LETTER      6.3 /* how wide one is, about, at the size of labels */
#define MAX_TICKS   10
#define LONGEST_ROW 22 /* letters of a row's name */

static double gap(const struct svg_scale *scale)
{
    return scale->gap_end - scale->gap_begin;
}

double svg_x(const struct svg_scale *scale, double ms)
{
    double length = scale->to - scale->from - gap(scale);
    double room = SVG_RIGHT - SVG_LEFT - (gap(scale) > 0 ? GAP_WIDTH : 0);
    double per_ms = length > 0 ? room / length : 0;
    ms = ms < scale->from ? scale->from : ms > scale->to ? scale->to : ms;
    if (gap(scale) <= 0 || ms <= scale->gap_begin) {
        return SVG_LEFT + (ms - scale->from) * per_ms;
    }
    double at_gap = SVG_LEFT + (scale->gap_begin - scale->from) * per_ms;
    if (ms < scale->gap_end) {
        return at_gap + GAP_WIDTH * (ms - scale->gap_begin) / gap(scale);
    }
    return at_gap + GAP_WIDTH + (ms - scale->gap_end) * per_ms;
}

void svg_begin(struct html *html, int height, const char *title, const char *description)
{
    int id = ++html->ids;
    html_put(html,
             "<div class=\"picture\"><svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" "
             "viewBox=\"0 0 %d %d\" aria-labelledby=\"t%d d%d\">\n<title id=\"t%d\">%s</title>"
             "<desc id=\"d%d\">%s</desc>\n",
             SVG_WIDTH, height, id, id, id, title, id, description);
}

void svg_end(struct html *html)
{
    html_put(html, "</svg></div>\n");
}

void svg_text(struct html *html, const char *class, double x, double y, const char *text)
{
    html_put(html, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, x, y, text);
}

/* 1, 2 or 5 times a power of ten; in whole minutes where it is that long. */
static double tick_of(double length_ms)
{
    static const double minutes[] = {1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440};
    double least = length_ms / MAX_TICKS;
    for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]) && least > 20000; i++) {
        if (minutes[i] * 60000 >= least) {
            return minutes[i] * 60000;
        }
    }
    double power = pow(10, floor(log10(least > 0.1 ? least : 0.1)));
    return power * (least <= power ? 1 : least <= 2 * power ? 2 : least <= 5 * power ? 5 : 10);
}

void svg_axis(struct html *html, const struct svg_scale *scale, int top, int bottom)
{
    double tick = tick_of(scale->to - scale->from - gap(scale));
    if (gap(scale) > 0) {
        double x = svg_x(scale, scale->gap_begin);
        html_put(html, "<path class=\"gap\" d=\"M%.1f %dV%dM%.1f %dV%d\"/>\n", x, top, bottom,
                 x + GAP_WIDTH, top, bottom);
    }
    for (double at = scale->from; at <= scale->to; at += tick) {
        char text[32];
        double x = svg_x(scale, at);
        bool after = gap(scale) > 0 && at >= scale->gap_end;
        if (gap(scale) > 0 && !after && at > scale->gap_begin) {
            at = scale->gap_end - tick; /* the next one is its end */
            continue;
        }
        text[0] = '+';
        units_ms(text + 1, sizeof(text) - 1, at - (after ? scale->gap_end : scale->from));
        html_put(html, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>\n", x, top, bottom);
        svg_text(html, "tick", x, bottom + 14, after ? text : text + 1);
    }
}

void svg_bar(struct html *html, const struct svg_scale *scale, const char *class, double begin_ms,
             double end_ms, int y, int height, const char *label, const char *title)
{
    double x = svg_x(scale, begin_ms), width = svg_x(scale, end_ms) - x;
    width = width < MIN_BAR ? MIN_BAR : width;
    html_put(html, "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"", class, x,
             y, width, height);
    if (title != NULL) {
        html_put(html, "><title>%s</title></rect>\n", title);
    } else {
        html_put(html, "/>\n");
    }
    if (label != NULL && height >= 12 && (double)strlen(label) * LETTER + 6 <= width) {
        html_put(html, "<text class=\"in %s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class,
                 x + width / 2, y + height / 2.0 + 3.8, label);
    }
}

void svg_row_name(struct html *html, int y, int height, const char *name)
{
    char text[LONGEST_ROW * 4 + 8];
    size_t letters = 0, len = 0;
    for (; name[len] != '\0' && len < LONGEST_ROW * 4; len++) {
        letters += ((unsigned char)name[len] & 0xC0) != 0x80;
        if (letters > LONGEST_ROW) {
            break;
        }
    }
    snprintf(text, sizeof(text), "%.*s%s", (int)len, name, name[len] != '\0' ? "\xE2\x80\xA6" : "");
    svg_text(html, height >= 12 ? "row" : "row small", SVG_LEFT - 8, y + height / 2.0 + 3.8, text);
}
