/*
 * A connection goes through SYNCING (our random id must come back, so that what an earlier client
 * left in the port is not taken for an answer), HELLO, EVENTS (after a reconnection) and READY.
 * Any failure on the way, but another protocol, is tried again until the deadline: a guest's port
 * opens only when its agent starts, and QEMU's socket answers before that.
 */
#include "config.h"

#include "host/agent/agent_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/agent_proto.h"
#include "common/log.h"
#include "common/printable.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define RETRY_MS      200
#define SYNC_AGAIN_MS 500
#define MAX_WARNINGS  16          /* in its life; a guest must not fill the log */
#define MAX_SEQ       (1ll << 53) /* of an event; no agent lives so long */

static void try_to_connect(struct agent *agent);

void agent_copy_text(char *to, size_t size, json_t *object, const char *key)
{
    ninja_printable_copy(to, size, json_string_value(json_object_get(object, key)));
}

static bool may_warn(struct agent *agent)
{
    if (++agent->warnings == MAX_WARNINGS) {
        ninja_log_vm(NINJA_LOG_WARNING, agent->vm, "no further warnings about its agent follow");
    }
    return agent->warnings < MAX_WARNINGS;
}

/* ---- connecting ---- */

static void disconnect(struct agent *agent)
{
    agent_drop_connecting_commands(agent);
    agent->filling_gap = false;
    timer_free(&agent->retry);
    json_lines_free(agent->lines);
    agent->lines = NULL;
    channel_close(&agent->channel);
}

static void connected_or_not(struct agent *agent, const struct ninja_error *err)
{
    agent_done done = agent->done;
    struct ninja_error why = NINJA_ERROR_INIT;
    if (err != NULL) {
        why = *err;
        ninja_error_where(&why, "%s", agent->vm);
    }
    timer_free(&agent->deadline);
    agent->done = NULL;
    if (done != NULL) {
        done(agent->arg, err ? &why : NULL);
    }
}

/* Makes no further try. Commands that wait are answered from the event loop. */
static void give_up(struct agent *agent, const struct ninja_error *err)
{
    agent->last_error = *err;
    disconnect(agent);
    agent->state = DOWN;
    agent_fail_commands(agent);
    connected_or_not(agent, err);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (agent->state == SYNCING || agent->state == HELLO) {
        ninja_error_set(&err, ERR_TIMEOUT,
                        "no agent answers at %s; is ninja-agent running in the VM, and nothing "
                        "else connected to its channel?",
                        agent->way.name);
    } else {
        ninja_error_set(
            &err, ninja_error_is_set(&agent->last_error) ? agent->last_error.class : ERR_TIMEOUT,
            "the agent's channel cannot be reached (%s)",
            ninja_error_is_set(&agent->last_error) ? agent->last_error.message : agent->way.name);
    }
    give_up(agent, &err);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    try_to_connect(arg);
}

static void try_later(struct agent *agent, const struct ninja_error *err)
{
    agent->last_error = *err;
    disconnect(agent);
    agent->state = CONNECTING;
    agent->retry = timer_start(agent->base, RETRY_MS, on_retry, agent);
}

static void channel_broke(struct agent *agent, const struct ninja_error *err)
{
    if (agent->state == READY) {
        ninja_log_vm(NINJA_LOG_DEBUG, agent->vm, "the channel broke (%s); connecting again",
                     err->message);
        timer_free(&agent->deadline);
        agent->deadline = timer_start(agent->base, agent->connect_timeout_ms, on_deadline, agent);
    }
    try_later(agent, err);
}

static void send_sync(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    json_int_t id = ++agent->last_sync;
    json_t *sync =
        json_pack("{s:s, s:{s:I}}", "execute", "guest-sync-delimited", "arguments", "id", id);
    json_lines_skip_to_sentinel(agent->lines);
    json_lines_send(agent->lines, sync, true);
    json_decref(sync);
    timer_free(&agent->retry);
    agent->retry = timer_start(agent->base, SYNC_AGAIN_MS, send_sync, agent);
}

/* The number of an event; 0: it has none that is possible. */
static json_int_t seq_of(json_t *object)
{
    json_int_t seq = json_integer_value(json_object_get(object, "seq"));
    return seq > 0 && seq <= MAX_SEQ ? seq : 0;
}

static void tell_listeners(struct agent *agent, const char *name, json_t *data)
{
    for (int i = 0; i < MAX_LISTENERS; i++) {
        if (agent->listeners[i].callback != NULL) {
            agent->listeners[i].callback(agent->listeners[i].arg, agent, name, data);
        }
    }
}

