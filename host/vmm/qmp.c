#include "host/vmm/qmp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "host/base/json_lines.h"
#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/base/unix_socket.h"

struct command {
    TAILQ_ENTRY(command) link;
    struct qmp *qmp;
    json_int_t id;
    char name[64];
    qmp_reply reply;
    void *arg;
    struct event *timer;
};

struct qmp {
    struct event_base *base;
    struct json_lines *lines;
    const struct qmp_handler *handler;
    void *arg;
    char *path;
    bool greeted, ready, ended;
    bool out_of_band; /* it executes urgent commands beside the others */
    bool busy;        /* several replies are being called, any of which may free us */
    bool dead;        /* ... and did */
    json_int_t last_id;
    struct event *greeting_timer;
    TAILQ_HEAD(, command) commands;
};

static void command_free(struct command *command)
{
    timer_free(&command->timer);
    free(command);
}

/* Takes the command off the list and answers it. */
static void answer(struct command *command, json_t *result, const struct ninja_error *err)
{
    TAILQ_REMOVE(&command->qmp->commands, command, link);
    qmp_reply reply = command->reply;
    void *arg = command->arg;
    command_free(command);
    if (reply != NULL) {
        reply(arg, result, err);
    }
}

static void finish(struct qmp *qmp, const struct ninja_error *why)
{
    struct ninja_error err = *why;
    if (qmp->ended) {
        return;
    }
    qmp->ended = true;
    timer_free(&qmp->greeting_timer);
    ninja_error_where(&err, "%s", qmp->path);
    qmp->busy = true;
    while (!TAILQ_EMPTY(&qmp->commands)) {
        answer(TAILQ_FIRST(&qmp->commands), NULL, &err);
    }
    qmp->busy = false;
    if (qmp->dead) {
        free(qmp);
    } else {
        qmp->handler->on_end(qmp->arg, &err);
    }
}

static void on_command_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct command *command = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_TIMEOUT, "%s: QEMU did not answer %s in time", command->qmp->path,
                    command->name);
    answer(command, NULL, &err);
}

static void on_greeting_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_TIMEOUT,
                    "QEMU did not greet in time (a QMP socket serves one client at a time: is "
                    "another one connected?)");
    finish(arg, &err);
}

static void on_capabilities(void *arg, json_t *result, const struct ninja_error *err)
{
    struct qmp *qmp = arg;
    if (err != NULL) {
        if (!qmp->ended) {
            finish(qmp, err);
        }
        return;
    }
    timer_free(&qmp->greeting_timer);
    qmp->ready = true;
    qmp->handler->on_ready(qmp->arg);
}

static void on_answer(struct qmp *qmp, json_t *object)
{
    json_t *id = json_object_get(object, "id");
    struct command *command;
    TAILQ_FOREACH(command, &qmp->commands, link)
    {
        if (json_is_integer(id) && json_integer_value(id) == command->id) {
            break;
        }
    }
    if (command == NULL) {
        return; /* it came after its time-out */
    }
    json_t *result = json_object_get(object, "return");
    if (result != NULL) {
        answer(command, result, NULL);
        return;
    }
    json_t *error = json_object_get(object, "error");
    const char *class = json_string_value(json_object_get(error, "class"));
    const char *desc = json_string_value(json_object_get(error, "desc"));
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ninja_error_class_of(class), "QEMU refused %s: %s", command->name,
                    desc ? desc : "it did not say why");
    answer(command, NULL, &err);
}

static void on_greeting(struct qmp *qmp, json_t *greeting)
{
    size_t i;
    json_t *capability, *wanted = NULL;
    if (greeting == NULL) {
        struct ninja_error err = NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_PROTOCOL, "this is not a QMP socket");
        finish(qmp, &err);
        return;
    }
    json_array_foreach(json_object_get(greeting, "capabilities"), i, capability)
    {
        const char *name = json_string_value(capability);
        qmp->out_of_band |= name != NULL && strcmp(name, "oob") == 0;
    }
    if (qmp->out_of_band) {
        wanted = json_pack("{s:[s]}", "enable", "oob");
    }
    qmp->greeted = true;
    qmp_execute(qmp, "qmp_capabilities", wanted, 0, on_capabilities, qmp);
}

