#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/rank_proto.h"

static struct ninja_rank_pair some_a[] = {{0, 7}, {3, 65535}};
static struct ninja_rank_pair some_b[] = {{9, 1}};

static struct ninja_rank_msg a_message(void)
{
    return (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                   .round = 2,
                                   .epoch = 41,
                                   .status = NINJA_RANK_FAILED,
                                   .arg = NINJA_RANK_DRAIN,
                                   .micros = 1234,
                                   .n_a = 2,
                                   .n_b = 1,
                                   .n_addresses = 5,
                                   .addresses = "\0\1\2\3\4",
                                   .a = some_a,
                                   .b = some_b,
                                   .text = "why"};
}

static void assert_is_a_message(const struct ninja_rank_msg *msg)
{
    struct ninja_rank_msg want = a_message();
    assert_int_equal(msg->type, want.type);
    assert_int_equal(msg->round, want.round);
    assert_int_equal(msg->epoch, want.epoch);
    assert_int_equal(msg->status, want.status);
    assert_int_equal(msg->arg, want.arg);
    assert_int_equal(msg->micros, want.micros);
    assert_int_equal(msg->n_a, 2);
    assert_memory_equal(msg->a, some_a, sizeof(some_a));
    assert_int_equal(msg->n_b, 1);
    assert_memory_equal(msg->b, some_b, sizeof(some_b));
    assert_int_equal(msg->n_addresses, 5);
    assert_memory_equal(msg->addresses, "\0\1\2\3\4", 5);
    assert_string_equal(msg->text, "why");
}

static void what_is_encoded_decodes(void **state)
{
    struct ninja_rank_msg msg = a_message(), got;
    size_t size;
    void *packet = ninja_rank_encode(&msg, &size);
    assert_non_null(packet);
    assert_null(ninja_rank_decode(packet, size, &got));
    assert_is_a_message(&got);
    ninja_rank_msg_clear(&got);
    free(packet);
}

static void an_empty_text_is_not_null(void **state)
{
    struct ninja_rank_msg msg = {.type = NINJA_RANK_WELCOME}, got;
    size_t size;
    void *packet = ninja_rank_encode(&msg, &size);
    assert_null(ninja_rank_decode(packet, size, &got));
    assert_string_equal(got.text, "");
    ninja_rank_msg_clear(&got);
    free(packet);
}

/* Every truncation of a packet, and every packet with bytes after its end. */
static void wrong_lengths_are_refused(void **state)
{
    struct ninja_rank_msg msg = a_message(), got;
    size_t size;
    char *packet = ninja_rank_encode(&msg, &size);
    for (size_t n = 0; n < size; n++) {
        assert_non_null(ninja_rank_decode(packet, n, &got));
        assert_null(got.a);
    }
    char *longer = calloc(1, size + 8);
    memcpy(longer, packet, size);
    assert_non_null(ninja_rank_decode(longer, size + 8, &got));
    free(longer);
    free(packet);
}

static void every_damaged_header_is_survived(void **state)
{
    struct ninja_rank_msg msg = a_message(), got;
    size_t size;
    unsigned char *packet = ninja_rank_encode(&msg, &size);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            packet[i] ^= 1u << bit;
            if (ninja_rank_decode(packet, size, &got) == NULL) {
                ninja_rank_msg_clear(&got);
            }
            packet[i] ^= 1u << bit;
        }
    }
    free(packet);
}

static void a_nul_in_the_text_is_refused(void **state)
{
    struct ninja_rank_msg msg = a_message(), got;
    size_t size;
    char *packet = ninja_rank_encode(&msg, &size);
    packet[size - 2] = '\0';
    assert_string_equal(ninja_rank_decode(packet, size, &got), "text holds a NUL");
    free(packet);
}

