#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "scripted_agent.h"

#define QUIET_MS 30 /* so long nothing comes that must not come */

int scene_setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    strcpy(s->dir, "/tmp/ninja-scene.XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        return -1;
    }
    snprintf(s->path, sizeof(s->path), "%s/agent.sock", s->dir);
    s->listener = s->conn = -1;
    *state = s;
    return 0;
}

int scene_teardown(void **state)
{
    struct scene *s = *state;
    if (s->ninja != NULL) {
        ninja_close(s->ninja);
    }
    agent_dies(s);
    unlink(s->path);
    int rc = rmdir(s->dir);
    free(s);
    return rc;
}

/* --- the agent ---------------------------------------------------------------------------- */

void agent_start(struct scene *s)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, s->path);
    unlink(s->path);
    s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s->listener, 4), 0);
}

void agent_dies(struct scene *s)
{
    if (s->conn >= 0) {
        close(s->conn);
    }
    if (s->listener >= 0) {
        close(s->listener);
    }
    s->conn = s->listener = -1;
}

/* The next message within the patience. */
static struct ninja_rank_msg take(struct scene *s)
{
    struct ninja_rank_msg msg;
    struct pollfd p = {s->conn, POLLIN, 0};
    if (poll(&p, 1, PATIENCE_MS) != 1 || ninja_rank_recv(s->conn, MSG_DONTWAIT, &msg, NULL) != 1) {
        fail_msg("no message from the program");
    }
    return msg;
}

void agent_takes_hello(struct scene *s, enum ninja_rank_state state, uint32_t epoch)
{
    struct pollfd p = {s->listener, POLLIN, 0};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    s->conn = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(s->conn >= 0);
    struct ninja_rank_msg msg = take(s);
    assert_int_equal(msg.type, NINJA_RANK_HELLO);
    assert_int_equal(msg.status, state);
    assert_int_equal(msg.epoch, epoch);
    assert_int_equal(msg.arg, getpid());
    assert_int_equal(msg.n_a, 1);
    assert_int_equal(msg.a[0].peer, 0);
    assert_int_equal(msg.a[0].value, s->size);
    assert_string_equal(msg.text, "job\n" NINJA_VERSION);
    ninja_rank_msg_clear(&msg);
}

void agent_welcomes(struct scene *s, enum ninja_rank_state state, uint32_t epoch)
{
    agent_takes_hello(s, state, epoch);
    agent_sends(s, (struct ninja_rank_msg){.type = NINJA_RANK_WELCOME});
    program_turns(s);
}

void agent_sends(struct scene *s, struct ninja_rank_msg msg)
{
    assert_int_equal(ninja_rank_send(s->conn, &msg), 0);
}

/* CONNECT: rank i has said "iiii". */
static void send_addresses(struct scene *s, const struct ninja_rank_msg *msg)
{
    char bytes[16];
    uint32_t ends[4];
    size_t size;
    for (uint32_t i = 0; i < s->size; i++) {
        memset(bytes + (size_t)4 * i, 'a' + (int)i, 4);
        ends[i] = 4 * (i + 1);
    }
    int file = ninja_addresses_make(ends, s->size, bytes);
    void *packet = ninja_rank_encode(msg, &size);
    assert_int_equal(ninja_rank_send_packet(s->conn, packet, size, file, 0), 0);
    free(packet);
    close(file);
}

void agent_gives(struct scene *s, uint16_t type, uint32_t epoch, uint16_t round)
{
    struct ninja_rank_pair sent = {1, 65535};
    struct ninja_rank_msg msg = {.type = type, .epoch = epoch, .round = round};
    switch (ninja_rank_step_row(type)->carries) {
    case NINJA_CARRIES_LEASE:
        msg.arg = 60000;
        msg.text = "@all\ntcp:eth0";
        break;
    case NINJA_CARRIES_SENT:
        msg.a = &sent;
        msg.n_a = s->size > 1;
        break;
    case NINJA_CARRIES_LIST:
        msg.text = type == NINJA_RANK_RELEASE ? "@all" : "tcp:eth0";
        break;
    case NINJA_CARRIES_LIMIT:
        msg.arg = 1234;
        break;
    default:
        break;
    }
    if (ninja_rank_step_row(type)->carries == NINJA_CARRIES_ADDRESSES) {
        send_addresses(s, &msg);
    } else {
        agent_sends(s, msg);
    }
    program_turns(s);
}

