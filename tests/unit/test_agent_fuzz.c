#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "common/agent_proto.h"
#include "common/jsonline.h"
#include "guest-agent/channel.h"
#include "guest-agent/stepargs.h"

/*
 * Damaged copies of sensible input, always the same ones. NINJA_FUZZ_ROUNDS asks for more; the
 * sanitizers make it worth while.
 */

static uint64_t dice_state;

/* xorshift64: the same numbers everywhere */
static uint32_t dice(uint32_t sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (uint32_t)(dice_state >> 32) % sides;
}

static int rounds(int usual)
{
    const char *more = getenv("NINJA_FUZZ_ROUNDS");
    dice_state = 88172645463325252u;
    return more != NULL ? atoi(more) : usual;
}

static const char *const lines[] = {
    "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":5},\"id\":[1]}\n",
    "{\"execute\":\"guest-info\"}\n",
    "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT
    ",\"version\":\"0.1.0\"}}\n",
    "{\"execute\":\"ninja-events\",\"arguments\":{\"after\":0}}\n",
    "{\"execute\":\"ninja-interconnects\"}\n",
    "{\"execute\":\"ninja-jobs\"}\n",
    "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":1,\"round\":0,\"step\":"
    "\"stop\","
    "\"timeout-ms\":5,\"lease-ms\":100}}\n",
    "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":1,\"round\":1,\"step\":"
    "\"drain\","
    "\"timeout-ms\":5,\"tables\":{\"0\":[[1,2],[3,4]],\"1\":[]}}}\n",
    "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":2,\"round\":2,"
    "\"step\":\"open\",\"timeout-ms\":5,\"transports\":\"@best\"}}\n",
    "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":2,\"round\":2,"
    "\"step\":\"connect\",\"timeout-ms\":5,\"addresses\":"
    "\"AAAAGnicY2BgYGRgYGACYmYgZnEEEk4MDM4MLgAF0wEV\"}}\n",
    "{\"execute\":\"ninja-detach\",\"arguments\":{\"token\":3,\"device\":\"\\u00e4\\n\","
    "\"timeout-ms\":5}}\n",
    "{\"execute\":\"ninja-attach\",\"arguments\":{\"token\":3,\"device\":\"x\",\"timeout-ms\":5}}"
    "\n",
};

/* A damaged line; 0xFF, newlines and NULs among the damage. Returns its length. */
static size_t damaged_line(char *line, size_t room)
{
    static const char likely[] = "{}[]\",:\\\n\xff\x00\x80-1e9 ";
    const char *seed = lines[dice(sizeof(lines) / sizeof(lines[0]))];
    size_t len = strlen(seed);
    assert_true(2 * len + 16 < room);
    memcpy(line, seed, len);
    for (uint32_t n = dice(4); n > 0; n--) {
        size_t at = dice((uint32_t)len);
        char c = dice(2) ? likely[dice(sizeof(likely) - 1)] : (char)dice(256);
        switch (dice(4)) {
        case 0:
            line[at] = c;
            break;
        case 1:
            memmove(line + at + 1, line + at, len - at);
            line[at] = c;
            len++;
            break;
        case 2:
            len = at + 1;
            break;
        default:
            line[at] = (char)(line[at] ^ (1 << dice(8)));
            break;
        }
    }
    return len;
}

static void see(void *ctx, json_t *object, const char *wrong)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct step_args args;
    int *seen = ctx;
    (*seen)++;
    assert_true((object != NULL) != (wrong != NULL));
    json_t *arguments = json_object_get(object, "arguments");
    if (step_args_parse(arguments, &args, &err) && step_args_fit(&args, 4, &err)) {
        struct ninja_rank_pair *pairs = malloc(sizeof(*pairs) * NINJA_RANK_MAX_PAIRS);
        struct ninja_rank_msg msg;
        size_t size;
        step_args_message(&args, 0, pairs, &msg);
        void *packet = ninja_rank_encode(&msg, &size);
        assert_non_null(packet);
        free(packet);
        free(pairs);
        if (args.addresses != NULL) {
            int file;
            if (step_args_file(&args, 4, &file, &err)) {
                close(file);
            }
        }
    } else {
        assert_string_equal(ninja_error_class_name(err.class), "BadStep");
    }
}

static void the_line_parser_takes_anything(void **state)
{
    int seen = 0;
    char line[1024];
    struct jsonline *j = jsonline_new(CHANNEL_MAX_LINE, see, &seen);
    for (int i = rounds(200000); i > 0; i--) {
        jsonline_feed(j, line, damaged_line(line, sizeof(line)));
    }
    jsonline_free(j);
    assert_true(seen > 10);
}

/* As a host does that takes over a channel: what comes before the answer is not for it. */
static void synchronize(struct host *host, int id)
{
    char line[128];
    bool delimited, found = false;
    int len =
        snprintf(line, sizeof(line),
                 "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%d}}\n", id);
    host_send(host, line, (size_t)len);
    while (!found) {
        json_t *answer = host_line(host, PATIENCE_MS, &delimited);
        assert_non_null(answer);
        found = delimited && json_integer_value(json_object_get(answer, "return")) == id;
        json_decref(answer);
    }
}

/* A live agent gets damaged lines and damaged packets, and serves on. */
static void a_live_agent_takes_anything(void **state)
{
    struct fixture *f = *state;
    struct host host;
    char line[1024];
    fixture_start(f);
    host_hello(&host, f->host_path);
    for (int i = rounds(3000), rank = -1; i > 0; i--) {
        host_send(&host, line, damaged_line(line, sizeof(line)));
        if (i % 50 == 0) {
            synchronize(&host, 1000000 + i);
        }
        if (rank < 0) {
            rank = rank_open(f);
            rank_say_hello(rank, "J", 0, 4);
        }
        struct ninja_rank_pair pairs[] = {{dice(5), dice(5)}, {1, 70000}};
        struct ninja_rank_msg msg = {.type = (uint16_t)(1 + dice(4)),
                                     .epoch = dice(3),
                                     .round = (uint16_t)dice(3),
                                     .status = dice(6),
                                     .arg = 6 + dice(8),
                                     .n_a = dice(3),
                                     .a = pairs,
                                     .n_addresses = dice(3),
                                     .addresses = pairs,
                                     .text = "J,tcp\n1"};
        size_t size;
        unsigned char *packet = ninja_rank_encode(&msg, &size);
        if (dice(3) == 0) {
            packet[dice((uint32_t)size)] ^= (unsigned char)(1 << dice(8));
        }
        if (send(rank, packet, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 || dice(20) == 0) {
            close(rank);
            rank = -1;
        }
        free(packet);
    }
    host_close(&host);
    host_hello(&host, f->host_path);
    close(rank_join(f, "K", 0, 1));
    host_close(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_parser_takes_anything),
        cmocka_unit_test_setup_teardown(a_live_agent_takes_anything, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
