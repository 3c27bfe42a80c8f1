/*
 * Theory of operation
 *
 * Operations run one after the other, in the order in which they were given. The last ones that
 * ended are remembered by their token, so that a repeated command gets the event again and runs
 * nothing. An attach makes the remembered detaches void and the other way round, as what they found
 * is no longer so.
 */
#include "guest-agent/deviceops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "guest-agent/procscan.h"
#include "guest-agent/shortage.h"
#include "guest-agent/text.h"

#define MAX_WAITING    16
#define MAX_REMEMBERED 16
#define MAX_DEVICE     1024
#define MAX_MS         (24 * 3600 * 1000)

struct op {
    STAILQ_ENTRY(op) entry;
    enum deviceop what;
    json_int_t token;
    char *device;
    uint32_t timeout_ms;
    json_t *result; /* NULL: waiting or running */
    bool repeat;    /* the event is to be sent again */
};

STAILQ_HEAD(ops, op);

struct deviceops {
    struct events *events;
    struct scripts *scripts;
    const char *proc;
    struct event *timer;
    struct ops waiting; /* the first one runs */
    struct ops done;    /* oldest first */
    int n_waiting, n_done;
    bool running;
};

static const struct {
    const char *script;
    const char *event;
} about[DEVICEOPS] = {
    [DEVICEOP_DETACH] = {"detach", "NINJA_DETACHED"},
    [DEVICEOP_ATTACH] = {"attach", "NINJA_ATTACHED"},
};

static void op_free(struct op *op)
{
    json_decref(op->result);
    free(op->device);
    free(op);
}

static void forget_done(struct deviceops *ops, struct op *op)
{
    STAILQ_REMOVE(&ops->done, op, op, entry);
    ops->n_done--;
    op_free(op);
}

/* One without a result is forgotten, so that it can be given again. */
static void remember(struct deviceops *ops, struct op *op)
{
    if (op->result == NULL) {
        op_free(op);
        return;
    }
    STAILQ_INSERT_TAIL(&ops->done, op, entry);
    if (++ops->n_done > MAX_REMEMBERED) {
        forget_done(ops, STAILQ_FIRST(&ops->done));
    }
}

/* Everything that is begun or repeated goes through here, after the command's answer. */
static void soon(struct deviceops *ops)
{
    struct timeval now = {0, 0};
    evtimer_add(ops->timer, &now);
}

/* A detach is only good when nobody holds a device; who does is said in words, too. */
static void add_users(struct deviceops *ops, json_t *result)
{
    size_t i;
    json_t *user, *users = procscan(ops->proc, NULL, NULL);
    json_object_set_new(result, "users", users);
    json_array_foreach(users, i, user)
    {
        json_object_set_new(
            result, "output",
            json_sprintf("%sprocess %d (%s) holds %s\n",
                         json_string_value(json_object_get(result, "output")),
                         (int)json_integer_value(json_object_get(user, "pid")),
                         json_string_value(json_object_get(user, "command")),
                         json_string_value(json_array_get(json_object_get(user, "open"), 0))));
        json_object_set_new(result, "ok", json_false());
    }
}

/* NULL: not even what is wrong can be said. */
static json_t *make_result(struct deviceops *ops, const struct op *op, bool ok, const char *output)
{
    shortage_forget();
    json_t *result = json_pack("{s:I, s:b, s:o}", "token", op->token, "ok", ok, "output",
                               text_json(output, strlen(output)));
    if (op->what == DEVICEOP_DETACH) {
        add_users(ops, result);
    }
    result = shortage_checked(result);
    return result != NULL ? result
                          : json_pack("{s:I, s:b, s:s}", "token", op->token, "ok", 0, "output",
                                      "the agent is out of memory");
}

static void on_scripts_done(void *ctx, bool ok, const char *output)
{
    struct deviceops *ops = ctx;
    struct op *op = STAILQ_FIRST(&ops->waiting);

    op->result = make_result(ops, op, ok, output);
    ok = json_is_true(json_object_get(op->result, "ok"));
    ninja_log_info("%s of '%s' (token %lld): %s", about[op->what].script, op->device,
                   (long long)op->token, ok ? "ok" : "failed");
    events_emit(ops->events, about[op->what].event, json_incref(op->result));

    STAILQ_REMOVE_HEAD(&ops->waiting, entry);
    ops->n_waiting--;
    ops->running = false;
    remember(ops, op);
    soon(ops);
}

