/*
 * A connection goes through SYNCING (our random id must come back, so that what an earlier client
 * left in the port is not taken for an answer), HELLO, EVENTS (after a reconnection) and READY.
 * Any failure on the way, but another protocol, is tried again until the deadline: a guest's port
 * opens only when its agent starts, and QEMU's socket answers before that.
 */
#include "config.h"

#include "host-hook/agent_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/printable.h"
#include "host-hook/json_lines.h"
#include "host-hook/json_text.h"
#include "host-hook/timer.h"

#define RETRY_MS      200
#define SYNC_AGAIN_MS 500
#define HELLO_MS      5000
#define MAX_LISTENERS 4
#define MAX_WARNINGS  16          /* in its life; a guest must not fill the log */
#define MAX_SEQ       (1ll << 53) /* of an event; no agent lives so long */

enum agent_state {
    DOWN,       /* not connected, and not trying */
    CONNECTING, /* waiting for the next try */
    SYNCING,
    HELLO,
    EVENTS,
    READY,
};

struct command {
    TAILQ_ENTRY(command) link;
    struct agent *agent;
    json_t *object;
    json_int_t id;
    agent_reply reply;
    void *arg;
    struct event *timer;
    int timeout_ms;
    bool internal; /* part of connecting: never given again */
};

struct agent {
    struct event_base *base;
    char vm[72], path[256];
    int connect_timeout_ms;
    enum agent_state state;
    struct json_lines *lines;
    struct event *deadline, *retry;
    struct ninja_error last_error; /* of the tries so far */
    agent_done done;
    void *arg;
    json_int_t first_sync, last_sync, last_id, last_seq;
    bool known;
    bool filling_gap; /* ninja-events was given, and is not answered */
    int warnings;     /* that were logged */
    char instance[AGENT_INSTANCE_SIZE], version[40], hostname[72];
    struct json_traffic traffic;
    TAILQ_HEAD(, command) commands;
    struct {
        agent_event callback;
        void *arg;
    } listeners[MAX_LISTENERS];
};

static void try_to_connect(struct agent *agent);
static struct command *give(struct agent *agent, const char *name, json_t *arguments,
                            int timeout_ms, agent_reply reply, void *arg);

static void copy_text(char *to, size_t size, json_t *object, const char *key)
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

/* ---- commands ---- */

static void command_free(struct command *command)
{
    timer_free(&command->timer);
    json_decref(command->object);
    free(command);
}

static void answer(struct command *command, json_t *result, const struct ninja_error *why)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    agent_reply reply = command->reply;
    void *arg = command->arg;
    if (why != NULL) {
        err = *why;
        ninja_error_where(&err, "%s", command->agent->vm);
    }
    TAILQ_REMOVE(&command->agent->commands, command, link);
    command_free(command);
    if (reply != NULL) {
        reply(arg, result, why ? &err : NULL);
    }
}

static void on_command_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct command *command = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    const char *name = json_string_value(json_object_get(command->object, "execute"));
    ninja_error_set(&err, "Timeout", "the agent did not answer %s in time%s%s", name,
                    command->agent->state == READY ? "" : "; not connected: ",
                    command->agent->state == READY ? "" : command->agent->last_error.message);
    answer(command, NULL, &err);
}

static void on_down(evutil_socket_t fd, short what, void *arg)
{
    struct command *command = arg;
    struct ninja_error err = command->agent->last_error;
    if (!ninja_error_is_set(&err)) {
        ninja_error_set(&err, "Closed", "not connected to the agent");
    }
    answer(command, NULL, &err);
}

static struct command *give(struct agent *agent, const char *name, json_t *arguments,
                            int timeout_ms, agent_reply reply, void *arg)
{
    struct command *command = calloc(1, sizeof(*command));
    if (command == NULL) {
        abort();
    }
    command->agent = agent;
    command->id = ++agent->last_id;
    command->object = json_pack("{s:s, s:I}", "execute", name, "id", command->id);
    if (arguments != NULL) {
        json_object_set_new(command->object, "arguments", arguments);
    }
    command->reply = reply;
    command->arg = arg;
    command->timeout_ms = timeout_ms;
    TAILQ_INSERT_TAIL(&agent->commands, command, link);
    if (agent->state == DOWN) {
        command->timer = timer_start(agent->base, 0, on_down, command);
    } else {
        command->timer = timer_start(agent->base, timeout_ms, on_command_timeout, command);
    }
    return command;
}

