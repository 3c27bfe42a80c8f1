/*
 * From `release` to `resume`: choosing other transports.
 *
 *     open --> connect --> verify --> resume
 *      ^          |           |
 *      +----------+-----------+  with the next list: the wanted one, what was before, standby
 *
 * If none of them works, all are tried again for a while, as what is in the way may pass. Then the
 * jobs that they do not reach stay as they are, and the others resume.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/switch/switch_private.h"

#define RETRY_PAUSE_MS 1000

/* The lists that are tried in turn when one does not connect all ranks: what the jobs were on, and
 * what always works. */
static const char *const fallbacks[] = {SWITCH_PREVIOUS, "@standby"};
#define N_FALLBACKS (sizeof(fallbacks) / sizeof(fallbacks[0]))

void switch_set_reselect(struct transport_switch *sw, const char *list)
{
    char *copy = xstrdup(list);
    free(sw->reselect);
    sw->reselect = copy;
}

void switch_begin_reselect(struct transport_switch *sw)
{
    json_array_clear(sw->dropped);
    free(sw->wanted);
    sw->wanted = xstrdup(sw->reselect);
    switch_set_state(sw, SW_RESELECTING);
    switch_start_step(sw, NINJA_STEP_OPEN);
}

/* The next list to try; NULL: there is none. */
static const char *next_fallback(struct transport_switch *sw)
{
    while (sw->n_fallbacks < N_FALLBACKS) {
        const char *list = fallbacks[sw->n_fallbacks++];
        if (strcmp(list, sw->wanted) != 0) {
            return list;
        }
    }
    return NULL;
}

static void append(struct ninja_error *err, const char *text, const char *name)
{
    size_t len = strlen(err->message);
    snprintf(err->message + len, sizeof(err->message) - len, "%s%s", text, name);
}

/* Whether the list is chosen once this step is done. */
static bool is_last_step(const struct transport_switch *sw)
{
    return ninja_switch_steps[sw->step + 1].part != NINJA_PART_RESELECT;
}

/* No list connected all ranks. Jobs that the last list did connect go on. */
static void leave_stuck_jobs(struct transport_switch *sw)
{
    for (int i = 0; i < sw->jobs->n; i++) {
        sw->switched[i].stuck |= !is_last_step(sw);
    }
    sw->err.class = ERR_RESUME;
    append(&sw->err, "; no other transports work either, so the job waits for ninjactl switch", "");
}

static void resume(struct transport_switch *sw, bool failed)
{
    if (failed) {
        leave_stuck_jobs(sw);
    } else if (sw->n_fallbacks == 0 && sw->err.class == ERR_RESELECT) {
        sw->err = (struct ninja_error)NINJA_ERROR_INIT; /* it worked when it was tried again */
    } else if (sw->n_fallbacks > 0) {
        append(&sw->err, "; fell back to ", sw->reselect);
    }
    switch_set_state(sw, SW_RESUMING);
    switch_start_step(sw, NINJA_STEP_RESUME);
}

static void open_list(struct transport_switch *sw, const char *list)
{
    switch_set_reselect(sw, list);
    json_array_clear(sw->dropped);
    sw->round++;
    switch_start_step(sw, NINJA_STEP_OPEN);
}

static void on_lists_again(evutil_socket_t fd, short what, void *arg)
{
    struct transport_switch *sw = arg;
    timer_free(&sw->next);
    sw->n_fallbacks = 0;
    open_list(sw, sw->wanted);
}

/* Whether every agent that has ranks answers, or may come back. */
static bool can_tell_all(const struct transport_switch *sw)
{
    for (int i = 0; i < sw->n_parts; i++) {
        if (sw->parts[i].state != PART_GONE && agent_is_down(sw->agents[sw->parts[i].vm])) {
            return false;
        }
    }
    return true;
}

/* Tries all lists again after a pause, unless it is too late for that: what is in the way may pass,
 * as a port that is held up does. An agent that is gone is another matter: no list helps there. */
static bool try_lists_again(struct transport_switch *sw)
{
    if (sw->aborted || now_ms() + RETRY_PAUSE_MS >= sw->retry_end || !can_tell_all(sw)) {
        return false;
    }
    ninja_log_warning("%s; no list of transports works, trying again", sw->err.message);
    sw->next = timer_start(sw->base, RETRY_PAUSE_MS, on_lists_again, sw);
    return true;
}

/* A list failed. The first one says until when all are tried again. */
static void note_reselect_failed(struct transport_switch *sw)
{
    if (sw->err.class != ERR_RELEASE) {
        sw->err.class = ERR_RESELECT;
    }
    if (sw->retry_end == 0) {
        sw->retry_end = now_ms() + sw->options.cluster->timeouts[TIMEOUT_RETRY];
    }
}

void switch_after_reselect(struct transport_switch *sw)
{
    bool failed = sw->step_failed;
    if ((switch_step(sw)->reports & NINJA_REPORTS_ADDRESSES) != 0 && !failed) {
        failed = !switch_make_address_lists(sw, &sw->err);
    }
    if (!failed && !is_last_step(sw)) {
        switch_start_step(sw, sw->step + 1);
        return;
    }
    if (failed) {
        note_reselect_failed(sw);
    }
    const char *list = failed ? next_fallback(sw) : NULL;
    if (list != NULL) {
        ninja_log_warning("%s; falling back to %s", sw->err.message, list);
        open_list(sw, list);
    } else if (!failed || !try_lists_again(sw)) {
        resume(sw, failed);
    }
}
