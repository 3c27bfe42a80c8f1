#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_job.h"
#include "common/address_list.h"

/* The steps of a switch, by a running agent between a fake host and fake ranks. */

static void expect_pair(json_t *table, size_t i, json_int_t peer, json_int_t value)
{
    json_t *pair = json_array_get(table, i);
    assert_int_equal(json_integer_value(json_array_get(pair, 0)), peer);
    assert_int_equal(json_integer_value(json_array_get(pair, 1)), value);
}

/* CONNECT with the addresses of ADDRESSES in a sealed file. */
static void expect_addresses(int rank)
{
    static const char *const want[] = {"A", "AB", "ABC", "ABCD"};
    struct ninja_rank_msg msg;
    struct ninja_addresses addresses;
    int file;
    assert_int_equal(ninja_rank_recv(rank, 0, &msg, &file), 1);
    assert_int_equal(msg.type, NINJA_RANK_CONNECT);
    ninja_rank_msg_clear(&msg);
    assert_true(file >= 0);
    assert_null(ninja_addresses_map(file, 4, &addresses));
    close(file);
    for (uint32_t r = 0; r < 4; r++) {
        size_t size;
        const void *bytes = ninja_addresses_of(&addresses, r, &size);
        assert_int_equal(size, r + 1);
        assert_memory_equal(bytes, want[r], size);
    }
    ninja_addresses_unmap(&addresses);
}

