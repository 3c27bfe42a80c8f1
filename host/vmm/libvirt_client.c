/*
 * A request goes through WAITING (until its host is connected) and SENT to its answer. All that is
 * asked of a host before it is connected waits in one list, and "host-open" is sent once; what it
 * fails with is the answer to all of them.
 *
 * ninja-libvirt answers each request when its time is over, so one that does not is hung. It is
 * killed then, and its end, as any end of it, is the answer to all that it was asked for.
 */
#include "host/vmm/libvirt_client.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "host/base/json_lines.h"
#include "host/base/memory.h"
#include "common/process.h"
#include "host/base/timer.h"

#define GRACE_MS 5000 /* after which a request that ought to have been answered shows a hang */
#define LIFE_MS  INT_MAX

struct host;

struct request {
    struct host *host;
    json_int_t id;
    bool sent;
    char command[32];
    json_t *arguments;
    int timeout_ms;
    struct event *overdue;
    libvirt_reply reply;
    void *arg;
    TAILQ_ENTRY(request) link;
};

struct host {
    struct libvirt_client *client;
    char uri[LIBVIRT_MAX_URI + 1];
    char uuid[40];        /* as it said when it was connected; empty: not known */
    struct vmm_room room; /* the same */
    enum { CLOSED, OPENING, OPEN } state;
    TAILQ_ENTRY(host) link;
};

struct listener {
    libvirt_event callback;
    void *arg;
    bool dead; /* while events are told */
    TAILQ_ENTRY(listener) link;
};

struct libvirt_client {
    struct event_base *base;
    int users;
    struct process *process;
    struct json_lines *lines; /* NULL: it is not running */
    struct event *fallen;     /* its end is about to be told */
    struct ninja_error end;   /* why it ended */
    json_int_t last_id;
    TAILQ_HEAD(, request) requests;
    TAILQ_HEAD(, host) hosts;
    TAILQ_HEAD(, listener) listeners;
};

static struct libvirt_client *shared;

/* ---- requests ---- */

static void request_free(struct request *request)
{
    TAILQ_REMOVE(&request->host->client->requests, request, link);
    timer_free(&request->overdue);
    json_decref(request->arguments);
    free(request);
}

static void answer(struct request *request, json_t *result, const struct ninja_error *err)
{
    libvirt_reply reply = request->reply;
    void *arg = request->arg;
    request_free(request);
    if (reply != NULL) {
        reply(arg, result, err);
    }
}

static void fall(struct libvirt_client *client, const struct ninja_error *why);

static void on_overdue(evutil_socket_t fd, short what, void *arg)
{
    struct request *request = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ERR_LOST, "ninja-libvirt does not answer, and was ended");
    fall(request->host->client, &err);
}

static void request_send(struct request *request)
{
    struct libvirt_client *client = request->host->client;
    json_t *arguments = request->arguments;
    request->arguments = NULL;
    json_object_set_new(arguments, "host", json_string(request->host->uri));
    json_object_set_new(arguments, "timeout_ms", json_integer(request->timeout_ms));
    json_t *line = json_pack("{s:s, s:I, s:o}", "execute", request->command, "id", request->id,
                             "arguments", arguments);
    request->sent = true;
    request->overdue =
        timer_start(client->base, (int64_t)request->timeout_ms + GRACE_MS, on_overdue, request);
    json_lines_send(client->lines, line, false);
    json_decref(line);
}

static struct request *request_new(struct host *host, const char *command, json_t *arguments,
                                   int timeout_ms, libvirt_reply reply, void *arg)
{
    struct request *request = xcalloc(1, sizeof(*request));
    request->host = host;
    request->id = ++host->client->last_id;
    snprintf(request->command, sizeof(request->command), "%s", command);
    request->arguments = arguments != NULL ? arguments : json_object();
    request->timeout_ms = timeout_ms < LIBVIRT_MAX_WAIT ? timeout_ms : LIBVIRT_MAX_WAIT;
    request->reply = reply;
    request->arg = arg;
    TAILQ_INSERT_TAIL(&host->client->requests, request, link);
    return request;
}

/* ---- hosts ---- */

/* NULL: nothing was asked of it. */
static struct host *host_find(const struct libvirt_client *client, const char *uri)
{
    struct host *host;
    TAILQ_FOREACH(host, &client->hosts, link)
    {
        if (strcmp(host->uri, uri) == 0) {
            return host;
        }
    }
    return NULL;
}

const char *libvirt_host_uuid(const struct libvirt_client *client, const char *uri)
{
    const struct host *host = host_find(client, uri);
    return host != NULL ? host->uuid : "";
}

struct vmm_room libvirt_host_room(const struct libvirt_client *client, const char *uri)
{
    const struct host *host = host_find(client, uri);
    return host != NULL ? host->room : (struct vmm_room){0};
}

static struct host *host_of(struct libvirt_client *client, const char *uri)
{
    struct host *host = host_find(client, uri);
    if (host == NULL) {
        host = xcalloc(1, sizeof(*host));
        host->client = client;
        snprintf(host->uri, sizeof(host->uri), "%s", uri);
        TAILQ_INSERT_TAIL(&client->hosts, host, link);
    }
    return host;
}

