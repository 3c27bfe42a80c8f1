/*
 * The destination is told to begin, and listens when it has answered; then the source is, and has
 * connected when it has. The VMs that are to go through wait for that, and are then made known to
 * the destination, and after that to the source.
 *
 * Each of the two ends when we have closed its input and no QEMU is connected to it. So a
 * coordinator that is killed does not take the VMs' memory along.
 */
#include "host/vmm/stream_client.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process.h"
#include "host/base/json_lines.h"
#include "host/base/machine.h"
#include "host/base/memory.h"
#include "host/base/timer.h"

#define VERSION   1 /* of what is said */
#define KEY_BYTES 32

enum state {
    STREAM_NEW,
    STREAM_LISTENS,
    STREAM_OPEN,
    STREAM_OVER,
    STREAM_STATES,
};

static const char *const names[] = {
    [STREAM_NEW] = "new",
    [STREAM_LISTENS] = "listens",
    [STREAM_OPEN] = "open",
    [STREAM_OVER] = "over",
};
static const unsigned may_follow[STREAM_STATES] = {
    [STREAM_NEW] = 1u << STREAM_LISTENS | 1u << STREAM_OVER,
    [STREAM_LISTENS] = 1u << STREAM_OPEN | 1u << STREAM_OVER,
    [STREAM_OPEN] = 1u << STREAM_OVER,
    [STREAM_OVER] = 0,
};
static const struct machine states = {"stream", names, may_follow};

struct side {
    struct stream_client *client;
    const struct stream_side *what;
    pid_t pid; /* 0: it does not run */
    struct json_lines *lines;
};

struct guest {
    struct stream_client *client;
    int vm;
    char socket[108];
    stream_ready ready;
    void *arg;
    TAILQ_ENTRY(guest) link;
};

struct count {
    int vm;
    stream_counted counted;
    void *arg;
    TAILQ_ENTRY(count) link;
};

struct stream_client {
    struct event_base *base;
    struct stream_ends ends;
    int users;
    enum state state;
    struct side source, destination;
    char key[2 * KEY_BYTES + 1];
    struct ninja_error end;
    struct event *fallen; /* its end is about to be told */
    TAILQ_HEAD(, guest) guests;
    TAILQ_HEAD(, count) counts;
    TAILQ_ENTRY(stream_client) link;
};

static TAILQ_HEAD(, stream_client) clients = TAILQ_HEAD_INITIALIZER(clients);

static void set_state(struct stream_client *client, enum state to)
{
    if (machine_changes(&states, NULL, client->state, to)) {
        client->state = to;
    }
}

/* ---- the end ---- */

static void side_end(struct side *side)
{
    json_lines_free(side->lines);
    side->lines = NULL;
    if (side->pid > 0) {
        waitpid(side->pid, NULL, WNOHANG);
    }
}

static void answer(struct guest *guest, const char *socket, const struct ninja_error *err)
{
    stream_ready ready = guest->ready;
    void *arg = guest->arg;
    TAILQ_REMOVE(&guest->client->guests, guest, link);
    free(guest);
    if (ready != NULL) {
        ready(arg, socket, err);
    }
}

static void tell_count(struct stream_client *client, struct count *count, json_t *memory)
{
    stream_counted counted = count->counted;
    void *arg = count->arg;
    TAILQ_REMOVE(&client->counts, count, link);
    free(count);
    if (counted != NULL) {
        counted(arg, memory);
    }
}

static void on_fallen(evutil_socket_t fd, short what, void *arg)
{
    struct stream_client *client = arg;
    struct guest *guest;
    struct count *count;
    timer_free(&client->fallen);
    client->users++; /* whoever is told may leave */
    while ((guest = TAILQ_FIRST(&client->guests)) != NULL) {
        answer(guest, NULL, &client->end);
    }
    while ((count = TAILQ_FIRST(&client->counts)) != NULL) {
        tell_count(client, count, NULL);
    }
    stream_leave(client);
}

/* What was written to QEMU's connections is theirs; the two end by themselves. */
static void fall(struct stream_client *client, const struct ninja_error *why)
{
    if (client->state != STREAM_OVER) {
        client->end = *why;
        set_state(client, STREAM_OVER);
    }
    if (client->fallen == NULL) {
        client->fallen = timer_start(client->base, 0, on_fallen, client);
    }
}

/* ---- what is said ---- */

