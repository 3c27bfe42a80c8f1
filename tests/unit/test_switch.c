/* The switch of transports against two scripted agents of two ranks each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/base/timer.h"
#include "host/base/unix_socket.h"
#include "host/switch/switch_private.h"
#include "tests/unit/fake_agent.h"

struct world {
    struct event_base *base;
    struct cluster cluster;
    struct fake_job job;
    struct fake_agent fakes[2];
    struct agent *agents[2];
    struct transport_switch *sw;
    bool done, held;
    int connected;
    struct ninja_error err;
};

static void on_phase(void *arg, enum switch_phase phase)
{
    static const char *const names[] = {[SWITCH_QUIESCING] = "quiescing",
                                        [SWITCH_RELEASING] = "releasing",
                                        [SWITCH_RESELECTING] = "reselecting",
                                        [SWITCH_RESUMING] = "resuming"};
    fake_log("phase %s", names[phase]);
}

static void on_held(void *arg)
{
    struct world *world = arg;
    fake_log("held");
    world->held = true;
    event_base_loopbreak(world->base);
}

static void on_done(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->done = true;
    if (err != NULL) {
        world->err = *err;
    }
    event_base_loopbreak(world->base);
}

static const struct switch_handler handler = {
    .phase = on_phase,
    .held = on_held,
    .done = on_done,
};

static void on_connected(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    assert_null(err);
    if (++world->connected == 2) {
        event_base_loopbreak(world->base);
    }
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    *state = world;
    fake_log_clear();
    world->base = event_base_new();
    for (int t = 0; t < TIMEOUTS; t++) {
        world->cluster.timeouts[t] = 1000;
    }
    world->cluster.quiesce_attempts = 3;
    world->cluster.quiesce_pause_ms = 10;
    fake_job_init(&world->job, "job-a", 4);
    static const char *const names[] = {"vm1", "vm2"};
    for (int i = 0; i < 2; i++) {
        char path[100];
        snprintf(path, sizeof(path), "%s/%s.agent", fake_dir(), names[i]);
        fake_agent_init(&world->fakes[i], world->base, names[i]);
        fake_agent_add_ranks(&world->fakes[i], &world->job, 2 * i, 2);
        fake_agent_listen(&world->fakes[i], path);
        world->agents[i] = agent_new(world->base, names[i], 1000);
        struct channel_way way = unix_socket_way(world->base, path);
        agent_connect(world->agents[i], &way, on_connected, world);
    }
    event_base_dispatch(world->base);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    switch_free(world->sw);
    for (int i = 0; i < 2; i++) {
        agent_free(world->agents[i]);
        fake_agent_clear(&world->fakes[i]);
    }
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

static void run_leaving(struct world *world, bool hold, const bool *leaving)
{
    struct switch_options options = {.cluster = &world->cluster,
                                     .release = "@all",
                                     .reselect = "@best",
                                     .leaving = leaving,
                                     .hold = hold,
                                     .since_ms = now_ms() - 1000};
    world->sw = switch_start(world->base, world->agents, 2, &options, &handler, world);
    event_base_dispatch(world->base);
    assert_true(world->done || world->held);
}

static void run(struct world *world, bool hold)
{
    run_leaving(world, hold, NULL);
}

static json_int_t number_in(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void assert_all_run(const struct world *world)
{
    for (int r = 0; r < 4; r++) {
        assert_string_equal(world->job.state[r], "RUNNING");
    }
}

static void counts_are_routed_between_ranks(void **state)
{
    struct world *world = *state;
    world->job.sent[0][1] = 3;
    world->job.sent[2][1] = 65535;
    world->job.sent[3][0] = 7;
    world->job.sent[1][2] = 9;
    world->job.held[1][2] = 2; /* rank 1 holds two of rank 2 */
    world->job.held[0][3] = 1;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_true(fake_log_find("drain 0 [[3,7]]", 0) >= 0);
    assert_true(fake_log_find("drain 1 [[0,3],[2,65535]]", 0) >= 0);
    assert_true(fake_log_find("drain 2 [[1,9]]", 0) >= 0);
    assert_true(fake_log_find("drain 3 []", 0) >= 0);
    assert_true(fake_log_find("settle 2 [[1,2]]", 0) >= 0);
    assert_true(fake_log_find("settle 3 [[0,1]]", 0) >= 0);
    assert_true(fake_log_find("settle 1 []", 0) >= 0);
    assert_int_equal(fake_log_count("vm1 drain"), 1);
    assert_int_equal(world->job.epoch, 1);
    assert_all_run(world);
}