static void on_object(void *arg, json_t *object)
{
    struct qmp *qmp = arg;
    const char *event = json_string_value(json_object_get(object, "event"));
    if (event != NULL) {
        ninja_log_debug("%s: event %s", qmp->path, event);
        if (qmp->ready) {
            qmp->handler->on_event(qmp->arg, event, json_object_get(object, "data"));
        }
    } else if (!qmp->greeted) {
        on_greeting(qmp, json_object_get(object, "QMP"));
    } else {
        on_answer(qmp, object);
    }
}

static void on_lines_end(void *arg, const struct ninja_error *err)
{
    finish(arg, err);
}

static const struct json_lines_handler lines_handler = {
    .on_object = on_object,
    .on_end = on_lines_end,
    .max_depth = JSON_MAX_DEPTH_QEMU,
};

struct qmp *qmp_connect(struct event_base *base, const char *path, int timeout_ms,
                        const struct qmp_handler *handler, void *arg, struct ninja_error *err)
{
    struct qmp *qmp = xcalloc(1, sizeof(*qmp));
    qmp->path = xstrdup(path);
    TAILQ_INIT(&qmp->commands);
    qmp->base = base;
    qmp->handler = handler;
    qmp->arg = arg;
    int fd = unix_socket_connect(path, err);
    if (fd < 0) {
        qmp_free(qmp);
        return NULL;
    }
    qmp->lines = json_lines_new(base, fd, &lines_handler, qmp);
    qmp->greeting_timer = timer_start(base, timeout_ms, on_greeting_timeout, qmp);
    return qmp;
}

/* The answer of a connection that ended must not come before qmp_execute() returned. */
static void on_already_ended(evutil_socket_t fd, short what, void *arg)
{
    struct command *command = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_CLOSED, "%s: QEMU is gone; %s was not sent", command->qmp->path,
                    command->name);
    answer(command, NULL, &err);
}

/* fd: -1: none goes with it */
static void execute(struct qmp *qmp, const char *how, const char *name, json_t *arguments, int fd,
                    int timeout_ms, qmp_reply reply, void *arg)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    struct command *command = xcalloc(1, sizeof(*command));
    command->qmp = qmp;
    command->id = ++qmp->last_id;
    snprintf(command->name, sizeof(command->name), "%s", name);
    command->reply = reply;
    command->arg = arg;
    TAILQ_INSERT_TAIL(&qmp->commands, command, link);
    json_t *object = json_pack("{s:s, s:I}", how, name, "id", command->id);
    if (arguments != NULL) {
        json_object_set_new(object, "arguments", arguments);
    }
    if (qmp->ended || (fd >= 0 && !json_lines_send_fd(qmp->lines, object, fd, &why))) {
        command->timer = timer_start(qmp->base, 0, on_already_ended, command);
    } else if (timeout_ms > 0) {
        command->timer = timer_start(qmp->base, timeout_ms, on_command_timeout, command);
    }
    if (ninja_error_is_set(&why)) {
        ninja_log_warning("%s: %s", qmp->path, why.message);
    }
    if (!qmp->ended && fd < 0) {
        json_lines_send(qmp->lines, object, false);
    }
    json_decref(object);
}

void qmp_execute(struct qmp *qmp, const char *name, json_t *arguments, int timeout_ms,
                 qmp_reply reply, void *arg)
{
    execute(qmp, "execute", name, arguments, -1, timeout_ms, reply, arg);
}

void qmp_execute_with_fd(struct qmp *qmp, const char *name, json_t *arguments, int fd,
                         int timeout_ms, qmp_reply reply, void *arg)
{
    execute(qmp, "execute", name, arguments, fd, timeout_ms, reply, arg);
}

void qmp_execute_urgent(struct qmp *qmp, const char *name, json_t *arguments, int timeout_ms,
                        qmp_reply reply, void *arg)
{
    execute(qmp, qmp->out_of_band ? "exec-oob" : "execute", name, arguments, -1, timeout_ms,
            reply, arg);
}

bool qmp_is_ready(const struct qmp *qmp)
{
    return qmp != NULL && qmp->ready && !qmp->ended;
}

void qmp_free(struct qmp *qmp)
{
    if (qmp == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&qmp->commands)) {
        struct command *command = TAILQ_FIRST(&qmp->commands);
        TAILQ_REMOVE(&qmp->commands, command, link);
        command_free(command);
    }
    timer_free(&qmp->greeting_timer);
    json_lines_free(qmp->lines);
    qmp->lines = NULL;
    free(qmp->path);
    qmp->path = NULL;
    if (qmp->busy) {
        qmp->dead = true;
    } else {
        free(qmp);
    }
}
