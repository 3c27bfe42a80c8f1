#include "host/report/report_figures.h"

#include <math.h>
#include <string.h>

#include "common/stages.h"
#include "host/base/json_text.h"
#include "host/base/units.h"
#include "host/journal/history.h"
#include "host/report/report_view.h"

enum unit {
    MS,
    BYTES,
    RATE,
    NUMBER,
};

static double all_ranks(json_t *report, const char *key);
static double slowest_vm(json_t *report, const char *stage);
static double all_states(json_t *report, const char *state);
static double plain(json_t *report, const char *key);
static double duration(json_t *report, const char *key);
static double longest_downtime(json_t *report, const char *key);
static double sent(json_t *report, const char *key);
static double rate(json_t *report, const char *key);
static double count(json_t *report, const char *key);
static double of_switches(json_t *report, const char *key);

#define STAGE_FIGURE(stage, name) {"stage_" name "_ms", name ", slowest VM", MS, slowest_vm, name},

static const struct figure {
    const char *name, *label;
    enum unit unit;
    double (*of)(json_t *report, const char *key);
    const char *key;
} figures[] = {
    {"vms", "VMs", NUMBER, count, "vms"},
    {"ranks", "MPI ranks", NUMBER, all_ranks, "jobs_before"},
    {"duration_ms", "duration", MS, duration, ""},
    {"stall_total_ms", "jobs stood still, in all", MS, plain, "stall_total_ms"},
    {"stall_longest_ms", "jobs stood still, at a time", MS, plain, "stall_longest_ms"},
    {"downtime_longest_ms", "longest downtime of a VM", MS, longest_downtime, "downtime_ms"},
    {"sent_bytes", "memory sent", BYTES, sent, ""},
    {"rate_bytes_per_s", "rate, on average", RATE, rate, ""},
    {"switches", "switches", NUMBER, count, "switches"},
    {"attempts", "attempts to quiesce", NUMBER, of_switches, "attempts"},
    {"rounds", "rounds of drain and settle", NUMBER, of_switches, "rounds"},
    {"state_planned_ms", "state PLANNED", MS, all_states, "PLANNED"},
    {"state_quiescing_ms", "state QUIESCING", MS, all_states, "QUIESCING"},
    {"state_releasing_ms", "state RELEASING", MS, all_states, "RELEASING"},
    {"state_detaching_ms", "state DETACHING", MS, all_states, "DETACHING"},
    {"state_copying_ms", "state COPYING", MS, all_states, "COPYING"},
    {"state_attaching_ms", "state ATTACHING", MS, all_states, "ATTACHING"},
    {"state_resuming_ms", "state RESUMING", MS, all_states, "RESUMING"},
    {"state_rolling_back_ms", "state ROLLING_BACK", MS, all_states, "ROLLING_BACK"},
    NINJA_EACH_STAGE(STAGE_FIGURE)};
#define N_FIGURES (sizeof(figures) / sizeof(figures[0]))

/* ---- each ---- */

static double plain(json_t *report, const char *key)
{
    return view_ms(report, key);
}

static double count(json_t *report, const char *key)
{
    return (double)json_array_size(json_object_get(report, key));
}

static double duration(json_t *report, const char *key)
{
    return (double)history_duration_ms(report);
}

static double all_ranks(json_t *report, const char *key)
{
    double ranks = 0;
    size_t i;
    json_t *job;
    json_array_foreach(json_object_get(report, key), i, job)
    {
        ranks += (double)json_array_size(json_object_get(job, "ranks"));
    }
    return ranks;
}

/* The most milliseconds that a VM has by that key, in the object `within`; NULL: in the VM's own.
 */
static double most_of_vms(json_t *report, const char *within, const char *key)
{
    double most = -1;
    size_t i;
    json_t *vm;
    json_array_foreach(json_object_get(report, "vms"), i, vm)
    {
        double ms = view_ms(within != NULL ? json_object_get(vm, within) : vm, key);
        most = ms > most ? ms : most;
    }
    return most;
}

static double longest_downtime(json_t *report, const char *key)
{
    return most_of_vms(report, NULL, key);
}

double figure_bytes(const json_t *object, const char *key)
{
    double bytes = json_number_value(json_object_get(object, key));
    return bytes > 0 ? bytes < 1e18 ? bytes : 1e18 : 0;
}

static double sent(json_t *report, const char *key)
{
    double bytes = 0;
    size_t i;
    json_t *vm;
    json_array_foreach(json_object_get(report, "vms"), i, vm)
    {
        bytes += figure_bytes(vm, "transferred_bytes");
    }
    return bytes;
}

static double slowest_vm(json_t *report, const char *stage)
{
    return most_of_vms(report, "stages", stage);
}

/* The rate of all VMs together, over the time of the slowest copy. */
static double rate(json_t *report, const char *key)
{
    double ms = slowest_vm(report, "copy"), bytes = sent(report, key);
    return ms > 0 && bytes > 0 ? bytes / ms * 1000 : -1;
}