static void on_event(struct agent *agent, json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "event"));
    json_int_t seq = seq_of(object);
    json_t *data = json_object_get(object, "data");
    if (name == NULL || !json_is_object(data) || seq <= agent->last_seq) {
        return;
    }
    agent->last_seq = seq;
    tell_listeners(agent, name, data);
}

static void now_ready(struct agent *agent)
{
    agent->state = READY;
    agent->known = true;
    agent->last_error = (struct ninja_error)NINJA_ERROR_INIT;
    agent_send_commands(agent);
    connected_or_not(agent, NULL);
}

static void on_events(struct agent *agent, json_t *result)
{
    size_t i;
    json_t *event;
    bool lost = json_is_true(json_object_get(result, "lost"));
    if (lost && may_warn(agent)) {
        ninja_log_vm(NINJA_LOG_WARNING, agent->vm,
                     "the agent no longer has all events that were missed");
    }
    json_incref(result);
    json_array_foreach(json_object_get(result, "events"), i, event)
    {
        on_event(agent, event);
    }
    json_decref(result);
    if (lost) {
        tell_listeners(agent, AGENT_EVENTS_LOST, NULL);
    }
}

static void on_gap_filled(void *arg, json_t *result, const struct ninja_error *err)
{
    struct agent *agent = arg;
    agent->filling_gap = false;
    if (err != NULL) {
        try_later(agent, err);
    } else {
        on_events(agent, result);
    }
}

/*
 * An event may not be the next one: those before it are missing, or come late. All are asked for
 * once; what comes until the answer is in it too, if there is a gap before it.
 */
static void on_event_or_gap(struct agent *agent, json_t *object)
{
    bool gap = seq_of(object) > agent->last_seq + 1;
    if (gap && !agent->filling_gap) {
        agent->filling_gap = true;
        agent_connecting_command(agent, "ninja-events",
                                 json_pack("{s:I}", "after", agent->last_seq), on_gap_filled);
    } else if (!gap) {
        on_event(agent, object);
    }
}

static void on_missed_events(void *arg, json_t *result, const struct ninja_error *err)
{
    struct agent *agent = arg;
    if (err != NULL) {
        try_later(agent, err);
        return;
    }
    on_events(agent, result);
    now_ready(agent);
}

static void on_hello(void *arg, json_t *result, const struct ninja_error *err)
{
    struct agent *agent = arg;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    char instance[sizeof(agent->instance)];
    if (err != NULL && err->class == ERR_PROTOCOL_MISMATCH) {
        ninja_error_set(&wrong, ERR_PROTOCOL_MISMATCH,
                        "its agent speaks another protocol than this ninjactl (%d); install the "
                        "same version on both sides. It said: %s",
                        NINJA_AGENT_PROTOCOL, err->message);
        give_up(agent, &wrong);
        return;
    }
    if (err != NULL) {
        try_later(agent, err);
        return;
    }
    json_t *protocol = json_object_get(result, "protocol");
    json_t *seq = json_object_get(result, "seq");
    if (json_integer_value(protocol) != NINJA_AGENT_PROTOCOL || !json_is_integer(seq) ||
        json_integer_value(seq) < 0 || json_integer_value(seq) > MAX_SEQ) {
        ninja_error_set(&wrong, ERR_PROTOCOL_MISMATCH,
                        "its agent speaks protocol %lld and this ninjactl %d; install the same "
                        "version on both sides",
                        (long long)json_integer_value(protocol), NINJA_AGENT_PROTOCOL);
        give_up(agent, &wrong);
        return;
    }
    agent_copy_text(instance, sizeof(instance), result, "instance");
    agent_copy_text(agent->version, sizeof(agent->version), result, "version");
    agent_copy_text(agent->hostname, sizeof(agent->hostname), result, "hostname");
    bool same = agent->known && strcmp(agent->instance, instance) == 0;
    if (agent->known && !same && may_warn(agent)) {
        ninja_log_vm(NINJA_LOG_WARNING, agent->vm, "its agent was started again meanwhile");
    }
    memcpy(agent->instance, instance, sizeof(instance));
    if (same) {
        agent->state = EVENTS;
        agent_connecting_command(agent, "ninja-events",
                                 json_pack("{s:I}", "after", agent->last_seq), on_missed_events);
    } else {
        bool restarted = agent->known;
        agent->last_seq = json_integer_value(seq);
        now_ready(agent);
        if (restarted) {
            tell_listeners(agent, AGENT_RESTARTED, NULL);
        }
    }
}

static void on_synced(struct agent *agent)
{
    timer_free(&agent->retry);
    agent->state = HELLO;
    agent_connecting_command(
        agent, "ninja-hello",
        json_pack("{s:i, s:s}", "protocol", NINJA_AGENT_PROTOCOL, "version", PACKAGE_VERSION),
        on_hello);
}

