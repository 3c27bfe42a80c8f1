/*
 * Theory of operation
 *
 * A rank is in one of seven states, and a step of the switch takes it to the next. Which step may
 * come, and what is answered to those that may not, is in common/member.c, and here the function
 * that does a step. Four steps take time:
 * stop, until all other threads are out of the calls that they are in; drain, settle and verify,
 * while the rank goes on making progress. The others are done at once, and alone where they close
 * and open transports.
 *
 * The rank is served from the safe point, nested in a progress call of the application, and does
 * not return to it before it is RUNNING again. While it is QUIESCING or QUIET, and again when it is
 * CONNECTED or READY, it makes progress, as peers may need it to; between them it has no transport
 * and only waits for the agent.
 *
 * If the agent is silent, a rank that has not released anything runs on by itself in the end
 * (docs/protocol.md says when, and why).
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "ompi/mca/rte/rte.h"
#include "opal/mca/btl-hooks/evidence.h"
#include "opal/mca/btl-hooks/gate.h"
#include "opal/mca/btl-hooks/leaving.h"
#include "opal/mca/btl-hooks/other_jobs.h"
#include "transport_layer.h"

static const struct transport_layer *layer;

static struct member member;
static uint16_t underway; /* the step that takes time: STOP, DRAIN, SETTLE, VERIFY, or 0 */
static uint32_t verify_ms;
static bool leaving; /* BYE_OK has come */

struct step {
    void (*begin)(const struct ninja_rank_msg *msg);
    bool alone;
};

static void stop(const struct ninja_rank_msg *msg);
static void drain(const struct ninja_rank_msg *msg);
static void settle(const struct ninja_rank_msg *msg);
static void release(const struct ninja_rank_msg *msg);
static void open_transports(const struct ninja_rank_msg *msg);
static void connect_peers(const struct ninja_rank_msg *msg);
static void verify(const struct ninja_rank_msg *msg);
static void resume(const struct ninja_rank_msg *msg);

static const struct step steps[] = {
    [NINJA_RANK_STOP] = {stop},
    [NINJA_RANK_DRAIN] = {drain},
    [NINJA_RANK_SETTLE] = {settle},
    [NINJA_RANK_RELEASE] = {release, true},
    [NINJA_RANK_OPEN] = {open_transports, true},
    [NINJA_RANK_CONNECT] = {connect_peers, true},
    [NINJA_RANK_VERIFY] = {verify},
    [NINJA_RANK_RESUME] = {resume},
};
_Static_assert(sizeof(steps) / sizeof(steps[0]) == NINJA_RANK_TYPES, "a row for each step");

const struct member *steps_member(void)
{
    return &member;
}

void steps_say(void *arg, int level, const char *text)
{
    if (level == 0) {
        ninja_warn("%s", text);
    } else {
        ninja_verbose(level, "%s", text);
    }
}

static void on_state(void *arg, enum ninja_rank_state to)
{
    if (to == NINJA_RANK_RUNNING) {
        layer->resume();
        leaving_forget();
        gate_lift();
    }
}

static void set_state(enum ninja_rank_state to)
{
    member_set_state(&member, to);
}

/* --- reports ------------------------------------------------------------------------------ */

/* Reports the step that was done; what it takes over is said at member_report(). */
static void report(enum ninja_rank_status status, struct ninja_rank_msg content)
{
    const struct ninja_rank_msg *kept = member_report(&member, status, content);
    if (watchdog_end()) {
        agent_link_send(kept);
    }
}

static void report_text(enum ninja_rank_status status, const char *text)
{
    report(status, (struct ninja_rank_msg){.text = (char *)text});
}

/* False: out of memory. A table that is not there would say that nothing was sent. */
static bool take_counts(struct ninja_rank_msg *content, bool with_held)
{
    *content = (struct ninja_rank_msg){0};
    content->a = layer->sent(&content->n_a);
    content->b = with_held ? layer->held(&content->n_b) : NULL;
    if (content->a != NULL && (content->b != NULL || !with_held)) {
        return true;
    }
    free(content->a);
    free(content->b);
    return false;
}

/* --- the steps ---------------------------------------------------------------------------- */

static void give_up(void)
{
    char what[400] = "other threads inside MPI";
    if (underway != 0) {
        if (underway != NINJA_RANK_STOP) {
            layer->describe(what, sizeof(what));
        }
        ninja_verbose(1, "%s given up with %s", ninja_rank_type_name(underway), what);
        underway = 0;
    }
}

/* The text of STOP: the lists that RELEASE and OPEN are going to bring. */
static bool can_switch_to(const char *lists, char *why, size_t size)
{
    size_t end = strcspn(lists, "\n");
    if (lists[end] == '\0') {
        return true;
    }
    char *release = strndup(lists, end);
    if (release == NULL) {
        snprintf(why, size, "out of memory");
        return false;
    }
    bool ok = layer->can_choose(release, lists + end + 1, why, size);
    free(release);
    return ok;
}

