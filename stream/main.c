/*
 * ninja-stream: carries the memory of VMs from the QEMUs of one host to those of another one. One
 * such process runs at each side of a migration; the coordinator started both, and tells them what
 * to do by lines of JSON (docs/protocol.md).
 *
 * When the coordinator is gone, what goes through goes on: the process ends when no QEMU is
 * connected any more.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/jsonline.h"
#include "common/log.h"
#include "host/base/json_output.h"
#include "host/base/memory.h"
#include "stream/sender.h"
#include "stream/session.h"

#define VERSION   1 /* of what the coordinator says */
#define MAX_LINE  (64 * 1024)
#define MAX_PAGES (64 * 1024 * 1024)
#define MAX_WAIT  (24 * 3600000)
#define FLUSH_MS  5000

static struct session *session;
static char directory[64]; /* of the source's sockets */

static void remove_directory(void)
{
    char path[128];
    for (int i = 0; directory[0] != '\0' && i < SESSION_MAX_VMS; i++) {
        snprintf(path, sizeof(path), "%s/%d", directory, i);
        unlink(path);
    }
    rmdir(directory);
}

static void end(int status)
{
    remove_directory();
    _exit(status); /* threads may wait for QEMU */
}

static void on_end(const struct ninja_error *err)
{
    remove_directory(); /* nobody may read any more */
    output_event("end", json_pack("{s:s, s:s}", "class", ninja_error_class_name(err->class), "desc",
                                  err->message));
    end(EXIT_FAILURE);
}

/* ---- requests ---- */

static const char *text_of(json_t *arguments, const char *name, struct ninja_error *err)
{
    const char *text = json_string_value(json_object_get(arguments, name));
    if (text == NULL) {
        ninja_error_set(err, ERR_BAD_REQUEST, "the argument \"%s\" is missing", name);
    }
    return text;
}

static int64_t number_of(json_t *arguments, const char *name, int64_t max)
{
    json_int_t value = json_integer_value(json_object_get(arguments, name));
    return value < 0 ? 0 : value > max ? max : value;
}

static bool take_key(json_t *arguments, uint8_t key[TLS_KEY_BYTES], struct ninja_error *err)
{
    size_t len = 0;
    const char *text = text_of(arguments, "key", err);
    return text != NULL &&
           ((sodium_hex2bin(key, TLS_KEY_BYTES, text, strlen(text), NULL, &len, NULL) == 0 &&
             len == TLS_KEY_BYTES) ||
            ninja_error_set(err, ERR_BAD_REQUEST, "the key is not one of %d bytes in hexadecimal",
                            TLS_KEY_BYTES));
}

/* HOST:PORT, where HOST may be an IPv6 address in brackets, or empty for all. */
static bool take_address(const char *text, struct link_config *config, struct ninja_error *err)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    if (colon == NULL || len >= sizeof(config->host) || strlen(colon + 1) >= sizeof(config->port)) {
        return ninja_error_set(err, ERR_ADDRESS, "\"%s\" is not HOST:PORT", text);
    }
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    memcpy(config->host, text, len);
    snprintf(config->port, sizeof(config->port), "%s", colon + 1);
    return true;
}

static bool take_version(json_t *arguments, struct ninja_error *err)
{
    int version = (int)number_of(arguments, "version", INT_MAX);
    return version == VERSION ||
           ninja_error_set(err, ERR_PROTOCOL_MISMATCH,
                           "this ninja-stream is spoken with in version %d, and ninjactl has %d: "
                           "install the same version of both",
                           VERSION, version);
}

static json_t *begin(json_t *arguments, struct ninja_error *err)
{
    struct link_config config = {.connect_ms = (int)number_of(arguments, "connect_ms", MAX_WAIT),
                                 .resume_ms = (int)number_of(arguments, "resume_ms", MAX_WAIT),
                                 .bytes_per_s = number_of(arguments, "bandwidth", INT64_MAX / 2)};
    const char *side = text_of(arguments, "side", err),
               *address = text_of(arguments, "address", err);
    if (side == NULL || address == NULL || !take_version(arguments, err) ||
        !take_key(arguments, config.key, err) || !take_address(address, &config, err)) {
        return NULL;
    }
    config.listens = strcmp(side, "destination") == 0;
    if (session != NULL) {
        ninja_error_set(err, ERR_STATE, "it was begun already");
        return NULL;
    }
    uint32_t pages = (uint32_t)number_of(arguments, "store_pages", MAX_PAGES);
    session = session_new(&config, pages > 0 ? pages : SESSION_STORE_PAGES, on_end, err);
    sodium_memzero(config.key, sizeof(config.key));
    if (session == NULL || (!config.listens && !link_wait(session_link(session), err))) {
        return NULL;
    }
    return json_object();
}

