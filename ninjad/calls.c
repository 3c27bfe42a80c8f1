#include "ninjad/calls.h"

#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/journal/watch.h"
#include "ninjad/api.h"
#include "ninjad/metrics.h"

struct calls {
    struct ninjad *ninjad;
    struct call_list list;
};

static const struct {
    const char *name;
    unsigned may_follow; /* 1 << state */
} states[] = {
    [CALL_NEW] = {"NEW", 1 << CALL_QUEUED | 1 << CALL_JOINED | 1 << CALL_FOLLOWS},
    [CALL_QUEUED] = {"QUEUED", 1 << CALL_WORKS},
    [CALL_WORKS] = {"WORKS", 0},
    [CALL_JOINED] = {"JOINED", 0},
    [CALL_FOLLOWS] = {"FOLLOWS", 0},
};
_Static_assert(sizeof(states) / sizeof(states[0]) == CALL_STATES, "a state has no name");

struct calls *calls_new(struct ninjad *ninjad)
{
    struct calls *calls = xcalloc(1, sizeof(*calls));
    calls->ninjad = ninjad;
    TAILQ_INIT(&calls->list);
    return calls;
}

void calls_free(struct calls *calls)
{
    struct call *call;
    while (calls != NULL && (call = TAILQ_FIRST(&calls->list)) != NULL) {
        call_free(call);
    }
    free(calls);
}

struct call_list *calls_list(struct calls *calls)
{
    return &calls->list;
}

int calls_count(const struct calls *calls, enum call_state state)
{
    struct call *call;
    int n = 0;
    TAILQ_FOREACH(call, &calls->list, entry)
    {
        n += call->state == state;
    }
    return n;
}

int calls_of_client(const struct calls *calls, const struct client *client)
{
    struct call *call;
    int n = 0;
    TAILQ_FOREACH(call, &calls->list, entry)
    {
        n += call->client == client;
    }
    return n;
}

static bool has_room(const struct calls *calls, const struct client *client,
                     struct ninja_error *err)
{
    uid_t uid = client_peer(client)->uid;
    struct call *call;
    int of_user = 0, all = 0;
    TAILQ_FOREACH(call, &calls->list, entry)
    {
        of_user += call->peer.uid == uid;
        all++;
    }
    if (calls_of_client(calls, client) >= CALLS_MAX_CLIENT) {
        return ninja_error_set(err, ERR_BUSY,
                               "%d requests of this connection are not answered yet; wait for them",
                               CALLS_MAX_CLIENT);
    }
    if (all >= CALLS_MAX || (uid != 0 && of_user >= CALLS_MAX_USER)) {
        return ninja_error_set(err, ERR_BUSY, "%d requests are not answered yet; ask again later",
                               all >= CALLS_MAX ? CALLS_MAX : CALLS_MAX_USER);
    }
    return true;
}

struct call *call_new(struct ninjad *ninjad, struct client *client, const struct command *command,
                      json_t *id, json_t *args, struct ninja_error *err)
{
    static const struct client_peer own = {.may_act = true};
    if (client != NULL && !has_room(ninjad->calls, client, err)) {
        return NULL;
    }
    struct call *call = xcalloc(1, sizeof(*call));
    *call = (struct call){
        .ninjad = ninjad,
        .command = command,
        .client = client,
        .peer = client != NULL ? *client_peer(client) : own,
        .id = json_incref(id),
        .args = json_incref(args),
    };
    TAILQ_INSERT_TAIL(&ninjad->calls->list, call, entry);
    return call;
}

void call_set_state(struct call *call, enum call_state state)
{
    assert((states[call->state].may_follow & 1u << state) != 0);
    ninja_log_debug("%s of uid %u (pid %d): %s -> %s", call->command->name,
                    (unsigned)call->peer.uid, (int)call->peer.pid, states[call->state].name,
                    states[state].name);
    call->state = state;
}

void call_free(struct call *call)
{
    TAILQ_REMOVE(&call->ninjad->calls->list, call, entry);
    worker_free(call->worker);
    watch_free(call->watch);
    timer_free(&call->timer);
    cluster_free(call->cluster);
    json_decref(call->id);
    json_decref(call->args);
    free(call);
}

void call_return(struct call *call, json_t *result)
{
    metrics_count_request(call->ninjad->metrics, call->command->name, true);
    if (call->client != NULL) {
        api_answer(call->client, call->id, result, NULL);
    }
    if ((call->command->flags & DETACHES) != 0) {
        ninjad_changed(call->ninjad);
    }
    json_decref(result);
    call_free(call);
}

void call_fail(struct call *call, const struct ninja_error *err)
{
    metrics_count_request(call->ninjad->metrics, call->command->name, false);
    if ((call->command->flags & WORKS) != 0) {
        ninja_log_info("%s of uid %u (pid %d): %s: %s", call->command->name,
                       (unsigned)call->peer.uid, (int)call->peer.pid,
                       ninja_error_class_name(err->class), err->message);
    }
    if (call->client != NULL) {
        api_answer(call->client, call->id, NULL, err);
    }
    call_free(call);
}

const char *call_text(const struct call *call, const char *name)
{
    return json_string_value(json_object_get(call->args, name));
}

void calls_forget(struct calls *calls, const struct client *client)
{
    struct call *next;
    for (struct call *call = TAILQ_FIRST(&calls->list); call != NULL; call = next) {
        next = TAILQ_NEXT(call, entry);
        if (call->client == client && call->command->kind != WORKER_LOOKS) {
            call->client = NULL;
        } else if (call->client == client) {
            call_free(call);
        }
    }
    work_next(calls->ninjad);
}
