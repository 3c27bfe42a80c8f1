#include "host/agent/link_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/agent/guest_answer.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define POLL_MS 500
/* A driver makes its RDMA port after its network interface; wait so long for one. */
#define PORT_MS 3000

struct link_wait {
    struct event_base *base;
    struct agent *agent;
    json_t *before;
    struct event *poll, *deadline;
    int64_t net_since; /* when a new interface was first seen up; 0: not */
    bool ended;
    link_done done;
    void *arg;
};

/* The entry of the same name (and port), or NULL. */
static json_t *same_in(json_t *list, json_t *entry)
{
    size_t i;
    json_t *other;
    json_array_foreach(list, i, other)
    {
        if (strcmp(json_text_in(other, "name"), json_text_in(entry, "name")) == 0 &&
            json_integer_value(json_object_get(other, "port")) ==
                json_integer_value(json_object_get(entry, "port"))) {
            return other;
        }
    }
    return NULL;
}

enum link_kind link_compare(json_t *before, json_t *now, bool *port_is_coming, char *name,
                            size_t size)
{
    size_t i;
    json_t *entry;
    *port_is_coming = false;
    json_array_foreach(json_object_get(now, "rdma"), i, entry)
    {
        json_t *was = same_in(json_object_get(before, "rdma"), entry);
        bool active = strcmp(json_text_in(entry, "state"), "ACTIVE") == 0;
        if (active && strcmp(json_text_in(was, "state"), "ACTIVE") != 0) {
            snprintf(name, size, "%.30s", json_text_in(entry, "name"));
            return LINK_RDMA;
        }
        *port_is_coming |= was == NULL && !active;
    }
    json_array_foreach(json_object_get(now, "net"), i, entry)
    {
        json_t *was = same_in(json_object_get(before, "net"), entry);
        if (strcmp(json_text_in(entry, "state"), "up") == 0 &&
            strcmp(json_text_in(was, "state"), "up") != 0) {
            snprintf(name, size, "%.30s", json_text_in(entry, "name"));
            return LINK_NET;
        }
    }
    return LINK_NONE;
}

static void end(struct link_wait *wait, enum link_kind kind, const char *name,
                const struct ninja_error *err)
{
    wait->ended = true;
    timer_free(&wait->poll);
    timer_free(&wait->deadline);
    agent_forget(wait->agent, wait);
    wait->done(wait->arg, kind, name, err);
}

static void look_at(struct link_wait *wait, json_t *answer)
{
    char name[32];
    bool port_is_coming;
    json_t *now = guest_interconnects(answer);
    enum link_kind kind = link_compare(wait->before, now, &port_is_coming, name, sizeof(name));
    json_decref(now);
    if (kind == LINK_RDMA) {
        end(wait, kind, name, NULL);
        return;
    }
    if (kind == LINK_NONE || port_is_coming) {
        wait->net_since = 0;
        return;
    }
    if (wait->net_since == 0) {
        wait->net_since = now_ms();
    }
    if (now_ms() - wait->net_since >= PORT_MS) {
        end(wait, kind, name, NULL);
    }
}

static void ask(evutil_socket_t fd, short what, void *arg);

static void on_answer(void *arg, json_t *result, const struct ninja_error *err)
{
    struct link_wait *wait = arg;
    timer_free(&wait->poll);
    wait->poll = timer_start(wait->base, POLL_MS, ask, wait);
    if (err == NULL) {
        look_at(wait, result); /* may end and free it */
    }
}

static void ask(evutil_socket_t fd, short what, void *arg)
{
    struct link_wait *wait = arg;
    agent_execute(wait->agent, "ninja-interconnects", NULL, 10 * POLL_MS, on_answer, wait);
}

static void on_event(void *arg, struct agent *agent, const char *name, json_t *data)
{
    struct link_wait *wait = arg;
    if (!wait->ended && strcmp(name, "NINJA_INTERCONNECT") == 0) {
        look_at(wait, data);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct link_wait *wait = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_TIMEOUT,
                    "%s: no RDMA port became ACTIVE and no new network interface came up in time",
                    agent_vm(wait->agent));
    end(wait, LINK_NONE, "", &err);
}

struct link_wait *link_wait_start(struct event_base *base, struct agent *agent, json_t *before,
                                  int timeout_ms, link_done done, void *arg)
{
    struct link_wait *wait = xcalloc(1, sizeof(*wait));
    wait->base = base;
    wait->agent = agent;
    wait->before = json_incref(before);
    wait->done = done;
    wait->arg = arg;
    wait->deadline = timer_start(base, timeout_ms, on_deadline, wait);
    agent_listen(agent, on_event, wait);
    ask(-1, 0, wait);
    return wait;
}

void link_wait_free(struct link_wait *wait)
{
    if (wait == NULL) {
        return;
    }
    agent_unlisten(wait->agent, on_event, wait);
    agent_forget(wait->agent, wait);
    timer_free(&wait->poll);
    timer_free(&wait->deadline);
    json_decref(wait->before);
    free(wait);
}