struct ninja_rank_msg agent_takes(struct scene *s, uint16_t type, uint32_t epoch, uint32_t status)
{
    struct ninja_rank_msg msg = take(s);
    if (msg.type != NINJA_RANK_REPORT || msg.arg != type || msg.epoch != epoch ||
        msg.status != status) {
        fail_msg("a report of %s, epoch %u, %s was expected: %s, %s of epoch %u, %s: %s",
                 ninja_rank_type_name(type), epoch, ninja_rank_status_name(status),
                 ninja_rank_type_name(msg.type), ninja_rank_type_name((uint16_t)msg.arg), msg.epoch,
                 ninja_rank_status_name(msg.status), msg.text);
    }
    return msg;
}

void agent_expects(struct scene *s, uint16_t type, uint32_t epoch, uint32_t status)
{
    struct ninja_rank_msg msg = agent_takes(s, type, epoch, status);
    ninja_rank_msg_clear(&msg);
}

void agent_expects_nothing(struct scene *s)
{
    struct pollfd p = {s->conn, POLLIN, 0};
    assert_int_equal(poll(&p, 1, QUIET_MS), 0);
}

/* --- the program -------------------------------------------------------------------------- */

static void keep(char *to, size_t room, const char *text)
{
    snprintf(to, room, "%s", text != NULL ? text : "");
}

static void on_step(struct ninja *ninja, const struct ninja_order *order, void *arg)
{
    struct scene *s = arg;
    enum ninja_step step = ninja_step_from_name(order->step);
    assert_int_not_equal(step, NINJA_STEPS);
    if (s->calls[0] != '\0') {
        strcat(s->calls, " ");
    }
    strcat(s->calls, order->step);
    s->last = *order;
    keep(s->release, sizeof(s->release), order->release);
    keep(s->open, sizeof(s->open), order->open);
    for (size_t i = 0; i < order->n_sent && i < 4; i++) {
        s->sent[i] = order->sent[i];
    }
    if (s->dispatch_within) {
        assert_int_equal(ninja_dispatch(ninja), -1);
        assert_int_equal(errno, EBUSY);
    }
    if (step == NINJA_STEP_OPEN) {
        ninja_say_address(ninja, "mine", 4);
    }
    if (step == NINJA_STEP_CONNECT) {
        ninja_say_transport(ninja, "tcp", 1);
        ninja_say_transport(ninja, "verbs", 2);
    }
    if (s->answers[step] == AT_ONCE) {
        assert_int_equal(ninja_done(ninja, order->number), 0);
    } else if (s->answers[step] == FAILS) {
        assert_int_equal(ninja_fail(ninja, order->number, "no such luck"), 0);
    }
    if (s->close_within) {
        ninja_close(ninja);
    }
}

static void on_say(int level, const char *text, void *arg)
{
    struct scene *s = arg;
    size_t len = strlen(s->said);
    if (level <= 1) {
        snprintf(s->said + len, sizeof(s->said) - len, "%s\n", text);
    }
}

void program_joins(struct scene *s, uint32_t size)
{
    const struct ninja_callbacks callbacks = {
        .size = sizeof(callbacks),
        .stop = on_step,
        .drain = on_step,
        .settle = on_step,
        .release = on_step,
        .open = on_step,
        .connect = on_step,
        .verify = on_step,
        .resume = on_step,
        .say = on_say,
    };
    s->size = size;
    s->ninja = ninja_join(s->path, "job", 0, size, &callbacks, s);
    assert_non_null(s->ninja);
}

int program_turns(struct scene *s)
{
    struct pollfd p = {ninja_descriptor(s->ninja), POLLIN, 0};
    if (poll(&p, 1, PATIENCE_MS) != 1) {
        fail_msg("the program's descriptor did not become readable");
    }
    return ninja_dispatch(s->ninja);
}

void program_finds(struct scene *s)
{
    int64_t end = now_ms() + PATIENCE_MS;
    struct pollfd fds[] = {{s->listener, POLLIN, 0}, {ninja_descriptor(s->ninja), POLLIN, 0}};
    while (fds[0].revents == 0) {
        assert_true(poll(fds, 2, PATIENCE_MS) > 0 && now_ms() < end);
        if (fds[1].revents != 0) {
            ninja_dispatch(s->ninja);
        }
    }
}

/* --- both --------------------------------------------------------------------------------- */

void scene_begin(struct scene *s, uint32_t size)
{
    agent_start(s);
    program_joins(s, size);
    agent_welcomes(s, NINJA_RANK_RUNNING, 0);
}

void scene_up_to(struct scene *s, enum ninja_step step, uint32_t epoch)
{
    for (enum ninja_step before = 0; before < step; before++) {
        agent_gives(s, NINJA_RANK_STOP + before, epoch, 1);
        agent_expects(s, NINJA_RANK_STOP + before, epoch, NINJA_RANK_OK);
    }
    s->calls[0] = '\0';
}

void expect_calls(struct scene *s, const char *calls)
{
    assert_string_equal(s->calls, calls);
    s->calls[0] = '\0';
}