static void stop(const struct ninja_rank_msg *msg)
{
    char why[512];
    give_up();
    if (!leaving_set(msg->a, msg->n_a, ompi_process_info.num_procs)) {
        set_state(NINJA_RANK_RUNNING);
        report_text(NINJA_RANK_STATUS_REFUSED, "out of memory");
        return;
    }
    if (!can_switch_to(msg->text, why, sizeof(why))) {
        set_state(NINJA_RANK_RUNNING);
        report_text(NINJA_RANK_STATUS_REFUSED, why);
        return;
    }
    set_state(NINJA_RANK_QUIESCING);
    gate_shut();
    underway = NINJA_RANK_STOP;
}

static bool can_move(char *why, size_t size)
{
    if (other_jobs_are_connecting()) {
        snprintf(why, size,
                 "the job is just being connected to another one (MPI_Comm_spawn, MPI_Comm_accept "
                 "or MPI_Comm_connect)");
        return false;
    }
    return layer->can_drain(why, size) && windows_can_move(why, size);
}

/* A table that no message holds could not be reported, and the agent would take the rank for lost.
 */
static bool can_be_told(struct ninja_rank_msg *content, char *why, size_t size)
{
    if (content->n_a <= NINJA_RANK_MAX_PAIRS) {
        return true;
    }
    snprintf(why, size, "it has exchanged messages with %u ranks, and at most %u can be told of",
             content->n_a, NINJA_RANK_MAX_PAIRS);
    free(content->a);
    return false;
}

static void end_of_stop(void)
{
    char why[256] = "out of memory";
    struct ninja_rank_msg content;
    underway = 0;
    if (can_move(why, sizeof(why)) && take_counts(&content, false) &&
        can_be_told(&content, why, sizeof(why))) {
        report(NINJA_RANK_OK, content);
    } else {
        set_state(NINJA_RANK_RUNNING);
        report_text(NINJA_RANK_STATUS_REFUSED, why);
    }
}

static void drain(const struct ninja_rank_msg *msg)
{
    set_state(NINJA_RANK_QUIESCING);
    layer->drain(((uint64_t)msg->epoch << 16) | msg->round, msg->a, msg->n_a);
    underway = NINJA_RANK_DRAIN;
}

static void settle(const struct ninja_rank_msg *msg)
{
    layer->settle(msg->b, msg->n_b);
    underway = NINJA_RANK_SETTLE;
}

/* What was underway, drain, settle or verify, is over. */
static void end_of_progress(bool ok)
{
    char what[400];
    struct ninja_rank_msg content;
    uint16_t step = underway;
    underway = 0;
    if (!ok || step == NINJA_RANK_VERIFY) {
        layer->describe(what, sizeof(what));
        report_text(ok ? NINJA_RANK_OK : NINJA_RANK_FAILED, what);
        return;
    }
    if (take_counts(&content, step == NINJA_RANK_DRAIN)) {
        report(NINJA_RANK_OK, content);
    } else {
        report_text(NINJA_RANK_FAILED, "out of memory");
    }
}

static void make_progress(void)
{
    enum layer_outcome outcome = layer->advance();
    bool late =
        underway == NINJA_RANK_VERIFY && now_us() - member.began_us > (int64_t)verify_ms * 1000;
    if (outcome != LAYER_UNDERWAY || late) {
        end_of_progress(outcome == LAYER_DONE);
    }
}

static void release(const struct ninja_rank_msg *msg)
{
    char text[NINJA_RANK_MAX_TEXT];
    give_up();
    if (!layer->release(msg->text, text, sizeof(text))) {
        report_text(NINJA_RANK_FAILED, text);
        return;
    }
    /* a rank that stays may go on with the device */
    bool all_closed =
        !leaving_is(OMPI_PROC_MY_NAME->vpid) || evidence_open_devices(text, sizeof(text)) == 0;
    if (!all_closed) {
        /* the transports are gone all the same: only open leads on */
        set_state(NINJA_RANK_RELEASED);
    }
    report_text(all_closed ? NINJA_RANK_OK : NINJA_RANK_FAILED, text);
}

static void open_transports(const struct ninja_rank_msg *msg)
{
    char why[512];
    struct ninja_rank_msg content = {0};
    give_up();
    set_state(NINJA_RANK_RELEASED); /* what an earlier list opened is let go */
    content.addresses = layer->open(msg->text, &content.n_addresses, why, sizeof(why));
    if (content.addresses == NULL) {
        report_text(NINJA_RANK_FAILED, why);
    } else {
        report(NINJA_RANK_OK, content);
    }
}

static void report_transports(void)
{
    char names[512];
    struct ninja_rank_msg content = {.text = names};
    content.a = layer->in_use(&content.n_a, names, sizeof(names));
    ninja_verbose(1, "transports: %s", names);
    report(NINJA_RANK_OK, content);
}