static void a_whole_switch_with_its_tables(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct ninja_rank_msg msg;
    start_pair(f, &p);

    step(&p.host, 7, 1, "stop",
         ",\"lease-ms\":1234,\"leaving\":[[0,1],[2,2]],\"release\":\"@all\","
         "\"open\":\"tcp:lo+10.0.0.0/8,self\"");
    msg = rank_take(p.rank[0], NINJA_RANK_STOP);
    assert_int_equal(msg.arg, 1234);
    struct ninja_rank_pair leaving[] = {{0, 1}, {2, 2}};
    assert_int_equal(msg.n_a, 2);
    assert_memory_equal(msg.a, leaving, sizeof(leaving));
    assert_string_equal(msg.text, "@all\ntcp:lo+10.0.0.0/8,self");
    ninja_rank_msg_clear(&msg);
    rank_expect(p.rank[1], NINJA_RANK_STOP);
    struct ninja_rank_pair sent[] = {{1, 65535}, {3, 2}}, held[] = {{2, 9}};
    rank_send(p.rank[0], (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                                 .arg = NINJA_RANK_STOP,
                                                 .epoch = 7,
                                                 .round = 1,
                                                 .micros = 4321,
                                                 .n_a = 2,
                                                 .a = sent,
                                                 .n_b = 1,
                                                 .b = held,
                                                 .text = "t"});
    host_no_event(&p.host, "NINJA_STEP", 200); /* not before all have reported */
    rank_report(p.rank[1], NINJA_RANK_STOP, 7, 1, NINJA_RANK_OK, "");
    json_t *list = reports(&p.host, "stop", 7, 1);
    json_t *report = entry_of(list, "rank", 0);
    assert_string_equal(text_of(report, "status"), "ok");
    assert_string_equal(text_of(report, "text"), "t");
    assert_int_equal(int_of(report, "micros"), 4321);
    expect_pair(json_object_get(report, "a"), 0, 1, 65535);
    expect_pair(json_object_get(report, "a"), 1, 3, 2);
    expect_pair(json_object_get(report, "b"), 0, 2, 9);
    assert_null(json_object_get(report, "transports"));
    json_decref(list);
    expect_state(&p.host, 0, "QUIESCING", 7);

    step(&p.host, 7, 1, "drain", ",\"tables\":{\"1\":[[0,65535],[3,4]],\"2\":[[0,1]]}");
    msg = rank_take(p.rank[0], NINJA_RANK_DRAIN);
    assert_int_equal(msg.n_a + msg.n_b, 0);
    ninja_rank_msg_clear(&msg);
    msg = rank_take(p.rank[1], NINJA_RANK_DRAIN);
    assert_int_equal(msg.n_a, 2);
    assert_int_equal(msg.n_b, 0);
    assert_int_equal(msg.a[1].peer, 3);
    assert_int_equal(msg.a[1].value, 4);
    ninja_rank_msg_clear(&msg);
    rank_report(p.rank[0], NINJA_RANK_DRAIN, 7, 1, NINJA_RANK_OK, "");
    rank_report(p.rank[1], NINJA_RANK_DRAIN, 7, 1, NINJA_RANK_OK, "");
    expect_step(&p.host, "drain", 7, 1, 2, "ok");

    step(&p.host, 7, 1, "settle", ",\"tables\":{\"0\":[[1,70000]]}");
    msg = rank_take(p.rank[0], NINJA_RANK_SETTLE);
    assert_int_equal(msg.n_a, 0);
    assert_int_equal(msg.n_b, 1);
    assert_int_equal(msg.b[0].value, 70000);
    ninja_rank_msg_clear(&msg);
    rank_report(p.rank[0], NINJA_RANK_SETTLE, 7, 1, NINJA_RANK_OK, "");
    rank_expect(p.rank[1], NINJA_RANK_SETTLE);
    rank_report(p.rank[1], NINJA_RANK_SETTLE, 7, 1, NINJA_RANK_OK, "");
    expect_step(&p.host, "settle", 7, 1, 2, "ok");
    expect_state(&p.host, 1, "QUIET", 7);

    step(&p.host, 7, 1, "release", TRANSPORTS("@bypass"));
    msg = rank_take(p.rank[0], NINJA_RANK_RELEASE);
    assert_string_equal(msg.text, "@bypass");
    ninja_rank_msg_clear(&msg);
    rank_report(p.rank[0], NINJA_RANK_RELEASE, 7, 1, NINJA_RANK_OK, "");
    rank_expect(p.rank[1], NINJA_RANK_RELEASE);
    rank_report(p.rank[1], NINJA_RANK_RELEASE, 7, 1, NINJA_RANK_FAILED, "/dev/infiniband/x");
    list = reports(&p.host, "release", 7, 1);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "failed");
    assert_string_equal(text_of(entry_of(list, "rank", 1), "text"), "/dev/infiniband/x");
    json_decref(list);
    expect_state(&p.host, 0, "RELEASED", 7);
    expect_state(&p.host, 1, "RELEASED", 7); /* nobody may take it that it kept them */

    step(&p.host, 7, 1, "open", TRANSPORTS("@standby"));
    for (int i = 0; i < 2; i++) {
        rank_expect(p.rank[i], NINJA_RANK_OPEN);
        rank_send(p.rank[i], (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                                     .arg = NINJA_RANK_OPEN,
                                                     .epoch = 7,
                                                     .round = 1,
                                                     .n_addresses = 3,
                                                     .addresses = i == 0 ? "a\0b" : "\xff\xfe"});
    }
    list = reports(&p.host, "open", 7, 1);
    assert_string_equal(text_of(entry_of(list, "rank", 0), "addresses"), "YQBi");
    assert_string_equal(text_of(entry_of(list, "rank", 1), "addresses"), "//4A");
    json_decref(list);
    expect_state(&p.host, 1, "OPENED", 7);

    step(&p.host, 7, 1, "connect", ADDRESSES);
    struct ninja_rank_pair reached[] = {{0, 3}, {1, 1}};
    for (int i = 0; i < 2; i++) {
        expect_addresses(p.rank[i]);
        rank_send(p.rank[i], (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                                     .arg = NINJA_RANK_CONNECT,
                                                     .epoch = 7,
                                                     .round = 1,
                                                     .n_a = 2,
                                                     .a = reached,
                                                     .text = "tcp,self"});
    }
    list = reports(&p.host, "connect", 7, 1);
    json_t *transports = json_object_get(entry_of(list, "rank", 1), "transports");
    assert_int_equal(int_of(transports, "tcp"), 3);
    assert_int_equal(int_of(transports, "self"), 1);
    json_decref(list);
    expect_state(&p.host, 1, "CONNECTED", 7);

    step(&p.host, 7, 1, "verify", "");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ninja_rank_recv(p.rank[i], 0, &msg, NULL), 1);
        assert_int_equal(msg.type, NINJA_RANK_VERIFY);
        assert_int_equal(msg.arg, 18000); /* its word comes before the time-out */
        ninja_rank_msg_clear(&msg);
        rank_send(p.rank[i],
                  (struct ninja_rank_msg){
                      .type = NINJA_RANK_REPORT, .arg = NINJA_RANK_VERIFY, .epoch = 7, .round = 1});
    }
    expect_step(&p.host, "verify", 7, 1, 2, "ok");
    expect_state(&p.host, 1, "READY", 7);

    end_epoch(&p, 7);
    expect_state(&p.host, 0, "RUNNING", 7);
    json_t *answer, *job = the_job(&p.host, &answer);
    json_t *rank = entry_of(json_object_get(job, "ranks"), "rank", 0);
    assert_int_equal(int_of(json_object_get(rank, "transports"), "tcp"), 3);
    json_decref(answer);
    end_pair(&p);
}