static void limits_hold_when_encoding(void **state)
{
    char text[NINJA_RANK_MAX_TEXT + 2];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct ninja_rank_msg msg = {.type = NINJA_RANK_REFUSED, .text = text};
    size_t size;
    assert_null(ninja_rank_encode(&msg, &size));
    assert_int_equal(errno, EMSGSIZE);
    msg = (struct ninja_rank_msg){.type = NINJA_RANK_DRAIN, .n_a = NINJA_RANK_MAX_PAIRS + 1};
    assert_null(ninja_rank_encode(&msg, &size));
    char *addresses = calloc(1, NINJA_ADDRESSES_MAX_RANK + 1);
    msg = (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                  .n_addresses = NINJA_ADDRESSES_MAX_RANK + 1,
                                  .addresses = addresses};
    assert_null(ninja_rank_encode(&msg, &size));
    msg.n_addresses--;
    void *packet = ninja_rank_encode(&msg, &size);
    assert_non_null(packet);
    assert_true(size <= NINJA_RANK_MAX_MESSAGE);
    free(packet);
    free(addresses);
}

static int n_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 100; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void send_with(int sock, const void *packet, size_t size, const int *passed, size_t n)
{
    char control[CMSG_SPACE(sizeof(int) * 8)] __attribute__((aligned(8))) = {0};
    struct iovec iov = {(void *)packet, size};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(cmsg), passed, sizeof(int) * n);
    assert_int_equal(sendmsg(sock, &header, 0), size);
}