/*
 * Perhaps another agent has the port now, and does not know us: what we said to the one before
 * may be lost. Before we are ready it is a line that waited in the port for somebody to connect.
 */
static void on_opened(struct agent *agent)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (agent->state == READY) {
        ninja_error_set(&err, ERR_CLOSED, "its agent opened the port anew");
        channel_broke(agent, &err);
    }
}

static void on_object(void *arg, json_t *object)
{
    struct agent *agent = arg;
    if (agent->state == SYNCING) {
        json_t *id = json_object_get(object, "return");
        if (json_is_integer(id) && json_integer_value(id) >= agent->first_sync &&
            json_integer_value(id) <= agent->last_sync) {
            on_synced(agent);
        } else {
            json_lines_skip_to_sentinel(agent->lines);
        }
    } else if (strcmp(json_text_in(object, "event"), "NINJA_OPENED") == 0) {
        on_opened(agent);
    } else if (json_object_get(object, "event") != NULL) {
        /* Until the missed ones were given, this one is among them. */
        if (agent->state == READY) {
            on_event_or_gap(agent, object);
        }
    } else {
        agent_on_answer(agent, object);
    }
}

static void on_lines_end(void *arg, const struct ninja_error *err)
{
    channel_broke(arg, err);
}

static const struct json_lines_handler lines_handler = {
    .on_object = on_object,
    .on_end = on_lines_end,
};

static void on_channel_open(void *arg, int fd)
{
    struct agent *agent = arg;
    uint32_t random = 0;
    agent->lines = json_lines_new(agent->base, fd, &lines_handler, agent);
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (uint32_t)now_ms();
    }
    json_lines_count(agent->lines, &agent->traffic);
    agent->last_sync = (json_int_t)random << 8;
    agent->first_sync = agent->last_sync + 1;
    agent->state = SYNCING;
    send_sync(-1, 0, agent);
}

static void on_channel_end(void *arg, const struct ninja_error *why)
{
    channel_broke(arg, why);
}

static const struct channel_events channel_events = {
    .opened = on_channel_open,
    .closed = on_channel_end,
    .failed = on_channel_end,
};

static void try_to_connect(struct agent *agent)
{
    disconnect(agent);
    agent->channel = agent->way.open(&agent->way, &channel_events, agent);
}

void agent_connect(struct agent *agent, const struct channel_way *way, agent_done done, void *arg)
{
    disconnect(agent);
    agent->way = *way;
    agent->done = done;
    agent->arg = arg;
    agent->last_error = (struct ninja_error)NINJA_ERROR_INIT;
    agent->state = CONNECTING;
    timer_free(&agent->deadline);
    agent->deadline = timer_start(agent->base, agent->connect_timeout_ms, on_deadline, agent);
    try_to_connect(agent);
}

/* ---- the object ---- */

struct agent *agent_new(struct event_base *base, const char *vm, int connect_timeout_ms)
{
    struct agent *agent = xcalloc(1, sizeof(*agent));
    TAILQ_INIT(&agent->commands);
    agent->base = base;
    agent->connect_timeout_ms = connect_timeout_ms;
    snprintf(agent->vm, sizeof(agent->vm), "%s", vm);
    return agent;
}

void agent_listen(struct agent *agent, agent_event callback, void *arg)
{
    for (int i = 0; i < MAX_LISTENERS; i++) {
        if (agent->listeners[i].callback == NULL) {
            agent->listeners[i].callback = callback;
            agent->listeners[i].arg = arg;
            return;
        }
    }
    abort();
}

void agent_unlisten(struct agent *agent, agent_event callback, void *arg)
{
    for (int i = 0; i < MAX_LISTENERS; i++) {
        if (agent->listeners[i].callback == callback && agent->listeners[i].arg == arg) {
            agent->listeners[i].callback = NULL;
        }
    }
}

const char *agent_vm(const struct agent *agent)
{
    return agent->vm;
}

const struct json_traffic *agent_traffic(const struct agent *agent)
{
    return &agent->traffic;
}

bool agent_is_ready(const struct agent *agent)
{
    return agent->state == READY;
}

bool agent_is_down(const struct agent *agent)
{
    return agent->state == DOWN;
}

const char *agent_version(const struct agent *agent)
{
    return agent->version;
}

const char *agent_instance(const struct agent *agent)
{
    return agent->instance;
}

const char *agent_hostname(const struct agent *agent)
{
    return agent->hostname;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    agent_free_commands(agent);
    timer_free(&agent->deadline);
    disconnect(agent);
    free(agent);
}