static void ask(struct side *side, const char *command, int id, json_t *arguments)
{
    json_t *line =
        json_pack("{s:s, s:i, s:o}", "execute", command, "id", id, "arguments", arguments);
    if (side->lines != NULL) {
        json_lines_send(side->lines, line, false);
    }
    json_decref(line);
}

static json_t *beginning(const struct stream_client *client, const char *side)
{
    const struct stream_ends *ends = &client->ends;
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:I}", "version", VERSION, "side", side,
                     "address", ends->address, "key", client->key, "connect_ms", ends->connect_ms,
                     "resume_ms", ends->resume_ms, "bandwidth",
                     (json_int_t)ends->bandwidth_mib * 1024 * 1024);
}

/* Requests have the number of the VM, and more when it is counted; -1 is the beginning. */
#define BEGINNING (-1)
#define COUNTING  CLUSTER_MAX_VMS

static void make_known(const struct guest *guest)
{
    ask(&guest->client->destination, "vm", guest->vm,
        json_pack("{s:i, s:s}", "number", guest->vm, "socket", guest->socket));
}

static bool side_start(struct side *side, struct ninja_error *err);

static void begun(struct side *side)
{
    struct stream_client *client = side->client;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct guest *guest;
    if (side == &client->source) {
        set_state(client, STREAM_OPEN);
        TAILQ_FOREACH(guest, &client->guests, link)
        {
            make_known(guest);
        }
        return;
    }
    set_state(client, STREAM_LISTENS);
    if (side_start(&client->source, &err)) {
        ask(&client->source, "begin", BEGINNING, beginning(client, "source"));
    } else {
        fall(client, &err);
    }
}

static void vm_known(struct side *side, int vm, const char *socket)
{
    struct stream_client *client = side->client;
    struct guest *guest;
    TAILQ_FOREACH(guest, &client->guests, link)
    {
        if (guest->vm == vm) {
            break;
        }
    }
    if (guest == NULL) {
        return;
    }
    if (side == &client->destination) {
        ask(&client->source, "vm", vm, json_pack("{s:i}", "number", vm));
    } else {
        answer(guest, socket != NULL ? socket : "", NULL);
    }
}

static void vm_counted(struct stream_client *client, int vm, json_t *memory)
{
    struct count *count;
    TAILQ_FOREACH(count, &client->counts, link)
    {
        if (count->vm == vm) {
            tell_count(client, count, memory);
            return;
        }
    }
}

static void failed(struct side *side, json_t *error)
{
    const char *desc = json_string_value(json_object_get(error, "desc"));
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(&err, ninja_error_class_of(json_string_value(json_object_get(error, "class"))),
                    "ninja-stream at %s: %.400s", side->what->site,
                    desc != NULL ? desc : "it gave no reason");
    if (side->client->state == STREAM_OPEN) {
        ninja_log_warning("%s", err.message);
    }
    fall(side->client, &err);
}

static void on_object(void *arg, json_t *object)
{
    struct side *side = arg;
    struct stream_client *client = side->client;
    json_t *error = json_object_get(object, "error"), *result = json_object_get(object, "return");
    int id = (int)json_integer_value(json_object_get(object, "id"));
    client->users++;
    if (json_object_get(object, "event") != NULL) {
        failed(side, json_object_get(object, "data"));
    } else if (error != NULL) {
        failed(side, error);
    } else if (id == BEGINNING) {
        begun(side);
    } else if (id >= COUNTING) {
        vm_counted(client, id - COUNTING, json_object_get(result, "memory"));
    } else {
        vm_known(side, id, json_string_value(json_object_get(result, "socket")));
    }
    stream_leave(client);
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct side *side = arg;
    struct ninja_error why = NINJA_ERROR_INIT;
    ninja_error_set(&why, ERR_LOST,
                    "ninja-stream at %s ended (%s); is it what \"stream-command\" starts?",
                    side->what->site, err->message);
    fall(side->client, &why);
}

static const struct json_lines_handler handler = {.on_object = on_object, .on_end = on_end};

/* ---- the programs ---- */

static const char *command_of(const struct side *side)
{
    return side->what->command != NULL ? side->what->command
                                       : process_program("NINJA_STREAM", NINJA_STREAM_PROGRAM);
}