/* One that waits for this host, and is to be answered or sent next. */
static struct request *waiting_for(const struct host *host)
{
    struct request *request;
    TAILQ_FOREACH(request, &host->client->requests, link)
    {
        if (request->host == host && !request->sent) {
            return request;
        }
    }
    return NULL;
}

static int64_t number(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* What VMs were promised is not free, though they may not use it yet. */
static void take_room(struct vmm_room *room, json_t *said)
{
    int64_t memory = number(said, "memory_kib"), cpus = number(said, "cpus");
    int64_t is_free = memory - number(said, "vms_memory_kib");
    int64_t not_used = number(said, "free_bytes") / 1024;
    if (not_used > 0 && not_used < is_free) {
        is_free = not_used;
    }
    *room = (struct vmm_room){
        .memory_mib = memory / 1024,
        .free_mib = is_free > 0 ? is_free / 1024 : 0,
        .cpus = (int)cpus,
        .idle_cpus = (int)(cpus - number(said, "vms_cpus")),
    };
}

static void on_host_open(void *arg, json_t *result, const struct ninja_error *err)
{
    struct host *host = arg;
    struct request *request;
    const char *uuid = json_string_value(json_object_get(result, "uuid"));
    host->state = err == NULL ? OPEN : CLOSED;
    snprintf(host->uuid, sizeof(host->uuid), "%s", uuid != NULL ? uuid : "");
    take_room(&host->room, result);
    /* What is asked for from within an answer waits for a host that is opened anew. */
    json_int_t until = host->client->last_id;
    while ((request = waiting_for(host)) != NULL && request->id <= until) {
        if (err == NULL) {
            request_send(request);
        } else {
            answer(request, NULL, err);
        }
    }
}

static void host_open(struct host *host, int connect_ms)
{
    host->state = OPENING;
    request_send(request_new(host, "host-open", json_pack("{s:s}", "uri", host->uri), connect_ms,
                             on_host_open, host));
}

/* ---- what is said ---- */

static struct request *request_of(const struct libvirt_client *client, json_int_t id)
{
    struct request *request;
    TAILQ_FOREACH(request, &client->requests, link)
    {
        if (request->id == id && request->sent) {
            return request;
        }
    }
    return NULL;
}

static void on_answer(struct libvirt_client *client, json_t *object)
{
    struct request *request = request_of(client, json_integer_value(json_object_get(object, "id")));
    json_t *error = json_object_get(object, "error");
    struct ninja_error err = NINJA_ERROR_INIT;
    if (request == NULL) {
        return;
    }
    if (error == NULL) {
        answer(request, json_object_get(object, "return"), NULL);
        return;
    }
    const char *text = json_string_value(json_object_get(error, "desc"));
    ninja_error_set(&err, ninja_error_class_of(json_string_value(json_object_get(error, "class"))),
                    "%s", text != NULL ? text : "ninja-libvirt gave no reason");
    answer(request, NULL, &err);
}

static void bury_listeners(struct libvirt_client *client)
{
    struct listener *listener = TAILQ_FIRST(&client->listeners);
    while (listener != NULL) {
        struct listener *next = TAILQ_NEXT(listener, link);
        if (listener->dead) {
            TAILQ_REMOVE(&client->listeners, listener, link);
            free(listener);
        }
        listener = next;
    }
}

static void on_event(struct libvirt_client *client, const char *name, json_t *data)
{
    const char *host = json_string_value(json_object_get(data, "host"));
    const char *vm = json_string_value(json_object_get(data, "vm"));
    struct listener *listener;
    if (host == NULL) {
        return;
    }
    TAILQ_FOREACH(listener, &client->listeners, link)
    {
        if (!listener->dead) {
            listener->callback(listener->arg, name, host, vm != NULL ? vm : "", data);
        }
    }
}

static void on_object(void *arg, json_t *object)
{
    struct libvirt_client *client = arg;
    const char *event = json_string_value(json_object_get(object, "event"));
    client->users++; /* whoever is told may leave */
    if (event != NULL) {
        on_event(client, event, json_object_get(object, "data"));
    } else {
        on_answer(client, object);
    }
    bury_listeners(client);
    libvirt_client_leave(client);
}

/* ---- the program ---- */

/* All that was asked for is answered; what is asked for meanwhile starts it again. */
static void on_fallen(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_client *client = arg;
    struct ninja_error err = client->end;
    struct host *host;
    struct request *request;
    json_int_t until = client->last_id;
    timer_free(&client->fallen);
    TAILQ_FOREACH(host, &client->hosts, link)
    {
        host->state = CLOSED;
    }
    client->users++;
    while ((request = TAILQ_FIRST(&client->requests)) != NULL && request->id <= until) {
        answer(request, NULL, &err);
    }
    libvirt_client_leave(client);
}

static void fall(struct libvirt_client *client, const struct ninja_error *why)
{
    if (client->fallen != NULL) {
        return;
    }
    client->end = *why;
    process_free(client->process);
    client->process = NULL;
    json_lines_free(client->lines);
    client->lines = NULL;
    client->fallen = timer_start(client->base, 0, on_fallen, client);
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct libvirt_client *client = arg;
    struct ninja_error why = NINJA_ERROR_INIT;
    ninja_error_set(&why, ERR_LOST, "ninja-libvirt ended: %s", err->message);
    ninja_log_warning("%s", why.message);
    fall(client, &why);
}

static void on_exit_seen(void *arg, int status, bool timed_out)
{
    struct libvirt_client *client = arg;
    struct ninja_error why = NINJA_ERROR_INIT;
    if (WIFSIGNALED(status)) {
        ninja_error_set(&why, ERR_LOST, "ninja-libvirt was ended by signal %d", WTERMSIG(status));
    } else {
        ninja_error_set(&why, ERR_LOST, "ninja-libvirt ended with status %d", WEXITSTATUS(status));
    }
    ninja_log_warning("%s", why.message);
    fall(client, &why);
}

static const struct json_lines_handler handler = {
    .on_object = on_object,
    .on_end = on_end,
};

static bool start(struct libvirt_client *client, struct ninja_error *err)
{
    int pair[2];
    char *argv[] = {(char *)process_program("NINJA_LIBVIRT", NINJA_LIBVIRT_PROGRAM), NULL};
    if (access(argv[0], X_OK) != 0) {
        return ninja_error_set(err, ERR_COMMAND,
                               "%s cannot be run: %m; the package ninja-migration-libvirt has it",
                               argv[0]);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return ninja_error_set(err, ERR_COMMAND, "no socket for ninja-libvirt: %m");
    }
    struct process_options options = {.argv = argv,
                                      .env = environ,
                                      .input = pair[1],
                                      .output = pair[1],
                                      .error = STDERR_FILENO,
                                      .timeout_ms = LIFE_MS};
    client->process = process_start(client->base, &options, on_exit_seen, client, err);
    close(pair[1]);
    if (client->process == NULL) {
        close(pair[0]);
        return false;
    }
    evutil_make_socket_nonblocking(pair[0]);
    client->lines = json_lines_new(client->base, pair[0], &handler, client);
    return true;
}

/* ---- for others ---- */

void libvirt_execute(struct libvirt_client *client, const char *uri, const char *command,
                     json_t *arguments, int connect_ms, int timeout_ms, libvirt_reply reply,
                     void *arg)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct host *host = host_of(client, uri);
    struct request *request = request_new(host, command, arguments, timeout_ms, reply, arg);
    if (client->fallen != NULL) {
        return; /* it is answered with all others */
    }
    if (client->lines == NULL && !start(client, &err)) {
        fall(client, &err);
    } else if (host->state == OPEN) {
        request_send(request);
    } else if (host->state == CLOSED) {
        host_open(host, connect_ms);
    }
}