static void a_repeated_step_is_not_given_twice(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", LEASE);
    step(&p.host, 1, 1, "stop", LEASE);
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    host_no_event(&p.host, "NINJA_STEP", 200);
    step(&p.host, 1, 1, "stop", LEASE);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    rank_expect_nothing(p.rank[0], 200);
    end_epoch(&p, 1);
    step(&p.host, 1, 9, "resume", "");
    expect_step(&p.host, "resume", 1, 9, 2, "ok");
    end_pair(&p);
}

static void silent_ranks_time_out_and_may_report_later(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    const char *stop = "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":1,"
                       "\"round\":0,\"step\":\"stop\",\"timeout-ms\":300,\"lease-ms\":60000}}";
    host_do(&p.host, "%s", stop);
    rank_expect(p.rank[0], NINJA_RANK_STOP);
    rank_report(p.rank[0], NINJA_RANK_STOP, 1, 0, NINJA_RANK_OK, "");
    json_t *list = reports(&p.host, "stop", 1, 0);
    assert_int_equal(json_array_size(list), 2);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "timeout");
    json_decref(list);

    rank_expect(p.rank[1], NINJA_RANK_STOP);
    rank_report(p.rank[1], NINJA_RANK_STOP, 1, 0, NINJA_RANK_OK, "late");
    host_no_event(&p.host, "NINJA_STEP", 200);
    expect_state(&p.host, 1, "QUIESCING", 1);
    host_do(&p.host, "%s", stop);
    expect_step(&p.host, "stop", 1, 0, 2, "ok");
    end_epoch(&p, 1);
    end_pair(&p);
}

static void a_lost_rank_fails_every_step_until_resume(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", LEASE);
    rank_expect(p.rank[0], NINJA_RANK_STOP);
    rank_report(p.rank[0], NINJA_RANK_STOP, 1, 1, NINJA_RANK_OK, "");
    close(p.rank[1]);
    json_t *list = reports(&p.host, "stop", 1, 1);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "lost");
    json_decref(list);
    expect_jobs_event(&p.host, "ranks", 1);

    step(&p.host, 1, 1, "drain", NO_TABLES);
    all_do(p.rank, 1, NINJA_RANK_DRAIN, 1, 1);
    list = reports(&p.host, "drain", 1, 1);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "lost");
    json_decref(list);

    step(&p.host, 1, 1, "resume", "");
    all_do(p.rank, 1, NINJA_RANK_RESUME, 1, 1);
    list = reports(&p.host, "resume", 1, 1);
    expect_status(list, 1, "lost");
    json_decref(list);
    step(&p.host, 2, 1, "stop", LEASE);
    all_do(p.rank, 1, NINJA_RANK_STOP, 2, 1);
    expect_step(&p.host, "stop", 2, 1, 1, "ok");

    /* the last rank is lost in the middle of a step */
    step(&p.host, 2, 1, "resume", "");
    rank_expect(p.rank[0], NINJA_RANK_RESUME);
    close(p.rank[0]);
    expect_step(&p.host, "resume", 2, 1, 1, "lost");
    expect_jobs_event(&p.host, "ended", 0);
    step_refused(&p.host, "NoSuchJob", "no rank of the job J is here", 2, 1, "resume", "");
    host_close(&p.host);
}