static bool side_start(struct side *side, struct ninja_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return ninja_error_set(err, ERR_COMMAND, "no socket for ninja-stream: %m");
    }
    char shell[] = "/bin/sh", option[] = "-c";
    char *text = xasprintf("exec %s", command_of(side));
    char *argv[] = {shell, option, text, NULL};
    struct process_options options = {
        .argv = argv, .env = environ, .input = pair[1], .output = pair[1], .error = STDERR_FILENO};
    int code = process_spawn(&options, &side->pid);
    free(text);
    close(pair[1]);
    if (code != 0) {
        close(pair[0]);
        side->pid = 0;
        return ninja_error_set(err, ERR_COMMAND, "ninja-stream cannot be started: %s",
                               strerror(code));
    }
    evutil_make_socket_nonblocking(pair[0]);
    side->lines = json_lines_new(side->client->base, pair[0], &handler, side);
    return true;
}

static bool draw_key(struct stream_client *client, struct ninja_error *err)
{
    unsigned char bytes[KEY_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
        return ninja_error_set(err, ERR_GENERIC, "there are no random numbers: %m");
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        snprintf(client->key + 2 * i, 3, "%02x", bytes[i]);
    }
    return true;
}

static struct stream_client *start(struct event_base *base, const struct stream_ends *ends)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct stream_client *client = xcalloc(1, sizeof(*client));
    client->base = base;
    client->ends = *ends;
    client->source = (struct side){.client = client, .what = &client->ends.source};
    client->destination = (struct side){.client = client, .what = &client->ends.destination};
    TAILQ_INIT(&client->guests);
    TAILQ_INIT(&client->counts);
    TAILQ_INSERT_TAIL(&clients, client, link);
    if (draw_key(client, &err) && side_start(&client->destination, &err)) {
        ask(&client->destination, "begin", BEGINNING, beginning(client, "destination"));
    } else {
        fall(client, &err);
    }
    return client;
}

/* ---- for others ---- */

static bool is_between(const struct stream_client *client, const struct stream_ends *ends)
{
    return strcmp(client->ends.source.site, ends->source.site) == 0 &&
           strcmp(client->ends.destination.site, ends->destination.site) == 0;
}

struct stream_client *stream_join(struct event_base *base, const struct stream_ends *ends)
{
    struct stream_client *client;
    TAILQ_FOREACH(client, &clients, link)
    {
        if (client->base == base && client->state != STREAM_OVER && is_between(client, ends)) {
            break;
        }
    }
    if (client == NULL) {
        client = start(base, ends);
    }
    client->users++;
    return client;
}

void stream_leave(struct stream_client *client)
{
    struct guest *guest;
    struct count *count;
    if (client == NULL || --client->users > 0) {
        return;
    }
    TAILQ_REMOVE(&clients, client, link);
    timer_free(&client->fallen);
    while ((guest = TAILQ_FIRST(&client->guests)) != NULL) {
        TAILQ_REMOVE(&client->guests, guest, link);
        free(guest);
    }
    while ((count = TAILQ_FIRST(&client->counts)) != NULL) {
        TAILQ_REMOVE(&client->counts, count, link);
        free(count);
    }
    side_end(&client->source);
    side_end(&client->destination);
    explicit_bzero(client->key, sizeof(client->key));
    free(client);
}

void stream_admit(struct stream_client *client, int vm, const char *socket, stream_ready ready,
                  void *arg)
{
    struct guest *guest = xcalloc(1, sizeof(*guest));
    guest->client = client;
    guest->vm = vm;
    snprintf(guest->socket, sizeof(guest->socket), "%s", socket);
    guest->ready = ready;
    guest->arg = arg;
    TAILQ_INSERT_TAIL(&client->guests, guest, link);
    if (client->state == STREAM_OPEN) {
        make_known(guest);
    } else if (client->state == STREAM_OVER) {
        fall(client, &client->end);
    }
}

void stream_count(struct stream_client *client, int vm, stream_counted counted, void *arg)
{
    struct count *count = xcalloc(1, sizeof(*count));
    *count = (struct count){.vm = vm, .counted = counted, .arg = arg};
    TAILQ_INSERT_TAIL(&client->counts, count, link);
    if (client->state == STREAM_OPEN) {
        ask(&client->source, "count", COUNTING + vm, json_pack("{s:i}", "number", vm));
    } else {
        fall(client, &client->end);
    }
}

void stream_forget(struct stream_client *client, void *arg)
{
    struct guest *guest;
    struct count *count;
    TAILQ_FOREACH(count, &client->counts, link)
    {
        if (count->arg == arg) {
            count->counted = NULL;
        }
    }
    TAILQ_FOREACH(guest, &client->guests, link)
    {
        if (guest->arg == arg) {
            guest->ready = NULL;
        }
    }
}