static void counts_of_before_need_some_before(void **state)
{
    struct world *world = *state;
    world->job.sent[2][1] = 3;
    world->job.forgetful_rank = 2;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Protocol");
    assert_non_null(strstr(world->err.message, "rank 2 reported the counts of before"));
    assert_all_run(world);
}

/* Each step is given only when all agents reported the one before. */
static void steps_are_barriers(void **state)
{
    static const char *const lists[NINJA_STEPS] = {
        [NINJA_STEP_RELEASE] = " @all", [NINJA_STEP_OPEN] = " @best"};
    struct world *world = *state;
    run(world, false);
    static const char *const phases[] = {"quiescing", "releasing", "reselecting", "resuming"};
    int before = -1;
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        char line[40];
        snprintf(line, sizeof(line), "phase %s", phases[i]);
        int at = fake_log_find(line, 0);
        assert_true(at > before);
        before = at;
    }
    before = -1;
    for (unsigned s = 0; s < NINJA_STEPS; s++) {
        const char *name = ninja_step_name(s), *list = lists[s] != NULL ? lists[s] : "";
        char a[40], b[40];
        snprintf(a, sizeof(a), "vm1 %s%s", name, list);
        snprintf(b, sizeof(b), "vm2 %s%s", name, list);
        int first = fake_log_find(a, 0), second = fake_log_find(b, 0);
        assert_true(first > before && second > before);
        before = first > second ? first : second;
    }
    json_t *report = switch_report(world->sw);
    assert_int_equal(json_array_size(json_object_get(report, "steps")), NINJA_STEPS);
    json_t *stop = json_array_get(json_object_get(report, "steps"), 0);
    assert_int_equal(json_integer_value(json_object_get(stop, "max_rank_micros")), 1003);
    assert_int_equal(json_integer_value(json_object_get(report, "rounds")), 1);
    json_t *job = json_array_get(json_object_get(report, "jobs"), 0);
    json_t *rank = json_array_get(json_object_get(job, "ranks"), 3);
    assert_string_equal(json_string_value(json_object_get(rank, "vm")), "vm2");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(rank, "transports"), "openib")), 3);
    json_decref(report);
}

static void changed_counts_make_another_round(void **state)
{
    struct world *world = *state;
    world->job.sent[1][2] = 5;
    world->job.drains_with_new_send = 2;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_true(fake_log_find("drain 2 [[1,5]]", 0) >= 0);
    assert_true(fake_log_find("drain 2 [[1,6]]", 0) >= 0);
    assert_true(fake_log_find("drain 2 [[1,7]]", 0) >= 0);
    assert_int_equal(fake_log_count("vm1 drain"), 3);
    assert_int_equal(fake_log_count("vm1 settle"), 1);
    json_t *report = switch_report(world->sw);
    json_t *job = json_array_get(json_object_get(report, "ranks"), 0);
    json_t *micros = json_object_get(job, "micros");
    json_t *drain = json_object_get(micros, "drain"), *stop = json_object_get(micros, "stop");
    assert_int_equal(json_array_size(drain), 4);
    assert_int_equal(json_integer_value(json_array_get(drain, 2)), 3 * 1002);
    assert_int_equal(json_integer_value(json_array_get(stop, 2)), 1002);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(report, "transports"), "openib")), 4);
    json_decref(report);
}

static void a_quiesce_that_times_out_is_given_up_and_tried_again(void **state)
{
    struct world *world = *state;
    world->job.silent_stops = 1;
    world->cluster.timeouts[TIMEOUT_QUIESCE] = 50;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    int resume = fake_log_find("vm2 resume", 0);
    assert_true(resume >= 0);
    assert_true(fake_log_find("vm2 stop", resume) > resume);
    assert_true(fake_log_find("vm2 release @all", 0) > resume);
    assert_true(world->job.epoch >= 2);
    json_t *report = switch_report(world->sw);
    assert_int_equal(json_integer_value(json_object_get(report, "attempts")), 2);
    json_t *given_up = json_object_get(report, "given_up");
    assert_int_equal(json_array_size(given_up), 1);
    json_t *first = json_array_get(given_up, 0);
    assert_true(number_in(first, "start_ms") >= 1000);
    assert_true(number_in(first, "stall_ms") >= 50);
    assert_true(number_in(report, "start_ms") >=
                number_in(first, "start_ms") + number_in(first, "stall_ms"));
    json_decref(report);
    assert_all_run(world);
}