static void steps_out_of_order_are_refused(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    struct host *h = &p.host;
    step_refused(h, "BadStep", "cannot follow", 1, 1, "drain", NO_TABLES);
    step_refused(h, "BadStep", "cannot follow", 1, 1, "release", TRANSPORTS("x"));
    step_refused(h, "StaleEpoch", "choose a higher one", 0, 1, "stop", LEASE);
    step(h, 5, 1, "stop", LEASE);
    step_refused(h, "BadStep", "stop is still in progress", 5, 1, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_STOP, 5, 1);
    expect_step(h, "stop", 5, 1, 2, "ok");
    step_refused(h, "BadStep", "cannot follow", 5, 1, "release", TRANSPORTS("x"));
    step_refused(h, "BadStep", "cannot follow", 5, 1, "settle", NO_TABLES);
    step_refused(h, "BadStep", "cannot follow", 6, 1, "drain", NO_TABLES);
    step_refused(h, "StaleEpoch", "has had epoch 5", 4, 1, "drain", NO_TABLES);
    step_refused(h, "StaleEpoch", "has had epoch 5", 5, 2, "stop", LEASE);
    step_refused(h, "BadStep", "round 0, after round 1", 5, 0, "drain", NO_TABLES);
    step(h, 5, 1, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_DRAIN, 5, 1);
    expect_step(h, "drain", 5, 1, 2, "ok");
    step(h, 5, 1, "settle", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_SETTLE, 5, 1);
    expect_step(h, "settle", 5, 1, 2, "ok");
    step(h, 5, 2, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_DRAIN, 5, 2);
    expect_step(h, "drain", 5, 2, 2, "ok");
    expect_state(h, 0, "QUIESCING", 5);
    step(h, 5, 2, "settle", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_SETTLE, 5, 2);
    expect_step(h, "settle", 5, 2, 2, "ok");
    step(h, 5, 2, "release", TRANSPORTS("@bypass"));
    all_do(p.rank, 2, NINJA_RANK_RELEASE, 5, 2);
    expect_step(h, "release", 5, 2, 2, "ok");
    step_refused(h, "BadStep", "cannot follow", 5, 2, "resume", "");
    step_refused(h, "BadStep", "cannot follow", 6, 1, "stop", LEASE);
    step_refused(h, "BadStep", "cannot follow", 5, 2, "connect", ADDRESSES);
    step(h, 5, 2, "open", TRANSPORTS("@best"));
    all_do(p.rank, 2, NINJA_RANK_OPEN, 5, 2);
    expect_step(h, "open", 5, 2, 2, "ok");
    step_refused(h, "BadStep", "cannot follow", 5, 2, "verify", "");
    step(h, 5, 2, "connect", ADDRESSES);
    all_do(p.rank, 2, NINJA_RANK_CONNECT, 5, 2);
    expect_step(h, "connect", 5, 2, 2, "ok");
    step_refused(h, "BadStep", "cannot follow", 5, 2, "release", TRANSPORTS("x"));
    step(h, 5, 3, "open", TRANSPORTS("@standby"));
    all_do(p.rank, 2, NINJA_RANK_OPEN, 5, 3);
    expect_step(h, "open", 5, 3, 2, "ok");
    step(h, 5, 3, "connect", ADDRESSES);
    all_do(p.rank, 2, NINJA_RANK_CONNECT, 5, 3);
    expect_step(h, "connect", 5, 3, 2, "ok");
    step(h, 5, 3, "verify", "");
    all_do(p.rank, 2, NINJA_RANK_VERIFY, 5, 3);
    expect_step(h, "verify", 5, 3, 2, "ok");
    step_refused(h, "BadStep", "cannot follow", 5, 3, "connect", ADDRESSES);
    step(h, 5, 4, "open", TRANSPORTS("@previous"));
    all_do(p.rank, 2, NINJA_RANK_OPEN, 5, 4);
    expect_step(h, "open", 5, 4, 2, "ok");
    end_epoch(&p, 5);
    step_refused(h, "StaleEpoch", "choose a higher one", 5, 1, "stop", LEASE);
    end_pair(&p);
}