void agent_execute(struct agent *agent, const char *name, json_t *arguments, int timeout_ms,
                   agent_reply reply, void *arg)
{
    struct command *command = give(agent, name, arguments, timeout_ms, reply, arg);
    enum ninja_fault fault = ninja_fault(NINJA_FAULT_MESSAGE, "command %s", name);
    if (agent->state == READY && fault == NINJA_FAULT_REPEATED) {
        json_lines_send(agent->lines, command->object, false);
    }
    if (agent->state == READY && fault != NINJA_FAULT_LOST) {
        json_lines_send(agent->lines, command->object, false);
    }
}

void agent_forget(struct agent *agent, const void *arg)
{
    struct command *command;
    TAILQ_FOREACH(command, &agent->commands, link)
    {
        if (command->arg == arg) {
            command->reply = NULL;
        }
    }
}

/* ---- connecting ---- */

static void disconnect(struct agent *agent)
{
    struct command *command = TAILQ_FIRST(&agent->commands);
    while (command != NULL) {
        struct command *next = TAILQ_NEXT(command, link);
        if (command->internal) {
            TAILQ_REMOVE(&agent->commands, command, link);
            command_free(command);
        }
        command = next;
    }
    agent->filling_gap = false;
    timer_free(&agent->retry);
    json_lines_free(agent->lines);
    agent->lines = NULL;
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

/* No further try. Commands that wait are answered from the event loop. */
static void give_up(struct agent *agent, const struct ninja_error *err)
{
    struct command *command;
    agent->last_error = *err;
    disconnect(agent);
    agent->state = DOWN;
    TAILQ_FOREACH(command, &agent->commands, link)
    {
        timer_free(&command->timer);
        command->timer = timer_start(agent->base, 0, on_down, command);
    }
    connected_or_not(agent, err);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct agent *agent = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (agent->state == SYNCING || agent->state == HELLO) {
        ninja_error_set(&err, "Timeout",
                        "no agent answers at %s; is ninja-agent running in the VM, and nothing "
                        "else connected to its channel?",
                        agent->path);
    } else {
        ninja_error_set(&err, agent->last_error.class[0] ? agent->last_error.class : "Timeout",
                        "the agent's channel cannot be reached (%s)",
                        agent->last_error.class[0] ? agent->last_error.message : agent->path);
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

/* 0: it has none that can be. */
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
    struct command *command;
    agent->state = READY;
    agent->known = true;
    agent->last_error = (struct ninja_error)NINJA_ERROR_INIT;
    TAILQ_FOREACH(command, &agent->commands, link)
    {
        json_lines_send(agent->lines, command->object, false);
    }
    connected_or_not(agent, NULL);
}

static void internal_command(struct agent *agent, const char *name, json_t *arguments,
                             agent_reply reply);

static void on_events(struct agent *agent, json_t *result)
{
    size_t i;
    json_t *event;
    if (json_is_true(json_object_get(result, "lost")) && may_warn(agent)) {
        ninja_log_vm(NINJA_LOG_WARNING, agent->vm,
                     "the agent no longer has all events that were missed");
    }
    json_incref(result);
    json_array_foreach(json_object_get(result, "events"), i, event)
    {
        on_event(agent, event);
    }
    json_decref(result);
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
 * One that is not the next: those before it are missing, or come late. All are asked for once;
 * what comes until the answer is in it too, if there is a gap before it.
 */
static void on_event_or_gap(struct agent *agent, json_t *object)
{
    bool gap = seq_of(object) > agent->last_seq + 1;
    if (gap && !agent->filling_gap) {
        agent->filling_gap = true;
        internal_command(agent, "ninja-events", json_pack("{s:I}", "after", agent->last_seq),
                         on_gap_filled);
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

static void internal_command(struct agent *agent, const char *name, json_t *arguments,
                             agent_reply reply)
{
    struct command *command = give(agent, name, arguments, HELLO_MS, reply, agent);
    command->internal = true;
    json_lines_send(agent->lines, command->object, false);
}

static void on_hello(void *arg, json_t *result, const struct ninja_error *err)
{
    struct agent *agent = arg;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    char instance[sizeof(agent->instance)];
    if (err != NULL && strcmp(err->class, "ProtocolMismatch") == 0) {
        ninja_error_set(&wrong, "ProtocolMismatch",
                        "its agent speaks another protocol than this ninjactl (%d); install the "
                        "same version on both sides. It said: %s",
                        AGENT_PROTOCOL, err->message);
        give_up(agent, &wrong);
        return;
    }
    if (err != NULL) {
        try_later(agent, err);
        return;
    }
    json_t *protocol = json_object_get(result, "protocol");
    json_t *seq = json_object_get(result, "seq");
    if (json_integer_value(protocol) != AGENT_PROTOCOL || !json_is_integer(seq) ||
        json_integer_value(seq) < 0 || json_integer_value(seq) > MAX_SEQ) {
        ninja_error_set(&wrong, "ProtocolMismatch",
                        "its agent speaks protocol %lld and this ninjactl %d; install the same "
                        "version on both sides",
                        (long long)json_integer_value(protocol), AGENT_PROTOCOL);
        give_up(agent, &wrong);
        return;
    }
    copy_text(instance, sizeof(instance), result, "instance");
    copy_text(agent->version, sizeof(agent->version), result, "version");
    copy_text(agent->hostname, sizeof(agent->hostname), result, "hostname");
    bool same = agent->known && strcmp(agent->instance, instance) == 0;
    if (agent->known && !same && may_warn(agent)) {
        ninja_log_vm(NINJA_LOG_WARNING, agent->vm, "its agent was started again meanwhile");
    }
    memcpy(agent->instance, instance, sizeof(instance));
    if (same) {
        agent->state = EVENTS;
        internal_command(agent, "ninja-events", json_pack("{s:I}", "after", agent->last_seq),
                         on_missed_events);
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
    internal_command(
        agent, "ninja-hello",
        json_pack("{s:i, s:s}", "protocol", AGENT_PROTOCOL, "version", PACKAGE_VERSION), on_hello);
}

/*
 * Another agent, perhaps, has the port now, and does not know us: what we said to the one before
 * may be lost. Before we are ready it is a line that waited in the port for somebody to connect.
 */
static void on_opened(struct agent *agent)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (agent->state == READY) {
        ninja_error_set(&err, "Closed", "its agent opened the port anew");
        channel_broke(agent, &err);
    }
}

static void on_answer(struct agent *agent, json_t *object)
{
    json_t *id = json_object_get(object, "id");
    struct ninja_error err = NINJA_ERROR_INIT;
    struct command *command;
    TAILQ_FOREACH(command, &agent->commands, link)
    {
        if (json_is_integer(id) && json_integer_value(id) == command->id) {
            break;
        }
    }
    if (command == NULL) {
        return;
    }
    json_t *result = json_object_get(object, "return");
    if (result != NULL) {
        answer(command, result, NULL);
        return;
    }
    char class[32], desc[360];
    json_t *error = json_object_get(object, "error");
    copy_text(class, sizeof(class), error, "class");
    copy_text(desc, sizeof(desc), error, "desc");
    ninja_error_set(&err, class[0] ? class : "GenericError", "the agent refused %s: %s",
                    json_string_value(json_object_get(command->object, "execute")), desc);
    answer(command, NULL, &err);
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
        on_answer(agent, object);
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

static void try_to_connect(struct agent *agent)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    uint32_t random = 0;
    disconnect(agent);
    agent->lines = json_lines_connect(agent->base, agent->path, &lines_handler, agent, &err);
    if (agent->lines == NULL) {
        try_later(agent, &err);
        return;
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (uint32_t)now_ms();
    }
    json_lines_count(agent->lines, &agent->traffic);
    agent->last_sync = (json_int_t)random << 8;
    agent->first_sync = agent->last_sync + 1;
    agent->state = SYNCING;
    send_sync(-1, 0, agent);
}

void agent_connect(struct agent *agent, const char *path, agent_done done, void *arg)
{
    disconnect(agent);
    snprintf(agent->path, sizeof(agent->path), "%s", path);
    agent->done = done;
    agent->arg = arg;
    agent->last_error = (struct ninja_error)NINJA_ERROR_INIT;
    agent->state = CONNECTING;
    timer_free(&agent->deadline);
    agent->deadline = timer_start(agent->base, agent->connect_timeout_ms, on_deadline, agent);
    agent->retry = timer_start(agent->base, 0, on_retry, agent);
}

/* ---- the object ---- */

struct agent *agent_new(struct event_base *base, const char *vm, int connect_timeout_ms)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    if (agent == NULL) {
        abort();
    }
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
    while (!TAILQ_EMPTY(&agent->commands)) {
        struct command *command = TAILQ_FIRST(&agent->commands);
        TAILQ_REMOVE(&agent->commands, command, link);
        command_free(command);
    }
    timer_free(&agent->deadline);
    disconnect(agent);
    free(agent);
}