static void after_all_attempts_it_ends_with_the_job_running(void **state)
{
    struct world *world = *state;
    world->job.silent_stops = 100;
    world->cluster.quiesce_attempts = 2;
    world->cluster.timeouts[TIMEOUT_QUIESCE] = 50;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Timeout");
    assert_int_equal(fake_log_count("vm2 stop"), 2);
    assert_int_equal(fake_log_count("vm2 resume"), 2);
    assert_int_equal(fake_log_count("vm2 release @all"), 0);
    assert_false(switch_has_released(world->sw));
    assert_all_run(world);
}

static void ranks_that_never_stopped_did_not_stand_still(void **state)
{
    struct world *world = *state;
    world->job.silent_stops = 1;
    world->job.stood_ms = 0;
    world->cluster.timeouts[TIMEOUT_QUIESCE] = 50;
    run(world, false);
    json_t *report = switch_report(world->sw);
    json_t *first = json_array_get(json_object_get(report, "given_up"), 0);
    assert_int_equal(json_integer_value(json_object_get(first, "stall_ms")), 0);
    assert_int_equal(json_integer_value(json_object_get(first, "stopped_at_us")), 0);
    assert_true(json_is_null(json_object_get(first, "start_ms")));
    json_decref(report);
}

static void the_stall_begins_with_the_first_rank_at_rest(void **state)
{
    struct world *world = *state;
    world->job.silent_stops = 1;
    world->job.stood_ms = 20;
    world->cluster.timeouts[TIMEOUT_QUIESCE] = 200;
    run(world, false);
    json_t *report = switch_report(world->sw);
    json_t *first = json_array_get(json_object_get(report, "given_up"), 0);
    assert_true(number_in(first, "stall_ms") >= 20);
    assert_true(number_in(first, "stall_ms") < 200);
    assert_true(number_in(first, "start_ms") >= 1000);
    json_decref(report);
}

static void it_begins_above_what_the_agents_say(void **state)
{
    struct world *world = *state;
    world->job.had_epoch = 7;
    world->job.tells_epoch = true;
    world->cluster.quiesce_attempts = 1;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(world->job.epoch, 8);
    assert_all_run(world);
}

static void a_stale_epoch_is_no_reason_to_give_up(void **state)
{
    struct world *world = *state;
    world->job.had_epoch = 100;
    world->cluster.quiesce_attempts = 1;
    world->cluster.quiesce_pause_ms = 1;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_true(world->job.epoch > 100);
    assert_all_run(world);
}

static void a_refusal_resumes_all_and_is_not_tried_again(void **state)
{
    struct world *world = *state;
    world->job.refusing_rank = 2;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Refused");
    assert_non_null(strstr(world->err.message, "rank 2 of job job-a in vm2"));
    assert_non_null(strstr(world->err.message, "it has a window on osc/rdma"));
    assert_int_equal(fake_log_count("vm1 stop"), 1);
    assert_int_equal(fake_log_count("vm1 resume"), 1);
    assert_int_equal(fake_log_count("vm2 resume"), 1);
    assert_int_equal(fake_log_count("vm1 drain"), 0);
    assert_all_run(world);
}

static void a_failed_release_is_given_once_more(void **state)
{
    struct world *world = *state;
    world->job.failing_step = "release";
    world->job.failing_rank = 1;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(fake_log_count("vm2 release @all"), 2);
    assert_int_equal(fake_log_count("vm2 open @best"), 1);
    assert_all_run(world);
}

static void a_failed_release_still_reselects_and_resumes(void **state)
{
    struct world *world = *state;
    world->job.failing_step = "release";
    world->job.failing_rank = 1;
    world->job.failures = 2;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Release");
    assert_non_null(strstr(world->err.message, "made to fail"));
    assert_true(switch_has_released(world->sw));
    assert_true(fake_log_find("vm2 resume", fake_log_find("vm2 open @previous", 0)) >= 0);
    assert_all_run(world);
}

static void every_rank_gets_the_addresses_of_all(void **state)
{
    struct world *world = *state;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(fake_log_count("connect 0 r0o1 r1o1 r2o1 r3o1"), 1);
    assert_int_equal(fake_log_count("connect 3 r0o1 r1o1 r2o1 r3o1"), 1);
}

static void a_failed_open_falls_back_and_resumes(void **state)
{
    struct world *world = *state;
    world->job.failing_step = "open";
    world->job.failing_rank = 3;
    world->job.failures = 2;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Reselect");
    assert_int_equal(fake_log_count("vm1 open @best"), 1);
    assert_int_equal(fake_log_count("vm1 open @previous"), 1);
    assert_int_equal(fake_log_count("vm1 open @standby"), 1);
    assert_int_equal(fake_log_count("vm1 connect"), 1);
    assert_int_equal(fake_log_count("vm2 resume"), 1);
    assert_all_run(world);
}

