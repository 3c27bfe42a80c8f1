/*
 * The commands that a host gives.
 */
#ifndef AGENT_COMMANDS_H
#define AGENT_COMMANDS_H

#include <jansson.h>

#include "guest-agent/channel.h"

/**
 * Does a command and answers it; a hostlink_request.
 *
 * @param agent    a struct agent
 * @param request  the object, or NULL: a line that is none, for the reason in @p wrong
 */
void commands_run(void *agent, struct channel *ch, json_t *request, const char *wrong);

#endif