static void bad_arguments_are_refused(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    struct host *h = &p.host;
    host_refused(h, "BadStep", "'job'", "{\"execute\":\"ninja-step\"}");
    host_refused(h, "BadStep", "'job'", "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":1}}");
    host_refused(h, "NoSuchJob", "job K",
                 "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"K\",\"epoch\":1,\"round\":1,"
                 "\"step\":\"resume\",\"timeout-ms\":1}}");
    host_refused(h, "BadStep", "'timeout-ms'",
                 "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":1,\"round\":1,"
                 "\"step\":\"resume\",\"timeout-ms\":0}}");
    host_refused(h, "BadStep", "'round'",
                 "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":1,"
                 "\"round\":65536,\"step\":\"resume\",\"timeout-ms\":1}}");
    host_refused(h, "BadStep", "'epoch'",
                 "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":4294967296,"
                 "\"round\":1,\"step\":\"resume\",\"timeout-ms\":1}}");
    step_refused(h, "BadStep", "must be one of stop, drain", 1, 1, "hello", "");
    step_refused(h, "BadStep", "'lease-ms'", 1, 1, "stop", "");
    step_refused(h, "BadStep", "'open'", 1, 1, "stop", LEASE ",\"release\":\"@all\"");
    step_refused(h, "BadStep", "'release'", 1, 1, "stop", LEASE ",\"open\":\"tcp\"");
    step_refused(h, "BadStep", "'open' holds a blank", 1, 1, "stop",
                 LEASE ",\"release\":\"@all\",\"open\":\"tcp\\nself\"");
    const char *const leaving[] = {
        "[]",      "{}",        "1",        "null",      "[1]",
        "[[1]]",   "[[1,1,1]]", "[[0,0]]",  "[[4,1]]",   "[[-1,1]]",
        "[[3,2]]", "[[0,5]]",   "[[1,-1]]", "[[0,1.5]]", "[[0,1],{}]",
    };
    for (size_t i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++) {
        char more[100];
        snprintf(more, sizeof(more), LEASE ",\"leaving\":%s", leaving[i]);
        step_refused(h, "BadStep", "'leaving' must be", 1, 1, "stop", more);
    }
    step(h, 1, 1, "stop", LEASE);
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    const char *const tables[] = {
        "",
        ",\"tables\":[]",
        ",\"tables\":{\"x\":[]}",
        ",\"tables\":{\"4\":[]}",
        ",\"tables\":{\"-1\":[]}",
        ",\"tables\":{\" 1\":[]}",
        ",\"tables\":{\"1x\":[]}",
        ",\"tables\":{\"\":[]}",
        ",\"tables\":{\"99999999999999999999\":[]}",
        ",\"tables\":{\"1\":{}}",
        ",\"tables\":{\"1\":[1,2]}",
        ",\"tables\":{\"1\":[[1]]}",
        ",\"tables\":{\"1\":[[1,2,3]]}",
        ",\"tables\":{\"1\":[[4,1]]}",
        ",\"tables\":{\"1\":[[-1,1]]}",
        ",\"tables\":{\"1\":[[1,-1]]}",
        ",\"tables\":{\"1\":[[1,4294967296]]}",
        ",\"tables\":{\"1\":[[1,1.5]]}",
    };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        step_refused(h, "BadStep", "table", 1, 1, "drain", tables[i]);
    }
    step(h, 1, 1, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_DRAIN, 1, 1);
    step(h, 1, 1, "resume", "");
    step_refused(h, "BadStep", "'transports'", 1, 1, "release", "");
    step_refused(h, "BadStep", "'transports'", 1, 1, "release", TRANSPORTS(""));
    step_refused(h, "BadStep", "'transports'", 1, 1, "open", TRANSPORTS("a b"));
    end_pair(&p);
}

static void report_counts(int rank, uint16_t step, uint32_t epoch, uint16_t round, uint32_t count)
{
    struct ninja_rank_pair pair = {1, count};
    rank_expect(rank, step);
    rank_send(rank, (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                            .arg = step,
                                            .epoch = epoch,
                                            .round = round,
                                            .n_a = 1,
                                            .a = &pair});
}

/* Both ranks report a count; of that of rank 0 the host gets it, or that it is the same. */
static void expect_counts(struct pair *p, const char *name, uint16_t step, uint32_t epoch,
                          uint16_t round, uint32_t count, bool same)
{
    report_counts(p->rank[0], step, epoch, round, count);
    report_counts(p->rank[1], step, epoch, round, 1);
    json_t *list = reports(&p->host, name, epoch, round);
    json_t *report = entry_of(list, "rank", 0);
    assert_int_equal(json_is_true(json_object_get(report, "same")), same);
    assert_int_equal(json_object_get(report, "a") == NULL, same);
    if (!same) {
        expect_pair(json_object_get(report, "a"), 0, 1, count);
    }
    json_decref(list);
}