/* What is in the way of all lists may pass. */
static void all_lists_are_tried_again(void **state)
{
    struct world *world = *state;
    world->cluster.timeouts[TIMEOUT_RETRY] = 20000;
    world->job.failing_step = "open";
    world->job.failing_rank = 3;
    world->job.failures = 3;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "");
    assert_int_equal(fake_log_count("vm1 open @best"), 2);
    assert_int_equal(fake_log_count("vm1 open @previous"), 1);
    assert_int_equal(fake_log_count("vm1 open @standby"), 1);
    assert_all_run(world);
}

/* No list helps where nobody can be told of it. */
static void without_an_agent_no_list_is_tried_again(void **state)
{
    struct world *world = *state;
    world->cluster.timeouts[TIMEOUT_RETRY] = 20000;
    run(world, true);
    fake_peer_free(world->fakes[0].peer);
    world->fakes[0].peer = NULL;
    switch_continue(world->sw, "@best");
    event_base_dispatch(world->base);
    assert_string_equal(ninja_error_class_name(world->err.class), "Resume");
    assert_non_null(strstr(world->err.message, "the agent's channel cannot be reached"));
    assert_int_equal(fake_log_count("vm2 open @best"), 1);
}

static void without_any_transport_ranks_do_not_run(void **state)
{
    struct world *world = *state;
    world->job.failing_step = "open";
    world->job.failing_rank = 3;
    world->job.failures = 3;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Resume");
    assert_string_equal(world->job.state[3], "RELEASED");

    /* the next switch begins in the middle, in a new epoch */
    int epoch = world->job.epoch;
    switch_free(world->sw);
    world->done = false;
    world->err = (struct ninja_error)NINJA_ERROR_INIT;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(world->job.epoch, epoch + 1);
    assert_int_equal(fake_log_count("vm1 stop"), 1);
    assert_int_equal(fake_log_count("vm1 release @all"), 2);
    assert_all_run(world);
}

/* The coordinator before ended when ranks were at rest, and nothing had been released. */
static void ranks_at_rest_are_resumed_first(void **state)
{
    struct world *world = *state;
    for (int r = 0; r < 4; r++) {
        world->job.state[r] = r == 2 ? "RUNNING" : "QUIET";
    }
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(fake_log_count("vm1 resume"), 2);
    assert_int_equal(fake_log_count("vm1 stop"), 1);
    assert_int_equal(fake_log_count("vm1 release @all"), 1);
    assert_all_run(world);
}

/* job-a in vm1 alone, and another job in vm2. */
static void two_jobs(struct world *world, struct fake_job *other)
{
    fake_job_init(other, "job-b", 2);
    world->job.size = 2;
    world->fakes[1].n_ranks = 0;
    fake_agent_add_ranks(&world->fakes[1], other, 0, 2);
}

/* Two jobs; only the one in vm1 was in the switch whose coordinator ended. */
static void a_job_that_was_not_in_it_is_switched_too(void **state)
{
    teardown(state);
    for (int hold = 0; hold < 2; hold++) {
        setup(state);
        struct world *world = *state;
        struct fake_job other;
        two_jobs(world, &other);
        world->job.state[0] = world->job.state[1] = "RELEASED";
        strcpy(other.transports[0], "tcp");
        run(world, hold);
        assert_false(ninja_error_is_set(&world->err));
        assert_int_equal(fake_log_count("vm1 release @all"), 2);
        assert_int_equal(fake_log_count("vm2 stop"), 1);
        assert_int_equal(fake_log_count("vm2 release @all"), 1);
        assert_string_equal(world->job.state[0], hold ? "RELEASED" : "RUNNING");
        assert_string_equal(other.state[0], hold ? "RELEASED" : "RUNNING");
        assert_string_equal(other.transports[0], hold ? "tcp" : "openib");
        teardown(state);
    }
    setup(state);
}

static void falls_back_twice(struct world *world, const char *failing_step)
{
    world->job.failing_step = failing_step;
    world->job.failing_rank = 3;
    world->job.failures = 2;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Reselect");
    assert_int_equal(fake_log_count("vm1 open @best"), 1);
    assert_int_equal(fake_log_count("vm1 open @previous"), 1);
    assert_int_equal(fake_log_count("vm1 open @standby"), 1);
    assert_int_equal(fake_log_count("vm1 connect"), 3);
    /* the addresses are those of the list that was opened last */
    assert_int_equal(fake_log_count("connect 0 r0o3 r1o3 r2o3 r3o3"), 1);
    assert_int_equal(fake_log_count("vm2 resume"), 1);
    assert_all_run(world);
}

