#include "config.h"

#include "guest-agent/commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/agent_proto.h"
#include "common/fault.h"
#include "common/log.h"
#include "guest-agent/agent.h"
#include "guest-agent/interconnects.h"
#include "guest-agent/procscan.h"
#include "guest-agent/shortage.h"
#include "guest-agent/steps.h"
#include "guest-agent/text.h"

/* Returns the answer, a new reference, or NULL with an error. */
typedef json_t *command_fn(struct agent *agent, struct channel *ch, json_t *args,
                           struct ninja_error *err);

enum command_flag {
    DELIMITED = 1,    /* the answer follows a 0xFF byte */
    BEFORE_HELLO = 2, /* needs no ninja-hello */
};

struct command {
    const char *name;
    command_fn *run;
    int flags;
    const char *arguments; /* the names of all that it knows, each between blanks */
};

static json_t *guest_sync(struct agent *agent, struct channel *ch, json_t *args,
                          struct ninja_error *err)
{
    json_t *id = json_object_get(args, "id");
    if (!json_is_integer(id)) {
        ninja_error_set(err, ERR_GENERIC, "Parameter 'id' is missing or not an integer");
        return NULL;
    }
    return json_incref(id);
}

static json_t *guest_ping(struct agent *agent, struct channel *ch, json_t *args,
                          struct ninja_error *err)
{
    return json_object();
}

#define NS_A_SECOND 1000000000

/* Without a time QEMU's agent would read the hardware's clock, which this one does not know. */
static json_t *guest_set_time(struct agent *agent, struct channel *ch, json_t *args,
                              struct ninja_error *err)
{
    json_t *time = json_object_get(args, "time");
    if (agent->config->listen != NULL) { /* by a socket anybody may come, and it may be no VM */
        ninja_error_set(err, ERR_GENERIC, "the clock is only set by who comes by the virtio port");
        return NULL;
    }
    if (!json_is_integer(time) || json_integer_value(time) < 0) {
        ninja_error_set(err, ERR_GENERIC,
                        "Parameter 'time' is missing or not a number of nanoseconds from 0");
        return NULL;
    }
    struct timespec now = {.tv_sec = json_integer_value(time) / NS_A_SECOND,
                           .tv_nsec = json_integer_value(time) % NS_A_SECOND};
    if (clock_settime(CLOCK_REALTIME, &now) < 0) {
        ninja_error_set(err, ERR_GENERIC, "the clock cannot be set: %m");
        return NULL;
    }
    ninja_log_info("the host set the clock");
    return json_object();
}

static command_fn guest_info; /* below the table that it lists */

static json_t *ninja_hello(struct agent *agent, struct channel *ch, json_t *args,
                           struct ninja_error *err)
{
    json_int_t protocol;
    const char *version = "unknown";
    char host[256];

    if (json_unpack(args, "{s:I, s?:s}", "protocol", &protocol, "version", &version) != 0) {
        ninja_error_set(err, ERR_GENERIC,
                        "ninja-hello needs 'protocol', a number, and 'version', a string");
        return NULL;
    }
    if (protocol != NINJA_AGENT_PROTOCOL) {
        ninja_error_set(err, ERR_PROTOCOL_MISMATCH,
                        "the host speaks protocol %lld, the agent (%s) protocol %d: install the "
                        "same version on both sides",
                        (long long)protocol, PACKAGE_VERSION, NINJA_AGENT_PROTOCOL);
        return NULL;
    }
    if (gethostname(host, sizeof(host)) != 0) {
        strcpy(host, "unknown");
    }
    host[sizeof(host) - 1] = '\0';
    ninja_log_info("hello from a host, version %.64s", version);
    channel_set_greeted(ch);
    return json_pack("{s:i, s:s, s:o, s:s, s:I}", "protocol", NINJA_AGENT_PROTOCOL, "version",
                     PACKAGE_VERSION, "hostname", text_json(host, strlen(host)), "instance",
                     agent->instance, "seq", (json_int_t)events_last_seq(agent->events));
}

static json_t *ninja_events(struct agent *agent, struct channel *ch, json_t *args,
                            struct ninja_error *err)
{
    json_int_t after;
    bool lost;
    if (json_unpack(args, "{s:I}", "after", &after) != 0 || after < 0) {
        ninja_error_set(err, ERR_GENERIC, "ninja-events needs 'after', a number from 0");
        return NULL;
    }
    json_t *list = events_after(agent->events, (uint64_t)after, &lost);
    return json_pack("{s:o, s:b}", "events", list, "lost", lost);
}

static json_t *ninja_interconnects(struct agent *agent, struct channel *ch, json_t *args,
                                   struct ninja_error *err)
{
    return interconnects_scan(agent->config->sys, true);
}

static bool is_rank(void *ctx, pid_t pid)
{
    return jobs_has_pid(ctx, pid);
}

static json_t *ninja_jobs(struct agent *agent, struct channel *ch, json_t *args,
                          struct ninja_error *err)
{
    return json_pack("{s:b, s:o, s:o}", "returning", ranks_may_return(agent->ranks), "jobs",
                     jobs_json(agent->jobs), "unmanaged",
                     procscan(agent->config->proc, is_rank, agent->jobs));
}

