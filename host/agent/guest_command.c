#include "host/agent/guest_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "host/base/memory.h"
#include "host/base/timer.h"

#define GRACE_MS 3000

struct guest_command {
    struct agent *agent;
    char name[24], event[24];
    json_int_t token;
    bool accepted;
    struct event *deadline;
    guest_command_done done;
    void *arg;
};

static void end(struct guest_command *command, json_t *data, const struct ninja_error *err)
{
    timer_free(&command->deadline);
    agent_forget(command->agent, command);
    command->token = 0;
    command->done(command->arg, data, err);
}

static void on_event(void *arg, struct agent *agent, const char *name, json_t *data)
{
    struct guest_command *command = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *token = json_object_get(data, "token");
    if (command->token != 0 && command->accepted && strcmp(name, AGENT_RESTARTED) == 0) {
        ninja_error_set(&err, ERR_LOST, "%s: its agent was started again in the midst of %s",
                        agent_vm(agent), command->name);
        end(command, NULL, &err);
        return;
    }
    if (command->token == 0 || strcmp(name, command->event) != 0 ||
        json_integer_value(token) != command->token) {
        return;
    }
    if (json_is_true(json_object_get(data, "ok"))) {
        end(command, data, NULL);
        return;
    }
    const char *output = json_string_value(json_object_get(data, "output"));
    ninja_error_set(&err, ERR_SCRIPT, "%s: %s failed in the guest: %.300s", agent_vm(agent),
                    command->name, output && output[0] ? output : "it did not say why");
    end(command, data, &err);
}

static void on_accepted(void *arg, json_t *result, const struct ninja_error *err)
{
    struct guest_command *command = arg;
    command->accepted = err == NULL;
    if (err != NULL) {
        end(command, NULL, err);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct guest_command *command = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_TIMEOUT, "%s: %s did not end in time in the guest",
                    agent_vm(command->agent), command->name);
    end(command, NULL, &err);
}

/* A token is never 0, and another ninjactl does not have the same. */
static json_int_t new_token(void)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (uint32_t)now_ms();
    }
    return (json_int_t)random + 1;
}

struct guest_command *guest_command_start(struct event_base *base, struct agent *agent,
                                          const char *name, const char *event, const char *device,
                                          int timeout_ms, guest_command_done done, void *arg)
{
    struct guest_command *command = xcalloc(1, sizeof(*command));
    command->agent = agent;
    snprintf(command->name, sizeof(command->name), "%s", name);
    snprintf(command->event, sizeof(command->event), "%s", event);
    command->token = new_token();
    command->done = done;
    command->arg = arg;
    command->deadline = timer_start(base, timeout_ms + GRACE_MS, on_deadline, command);
    agent_listen(agent, on_event, command);
    agent_execute(agent, name,
                  json_pack("{s:I, s:s, s:i}", "token", command->token, "device", device,
                            "timeout-ms", timeout_ms),
                  timeout_ms + GRACE_MS, on_accepted, command);
    return command;
}

void guest_command_free(struct guest_command *command)
{
    if (command == NULL) {
        return;
    }
    agent_unlisten(command->agent, on_event, command);
    agent_forget(command->agent, command);
    timer_free(&command->deadline);
    free(command);
}

bool guest_holds_nothing(json_t *data, struct ninja_error *err)
{
    json_t *users = json_object_get(data, "users");
    if (!json_is_array(users)) {
        return ninja_error_set(err, ERR_PROTOCOL,
                               "the agent did not say which processes hold the device");
    }
    json_t *user = json_array_get(users, 0);
    if (user == NULL) {
        return true;
    }
    const char *name = json_string_value(json_object_get(user, "command"));
    const char *job = json_string_value(json_object_get(user, "job"));
    const char *open = json_string_value(json_array_get(json_object_get(user, "open"), 0));
    size_t others = json_array_size(users) - 1;
    char more[40] = "";
    if (others > 0) {
        snprintf(more, sizeof(more), ", and %zu more", others);
    }
    return ninja_error_set(err, ERR_HELD,
                           "process %d (%.60s)%s%.100s still has the bypass device open "
                           "(%.60s)%s; unplugging it now would hang or kill that process",
                           (int)json_integer_value(json_object_get(user, "pid")), name ? name : "?",
                           job ? " of job " : "", job ? job : "", open ? open : "?", more);
}