static void counts_are_told_when_they_change(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    for (uint32_t epoch = 1; epoch < 3; epoch++) {
        step(&p.host, epoch, 1, "stop", LEASE);
        expect_counts(&p, "stop", NINJA_RANK_STOP, epoch, 1, 5, false);
        step(&p.host, epoch, 1, "drain", NO_TABLES);
        expect_counts(&p, "drain", NINJA_RANK_DRAIN, epoch, 1, 5, true);
        step(&p.host, epoch, 1, "settle", NO_TABLES);
        expect_counts(&p, "settle", NINJA_RANK_SETTLE, epoch, 1, 6, false);
        step(&p.host, epoch, 2, "drain", NO_TABLES);
        expect_counts(&p, "drain", NINJA_RANK_DRAIN, epoch, 2, 6, true);
        step(&p.host, epoch, 2, "settle", NO_TABLES);
        expect_counts(&p, "settle", NINJA_RANK_SETTLE, epoch, 2, 5, false);
        end_epoch(&p, epoch);
    }
    end_pair(&p);
}

static void bad_addresses_are_refused(void **state)
{
#define LIST(text) ",\"addresses\":\"" text "\""
    static const char *const addresses[] = {
        "",
        ",\"addresses\":{}",
        ",\"addresses\":[\"QQ==\",\"QQ==\",\"QQ==\",\"QQ==\"]",
        LIST(""),
        LIST("QQ=="),
        LIST("A"),
        LIST("AAAAFGFiY2RlZmdo"),                 /* not compressed */
        LIST("AAAAD3icY2BgYGSAYkcGBgAA6gBF"),     /* of three ranks */
        LIST("AAAAGXicY2BgYGRAw45AggEAAaQARw=="), /* of five */
        LIST("AAAAE3icY2BgYGSAABDN6MjAAAAA8gBF"), /* one has none */
        LIST("AAAAE3icY2BgYGRAwo5OzgABxQDL"),     /* a byte less than the lengths say */
        LIST("AAAAFXicY2BgYGRAwo5Ozi6uAAQoAVQ="), /* one more */
        LIST("AAAAFXicY2BgYGRAwo5Ozi4AAtQBDw=="), /* less than it says itself */
        LIST("gAAAAHicY2BgYGRAwo5Ozi4AAtQBDw=="), /* 2 GiB */
    };
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    make_quiet(&p, 1);
    step(&p.host, 1, 1, "release", TRANSPORTS("@all"));
    all_do(p.rank, 2, NINJA_RANK_RELEASE, 1, 1);
    expect_step(&p.host, "release", 1, 1, 2, "ok");
    step(&p.host, 1, 1, "open", TRANSPORTS("@best"));
    all_do(p.rank, 2, NINJA_RANK_OPEN, 1, 1);
    expect_step(&p.host, "open", 1, 1, 2, "ok");
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        step_refused(&p.host, "BadStep", "addresses", 1, 1, "connect", addresses[i]);
    }
    /* of 64 KiB, and one byte more */
    uint32_t ends[4] = {1, 2, 3 + NINJA_ADDRESSES_MAX_RANK, 4 + NINJA_ADDRESSES_MAX_RANK};
    char *bytes = calloc(1, ends[3]), more[1024];
    for (int i = 0; i < 2; i++) {
        char *text = ninja_address_list_encode(ends, 4, bytes);
        snprintf(more, sizeof(more), LIST("%s"), text);
        free(text);
        if (i == 0) {
            step_refused(&p.host, "BadStep", "a length is impossible", 1, 1, "connect", more);
        } else {
            step(&p.host, 1, 1, "connect", more);
        }
        ends[2]--;
        ends[3]--;
    }
    all_do(p.rank, 2, NINJA_RANK_CONNECT, 1, 1);
    expect_step(&p.host, "connect", 1, 1, 2, "ok");
    free(bytes);
    end_pair(&p);
}

static void resume_takes_a_step_in_progress_back(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", LEASE);
    rank_expect(p.rank[0], NINJA_RANK_STOP);
    rank_report(p.rank[0], NINJA_RANK_STOP, 1, 1, NINJA_RANK_STATUS_REFUSED, "a window");
    rank_expect(p.rank[1], NINJA_RANK_STOP);
    host_no_event(&p.host, "NINJA_STEP", 100);
    step(&p.host, 1, 1, "resume", "");
    json_t *list = reports(&p.host, "stop", 1, 1);
    expect_status(list, 0, "refused");
    assert_string_equal(text_of(entry_of(list, "rank", 0), "text"), "a window");
    expect_status(list, 1, "stale");
    json_decref(list);
    all_do(p.rank, 2, NINJA_RANK_RESUME, 1, 1);
    expect_step(&p.host, "resume", 1, 1, 2, "ok");
    /* a late report of the step that was taken back changes nothing */
    rank_report(p.rank[1], NINJA_RANK_STOP, 1, 1, NINJA_RANK_STALE, "");
    expect_state(&p.host, 1, "RUNNING", 1);

    /* resume of an epoch whose stop never came here */
    step(&p.host, 3, 1, "resume", "");
    expect_step(&p.host, "resume", 3, 1, 2, "ok");
    rank_expect_nothing(p.rank[0], 100);
    end_pair(&p);
}