static void a_descriptor_goes_with_a_message(void **state)
{
    int fd[2], pipe_[2], passed;
    char c;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(pipe(pipe_), 0);
    struct ninja_rank_msg msg = a_message(), got;
    size_t size;
    void *packet = ninja_rank_encode(&msg, &size);
    assert_int_equal(ninja_rank_send_packet(fd[0], packet, size, pipe_[1], 0), 0);
    close(pipe_[1]);
    assert_int_equal(ninja_rank_recv(fd[1], 0, &got, &passed), 1);
    assert_is_a_message(&got);
    ninja_rank_msg_clear(&got);
    assert_true(passed >= 0);
    assert_int_equal(fcntl(passed, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(passed, "x", 1), 1);
    assert_int_equal(read(pipe_[0], &c, 1), 1);
    close(passed);

    assert_int_equal(ninja_rank_send_packet(fd[0], packet, size, -1, 0), 0);
    assert_int_equal(ninja_rank_recv(fd[1], 0, &got, &passed), 1);
    assert_int_equal(passed, -1);
    ninja_rank_msg_clear(&got);
    free(packet);
    close(pipe_[0]);
    close(fd[0]);
    close(fd[1]);
}

static void unwanted_descriptors_are_closed(void **state)
{
    int fd[2], passed, many[] = {0, 0, 0, 0, 0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    struct ninja_rank_msg msg = a_message(), got;
    size_t size;
    void *packet = ninja_rank_encode(&msg, &size);
    int before = n_descriptors();
    for (size_t n = 1; n <= 5; n++) { /* nobody asked for any */
        send_with(fd[0], packet, size, many, n);
        assert_int_equal(ninja_rank_recv(fd[1], 0, &got, NULL), 1);
        ninja_rank_msg_clear(&got);
        assert_int_equal(n_descriptors(), before);
    }
    for (size_t n = 2; n <= 5; n++) { /* more than one */
        send_with(fd[0], packet, size, many, n);
        assert_int_equal(ninja_rank_recv(fd[1], 0, &got, &passed), -1);
        assert_int_equal(errno, EBADMSG);
        assert_int_equal(passed, -1);
        assert_int_equal(n_descriptors(), before);
    }
    send_with(fd[0], "junk", 4, many, 1); /* with what is no message */
    assert_int_equal(ninja_rank_recv(fd[1], 0, &got, &passed), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(passed, -1);
    assert_int_equal(n_descriptors(), before);
    free(packet);
    close(fd[0]);
    close(fd[1]);
}

static void a_message_crosses_a_socket(void **state)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    struct ninja_rank_msg msg = a_message(), got;
    assert_int_equal(ninja_rank_recv(fd[1], MSG_DONTWAIT, &got, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(ninja_rank_send(fd[0], &msg), 0);
    assert_int_equal(ninja_rank_recv(fd[1], 0, &got, NULL), 1);
    assert_is_a_message(&got);
    ninja_rank_msg_clear(&got);

    assert_int_equal(write(fd[0], "junk", 4), 4);
    assert_int_equal(ninja_rank_recv(fd[1], 0, &got, NULL), -1);
    assert_int_equal(errno, EBADMSG);
    close(fd[0]);
    assert_int_equal(ninja_rank_recv(fd[1], 0, &got, NULL), 0);
    close(fd[1]);
}

static void steps_have_names(void **state)
{
    for (uint16_t t = NINJA_RANK_STOP; t <= NINJA_RANK_RESUME; t++) {
        assert_int_equal(ninja_rank_step_from_name(ninja_rank_type_name(t)), t);
    }
    assert_int_equal(ninja_rank_step_from_name("hello"), 0);
    assert_string_equal(ninja_rank_type_name(999), "?");
    assert_string_equal(ninja_rank_state_name(NINJA_RANK_STATES), "?");
}

/* Rank and agent may be of two versions: other numbers need another magic. */
static void numbers_belong_to_the_magic(void **state)
{
    static const char *const types[] = {"?",       "hello",  "report",  "bye",    "welcome",
                                        "refused", "bye-ok", "stop",    "drain",  "settle",
                                        "release", "open",   "connect", "verify", "resume"};
    static const char *const states[] = {"RUNNING", "QUIESCING", "QUIET", "RELEASED",
                                         "OPENED",  "CONNECTED", "READY"};
    assert_memory_equal(&(uint32_t){NINJA_RANK_MAGIC}, "NJR4", 4);
    assert_int_equal(sizeof(types) / sizeof(types[0]), NINJA_RANK_TYPES);
    assert_int_equal(sizeof(states) / sizeof(states[0]), NINJA_RANK_STATES);
    for (uint16_t t = 0; t < NINJA_RANK_TYPES; t++) {
        assert_string_equal(ninja_rank_type_name(t), types[t]);
    }
    for (unsigned s = 0; s < NINJA_RANK_STATES; s++) {
        assert_string_equal(ninja_rank_state_name(s), states[s]);
        assert_int_equal(ninja_rank_state_from_name(states[s]), s);
    }
    assert_int_equal(ninja_rank_state_from_name("STANDING"), NINJA_RANK_STATES);
}

/* Also that no row of the table was forgotten. */
static void a_switch_can_go_through_all_steps_in_their_order(void **state)
{
    enum ninja_rank_state at = NINJA_RANK_RUNNING;
    for (unsigned s = 0; s < NINJA_STEPS; s++) {
        const struct ninja_switch_step *step = &ninja_switch_steps[s];
        unsigned last = 1u << (s > 0 ? s - 1 : NINJA_STEP_RESUME);
        assert_true(ninja_step_may_come(s, at));
        assert_true(((s > 0 ? step->after : step->begins_after) & last) != 0);
        assert_true(s == 0 || step->part >= ninja_switch_steps[s - 1].part);
        at = step->to;
    }
    assert_int_equal(at, NINJA_RANK_RUNNING);
}

static void a_switch_can_always_be_taken_back_or_be_led_on(void **state)
{
    for (unsigned s = 0; s < NINJA_STEP_RESUME; s++) {
        const struct ninja_switch_step *step = &ninja_switch_steps[s];
        enum ninja_step then =
            step->part == NINJA_PART_QUIESCE ? NINJA_STEP_RESUME : NINJA_STEP_OPEN;
        assert_true((ninja_switch_steps[then].after & (1u << s)) != 0);
        assert_true(ninja_step_may_come(then, step->to));
        /* a coordinator that takes over begins with one of these */
        unsigned first = ninja_switch_steps[NINJA_STEP_RESUME].begins_after |
                         ninja_switch_steps[NINJA_STEP_RELEASE].begins_after;
        assert_true((first & (1u << s)) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_decodes),
        cmocka_unit_test(an_empty_text_is_not_null),
        cmocka_unit_test(wrong_lengths_are_refused),
        cmocka_unit_test(every_damaged_header_is_survived),
        cmocka_unit_test(a_nul_in_the_text_is_refused),
        cmocka_unit_test(limits_hold_when_encoding),
        cmocka_unit_test(a_message_crosses_a_socket),
        cmocka_unit_test(a_descriptor_goes_with_a_message),
        cmocka_unit_test(unwanted_descriptors_are_closed),
        cmocka_unit_test(steps_have_names),
        cmocka_unit_test(numbers_belong_to_the_magic),
        cmocka_unit_test(a_switch_can_go_through_all_steps_in_their_order),
        cmocka_unit_test(a_switch_can_always_be_taken_back_or_be_led_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