static void a_failed_connect_falls_back_and_resumes(void **state)
{
    falls_back_twice(*state, "connect");
    assert_int_equal(fake_log_count("vm1 verify"), 1);
}

static void transports_that_reach_nobody_are_left_again(void **state)
{
    falls_back_twice(*state, "verify");
    assert_int_equal(fake_log_count("vm1 verify"), 3);
}

/*
 * Nothing that is there works for it. None of its ranks is let go on to where it would fail, and
 * when there is something that works all of them are.
 */
static void no_job_runs_on_transports_that_reach_nobody(void **state)
{
    struct world *world = *state;
    struct fake_job other;
    two_jobs(world, &other);
    world->job.failing_step = "verify";
    world->job.failing_rank = 1;
    world->job.failures = 3;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Resume");
    assert_non_null(strstr(world->err.message, "so the job waits for ninjactl switch"));
    assert_string_equal(world->job.state[0], "READY");
    enum ninja_rank_state before = ninja_switch_steps[NINJA_STEP_VERIFY - 1].to;
    assert_string_equal(world->job.state[1], ninja_rank_state_name(before));
    assert_string_equal(other.state[0], "RUNNING");

    switch_free(world->sw);
    world->done = false;
    world->err = (struct ninja_error)NINJA_ERROR_INIT;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_string_equal(world->job.state[0], "RUNNING");
    assert_string_equal(world->job.state[1], "RUNNING");
}

static void it_says_what_it_fell_back_to(void **state)
{
    struct world *world = *state;
    world->job.failing_step = "open";
    world->job.failing_rank = 3;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "Reselect");
    assert_non_null(strstr(world->err.message, "made to fail; fell back to @previous"));
    assert_int_equal(fake_log_count("vm1 open @previous"), 1);
    assert_int_equal(fake_log_count("vm1 open @standby"), 0);
    assert_int_equal(fake_log_count("vm1 connect"), 1);
    assert_all_run(world);
}

static void the_ranks_hear_the_lists_first(void **state)
{
    struct world *world = *state;
    run(world, false);
    assert_int_equal(fake_log_count("vm1 will release @all and open @best"), 1);
    assert_int_equal(fake_log_count("vm2 will release @all and open @best"), 1);
}

static void again(struct world *world)
{
    switch_free(world->sw);
    world->sw = NULL;
    world->done = false;
    fake_log_clear();
}

static void the_ranks_hear_who_leaves(void **state)
{
    struct world *world = *state;
    static const struct {
        bool leaving[2];
        const char *said;
    } sets[] = {
        {{true, false}, "[[0,2]]"},
        {{false, true}, "[[2,2]]"},
        {{true, true}, "all"},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        run_leaving(world, false, sets[i].leaving);
        char first[64], second[64];
        snprintf(first, sizeof(first), "vm1 leaving %s", sets[i].said);
        snprintf(second, sizeof(second), "vm2 leaving %s", sets[i].said);
        assert_int_equal(fake_log_count(first), 1);
        assert_int_equal(fake_log_count(second), 1);
        assert_all_run(world);
        again(world);
    }
}

/* vm1 has all ranks of one job, vm2 all of another one. */
static void have_a_job_each(struct world *world, struct fake_job *other)
{
    fake_job_init(other, "job-b", 2);
    world->job.size = 2;
    world->fakes[1].n_ranks = 0;
    fake_agent_add_ranks(&world->fakes[1], other, 0, 2);
}

static void a_job_without_ranks_there_is_not_stopped(void **state)
{
    struct world *world = *state;
    struct fake_job other;
    have_a_job_each(world, &other);
    run_leaving(world, false, (bool[]){false, true});
    assert_int_equal(fake_log_count("vm1 stop"), 0);
    assert_int_equal(fake_log_count("vm2 stop"), 1);
    assert_int_equal(fake_log_count("vm2 leaving all"), 1);
    assert_false(ninja_error_is_set(&world->err));
    again(world);
    run_leaving(world, false, (bool[]){false, false});
    assert_int_equal(fake_log_count("vm1 stop") + fake_log_count("vm2 stop"), 0);
    assert_false(ninja_error_is_set(&world->err));
}

static void a_job_that_does_not_run_is_taken_on_wherever_it_is(void **state)
{
    struct world *world = *state;
    struct fake_job other;
    have_a_job_each(world, &other);
    other.state[0] = other.state[1] = "RELEASED";
    run_leaving(world, false, (bool[]){true, false});
    assert_int_equal(fake_log_count("vm2 open @best"), 1);
    assert_int_equal(fake_log_count("vm2 stop"), 0);
    assert_int_equal(fake_log_count("vm1 open @best"), 1);
    assert_string_equal(other.state[1], "RUNNING");
}

