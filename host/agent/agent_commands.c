/*
 * What was said to an agent and is not answered. It stays here while the connection breaks and is
 * made anew, and is then said again: commands are idempotent.
 */
#include "host/agent/agent_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define HELLO_MS 5000

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
    ninja_error_set(&err, ERR_TIMEOUT, "the agent did not answer %s in time%s%s", name,
                    command->agent->state == READY ? "" : "; not connected: ",
                    command->agent->state == READY ? "" : command->agent->last_error.message);
    answer(command, NULL, &err);
}

static void on_down(evutil_socket_t fd, short what, void *arg)
{
    struct command *command = arg;
    struct ninja_error err = command->agent->last_error;
    if (!ninja_error_is_set(&err)) {
        ninja_error_set(&err, ERR_CLOSED, "not connected to the agent");
    }
    answer(command, NULL, &err);
}

static struct command *give(struct agent *agent, const char *name, json_t *arguments,
                            int timeout_ms, agent_reply reply, void *arg)
{
    struct command *command = xcalloc(1, sizeof(*command));
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

void agent_connecting_command(struct agent *agent, const char *name, json_t *arguments,
                              agent_reply reply)
{
    struct command *command = give(agent, name, arguments, HELLO_MS, reply, agent);
    command->internal = true;
    json_lines_send(agent->lines, command->object, false);
}

void agent_drop_connecting_commands(struct agent *agent)
{
    struct command *next;
    for (struct command *command = TAILQ_FIRST(&agent->commands); command != NULL; command = next) {
        next = TAILQ_NEXT(command, link);
        if (command->internal) {
            TAILQ_REMOVE(&agent->commands, command, link);
            command_free(command);
        }
    }
}

void agent_send_commands(struct agent *agent)
{
    struct command *command;
    TAILQ_FOREACH(command, &agent->commands, link)
    {
        json_lines_send(agent->lines, command->object, false);
    }
}

void agent_fail_commands(struct agent *agent)
{
    struct command *command;
    TAILQ_FOREACH(command, &agent->commands, link)
    {
        timer_free(&command->timer);
        command->timer = timer_start(agent->base, 0, on_down, command);
    }
}

void agent_on_answer(struct agent *agent, json_t *object)
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
    agent_copy_text(class, sizeof(class), error, "class");
    agent_copy_text(desc, sizeof(desc), error, "desc");
    ninja_error_set(&err, ninja_error_class_of(class), "the agent refused %s: %s",
                    json_string_value(json_object_get(command->object, "execute")), desc);
    answer(command, NULL, &err);
}

void agent_free_commands(struct agent *agent)
{
    struct command *command;
    while ((command = TAILQ_FIRST(&agent->commands)) != NULL) {
        TAILQ_REMOVE(&agent->commands, command, link);
        command_free(command);
    }
}
