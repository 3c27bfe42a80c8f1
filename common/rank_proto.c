#include "common/rank_proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct wire_header {
    uint32_t magic;
    uint16_t type;
    uint16_t round;
    uint32_t epoch;
    uint32_t status;
    uint32_t arg;
    uint32_t micros;
    uint32_t n_a;
    uint32_t n_b;
    uint32_t text_len;
};

static const char *const type_names[] = {
    [NINJA_RANK_HELLO] = "hello",     [NINJA_RANK_REPORT] = "report",
    [NINJA_RANK_BYE] = "bye",         [NINJA_RANK_WELCOME] = "welcome",
    [NINJA_RANK_REFUSED] = "refused", [NINJA_RANK_BYE_OK] = "bye-ok",
    [NINJA_RANK_STOP] = "stop",       [NINJA_RANK_DRAIN] = "drain",
    [NINJA_RANK_SETTLE] = "settle",   [NINJA_RANK_RELEASE] = "release",
    [NINJA_RANK_RESELECT] = "reselect", [NINJA_RANK_RESUME] = "resume",
};

static const char *const status_names[] = {
    [NINJA_RANK_OK] = "ok",
    [NINJA_RANK_STATUS_REFUSED] = "refused",
    [NINJA_RANK_FAILED] = "failed",
    [NINJA_RANK_STALE] = "stale",
};

