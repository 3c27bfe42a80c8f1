/*
 * The coordinator's end of a VM's channel: docs/protocol.md, section 2.
 *
 * The connection may break at any time, and does when the VM moves. The client then connects
 * again by itself, asks for the events that it missed, and gives the commands again that were not
 * answered (the agent takes a repeated command as one). Only when that fails for the time-out
 * "connect" do the waiting commands fail, with an error that names the VM.
 */
#ifndef NINJA_AGENT_CLIENT_H
#define NINJA_AGENT_CLIENT_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "host/base/channel.h"
#include "host/base/json_lines.h"

#define AGENT_INSTANCE_SIZE 72

struct agent;

typedef void (*agent_done)(void *arg, const struct ninja_error *err);

/** @param result  the value of "return", borrowed; NULL with err set */
typedef void (*agent_reply)(void *arg, json_t *result, const struct ninja_error *err);

/** @param data  borrowed; a JSON object */
typedef void (*agent_event)(void *arg, struct agent *agent, const char *name, json_t *data);

/** @param vm  the VM's name, copied */
struct agent *agent_new(struct event_base *base, const char *vm, int connect_timeout_ms);

/**
 * Connects by a way, leaving the one before; tries again until the time-out. Later, when the
 * channel breaks, it goes the same way again.
 *
 * @param way   copied; it has to hold until the agent is connected by another one, or freed
 * @param done  called once from the event loop; classes: that of the channel that failed,
 *              ERR_TIMEOUT (nobody answers), ERR_PROTOCOL_MISMATCH, ERR_PROTOCOL
 */
void agent_connect(struct agent *agent, const struct channel_way *way, agent_done done, void *arg);

/**
 * Gives a command.
 *
 * @param arguments   taken over; NULL for none
 * @param timeout_ms  includes the time that a reconnection takes
 * @param reply       called once from the event loop; NULL if nobody wants to know
 */
void agent_execute(struct agent *agent, const char *command, json_t *arguments, int timeout_ms,
                   agent_reply reply, void *arg);

/** Drops the replies (not the commands) that would be given to that arg. */
void agent_forget(struct agent *agent, const void *arg);

/* An event of the client's own: another agent answers there now, which knows nothing of what the
 * one before it had accepted. No data. */
#define AGENT_RESTARTED "AGENT_RESTARTED"

/* Another one: the agent no longer has all events that were missed. Those that it has were told. */
#define AGENT_EVENTS_LOST "AGENT_EVENTS_LOST"

/** Calls back for each event; at most 4 listeners. */
void agent_listen(struct agent *agent, agent_event callback, void *arg);
void agent_unlisten(struct agent *agent, agent_event callback, void *arg);

const char *agent_vm(const struct agent *agent);
bool agent_is_ready(const struct agent *agent);
/** Whether no further try is made to reach it: it never was connected, or its time-out is over. */
bool agent_is_down(const struct agent *agent);
/** All that was said since agent_new(). */
const struct json_traffic *agent_traffic(const struct agent *agent);
/** The version that it said in its hello; empty before. */
const char *agent_version(const struct agent *agent);
const char *agent_hostname(const struct agent *agent);
/** Another one after each start of the agent. */
const char *agent_instance(const struct agent *agent);

/** Not from within one of its callbacks. Commands that wait are forgotten. NULL is allowed. */
void agent_free(struct agent *agent);

#endif