static void connect_peers(const struct ninja_rank_msg *msg)
{
    char why[512];
    struct ninja_addresses addresses;
    const char *wrong =
        ninja_addresses_map(agent_link_descriptor(), ompi_process_info.num_procs, &addresses);
    if (wrong != NULL) {
        snprintf(why, sizeof(why), "the addresses of all ranks, as the agent gave them: %s", wrong);
        report_text(NINJA_RANK_FAILED, why);
    } else if (!layer->connect(&addresses, why, sizeof(why))) {
        report_text(NINJA_RANK_FAILED, why);
    } else {
        report_transports();
    }
}

static void verify(const struct ninja_rank_msg *msg)
{
    char why[256];
    if (!ninja_params.verify) {
        report_text(NINJA_RANK_OK, NULL);
    } else if (!layer->verify(msg->arg, why, sizeof(why))) {
        report_text(NINJA_RANK_FAILED, why);
    } else {
        verify_ms = msg->arg;
        underway = NINJA_RANK_VERIFY;
    }
}

static void resume(const struct ninja_rank_msg *msg)
{
    give_up();
    report_text(NINJA_RANK_OK, NULL);
}

/* --- messages ----------------------------------------------------------------------------- */

static void begin(void *msg)
{
    steps[((const struct ninja_rank_msg *)msg)->type].begin(msg);
}

static void begin_step(struct ninja_rank_msg *msg)
{
    const struct step *step = &steps[msg->type];
    struct ninja_rank_msg answer;
    if (!member_take(&member, msg, &answer)) {
        if (answer.type != 0) {
            agent_link_send(&answer);
        }
        return;
    }
    watchdog_begin(msg);
    if (ninja_fault(NINJA_FAULT_STEP, "%s", ninja_rank_type_name(msg->type)) != NINJA_FAULT_NONE) {
        report_text(NINJA_RANK_FAILED, "made to fail by a fault point");
    } else if (step->alone) {
        if (!gate_run_alone(begin, msg)) {
            report_text(NINJA_RANK_FAILED, "another thread did not leave MPI's event loop");
        }
    } else {
        step->begin(msg);
    }
}

static void handle(struct ninja_rank_msg *msg)
{
    if (ninja_rank_type_is_step(msg->type)) {
        begin_step(msg);
    } else if (msg->type == NINJA_RANK_BYE_OK) {
        leaving = true;
    }
}

static bool has_transports(void)
{
    return member.state != NINJA_RANK_RELEASED && member.state != NINJA_RANK_OPENED;
}

static void run_on_if_forgotten(void)
{
    if (member_is_forgotten(&member)) {
        ninja_warn("the agent was silent for %u s during a switch: given up, the job runs on",
                   (unsigned)(member_patience_ms(&member) / 1000));
        give_up();
        member_run_on(&member);
    }
}

/* Goes on with the step that takes time, or waits for the next one. */
static void go_on(void)
{
    switch (underway) {
    case NINJA_RANK_STOP:
        if (gate_all_are_out()) {
            end_of_stop();
        } else {
            sched_yield();
        }
        break;
    case NINJA_RANK_DRAIN:
    case NINJA_RANK_SETTLE:
    case NINJA_RANK_VERIFY:
        make_progress();
        break;
    default:
        if (has_transports()) {
            layer->attend();
        }
        agent_link_wait(has_transports() ? 1 : 100);
    }
}

void steps_serve(void)
{
    struct ninja_rank_msg msg;
    do {
        watchdog_feed();
        if (agent_link_receive(&msg)) {
            handle(&msg);
            ninja_rank_msg_clear(&msg);
            continue;
        }
        if (member.state == NINJA_RANK_RUNNING) {
            return;
        }
        go_on();
        run_on_if_forgotten();
    } while (true);
}

void steps_finish(void)
{
    const int64_t timeout_ms = (int64_t)ninja_params.finish_timeout * 1000;
    struct ninja_rank_msg bye = {.type = NINJA_RANK_BYE};
    agent_link_send(&bye);
    int64_t begin_ms = now_ms();
    while (!leaving && agent_link_is_up() && now_ms() - begin_ms < timeout_ms) {
        uint32_t epoch = member.epoch;
        agent_link_wait(10);
        steps_serve();
        if (member.epoch != epoch) { /* a switch: the agent may be another one now */
            agent_link_send(&bye);
            begin_ms = now_ms();
        }
    }
}

void steps_open(const struct transport_layer *of_the_pml)
{
    layer = of_the_pml;
    ninja_fault_init("rank", (int)OMPI_PROC_MY_NAME->vpid);
    windows_open();
    member_init(&member, steps_say, on_state, NULL);
}

void steps_close(void)
{
    member_clear(&member);
    windows_close();
}