/* Bytes that do not become fewer, and are the same in each run. */
static void fill_at_random(uint8_t *bytes, size_t size)
{
    uint32_t number = 1;
    for (size_t i = 0; i < size; i++) {
        number = number * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(number >> 24);
    }
}

/* Whether each rank of a large job may have so many bytes of addresses. */
static bool can_be_carried(int size, uint32_t of_each, struct ninja_error *err)
{
    struct job job = {.name = "job-a", .size = size};
    struct jobs jobs = {.jobs = &job, .n = 1};
    struct switched_job switched = {.job = &job,
                                    .addresses = calloc((size_t)size, sizeof(struct addresses))};
    struct transport_switch sw = {.jobs = &jobs, .switched = &switched};
    for (int r = 0; r < size; r++) {
        switched.addresses[r] = (struct addresses){malloc(of_each), of_each};
    }
    fill_at_random(switched.addresses[0].bytes, of_each);
    for (int r = 1; r < size; r++) {
        for (uint32_t i = 0; i < of_each; i++) {
            switched.addresses[r].bytes[i] =
                (uint8_t)(switched.addresses[r - 1].bytes[i] * 5 + (uint8_t)r);
        }
    }
    bool ok = switch_make_address_lists(&sw, err);
    assert_int_equal(ok, switched.address_list != NULL);
    switch_forget_addresses(&switched);
    free(switched.addresses);
    return ok;
}

static void a_job_whose_addresses_cannot_be_carried_is_refused(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_true(can_be_carried(JOBS_MAX_RANKS, 100, &err));
    assert_false(can_be_carried(JOBS_MAX_RANKS, 700, &err)); /* more than the file may have */
    assert_string_equal(ninja_error_class_name(err.class), "Refused");
    assert_non_null(strstr(err.message, "addresses of the 100000 ranks of job job-a"));
}

static void malformed_addresses_are_not_passed_on(void **state)
{
    struct world *world = *state;
    world->job.malformed_rank = 2;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class),
                        "Resume"); /* nobody can run without them */
    assert_non_null(strstr(world->err.message, "rank 2 of job job-a in vm2 reported no addresses"));
    assert_int_equal(fake_log_count("vm1 connect"), 0);
    assert_int_equal(fake_log_count("vm1 resume"), 0);
}

static void it_holds_between_release_and_reselect(void **state)
{
    struct world *world = *state;
    run(world, true);
    assert_true(world->held && !world->done);
    assert_int_equal(fake_log_count("vm1 open @best"), 0);
    assert_string_equal(world->job.state[0], "RELEASED");
    switch_continue(world->sw, "tcp");
    event_base_dispatch(world->base);
    assert_true(world->done);
    assert_false(ninja_error_is_set(&world->err));
    assert_string_equal(world->job.transports[3], "tcp");
    assert_all_run(world);
}

static void an_incomplete_job_is_named_with_its_missing_ranks(void **state)
{
    struct world *world = *state;
    world->fakes[1].n_ranks = 1;
    world->cluster.timeouts[TIMEOUT_JOBS] = 300;
    run(world, false);
    assert_string_equal(ninja_error_class_name(world->err.class), "NotReady");
    assert_non_null(strstr(world->err.message, "job job-a is not ready: rank 3 of 4"));
    assert_int_equal(fake_log_count("vm1 stop"), 0);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;
    fake_agent_add_ranks(&world->fakes[1], &world->job, 3, 1);
}

static void it_waits_for_a_job_to_be_complete(void **state)
{
    struct world *world = *state;
    world->fakes[1].n_ranks = 1;
    struct event *timer = timer_start(world->base, 250, on_time, world);
    run(world, false);
    timer_free(&timer);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(fake_log_count("vm2 resume"), 1);
}

static void without_a_job_it_ends_well_at_once(void **state)
{
    struct world *world = *state;
    world->fakes[0].n_ranks = world->fakes[1].n_ranks = 0;
    run(world, false);
    assert_true(world->done);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(switch_jobs(world->sw), 0);
    assert_int_equal(fake_log_find("phase quiescing", 0), -1);
}

static void on_abort(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;
    switch_abort(world->sw);
}

static void an_abort_before_release_resumes(void **state)
{
    struct world *world = *state;
    world->job.silent_stops = 100;
    struct event *timer = timer_start(world->base, 100, on_abort, world);
    run(world, false);
    timer_free(&timer);
    assert_string_equal(ninja_error_class_name(world->err.class), "Aborted");
    assert_int_equal(fake_log_count("vm2 stop"), 1);
    assert_int_equal(fake_log_count("vm2 resume"), 1);
    assert_all_run(world);
}