/* As they compute, they read neither; then both together. */
static void resume_does_not_wait_for_ranks_that_never_stopped(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 4, 1, "stop", LEASE);
    rank_expect(p.rank[0], NINJA_RANK_STOP);
    rank_report(p.rank[0], NINJA_RANK_STOP, 4, 1, NINJA_RANK_OK, "");
    host_no_event(&p.host, "NINJA_STEP", 100);
    step(&p.host, 4, 1, "resume", "");
    json_t *list = reports(&p.host, "stop", 4, 1);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "stale");
    json_decref(list);
    all_do(p.rank, 1, NINJA_RANK_RESUME, 4, 1);
    list = reports(&p.host, "resume", 4, 1);
    expect_status(list, 0, "ok");
    expect_status(list, 1, "ok");
    assert_true(int_of(entry_of(list, "rank", 0), "stood-ms") >= 100);
    assert_int_equal(int_of(entry_of(list, "rank", 1), "stood-ms"), 0);
    json_decref(list);

    /* the agent knows of the epoch, which the rank does not */
    json_t *answer, *job = the_job(&p.host, &answer);
    assert_int_equal(int_of(job, "epoch"), 4);
    json_decref(answer);
    expect_state(&p.host, 1, "RUNNING", 0);

    all_do(p.rank + 1, 1, NINJA_RANK_STOP, 4, 1);
    all_do(p.rank + 1, 1, NINJA_RANK_RESUME, 4, 1);
    make_quiet(&p, 5);
    end_epoch(&p, 5);
    end_pair(&p);
}

