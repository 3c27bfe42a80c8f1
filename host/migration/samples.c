/*
 * However long a copy lasts, the samples are few: when there is no more room, every second one is
 * dropped, and from then on they are taken half as often.
 */
#include "host/migration/samples.h"

#include <stdlib.h>

#include "host/base/memory.h"
#include "host/base/timer.h"

#define FIRST_PAUSE_MS 200
#define MAX_PAUSE_MS   3600000
#define MAX_TAKEN      240 /* times; fewer with many VMs */
#define MIN_TAKEN      32
#define MAX_FIGURES    16384 /* of all VMs */

struct figures {
    int64_t transferred, remaining, bytes_per_s, dirty_bytes_per_s;
};

struct samples {
    struct event_base *base;
    struct event *timer;
    void (*ask)(void *arg, int vm, struct sample *sample);
    void *arg;
    int n_vms, room, taken;
    int pause_ms;
    int64_t began_ms;
    int64_t *at_ms;          /* room of them, since it began */
    struct figures *figures; /* room * n_vms of them */
};

static struct figures *figures_at(const struct samples *samples, int at)
{
    return samples->figures + (size_t)at * (size_t)samples->n_vms;
}

static void drop_every_second(struct samples *samples)
{
    int kept = 0;
    for (int at = 0; at < samples->taken; at += 2, kept++) {
        samples->at_ms[kept] = samples->at_ms[at];
        for (int vm = 0; vm < samples->n_vms; vm++) {
            figures_at(samples, kept)[vm] = figures_at(samples, at)[vm];
        }
    }
    samples->taken = kept;
    samples->pause_ms *= samples->pause_ms < MAX_PAUSE_MS ? 2 : 1;
}

void samples_take(struct samples *samples)
{
    if (samples->taken == samples->room) {
        drop_every_second(samples);
    }
    samples->at_ms[samples->taken] = now_ms() - samples->began_ms;
    for (int vm = 0; vm < samples->n_vms; vm++) {
        struct sample sample;
        samples->ask(samples->arg, vm, &sample);
        figures_at(samples, samples->taken)[vm] =
            (struct figures){.transferred = sample.progress.transferred,
                             .remaining = sample.progress.remaining,
                             .bytes_per_s = sample.copying ? sample.progress.bytes_per_s : 0,
                             .dirty_bytes_per_s = sample.progress.dirty_bytes_per_s};
    }
    samples->taken++;
}

static bool any_copies(const struct samples *samples)
{
    for (int vm = 0; vm < samples->n_vms; vm++) {
        struct sample sample;
        samples->ask(samples->arg, vm, &sample);
        if (sample.copying) {
            return true;
        }
    }
    return false;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct samples *samples = arg;
    if (any_copies(samples)) {
        samples_take(samples);
    }
    timer_free(&samples->timer);
    samples->timer = timer_start(samples->base, samples->pause_ms, on_timer, samples);
}

struct samples *samples_new(struct event_base *base, int n,
                            void (*ask)(void *arg, int vm, struct sample *sample), void *arg)
{
    struct samples *samples = xcalloc(1, sizeof(*samples));
    int room = n > 0 ? MAX_FIGURES / n : MAX_TAKEN;
    samples->base = base;
    samples->ask = ask;
    samples->arg = arg;
    samples->n_vms = n;
    samples->room = room < MIN_TAKEN ? MIN_TAKEN : room > MAX_TAKEN ? MAX_TAKEN : room;
    samples->pause_ms = FIRST_PAUSE_MS;
    samples->began_ms = now_ms();
    samples->at_ms = xcalloc((size_t)samples->room, sizeof(*samples->at_ms));
    samples->figures = xcalloc((size_t)samples->room * (size_t)n, sizeof(*samples->figures));
    samples->timer = timer_start(base, FIRST_PAUSE_MS, on_timer, samples);
    return samples;
}

/* Null where the driver does not measure it. */
static json_t *measured(const struct sample *sample, enum vmm_measure what, json_t *column)
{
    if ((sample->progress.measured & what) == 0) {
        json_decref(column);
        return json_null();
    }
    return column;
}

static json_t *column(const struct samples *samples, int vm, int64_t (*of)(const struct figures *))
{
    json_t *list = json_array();
    for (int at = 0; at < samples->taken; at++) {
        json_array_append_new(list, json_integer(of(&figures_at(samples, at)[vm])));
    }
    return list;
}

static int64_t transferred(const struct figures *figures)
{
    return figures->transferred;
}

static int64_t remaining(const struct figures *figures)
{
    return figures->remaining;
}

static int64_t rate(const struct figures *figures)
{
    return figures->bytes_per_s;
}

static int64_t dirty_rate(const struct figures *figures)
{
    return figures->dirty_bytes_per_s;
}

json_t *samples_to_json(const struct samples *samples)
{
    json_t *at_ms = json_array(), *vms = json_array();
    for (int at = 0; at < samples->taken; at++) {
        json_array_append_new(at_ms, json_integer(samples->at_ms[at]));
    }
    for (int vm = 0; vm < samples->n_vms; vm++) {
        struct sample sample;
        samples->ask(samples->arg, vm, &sample);
        json_t *rates = measured(&sample, VMM_MEASURES_RATE, column(samples, vm, rate));
        json_t *dirty = measured(&sample, VMM_MEASURES_DIRTY_RATE, column(samples, vm, dirty_rate));
        json_array_append_new(vms, json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", sample.vm,
                                             "transferred", column(samples, vm, transferred),
                                             "remaining", column(samples, vm, remaining),
                                             "bytes_per_s", rates, "dirty_bytes_per_s", dirty));
    }
    return json_pack("{s:o, s:o}", "at_ms", at_ms, "vms", vms);
}

void samples_free(struct samples *samples)
{
    if (samples != NULL) {
        timer_free(&samples->timer);
        free(samples->at_ms);
        free(samples->figures);
        free(samples);
    }
}