static void a_process_on_the_device_that_is_no_rank_is_named(void **state)
{
    struct world *world = *state;
    bool in_vm[2] = {false, true};
    struct switch_options options = {.cluster = &world->cluster,
                                     .release = "@bypass",
                                     .reselect = "@standby",
                                     .unmanaged_in = in_vm};
    world->fakes[1].unmanaged = json_pack("[{s:i, s:s, s:s, s:[s]}]", "pid", 99, "command", "xhpl",
                                          "job", "job-b", "open", "/dev/infiniband/uverbs0");
    world->cluster.timeouts[TIMEOUT_JOBS] = 300;
    world->sw = switch_start(world->base, world->agents, 2, &options, &handler, world);
    event_base_dispatch(world->base);
    assert_string_equal(ninja_error_class_name(world->err.class), "Refused");
    assert_non_null(strstr(world->err.message, "vm2: process 99 (xhpl) of job job-b"));
    assert_int_equal(fake_log_count("vm1 stop"), 0);
}

/* Its ranks stand still, and come back to it a little later. */
static void an_agent_that_was_started_again_is_given_the_step_later(void **state)
{
    static const char *const steps[] = {"release", "open", "connect", "verify", "resume"};
    teardown(state);
    for (size_t i = 0; i < 3 * sizeof(steps) / sizeof(steps[0]); i++) {
        setup(state);
        struct world *world = *state;
        int64_t began = now_ms();
        world->cluster.timeouts[TIMEOUT_JOBS] = 10000;
        world->cluster.timeouts[TIMEOUT_RELEASE] = world->cluster.timeouts[TIMEOUT_RESELECT] =
            world->cluster.timeouts[TIMEOUT_RESUME] = 60000; /* none of them is waited for */
        world->fakes[0].restart_at = steps[i / 3];
        world->fakes[0].accepts_before = i % 3 >= 1;
        world->fakes[0].behind_port = i % 3 == 2;
        world->fakes[0].away_ms = 500;
        run(world, false);
        assert_true(now_ms() - began < 50000);
        if (ninja_error_is_set(&world->err)) {
            fail_msg("%s: %s", steps[i / 3], world->err.message);
        }
        assert_int_equal(fake_log_count("vm1 release @all"), 1);
        assert_int_equal(fake_log_count("vm1 connect"), 1);
        assert_int_equal(fake_log_count("vm1 resume"), 1);
        assert_all_run(world);
        teardown(state);
    }
    setup(state);
}

static void ranks_that_do_not_come_back_are_named(void **state)
{
    struct world *world = *state;
    world->cluster.timeouts[TIMEOUT_JOBS] = 600;
    world->fakes[0].restart_at = "release";
    world->fakes[0].away_ms = -1;
    int64_t began = now_ms();
    run(world, false);
    assert_true(now_ms() - began >= 500);
    assert_non_null(
        strstr(world->err.message, "vm1: its agent was started again, and 0 of 2 ranks"));
    assert_non_null(strstr(world->err.message, "job job-a"));
}

static void a_job_that_ended_holds_nothing_up(void **state)
{
    struct world *world = *state;
    world->cluster.timeouts[TIMEOUT_JOBS] = 60000;
    for (int i = 0; i < 2; i++) {
        world->fakes[i].restart_at = "open";
        world->fakes[i].away_ms = -1;
        world->fakes[i].forgets = true;
    }
    int64_t began = now_ms();
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_true(now_ms() - began < 50000);
    assert_int_equal(fake_log_count("vm1 connect"), 0);
}

/* The others are told to run at once, whatever becomes of the silent ones. */
static void silent_agents_are_named_together(void **state)
{
    struct world *world = *state;
    world->cluster.quiesce_attempts = 1;
    for (int silent = 1; silent <= 2; silent++) {
        world->fakes[1].deaf_at = "stop";
        world->fakes[0].deaf_at = silent == 2 ? "stop" : NULL;
        run(world, false);
        assert_string_equal(ninja_error_class_name(world->err.class), "Timeout");
        assert_non_null(strstr(world->err.message,
                               silent == 1 ? "vm2: the agent did not report step stop of job job-a"
                                           : "vm1, vm2: the agents did not report step stop"));
        assert_int_equal(fake_log_count("vm1 resume"), 2 - silent);
        assert_all_run(world);
        world->fakes[0].deaf = world->fakes[1].deaf = false;
        again(world);
    }
}