/* A state may be entered twice. */
static double all_states(json_t *report, const char *name)
{
    double all = -1;
    size_t i;
    json_t *state;
    json_array_foreach(json_object_get(report, "states"), i, state)
    {
        double ms = view_ms(state, "ms");
        if (strcmp(json_text_in(state, "state"), name) == 0 && ms >= 0) {
            all = (all > 0 ? all : 0) + ms;
        }
    }
    return all;
}

static double of_switches(json_t *report, const char *key)
{
    double all = 0;
    size_t i;
    json_t *sw;
    json_array_foreach(json_object_get(report, "switches"), i, sw)
    {
        double n = view_ms(sw, key);
        all += n > 0 ? n : 0;
    }
    return all;
}

double figure_value(json_t *report, const char *name)
{
    for (size_t i = 0; i < N_FIGURES; i++) {
        if (strcmp(figures[i].name, name) == 0) {
            return figures[i].of(report, figures[i].key);
        }
    }
    return -1;
}

/* ---- two of them ---- */

size_t figure_count(void)
{
    return N_FIGURES;
}

const char *figure_label(size_t figure)
{
    return figures[figure].label;
}

static void write_figure(enum unit unit, double value, char *text, size_t size)
{
    if (value < 0) {
        snprintf(text, size, "-");
    } else if (unit == MS) {
        units_ms(text, size, value);
    } else if (unit == NUMBER) {
        snprintf(text, size, "%.0f", value);
    } else if (unit == RATE) {
        units_rate(text, size, value);
    } else {
        units_bytes(text, size, value);
    }
}

bool figure_row(size_t figure, json_t *first, json_t *second, char *a, char *b, char *difference)
{
    const struct figure *it = &figures[figure];
    double of_a = it->of(first, it->key), of_b = it->of(second, it->key);
    char change[FIGURE_SIZE];
    write_figure(it->unit, of_a, a, FIGURE_SIZE);
    write_figure(it->unit, of_b, b, FIGURE_SIZE);
    difference[0] = '\0';
    if (of_a >= 0 && of_b >= 0 && of_a != of_b) {
        write_figure(it->unit, fabs(of_b - of_a), change, sizeof(change));
        if (of_a > 0) {
            snprintf(difference, FIGURE_DIFF_SIZE, "%s%s (%+.0f%%)", of_b > of_a ? "+" : "-",
                     change, (of_b - of_a) / of_a * 100);
        } else {
            snprintf(difference, FIGURE_DIFF_SIZE, "%s%s", of_b > of_a ? "+" : "-", change);
        }
    }
    return of_a >= 0 || of_b >= 0;
}

static void print_pair(FILE *out, const char *what, json_t *first, json_t *second, const char *key)
{
    fprintf(out, "%-28s %20.20s %20.20s\n", what, json_text_in(first, key),
            json_text_in(second, key));
}

void compare_print(FILE *out, json_t *first, json_t *second)
{
    print_pair(out, "", first, second, "id");
    print_pair(out, "cluster", first, second, "cluster");
    print_pair(out, "mode", first, second, "mode");
    print_pair(out, "from", first, second, "from");
    print_pair(out, "to", first, second, "to");
    print_pair(out, "outcome", first, second, "outcome");
    for (size_t i = 0; i < N_FIGURES; i++) {
        char a[FIGURE_SIZE], b[FIGURE_SIZE], difference[FIGURE_DIFF_SIZE];
        if (figure_row(i, first, second, a, b, difference)) {
            fprintf(out, "%-28s %20s %20s%s%s\n", figures[i].label, a, b,
                    difference[0] ? "   " : "", difference);
        }
    }
}

static json_t *number_or_null(double value)
{
    return value >= 0 ? json_integer((json_int_t)(value + 0.5)) : json_null();
}

static json_t *side(json_t *report)
{
    static const char *const keys[] = {"id",    "cluster", "mode",    "from",  "to",
                                       "begin", "end",     "outcome", "reason"};
    json_t *json = json_object(), *all = json_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_object_set_new(json, keys[i], json_string(json_text_in(report, keys[i])));
    }
    for (size_t i = 0; i < N_FIGURES; i++) {
        json_object_set_new(all, figures[i].name,
                            number_or_null(figures[i].of(report, figures[i].key)));
    }
    json_object_set_new(json, "figures", all);
    return json;
}

json_t *compare_to_json(json_t *first, json_t *second)
{
    json_t *differences = json_object();
    for (size_t i = 0; i < N_FIGURES; i++) {
        double a = figures[i].of(first, figures[i].key), b = figures[i].of(second, figures[i].key);
        json_object_set_new(differences, figures[i].name,
                            a >= 0 && b >= 0 ? json_integer((json_int_t)floor(b - a + 0.5))
                                             : json_null());
    }
    return json_pack("{s:[o, o], s:o}", "migrations", side(first), side(second), "differences",
                     differences);
}
