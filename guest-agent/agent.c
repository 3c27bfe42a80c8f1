#include "guest-agent/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/log.h"
#include "guest-agent/commands.h"

static bool new_instance(char text[33])
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        sprintf(text + 2 * i, "%02x", bytes[i]);
    }
    return true;
}

static void to_hosts(void *ctx, json_t *event)
{
    struct agent *agent = ctx;
    hostlink_broadcast(agent->link, event);
}

static json_t *opened(const struct agent *agent)
{
    return json_pack("{s:s, s:{s:s}}", "event", "NINJA_OPENED", "data", "instance",
                     agent->instance);
}

/* The sockets come first: they say whether another agent is alive, before anything is touched. */
static bool open_sockets(struct agent *agent, struct ninja_error *err)
{
    const struct agent_config *config = agent->config;
    agent->ranks = ranks_new(agent->base, agent->jobs, config->socket, err);
    if (agent->ranks == NULL) {
        return ninja_error_where(err, "socket for the MPI processes");
    }
    agent->link =
        config->listen != NULL
            ? hostlink_listen(agent->base, config->listen, commands_run, agent, err)
            : hostlink_port(agent->base, config->port, opened(agent), commands_run, agent, err);
    if (agent->link == NULL) {
        return ninja_error_where(err, "socket for the host");
    }
    events_set_sink(agent->events, to_hosts, agent);
    return true;
}

static bool open_parts(struct agent *agent, struct ninja_error *err)
{
    const struct agent_config *config = agent->config;
    if (!new_instance(agent->instance)) {
        return ninja_error_set(err, ERR_IO, "no random bytes: %m");
    }
    agent->base = event_base_new();
    agent->events = events_new();
    if (agent->base != NULL && agent->events != NULL) {
        agent->jobs = jobs_new(agent->base, agent->events);
        agent->scripts = scripts_new(agent->base, config->scripts, config->script_ms);
        agent->watch = linkwatch_new(agent->base, agent->events, config->sys);
    }
    if (agent->jobs == NULL || agent->scripts == NULL || agent->watch == NULL) {
        return ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
    }
    agent->ops = deviceops_new(agent->base, agent->events, agent->scripts, config->proc);
    if (agent->ops == NULL) {
        return ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
    }
    return open_sockets(agent, err);
}

struct agent *agent_new(const struct agent_config *config, struct ninja_error *err)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    if (agent == NULL) {
        ninja_error_set(err, ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    agent->config = config;
    if (!open_parts(agent, err)) {
        agent_free(agent);
        return NULL;
    }
    return agent;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    if (agent->events != NULL) {
        events_set_sink(agent->events, NULL, NULL);
    }
    scripts_free(agent->scripts);
    deviceops_free(agent->ops);
    linkwatch_free(agent->watch);
    ranks_free(agent->ranks);
    jobs_free(agent->jobs);
    hostlink_free(agent->link);
    events_free(agent->events);
    if (agent->base != NULL) {
        event_base_free(agent->base);
    }
    free(agent);
}