static void a_step_whose_end_was_forgotten_is_given_again(void **state)
{
    static const char *const steps[] = {"stop", "settle", "connect", "resume"};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char line[32];
        world->fakes[1].loses_events_at = steps[i];
        run(world, false);
        assert_false(ninja_error_is_set(&world->err));
        assert_all_run(world);
        snprintf(line, sizeof(line), "vm2 %s", steps[i]);
        assert_int_equal(fake_log_count(line), 1); /* the one that it lost is not logged */
        assert_null(world->fakes[1].loses_events_at);
        again(world);
    }
}

static void a_channel_that_breaks_in_a_step_loses_nothing(void **state)
{
    struct world *world = *state;
    world->fakes[0].hang_up_before_reply = 1;
    run(world, false);
    assert_false(ninja_error_is_set(&world->err));
    assert_int_equal(fake_log_count("vm1 resume"), 1);
    assert_all_run(world);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Every state can be reached and, but for the end, left; and nothing that was released is given up.
 */
static void what_may_follow_what(void **state)
{
    bool reached[SW_STATES] = {[SW_LOOKING] = true};
    for (int round = 0; round < SW_STATES; round++) {
        for (unsigned from = 0; from < SW_STATES; from++) {
            for (unsigned to = 0; reached[from] && to < SW_STATES; to++) {
                reached[to] |= switch_state_may_follow(from, to);
            }
        }
    }
    for (unsigned from = 0; from < SW_STATES; from++) {
        bool left = false;
        for (unsigned to = 0; to < SW_STATES; to++) {
            left |= switch_state_may_follow(from, to);
            assert_false(from >= SW_RELEASING && to > SW_LOOKING && to < SW_RELEASING &&
                         switch_state_may_follow(from, to));
        }
        assert_true(reached[from]);
        assert_int_equal(left, from != SW_ENDED);
        assert_int_equal(switch_is_abortable(&(struct transport_switch){.state = from}),
                         from < SW_RELEASING && from != SW_GIVING_UP);
    }
    for (unsigned to = 0; to < PART_STATES; to++) {
        assert_false(switch_part_may_follow(PART_GONE, to));
    }
    assert_false(switch_part_may_follow(PART_IDLE, PART_ACCEPTED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_follow_what),
        TEST(counts_are_routed_between_ranks),
        TEST(counts_of_before_need_some_before),
        TEST(steps_are_barriers),
        TEST(changed_counts_make_another_round),
        TEST(a_quiesce_that_times_out_is_given_up_and_tried_again),
        TEST(after_all_attempts_it_ends_with_the_job_running),
        TEST(ranks_that_never_stopped_did_not_stand_still),
        TEST(the_stall_begins_with_the_first_rank_at_rest),
        TEST(it_begins_above_what_the_agents_say),
        TEST(a_stale_epoch_is_no_reason_to_give_up),
        TEST(a_refusal_resumes_all_and_is_not_tried_again),
        TEST(a_failed_release_is_given_once_more),
        TEST(a_failed_release_still_reselects_and_resumes),
        TEST(every_rank_gets_the_addresses_of_all),
        TEST(a_failed_open_falls_back_and_resumes),
        TEST(a_failed_connect_falls_back_and_resumes),
        TEST(transports_that_reach_nobody_are_left_again),
        TEST(no_job_runs_on_transports_that_reach_nobody),
        TEST(all_lists_are_tried_again),
        TEST(without_an_agent_no_list_is_tried_again),
        TEST(without_any_transport_ranks_do_not_run),
        TEST(ranks_at_rest_are_resumed_first),
        TEST(a_job_that_was_not_in_it_is_switched_too),
        TEST(it_says_what_it_fell_back_to),
        TEST(the_ranks_hear_the_lists_first),
        TEST(the_ranks_hear_who_leaves),
        TEST(a_job_without_ranks_there_is_not_stopped),
        TEST(a_job_that_does_not_run_is_taken_on_wherever_it_is),
        cmocka_unit_test(a_job_whose_addresses_cannot_be_carried_is_refused),
        TEST(malformed_addresses_are_not_passed_on),
        TEST(it_holds_between_release_and_reselect),
        TEST(an_incomplete_job_is_named_with_its_missing_ranks),
        TEST(it_waits_for_a_job_to_be_complete),
        TEST(without_a_job_it_ends_well_at_once),
        TEST(an_abort_before_release_resumes),
        TEST(a_process_on_the_device_that_is_no_rank_is_named),
        TEST(an_agent_that_was_started_again_is_given_the_step_later),
        TEST(ranks_that_do_not_come_back_are_named),
        TEST(a_job_that_ended_holds_nothing_up),
        TEST(a_channel_that_breaks_in_a_step_loses_nothing),
        TEST(silent_agents_are_named_together),
        TEST(a_step_whose_end_was_forgotten_is_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