static const char *const state_names[] = {
    [NINJA_RANK_RUNNING] = "RUNNING",   [NINJA_RANK_QUIESCING] = "QUIESCING",
    [NINJA_RANK_QUIET] = "QUIET",       [NINJA_RANK_RELEASED] = "RELEASED",
    [NINJA_RANK_READY] = "READY",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(COUNT(type_names) == NINJA_RANK_RESUME + 1, "a name for each type");
_Static_assert(COUNT(state_names) == NINJA_RANK_STATES, "a name for each state");

static const char *name_of(const char *const *names, size_t n, uint32_t i)
{
    return i < n && names[i] != NULL ? names[i] : "?";
}

const char *ninja_rank_type_name(uint16_t type)
{
    return name_of(type_names, COUNT(type_names), type);
}

const char *ninja_rank_status_name(uint32_t status)
{
    return name_of(status_names, COUNT(status_names), status);
}

const char *ninja_rank_state_name(uint32_t state)
{
    return name_of(state_names, COUNT(state_names), state);
}

uint16_t ninja_rank_step_from_name(const char *name)
{
    for (uint16_t t = NINJA_RANK_STOP; t < COUNT(type_names); t++) {
        if (strcmp(type_names[t], name) == 0) {
            return t;
        }
    }
    return 0;
}

static size_t message_size(uint32_t n_a, uint32_t n_b, uint32_t text_len)
{
    return sizeof(struct wire_header) + sizeof(struct ninja_rank_pair) * ((size_t)n_a + n_b) +
           text_len;
}

static bool within_limits(uint32_t n_a, uint32_t n_b, uint32_t text_len)
{
    return n_a <= NINJA_RANK_MAX_PAIRS && n_b <= NINJA_RANK_MAX_PAIRS &&
           text_len <= NINJA_RANK_MAX_TEXT &&
           message_size(n_a, n_b, text_len) <= NINJA_RANK_MAX_MESSAGE;
}

void *ninja_rank_encode(const struct ninja_rank_msg *msg, size_t *size)
{
    size_t text_len = msg->text != NULL ? strlen(msg->text) : 0;
    if (text_len > NINJA_RANK_MAX_TEXT || !within_limits(msg->n_a, msg->n_b, (uint32_t)text_len)) {
        errno = EMSGSIZE;
        return NULL;
    }
    struct wire_header header = {
        .magic = NINJA_RANK_MAGIC,
        .type = msg->type,
        .round = msg->round,
        .epoch = msg->epoch,
        .status = msg->status,
        .arg = msg->arg,
        .micros = msg->micros,
        .n_a = msg->n_a,
        .n_b = msg->n_b,
        .text_len = (uint32_t)text_len,
    };
    *size = message_size(msg->n_a, msg->n_b, header.text_len);
    char *packet = malloc(*size);
    if (packet == NULL) {
        return NULL;
    }
    char *p = packet;
    memcpy(p, &header, sizeof(header));
    p += sizeof(header);
    if (msg->n_a > 0) {
        memcpy(p, msg->a, msg->n_a * sizeof(*msg->a));
        p += msg->n_a * sizeof(*msg->a);
    }
    if (msg->n_b > 0) {
        memcpy(p, msg->b, msg->n_b * sizeof(*msg->b));
        p += msg->n_b * sizeof(*msg->b);
    }
    if (text_len > 0) {
        memcpy(p, msg->text, text_len);
    }
    return packet;
}

static const char *check_header(const struct wire_header *header, size_t size)
{
    if (header->magic != NINJA_RANK_MAGIC) {
        return "not a message of this protocol";
    }
    if (header->type < NINJA_RANK_HELLO || header->type > NINJA_RANK_RESUME) {
        return "unknown message type";
    }
    if (!within_limits(header->n_a, header->n_b, header->text_len)) {
        return "message over the limits";
    }
    if (message_size(header->n_a, header->n_b, header->text_len) != size) {
        return "lengths do not add up";
    }
    return NULL;
}

const char *ninja_rank_decode(const void *packet, size_t size, struct ninja_rank_msg *msg)
{
    struct wire_header header;

    memset(msg, 0, sizeof(*msg));
    if (size < sizeof(header)) {
        return "short message";
    }
    memcpy(&header, packet, sizeof(header));
    const char *wrong = check_header(&header, size);
    if (wrong != NULL) {
        return wrong;
    }

    size_t body = size - sizeof(header);
    char *block = malloc(body + 1);
    if (block == NULL) {
        return "out of memory";
    }
    memcpy(block, (const char *)packet + sizeof(header), body);
    block[body] = '\0';
    *msg = (struct ninja_rank_msg){
        .type = header.type,
        .round = header.round,
        .epoch = header.epoch,
        .status = header.status,
        .arg = header.arg,
        .micros = header.micros,
        .n_a = header.n_a,
        .n_b = header.n_b,
        .a = (struct ninja_rank_pair *)(void *)block,
        .b = (struct ninja_rank_pair *)(void *)block + header.n_a,
        .text = block + body - header.text_len,
    };
    if (strlen(msg->text) != header.text_len) {
        ninja_rank_msg_clear(msg);
        return "text holds a NUL";
    }
    return NULL;
}

void ninja_rank_msg_clear(struct ninja_rank_msg *msg)
{
    free(msg->a); /* the block that all three point into */
    memset(msg, 0, sizeof(*msg));
}

int ninja_rank_send(int fd, const struct ninja_rank_msg *msg)
{
    size_t size;
    void *packet = ninja_rank_encode(msg, &size);
    if (packet == NULL) {
        return -1;
    }
    ssize_t n;
    do {
        n = send(fd, packet, size, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    int saved = errno;
    free(packet);
    errno = saved;
    return n < 0 ? -1 : 0;
}

int ninja_rank_recv(int fd, int flags, struct ninja_rank_msg *msg)
{
    char *packet = malloc(NINJA_RANK_MAX_MESSAGE);
    if (packet == NULL) {
        return -1;
    }
    ssize_t n;
    do {
        n = recv(fd, packet, NINJA_RANK_MAX_MESSAGE, flags | MSG_TRUNC);
    } while (n < 0 && errno == EINTR);
    int rc = n > 0 ? 1 : (int)n;
    if (n > 0 && ((size_t)n > NINJA_RANK_MAX_MESSAGE ||
                  ninja_rank_decode(packet, (size_t)n, msg) != NULL)) {
        errno = EBADMSG;
        rc = -1;
    }
    int saved = errno;
    free(packet);
    errno = saved;
    return rc;
}