void libvirt_forget(struct libvirt_client *client, void *arg)
{
    struct request *request;
    TAILQ_FOREACH(request, &client->requests, link)
    {
        if (request->arg == arg) {
            request->reply = NULL;
        }
    }
}

void libvirt_listen(struct libvirt_client *client, libvirt_event callback, void *arg)
{
    struct listener *listener = xcalloc(1, sizeof(*listener));
    listener->callback = callback;
    listener->arg = arg;
    TAILQ_INSERT_TAIL(&client->listeners, listener, link);
}

void libvirt_unlisten(struct libvirt_client *client, libvirt_event callback, void *arg)
{
    struct listener *listener;
    TAILQ_FOREACH(listener, &client->listeners, link)
    {
        if (listener->callback == callback && listener->arg == arg) {
            listener->dead = true;
        }
    }
}

struct libvirt_client *libvirt_client_join(struct event_base *base)
{
    if (shared == NULL || shared->base != base) {
        struct libvirt_client *client = xcalloc(1, sizeof(*client));
        client->base = base;
        TAILQ_INIT(&client->requests);
        TAILQ_INIT(&client->hosts);
        TAILQ_INIT(&client->listeners);
        shared = client;
    }
    shared->users++;
    return shared;
}

void libvirt_client_leave(struct libvirt_client *client)
{
    struct host *host;
    struct request *request;
    if (--client->users > 0) {
        return;
    }
    if (shared == client) {
        shared = NULL;
    }
    timer_free(&client->fallen);
    while ((request = TAILQ_FIRST(&client->requests)) != NULL) {
        request_free(request);
    }
    while ((host = TAILQ_FIRST(&client->hosts)) != NULL) {
        TAILQ_REMOVE(&client->hosts, host, link);
        free(host);
    }
    struct listener *listener;
    TAILQ_FOREACH(listener, &client->listeners, link)
    {
        listener->dead = true;
    }
    bury_listeners(client);
    json_lines_free(client->lines);
    process_free(client->process);
    free(client);
}
