/*
 * Inside the client of an agent: the connection (agent_client.c) and the commands that wait for an
 * answer (agent_commands.c).
 */
#ifndef NINJA_AGENT_PRIVATE_H
#define NINJA_AGENT_PRIVATE_H

#include <sys/queue.h>

#include "host/agent/agent_client.h"
#include "host/base/json_lines.h"

#define MAX_LISTENERS 4

enum agent_state {
    DOWN,       /* not connected, and not trying */
    CONNECTING, /* waiting for the next try, or for the channel to open */
    SYNCING,
    HELLO,
    EVENTS,
    READY,
};

struct agent {
    struct event_base *base;
    char vm[72];
    struct channel_way way;
    struct channel *channel; /* NULL: none is open or being opened */
    int connect_timeout_ms;
    enum agent_state state;
    struct json_lines *lines; /* NULL until the channel has opened */
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
    TAILQ_HEAD(, command) commands; /* that are not answered */
    struct {
        agent_event callback;
        void *arg;
    } listeners[MAX_LISTENERS];
};

void agent_copy_text(char *to, size_t size, json_t *object, const char *key);

/** Gives a command that is a part of connecting: it is sent at once, and never again. */
void agent_connecting_command(struct agent *agent, const char *name, json_t *arguments,
                              agent_reply reply);

/** Forgets the commands that are a part of connecting; nobody is told. */
void agent_drop_connecting_commands(struct agent *agent);

/** Sends all that wait, again. */
void agent_send_commands(struct agent *agent);

/** There is no connection any more: all that wait are answered so, from the event loop. */
void agent_fail_commands(struct agent *agent);

/** A line that is no event. */
void agent_on_answer(struct agent *agent, json_t *object);

void agent_free_commands(struct agent *agent);

#endif
