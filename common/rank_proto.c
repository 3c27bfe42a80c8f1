#include "common/rank_proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

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
    uint32_t n_addresses;
    uint32_t text_len;
};

static const char *const type_names[] = {
    [NINJA_RANK_HELLO] = "hello",     [NINJA_RANK_REPORT] = "report",
    [NINJA_RANK_BYE] = "bye",         [NINJA_RANK_WELCOME] = "welcome",
    [NINJA_RANK_REFUSED] = "refused", [NINJA_RANK_BYE_OK] = "bye-ok",
};

static const char *const status_names[] = {
    [NINJA_RANK_OK] = "ok",
    [NINJA_RANK_STATUS_REFUSED] = "refused",
    [NINJA_RANK_FAILED] = "failed",
    [NINJA_RANK_STALE] = "stale",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(COUNT(type_names) == NINJA_RANK_STOP, "a name for each type that is no step");

static const char *name_of(const char *const *names, size_t n, uint32_t i)
{
    return i < n && names[i] != NULL ? names[i] : "?";
}

const char *ninja_rank_type_name(uint16_t type)
{
    return ninja_rank_type_is_step(type) ? ninja_step_name(ninja_rank_step(type))
                                         : name_of(type_names, COUNT(type_names), type);
}

const char *ninja_rank_status_name(uint32_t status)
{
    return name_of(status_names, COUNT(status_names), status);
}

uint16_t ninja_rank_step_from_name(const char *name)
{
    enum ninja_step step = ninja_step_from_name(name);
    return step < NINJA_STEPS ? (uint16_t)(NINJA_RANK_STOP + step) : 0;
}

static size_t body_size(const struct wire_header *header)
{
    return sizeof(struct ninja_rank_pair) * ((size_t)header->n_a + header->n_b) +
           header->n_addresses + header->text_len;
}

static bool within_limits(const struct wire_header *header)
{
    return header->n_a <= NINJA_RANK_MAX_PAIRS && header->n_b <= NINJA_RANK_MAX_PAIRS &&
           header->n_addresses <= NINJA_ADDRESSES_MAX_RANK &&
           header->text_len <= NINJA_RANK_MAX_TEXT &&
           sizeof(*header) + body_size(header) <= NINJA_RANK_MAX_MESSAGE;
}

static void append(char **p, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(*p, bytes, size);
        *p += size;
    }
}

void *ninja_rank_encode(const struct ninja_rank_msg *msg, size_t *size)
{
    size_t text_len = msg->text != NULL ? strlen(msg->text) : 0;
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
        .n_addresses = msg->n_addresses,
        .text_len = (uint32_t)text_len,
    };
    if (text_len > NINJA_RANK_MAX_TEXT || !within_limits(&header)) {
        errno = EMSGSIZE;
        return NULL;
    }
    *size = sizeof(header) + body_size(&header);
    char *packet = malloc(*size);
    char *p = packet;
    if (packet != NULL) {
        append(&p, &header, sizeof(header));
        append(&p, msg->a, msg->n_a * sizeof(*msg->a));
        append(&p, msg->b, msg->n_b * sizeof(*msg->b));
        append(&p, msg->addresses, msg->n_addresses);
        append(&p, msg->text, text_len);
    }
    return packet;
}

static const char *check_header(const struct wire_header *header, size_t size)
{
    if (header->magic != NINJA_RANK_MAGIC) {
        return "not a message of this protocol";
    }
    if (header->type < NINJA_RANK_HELLO || header->type >= NINJA_RANK_TYPES) {
        return "unknown message type";
    }
    if (!within_limits(header)) {
        return "message over the limits";
    }
    if (sizeof(*header) + body_size(header) != size) {
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
        .n_addresses = header.n_addresses,
        .a = (struct ninja_rank_pair *)(void *)block,
        .b = (struct ninja_rank_pair *)(void *)block + header.n_a,
        .addresses = block + body - header.text_len - header.n_addresses,
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
    free(msg->a); /* the block that all of it is in */
    memset(msg, 0, sizeof(*msg));
}

int ninja_rank_send_packet(int sock, const void *packet, size_t size, int passed, int flags)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(sizeof(struct cmsghdr)))) = {0};
    struct iovec iov = {(void *)packet, size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (passed >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &passed, sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(sock, &header, flags | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

int ninja_rank_send(int sock, const struct ninja_rank_msg *msg)
{
    size_t size;
    void *packet = ninja_rank_encode(msg, &size);
    if (packet == NULL) {
        return -1;
    }
    int rc = ninja_rank_send_packet(sock, packet, size, -1, 0);
    int saved = errno;
    free(packet);
    errno = saved;
    return rc;
}

/* Gives the first descriptor that came, and closes all others. Returns how many came. */
static size_t take_descriptors(struct msghdr *header, int *first)
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t at = 0; at + CMSG_LEN(sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
            if (n++ == 0) {
                *first = fd;
            } else {
                close(fd);
            }
        }
    }
    return n;
}

/* Receives a packet. Without room for descriptors the kernel closes those that come. */
static ssize_t receive(int sock, int flags, struct iovec *iov, int *passed)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(sizeof(struct cmsghdr))));
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = 1};
    if (passed != NULL) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
    }
    ssize_t n;
    do {
        n = recvmsg(sock, &header, flags | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 || passed == NULL) {
        return n;
    }
    size_t came = take_descriptors(&header, passed);
    if (came > 1 || (header.msg_flags & MSG_CTRUNC) != 0) {
        errno = EBADMSG;
        return -1;
    }
    return n;
}

int ninja_rank_recv(int sock, int flags, struct ninja_rank_msg *msg, int *passed)
{
    char *packet = malloc(NINJA_RANK_MAX_MESSAGE);
    if (packet == NULL) {
        return -1;
    }
    struct iovec iov = {packet, NINJA_RANK_MAX_MESSAGE};
    if (passed != NULL) {
        *passed = -1;
    }
    ssize_t n = receive(sock, flags, &iov, passed);
    int rc = n > 0 ? 1 : (int)n;
    if (n > 0 &&
        ((size_t)n > NINJA_RANK_MAX_MESSAGE || ninja_rank_decode(packet, (size_t)n, msg) != NULL)) {
        errno = EBADMSG;
        rc = -1;
    }
    int saved = errno;
    if (rc != 1 && passed != NULL && *passed >= 0) {
        close(*passed);
        *passed = -1;
    }
    free(packet);
    errno = saved;
    return rc;
}
