#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_job.h"
#include "common/clock.h"

void step(struct host *host, uint32_t epoch, uint32_t round, const char *name, const char *more)
{
    host_do(host,
            "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":%u,\"round\":%u,"
            "\"step\":\"%s\",\"timeout-ms\":20000%s}}",
            epoch, round, name, more);
}

void step_refused(struct host *host, const char *class, const char *words, uint32_t epoch,
                  uint32_t round, const char *name, const char *more)
{
    host_refused(host, class, words,
                 "{\"execute\":\"ninja-step\",\"arguments\":{\"job\":\"J\",\"epoch\":%u,"
                 "\"round\":%u,\"step\":\"%s\",\"timeout-ms\":20000%s}}",
                 epoch, round, name, more);
}

json_t *reports(struct host *host, const char *name, uint32_t epoch, uint32_t round)
{
    json_t *data = host_event(host, "NINJA_STEP");
    if (strcmp(text_of(data, "step"), name) != 0 || int_of(data, "epoch") != epoch ||
        int_of(data, "round") != round || strcmp(text_of(data, "job"), "J") != 0) {
        fail_msg("NINJA_STEP of %s expected, not %s", name, json_dumps(data, 0));
    }
    json_t *list = json_incref(json_object_get(data, "ranks"));
    json_decref(data);
    return list;
}

void expect_status(json_t *list, uint32_t rank, const char *status)
{
    json_t *report = entry_of(list, "rank", rank);
    if (strcmp(text_of(report, "status"), status) != 0) {
        fail_msg("status %s expected: %s", status, json_dumps(report, 0));
    }
}

void expect_step(struct host *host, const char *name, uint32_t epoch, uint32_t round, uint32_t n,
                 const char *status)
{
    json_t *list = reports(host, name, epoch, round);
    assert_int_equal(json_array_size(list), n);
    for (uint32_t i = 0; i < n; i++) {
        expect_status(list, i, status);
    }
    json_decref(list);
}

json_t *the_job(struct host *host, json_t **answer)
{
    *answer = host_ask(host, "{\"execute\":\"ninja-jobs\"}");
    json_t *jobs = json_object_get(json_object_get(*answer, "return"), "jobs");
    assert_int_equal(json_array_size(jobs), 1);
    return json_array_get(jobs, 0);
}

/* The agent may not have read yet what the rank has just reported. */
void expect_state(struct host *host, uint32_t rank, const char *rank_state, uint32_t epoch)
{
    int64_t end = now_ms() + PATIENCE_MS;
    bool is = false;
    while (!is) {
        json_t *answer, *job = the_job(host, &answer);
        json_t *entry = entry_of(json_object_get(job, "ranks"), "rank", rank);
        is = strcmp(text_of(entry, "state"), rank_state) == 0 && int_of(entry, "epoch") == epoch;
        if (!is && now_ms() > end) {
            fail_msg("%s of epoch %u expected: %s", rank_state, epoch, json_dumps(entry, 0));
        }
        json_decref(answer);
    }
}

void expect_jobs_event(struct host *host, const char *change, int local)
{
    json_t *data = host_event(host, "NINJA_JOBS");
    if (strcmp(text_of(data, "change"), change) != 0 || int_of(data, "local") != local) {
        fail_msg("%s, %d expected: %s", change, local, json_dumps(data, 0));
    }
    json_decref(data);
}

void all_do(int *ranks, int n, uint16_t type, uint32_t epoch, uint16_t round)
{
    for (int i = 0; i < n; i++) {
        struct ninja_rank_msg msg = rank_take(ranks[i], type);
        assert_int_equal(msg.epoch, epoch);
        assert_int_equal(msg.round, round);
        ninja_rank_msg_clear(&msg);
        rank_report(ranks[i], type, epoch, round, NINJA_RANK_OK, "");
    }
}

void start_pair(struct fixture *f, struct pair *p)
{
    fixture_start(f);
    host_hello(&p->host, f->host_path);
    p->rank[0] = rank_join(f, "J", 0, 4);
    p->rank[1] = rank_join(f, "J", 1, 4);
    expect_jobs_event(&p->host, "ranks", 2);
}

void end_pair(struct pair *p)
{
    close(p->rank[0]);
    close(p->rank[1]);
    host_close(&p->host);
}

void make_quiet(struct pair *p, uint32_t epoch)
{
    step(&p->host, epoch, 1, "stop", LEASE);
    all_do(p->rank, 2, NINJA_RANK_STOP, epoch, 1);
    expect_step(&p->host, "stop", epoch, 1, 2, "ok");
    step(&p->host, epoch, 1, "drain", NO_TABLES);
    all_do(p->rank, 2, NINJA_RANK_DRAIN, epoch, 1);
    expect_step(&p->host, "drain", epoch, 1, 2, "ok");
    step(&p->host, epoch, 1, "settle", NO_TABLES);
    all_do(p->rank, 2, NINJA_RANK_SETTLE, epoch, 1);
    expect_step(&p->host, "settle", epoch, 1, 2, "ok");
}

void end_epoch(struct pair *p, uint32_t epoch)
{
    step(&p->host, epoch, 9, "resume", "");
    all_do(p->rank, 2, NINJA_RANK_RESUME, epoch, 9);
    expect_step(&p->host, "resume", epoch, 9, 2, "ok");
}