static void run_first(struct deviceops *ops)
{
    struct op *first = STAILQ_FIRST(&ops->waiting);
    struct op *op = STAILQ_FIRST(&ops->done), *next;
    for (; op != NULL; op = next) {
        next = STAILQ_NEXT(op, entry);
        if (op->what != first->what) {
            forget_done(ops, op);
        }
    }
    ops->running = true;
    if (!scripts_run(ops->scripts, about[first->what].script, first->device, first->timeout_ms,
                     on_scripts_done, ops)) {
        on_scripts_done(ops, false, "the agent is out of memory");
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct deviceops *ops = arg;
    struct op *op;
    STAILQ_FOREACH(op, &ops->done, entry)
    {
        if (op->repeat) {
            op->repeat = false;
            events_emit(ops->events, about[op->what].event, json_incref(op->result));
        }
    }
    if (!ops->running && !STAILQ_EMPTY(&ops->waiting)) {
        run_first(ops);
    }
}

struct deviceops *deviceops_new(struct event_base *base, struct events *events,
                                struct scripts *scripts, const char *proc)
{
    struct deviceops *ops = calloc(1, sizeof(*ops));
    if (ops == NULL) {
        return NULL;
    }
    *ops = (struct deviceops){.events = events, .scripts = scripts, .proc = proc};
    STAILQ_INIT(&ops->waiting);
    STAILQ_INIT(&ops->done);
    ops->timer = evtimer_new(base, on_timer, ops);
    if (ops->timer == NULL) {
        free(ops);
        return NULL;
    }
    return ops;
}

static void free_all(struct ops *list)
{
    while (!STAILQ_EMPTY(list)) {
        struct op *op = STAILQ_FIRST(list);
        STAILQ_REMOVE_HEAD(list, entry);
        op_free(op);
    }
}

void deviceops_free(struct deviceops *ops)
{
    if (ops == NULL) {
        return;
    }
    event_free(ops->timer);
    free_all(&ops->waiting);
    free_all(&ops->done);
    free(ops);
}

static struct op *find(struct ops *list, enum deviceop what, json_int_t token)
{
    struct op *op;
    STAILQ_FOREACH(op, list, entry)
    {
        if (op->what == what && op->token == token) {
            return op;
        }
    }
    return NULL;
}

static bool add(struct deviceops *ops, enum deviceop what, json_int_t token, const char *device,
                uint32_t timeout_ms, struct ninja_error *err)
{
    if (ops->n_waiting >= MAX_WAITING) {
        return ninja_error_set(err, ERR_GENERIC,
                               "%d operations wait already: try again when one has ended",
                               MAX_WAITING);
    }
    struct op *op = calloc(1, sizeof(*op));
    char *copy = strdup(device);
    if (op == NULL || copy == NULL) {
        free(op);
        free(copy);
        return ninja_error_set(err, ERR_GENERIC, "out of memory");
    }
    *op = (struct op){.what = what, .token = token, .device = copy, .timeout_ms = timeout_ms};
    STAILQ_INSERT_TAIL(&ops->waiting, op, entry);
    ops->n_waiting++;
    return true;
}

bool deviceops_give(struct deviceops *ops, enum deviceop what, json_t *args,
                    struct ninja_error *err)
{
    json_int_t token, timeout_ms;
    const char *device;
    size_t len;

    if (json_unpack(args, "{s:I, s:s%, s:I}", "token", &token, "device", &device, &len,
                    "timeout-ms", &timeout_ms) != 0 ||
        token < 0 || len > MAX_DEVICE || timeout_ms < 1 || timeout_ms > MAX_MS) {
        return ninja_error_set(err, ERR_GENERIC,
                               "needs 'token' (a number from 0), 'device' (at most %d bytes) and "
                               "'timeout-ms' (1 to %d)",
                               MAX_DEVICE, MAX_MS);
    }
    struct op *old = find(&ops->done, what, token);
    if (old == NULL) {
        old = find(&ops->waiting, what, token);
    }
    if (old != NULL && strcmp(old->device, device) != 0) {
        return ninja_error_set(err, ERR_GENERIC,
                               "token %lld was used for another device: choose a new one",
                               (long long)token);
    }
    if (old != NULL) {
        old->repeat = old->result != NULL;
    } else if (!add(ops, what, token, device, (uint32_t)timeout_ms, err)) {
        return false;
    }
    soon(ops);
    return true;
}