/* The source's sockets are where nobody else can connect. */
static bool make_directory(struct ninja_error *err)
{
    if (directory[0] != '\0') {
        return true;
    }
    snprintf(directory, sizeof(directory), "/tmp/ninja-stream.XXXXXX");
    if (mkdtemp(directory) == NULL) {
        directory[0] = '\0';
        return ninja_error_set(err, ERR_IO, "no directory for sockets could be made in /tmp: %m");
    }
    return true;
}

/* With "socket" at the destination; at the source it is the answer. */
static json_t *add_vm(json_t *arguments, struct ninja_error *err)
{
    char path[108];
    json_t *number = json_object_get(arguments, "number");
    const char *given = json_string_value(json_object_get(arguments, "socket"));
    json_int_t vm = json_is_integer(number) ? json_integer_value(number) : -1;
    if (session == NULL || vm < 0 || vm >= SESSION_MAX_VMS) {
        ninja_error_set(err, session == NULL ? ERR_STATE : ERR_BAD_REQUEST,
                        session == NULL ? "it was not begun yet" : "there is no VM of that number");
        return NULL;
    }
    if (given == NULL && !make_directory(err)) {
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/%d", directory, (int)vm);
    if (given == NULL) {
        given = path;
    }
    return session_add_vm(session, (int)vm, given, err) ? json_pack("{s:s}", "socket", given)
                                                        : NULL;
}

static json_t *count_of_pages(const struct batch_counters *counters)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "pages", (json_int_t)counters->pages, "same_pages",
        (json_int_t)counters->same, "copied_pages", (json_int_t)counters->copies, "raw_bytes",
        (json_int_t)counters->raw_bytes, "coded_bytes", (json_int_t)counters->coded_bytes);
    json_t *by_codec = json_object();
    for (size_t i = 0; i < CODECS; i++) {
        json_object_set_new(by_codec, codecs[i].name,
                            json_integer((json_int_t)counters->by_codec[i]));
    }
    json_object_set_new(json, "pages_by_codec", by_codec);
    return json;
}

static json_t *count(json_t *arguments, struct ninja_error *err)
{
    struct link_counters counters = {0};
    struct batch_counters memory = {0};
    if (session != NULL) {
        link_count(session_link(session), &counters);
    }
    json_t *number = json_object_get(arguments, "number");
    json_int_t vm = json_integer_value(number);
    for (int i = 0; session != NULL && session_sender(session) != NULL && i < SESSION_MAX_VMS;
         i++) {
        if (number == NULL || vm == i) {
            sender_count(session_sender(session), i, &memory);
        }
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "sent_bytes", (json_int_t)counters.bytes_sent,
                     "received_bytes", (json_int_t)counters.bytes_received, "reconnects",
                     (json_int_t)counters.reconnects, "round_trip_us",
                     (json_int_t)counters.round_trip_us, "memory", count_of_pages(&memory));
}

static const struct {
    const char *name;
    json_t *(*work)(json_t *arguments, struct ninja_error *err);
} commands[] = {
    {"begin", begin},
    {"vm", add_vm},
    {"count", count},
};

static json_t *execute(json_t *request, struct ninja_error *err)
{
    const char *name = json_string_value(json_object_get(request, "execute"));
    for (size_t i = 0; name != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].work(json_object_get(request, "arguments"), err);
        }
    }
    ninja_error_set(err, ERR_COMMAND_NOT_FOUND, "there is no such command");
    return NULL;
}

static void on_line(void *ctx, json_t *object, const char *wrong)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *id = json_object_get(object, "id");
    json_t *result = NULL;
    if (object == NULL) {
        ninja_error_set(&err, ERR_BAD_REQUEST, "the line is no request: %s", wrong);
    } else {
        result = execute(object, &err);
    }
    output_line(result != NULL ? json_pack("{s:O?, s:o}", "id", id, "return", result)
                               : json_pack("{s:O?, s:{s:s, s:s}}", "id", id, "error", "class",
                                           ninja_error_class_name(err.class), "desc", err.message));
}

/* Until nobody asks any more. */
static void serve(struct jsonline *lines)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) {
            jsonline_feed(lines, bytes, (size_t)n);
        }
    }
}

int main(int argc, char **argv)
{
    json_set_alloc_funcs(xmalloc, free);
    ninja_log_init("ninja-stream", NINJA_LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    struct jsonline *lines = jsonline_new(MAX_LINE, on_line, NULL);
    if (argc > 1) {
        fprintf(stderr, "usage: ninja-stream; ninjactl starts it, see ninja-stream(8)\n");
        return 64;
    }
    if (sodium_init() < 0 || lines == NULL) {
        fprintf(stderr, "ninja-stream: there are no random numbers\n");
        return EXIT_FAILURE;
    }
    serve(lines);
    if (session != NULL) {
        session_wait_idle(session);
        link_flush(session_link(session), FLUSH_MS);
    }
    end(EXIT_SUCCESS);
}