static json_t *ninja_step(struct agent *agent, struct channel *ch, json_t *args,
                          struct ninja_error *err)
{
    return steps_give(agent->jobs, args, err) ? json_object() : NULL;
}

static json_t *ninja_detach(struct agent *agent, struct channel *ch, json_t *args,
                            struct ninja_error *err)
{
    return deviceops_give(agent->ops, DEVICEOP_DETACH, args, err) ? json_object() : NULL;
}

static json_t *ninja_attach(struct agent *agent, struct channel *ch, json_t *args,
                            struct ninja_error *err)
{
    return deviceops_give(agent->ops, DEVICEOP_ATTACH, args, err) ? json_object() : NULL;
}

static const struct command table[] = {
    {"guest-sync", guest_sync, BEFORE_HELLO, " id "},
    {"guest-sync-delimited", guest_sync, BEFORE_HELLO | DELIMITED, " id "},
    {"guest-ping", guest_ping, BEFORE_HELLO, ""},
    {"guest-info", guest_info, BEFORE_HELLO, ""},
    {"guest-set-time", guest_set_time, 0, " time "},
    {"ninja-hello", ninja_hello, BEFORE_HELLO, " protocol version "},
    {"ninja-events", ninja_events, 0, " after "},
    {"ninja-interconnects", ninja_interconnects, 0, ""},
    {"ninja-jobs", ninja_jobs, 0, ""},
    {"ninja-step", ninja_step, 0,
     " job epoch round step timeout-ms lease-ms release open leaving tables transports "
     "addresses "},
    {"ninja-detach", ninja_detach, 0, " token device timeout-ms "},
    {"ninja-attach", ninja_attach, 0, " token device timeout-ms "},
};

#define N_COMMANDS (sizeof(table) / sizeof(table[0]))

static json_t *guest_info(struct agent *agent, struct channel *ch, json_t *args,
                          struct ninja_error *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < N_COMMANDS; i++) {
        json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", table[i].name, "enabled",
                                              1, "success-response", 1));
    }
    return json_pack("{s:s, s:o}", "version", PACKAGE_VERSION, "supported_commands", list);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static bool only_known(json_t *object, const char *known, const char *what, struct ninja_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char word[64];
        int n = snprintf(word, sizeof(word), " %s ", key);
        if (n < 0 || (size_t)n >= sizeof(word) || strchr(key, ' ') != NULL ||
            strstr(known, word) == NULL) {
            return ninja_error_set(err, ERR_GENERIC, "%s '%.64s' is unexpected", what, key);
        }
    }
    return true;
}

/* Finds the command of a request and checks the request's form. */
static const struct command *check(struct channel *ch, json_t *request, struct ninja_error *err)
{
    json_t *args = json_object_get(request, "arguments");
    const char *name = json_string_value(json_object_get(request, "execute"));

    if (name == NULL) {
        ninja_error_set(err, ERR_GENERIC, "'execute' is missing or not a string");
        return NULL;
    }
    if (!only_known(request, " execute arguments id ", "Member", err)) {
        return NULL;
    }
    if (args != NULL && !json_is_object(args)) {
        ninja_error_set(err, ERR_GENERIC, "'arguments' must be an object");
        return NULL;
    }
    const struct command *command = find_command(name);
    if (command == NULL) {
        ninja_error_set(err, ERR_COMMAND_NOT_FOUND, "The command %.128s has not been found", name);
        return NULL;
    }
    if (!only_known(args, command->arguments, "Parameter", err)) {
        return NULL;
    }
    if ((command->flags & BEFORE_HELLO) == 0 && !channel_greeted(ch)) {
        ninja_error_set(err, ERR_GENERIC, "%s before ninja-hello on this channel: say that first",
                        name);
        return NULL;
    }
    return command;
}

void commands_run(void *ctx, struct channel *ch, json_t *request, const char *wrong)
{
    struct agent *agent = ctx;
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct command *command = NULL;
    json_t *answer = NULL;

    if (request == NULL) {
        ninja_error_set(&err, ERR_GENERIC, "%s", wrong);
    } else {
        command = check(ch, request, &err);
    }
    if (command != NULL && ninja_fault(NINJA_FAULT_STEP, "%s", command->name) != NINJA_FAULT_NONE) {
        ninja_error_set(&err, ERR_GENERIC, "made to fail by a fault point");
        command = NULL;
    }
    if (command != NULL) {
        shortage_forget();
        answer = command->run(agent, ch, json_object_get(request, "arguments"), &err);
        answer = shortage_checked(answer);
    }
    if (answer == NULL) {
        ninja_error_set(&err, ERR_GENERIC, "the agent is out of memory");
    }
    json_t *line;
    shortage_forget();
    if (answer != NULL) {
        line = json_pack("{s:o}", "return", answer);
    } else {
        ninja_log_debug("refused: %s: %s", ninja_error_class_name(err.class), err.message);
        line = json_pack("{s:{s:s, s:o}}", "error", "class", ninja_error_class_name(err.class),
                         "desc", text_json(err.message, strlen(err.message)));
    }
    json_t *id = json_object_get(request, "id");
    if (id != NULL) {
        json_object_set(line, "id", id);
    }
    line = shortage_checked(line); /* one without the id answers nothing */
    channel_send(ch, line, answer != NULL && (command->flags & DELIMITED) != 0);
    json_decref(line);
}
