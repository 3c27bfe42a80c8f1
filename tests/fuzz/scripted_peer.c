#include "tests/fuzz/scripted_peer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/agent_proto.h"
#include "tests/fuzz/fuzz.h"

void scripted_peer_open(struct scripted_peer *peer, const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    peer->path = fuzz_path(name);
    peer->fd = -1;
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", peer->path);
    FUZZ_CHECK(bind(peer->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
               listen(peer->listener, 16) == 0);
}

void scripted_peer_hang_up(struct scripted_peer *peer)
{
    int fd;
    if (peer->fd >= 0) {
        close(peer->fd);
        peer->fd = -1;
    }
    while ((fd = accept(peer->listener, NULL, NULL)) >= 0) {
        close(fd);
    }
    peer->len = 0;
}

/* Whether the rest of a line begins with a word. */
static bool begins(const uint8_t *line, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* Sends a line with the words replaced. */
static bool send_line(struct scripted_peer *peer, const uint8_t *line, size_t len)
{
    char text[16384];
    size_t n = 0;
    bool asked = false;
    while (len > 0 && n < sizeof(text) - sizeof(peer->id)) {
        const char *word = begins(line, len, "$ID")         ? "$ID"
                           : begins(line, len, "$TOKEN")    ? "$TOKEN"
                           : begins(line, len, "$PROTOCOL") ? "$PROTOCOL"
                                                            : NULL;
        if (word == NULL) {
            text[n++] = (char)*line++;
            len--;
            continue;
        }
        bool is_id = strcmp(word, "$ID") == 0;
        const char *stands_for = is_id            ? peer->id
                                 : word[1] == 'T' ? peer->token
                                                  : NINJA_AGENT_PROTOCOL_TEXT;
        n += (size_t)sprintf(text + n, "%s", stands_for);
        asked |= is_id;
        line += strlen(word);
        len -= strlen(word);
    }
    send(peer->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return asked;
}

/* Says one line of the script. Returns whether it was an answer, or none is left. */
static bool say(struct scripted_peer *peer)
{
    struct script *script = peer->script;
    if (script->size == 0) {
        return true;
    }
    const uint8_t *end = memchr(script->data, '\n', script->size);
    size_t len = end != NULL ? (size_t)(end - script->data) + 1 : script->size;
    bool answered = send_line(peer, script->data, len);
    script->data += len;
    script->size -= len;
    return answered;
}

bool scripted_peer_say(struct scripted_peer *peer)
{
    if (peer->fd < 0 || peer->script->size == 0) {
        return false;
    }
    say(peer);
    return true;
}

static void note(char *to, size_t size, json_t *number)
{
    if (json_is_integer(number)) {
        snprintf(to, size, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    }
}

static void take_line(struct scripted_peer *peer, const char *line)
{
    json_t *json = json_loads(line[0] == '\xff' ? line + 1 : line, 0, NULL);
    FUZZ_CHECK(json_is_object(json)); /* whatever it was told, the host speaks JSON */
    note(peer->id, sizeof(peer->id), json_object_get(json, "id"));
    note(peer->token, sizeof(peer->token),
         json_object_get(json_object_get(json, "arguments"), "token"));
    json_decref(json);
    if (peer->answer == NULL || !peer->answer(peer->fd, line)) {
        while (!say(peer)) {
        }
    }
}

static void take_lines(struct scripted_peer *peer)
{
    char *begin = peer->line, *end;
    while ((end = memchr(begin, '\n', peer->len)) != NULL) {
        *end = '\0';
        peer->len -= (size_t)(end + 1 - begin);
        take_line(peer, begin);
        begin = end + 1;
    }
    memmove(peer->line, begin, peer->len);
    FUZZ_CHECK(peer->len < sizeof(peer->line)); /* no line of these short inputs needs so much */
}

bool scripted_peer_serve(struct scripted_peer *peer)
{
    int fd = accept4(peer->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (peer->fd >= 0) {
            close(peer->fd);
        }
        peer->fd = fd;
        peer->len = 0;
        if (peer->greets) {
            say(peer);
        }
        return true;
    }
    if (peer->fd < 0) {
        return false;
    }
    ssize_t n = recv(peer->fd, peer->line + peer->len, sizeof(peer->line) - peer->len, 0);
    if (n > 0) {
        peer->len += (size_t)n;
        take_lines(peer);
        return true;
    }
    if (n == 0) {
        close(peer->fd);
        peer->fd = -1;
    }
    return false;
}