static void who_leaves_in_an_epoch_waits_for_its_end(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", LEASE);
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    rank_send(p.rank[0], (struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    expect_jobs_event(&p.host, "finalizing", 2);
    rank_expect_nothing(p.rank[0], 200);
    /* it goes on serving steps */
    step(&p.host, 1, 1, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_DRAIN, 1, 1);
    expect_step(&p.host, "drain", 1, 1, 2, "ok");
    end_epoch(&p, 1);
    rank_expect(p.rank[0], NINJA_RANK_BYE_OK);

    step_refused(&p.host, "JobNotReady", "MPI_Finalize", 2, 1, "stop", LEASE);
    json_t *answer, *job = the_job(&p.host, &answer);
    assert_true(json_is_true(json_object_get(job, "finalizing")));
    json_decref(answer);
    rank_send(p.rank[1], (struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    rank_expect(p.rank[1], NINJA_RANK_BYE_OK);
    close(p.rank[0]);
    expect_jobs_event(&p.host, "ranks", 1);
    step_refused(&p.host, "JobNotReady", "MPI_Finalize", 2, 1, "stop", LEASE);
    close(p.rank[1]);
    expect_jobs_event(&p.host, "ended", 0);
    host_close(&p.host);
}

static void who_comes_in_an_epoch_takes_no_part(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", LEASE);
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    int third = rank_join(f, "J", 2, 4);
    expect_jobs_event(&p.host, "ranks", 3);
    step(&p.host, 1, 1, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_DRAIN, 1, 1);
    json_t *list = reports(&p.host, "drain", 1, 1);
    expect_status(list, 1, "ok");
    expect_status(list, 2, "refused");
    json_decref(list);
    step(&p.host, 1, 1, "resume", "");
    all_do(p.rank, 2, NINJA_RANK_RESUME, 1, 1);
    expect_step(&p.host, "resume", 1, 1, 3, "ok");
    rank_expect_nothing(third, 100);
    step(&p.host, 2, 1, "stop", LEASE);
    all_do(p.rank, 2, NINJA_RANK_STOP, 2, 1);
    all_do(&third, 1, NINJA_RANK_STOP, 2, 1);
    expect_step(&p.host, "stop", 2, 1, 3, "ok");
    close(third);
    end_pair(&p);
}

static void an_epoch_survives_the_agents_restart(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    make_quiet(&p, 4);
    fixture_stop(f, SIGTERM);
    rank_expect_end(p.rank[0]);
    end_pair(&p);

    /* whoever asks now must not take it that there is no job */
    fixture_start(f);
    host_hello(&p.host, f->host_path);
    json_t *answer = host_ask(&p.host, "{\"execute\":\"ninja-jobs\"}");
    assert_true(json_is_true(json_object_get(json_object_get(answer, "return"), "returning")));
    json_decref(answer);
    p.rank[0] = rank_rejoin(f, "J", 0, 4, NINJA_RANK_QUIET, 4);
    p.rank[1] = rank_rejoin(f, "J", 1, 4, NINJA_RANK_QUIET, 4);
    expect_state(&p.host, 1, "QUIET", 4);
    step_refused(&p.host, "StaleEpoch", "has had epoch 4", 3, 1, "resume", "");
    rank_send(p.rank[0], (struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    rank_expect_nothing(p.rank[0], 200);
    step(&p.host, 4, 1, "release", TRANSPORTS("@bypass"));
    all_do(p.rank, 2, NINJA_RANK_RELEASE, 4, 1);
    expect_step(&p.host, "release", 4, 1, 2, "ok");
    step(&p.host, 4, 1, "open", TRANSPORTS("@standby"));
    all_do(p.rank, 2, NINJA_RANK_OPEN, 4, 1);
    expect_step(&p.host, "open", 4, 1, 2, "ok");
    step(&p.host, 4, 1, "connect", ADDRESSES);
    all_do(p.rank, 2, NINJA_RANK_CONNECT, 4, 1);
    expect_step(&p.host, "connect", 4, 1, 2, "ok");
    end_epoch(&p, 4);
    rank_expect(p.rank[0], NINJA_RANK_BYE_OK);
    end_pair(&p);
}

static void an_epoch_ends_with_its_lease(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", ",\"lease-ms\":200");
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    rank_send(p.rank[0], (struct ninja_rank_msg){.type = NINJA_RANK_BYE});
    rank_expect_nothing(p.rank[0], 300);
    rank_expect(p.rank[0], NINJA_RANK_BYE_OK); /* the coordinator is gone */
    expect_state(&p.host, 1, "RUNNING", 1);
    step_refused(&p.host, "BadStep", "cannot follow", 1, 1, "drain", NO_TABLES);
    end_pair(&p);
}

static void a_released_epoch_has_no_lease(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    start_pair(f, &p);
    step(&p.host, 1, 1, "stop", ",\"lease-ms\":300");
    all_do(p.rank, 2, NINJA_RANK_STOP, 1, 1);
    expect_step(&p.host, "stop", 1, 1, 2, "ok");
    step(&p.host, 1, 1, "drain", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_DRAIN, 1, 1);
    expect_step(&p.host, "drain", 1, 1, 2, "ok");
    step(&p.host, 1, 1, "settle", NO_TABLES);
    all_do(p.rank, 2, NINJA_RANK_SETTLE, 1, 1);
    expect_step(&p.host, "settle", 1, 1, 2, "ok");
    step(&p.host, 1, 1, "release", TRANSPORTS("@all"));
    all_do(p.rank, 2, NINJA_RANK_RELEASE, 1, 1);
    expect_step(&p.host, "release", 1, 1, 2, "ok");
    usleep(2000000);
    expect_state(&p.host, 1, "RELEASED", 1);
    end_pair(&p);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(a_whole_switch_with_its_tables),
        WITH_FIXTURE(a_repeated_step_is_not_given_twice),
        WITH_FIXTURE(silent_ranks_time_out_and_may_report_later),
        WITH_FIXTURE(a_lost_rank_fails_every_step_until_resume),
        WITH_FIXTURE(steps_out_of_order_are_refused),
        WITH_FIXTURE(bad_arguments_are_refused),
        WITH_FIXTURE(bad_addresses_are_refused),
        WITH_FIXTURE(counts_are_told_when_they_change),
        WITH_FIXTURE(resume_takes_a_step_in_progress_back),
        WITH_FIXTURE(resume_does_not_wait_for_ranks_that_never_stopped),
        WITH_FIXTURE(who_leaves_in_an_epoch_waits_for_its_end),
        WITH_FIXTURE(who_comes_in_an_epoch_takes_no_part),
        WITH_FIXTURE(an_epoch_survives_the_agents_restart),
        WITH_FIXTURE(an_epoch_ends_with_its_lease),
        WITH_FIXTURE(a_released_epoch_has_no_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
