/*
 * watch and wait: calls that follow a migration, by its files, until it ends.
 */
#include "host/base/json_text.h"
#include "host/base/timer.h"
#include "host/journal/watch.h"
#include "ninjad/api.h"
#include "ninjad/metrics.h"
#include "ninjad/past.h"

/* A call gets so many lines at a time, and none while so much waits for its client. */
#define MAX_LINES 200
#define MAX_AHEAD (256u * 1024)

static bool is_watch(const struct call *call)
{
    return call->command->run == follow_watch;
}

static void on_follow_timer(evutil_socket_t fd, short what, void *arg);

static bool begin(struct call *call, int64_t until_ms, struct ninja_error *err)
{
    if (tell_find_migration(call, err) == NULL) {
        return false;
    }
    call->watch = watch_new(call->ninjad->options->state_dir, call->migration);
    call->until_ms = until_ms;
    call_set_state(call, CALL_FOLLOWS);
    if (call->ninjad->follow_timer == NULL) {
        call->ninjad->follow_timer =
            timer_start(call->ninjad->base, 0, on_follow_timer, call->ninjad);
    }
    return true;
}

json_t *follow_watch(struct call *call, struct ninja_error *err)
{
    if (begin(call, -1, err)) {
        json_t *answer = json_pack("{s:s}", "id", call->migration);
        api_answer(call->client, call->id, answer, NULL);
        json_decref(answer);
        metrics_count_request(call->ninjad->metrics, call->command->name, true);
    }
    return NULL;
}

json_t *follow_wait(struct call *call, struct ninja_error *err)
{
    json_t *timeout = json_object_get(call->args, "timeout");
    begin(call, timeout != NULL ? now_ms() + json_integer_value(timeout) * 1000 : -1, err);
    return NULL;
}

/* Whether all that there is was sent. */
static bool send_lines(struct call *call)
{
    for (int i = 0; i < MAX_LINES; i++) {
        json_t *line = client_unsent(call->client) < MAX_AHEAD ? watch_next(call->watch) : NULL;
        if (line == NULL) {
            return client_unsent(call->client) < MAX_AHEAD;
        }
        if (is_watch(call)) {
            api_event(call->client, json_text_in(line, "type"), call->id, json_incref(line));
        }
        json_decref(line);
    }
    return false;
}

/* What `wait` answers, and the last event of `watch` tells. */
static void tell_end(struct call *call)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    past_refresh(call->ninjad->past, NULL);
    json_t *entry = json_incref(past_find(call->ninjad->past, call->migration));
    if (entry == NULL) {
        ninja_error_set(&err, ERR_STATE, "the directory of migration %s was removed",
                        call->migration);
    }
    if (is_watch(call)) {
        api_event(call->client, "end", call->id,
                  entry != NULL ? entry : json_pack("{s:s}", "id", call->migration));
        call_free(call);
    } else if (entry != NULL) {
        call_return(call, entry);
    } else {
        call_fail(call, &err);
    }
}

static void on_follow_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ninjad *ninjad = arg;
    struct call *next;
    timer_free(&ninjad->follow_timer);
    for (struct call *call = TAILQ_FIRST(calls_list(ninjad->calls)); call != NULL; call = next) {
        next = TAILQ_NEXT(call, entry);
        if (call->state == CALL_FOLLOWS) {
            bool all = send_lines(call);
            bool late = call->until_ms >= 0 && now_ms() >= call->until_ms;
            if (late || (all && watch_verdict(call->watch) != WATCH_GOES_ON)) {
                tell_end(call);
            }
        }
    }
    if (calls_count(ninjad->calls, CALL_FOLLOWS) > 0) {
        ninjad->follow_timer = timer_start(ninjad->base, WATCH_LOOK_MS, on_follow_timer, ninjad);
    }
}
