/*
 * The agent as hostile processes of its VM speak to it. The input is a script: records of a byte
 * that says what to do (below), a byte for the length, and so many bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/steps.h"
#include "tests/fuzz/agent_bench.h"
#include "tests/fuzz/fuzz.h"

#define CONNECTIONS 4

enum action {
    RAW,      /* the bytes are a packet */
    MESSAGE,  /* a message whose lengths are right: take_message() */
    AGAIN,    /* ends the connection and makes another */
    STEP,     /* the host gives a step: its type, epoch and round are the bytes */
    WITH_FDS, /* a packet with two descriptors */
    ACTIONS,
};

static uint32_t number(const uint8_t **data, size_t *size)
{
    uint32_t value = fuzz_byte(data, size);
    /* Few bytes for small numbers and for those at the edges. */
    return value < 0xF0 ? value : value < 0xF8 ? UINT32_MAX - (value & 7) : 19998 + (value & 7);
}

static void send_message(int fd, const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"J\n0.1.0", "K\n1", "tcp,self", "", "a b", ","};
    struct ninja_rank_pair pairs[2][8];
    struct ninja_rank_msg msg = {.a = pairs[0], .b = pairs[1]};
    /* One after the other: an initializer may be evaluated in another order. */
    msg.type = (uint16_t)fuzz_byte(&data, &size);
    msg.round = (uint16_t)number(&data, &size);
    msg.epoch = number(&data, &size);
    msg.status = number(&data, &size);
    msg.arg = number(&data, &size);
    msg.micros = number(&data, &size);
    msg.text = (char *)texts[fuzz_byte(&data, &size) % 6];
    msg.n_a = fuzz_byte(&data, &size) % 8;
    msg.n_b = fuzz_byte(&data, &size) % 8;
    for (uint32_t i = 0; i < 8; i++) {
        for (int table = 0; table < 2; table++) {
            pairs[table][i].peer = number(&data, &size);
            pairs[table][i].value = number(&data, &size);
        }
    }
    msg.addresses = (void *)data;
    msg.n_addresses = (uint32_t)size;
    size_t packet_size;
    void *packet = ninja_rank_encode(&msg, &packet_size);
    FUZZ_CHECK(packet != NULL);
    send(fd, packet, packet_size, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(packet);
}

static void send_with_descriptors(int fd, const uint8_t *data, size_t size)
{
    char control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec iov = {(void *)data, size};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(cmsg), (int[]){fd, fd}, 2 * sizeof(int));
    sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void give_step(struct bench *bench, const uint8_t *data, size_t size)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    uint16_t type = (uint16_t)(NINJA_RANK_STOP + fuzz_byte(&data, &size) % NINJA_STEPS);
    uint32_t epoch = fuzz_byte(&data, &size), round = fuzz_byte(&data, &size);
    json_t *args = json_pack("{s:s, s:I, s:i, s:s, s:i, s:i, s:{s:[[i,i]]}, s:s, s:s}", "job",
                             size > 0 && data[0] & 1 ? "K" : "J", "epoch", (json_int_t)epoch,
                             "round", (int)round, "step", ninja_rank_type_name(type), "timeout-ms",
                             1000, "lease-ms", 1000, "tables", "0", 1, 3, "transports", "tcp,self",
                             "addresses", "AAAAC3icY2BgYGRgYGByZHACAAEgAIc=");
    steps_give(bench->agent.jobs, args, &err);
    json_decref(args);
}

static void act(struct bench *bench, int *fds, enum action action, const uint8_t *data, size_t size)
{
    int *fd = &fds[fuzz_byte(&data, &size) % CONNECTIONS];
    switch (action) {
    case RAW:
        send(*fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    case MESSAGE:
        send_message(*fd, data, size);
        break;
    case AGAIN:
        close(*fd);
        *fd = bench_connect_rank(bench);
        break;
    case STEP:
        give_step(bench, data, size);
        break;
    case WITH_FDS:
        send_with_descriptors(*fd, data, size);
        break;
    case ACTIONS:
        break;
    }
    bench_run(bench);
    for (int i = 0; i < CONNECTIONS; i++) {
        bench_drain_rank(fds[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bench bench;
    int fds[CONNECTIONS];
    bench_begin(&bench);
    channel_set_greeted(bench.channel);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = bench_connect_rank(&bench);
    }
    for (int n = 0; n < 64 && size >= 2; n++) {
        enum action action = data[0] % ACTIONS;
        size_t len = data[1];
        data += 2;
        size -= 2;
        len = len < size ? len : size;
        act(&bench, fds, action, data, len);
        data += len;
        size -= len;
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        close(fds[i]);
    }
    bench_run(&bench);
    json_t *jobs = jobs_json(bench.agent.jobs);
    FUZZ_CHECK(json_array_size(jobs) == 0); /* all ranks have gone */
    json_decref(jobs);
    bench_end(&bench);
    return 0;
}
