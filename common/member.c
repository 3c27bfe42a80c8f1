/*
 * Theory of operation
 *
 * A member is in one of the states of common/switch_steps.h, and a step takes it to the next when
 * it was done. The table of steps says in which states a step may come; the table here from where
 * to where a member may go at all.
 *
 * The agent may give a step again, as its report may be lost: the last report is kept. A step of an
 * older epoch, or one that may not come now, is answered with STALE, and changes nothing.
 *
 * If the agent is silent, a member that has not released anything runs on by itself in the end
 * (docs/protocol.md says when, and why).
 */
#include "common/member.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"

#define DEFAULT_LEASE_MS 10000

#define IN(state) (1u << NINJA_RANK_##state)

/* How many leases the agent must be silent before a member runs on by itself. */
static const unsigned patience[NINJA_RANK_STATES] = {
    [NINJA_RANK_QUIESCING] = 5, /* nobody can have been told to release */
    [NINJA_RANK_QUIET] = 60,
};

/* The states to which a member may go from each. */
static const unsigned legal[] = {
    [NINJA_RANK_RUNNING] = IN(QUIESCING),
    [NINJA_RANK_QUIESCING] = IN(QUIET) | IN(RUNNING),
    [NINJA_RANK_QUIET] = IN(QUIESCING) | IN(RELEASED) | IN(RUNNING),
    [NINJA_RANK_RELEASED] = IN(OPENED),
    [NINJA_RANK_OPENED] = IN(CONNECTED) | IN(RELEASED),
    [NINJA_RANK_CONNECTED] = IN(READY) | IN(RELEASED),
    [NINJA_RANK_READY] = IN(RUNNING) | IN(RELEASED),
};
_Static_assert(sizeof(legal) / sizeof(legal[0]) == NINJA_RANK_STATES, "a row for each state");

__attribute__((format(printf, 3, 4))) static void say(const struct member *member, int level,
                                                      const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (member->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    member->say(member->arg, level, text);
}

void member_init(struct member *member, rank_say *says,
                 void (*changed)(void *arg, enum ninja_rank_state to), void *arg)
{
    *member = (struct member){.say = says, .changed = changed, .arg = arg};
}

static void forget_report(struct member *member)
{
    free(member->report.a);
    free(member->report.b);
    free(member->report.addresses);
    free(member->report.text);
    memset(&member->report, 0, sizeof(member->report));
}

void member_clear(struct member *member)
{
    forget_report(member);
}

void member_set_state(struct member *member, enum ninja_rank_state to)
{
    enum ninja_rank_state from = member->state;
    if (to == from) {
        return;
    }
    if ((legal[from] & (1u << to)) == 0) {
        say(member, 0, "rank state %s -> %s is not legal; aborting", ninja_rank_state_name(from),
            ninja_rank_state_name(to));
        abort();
    }
    say(member, 10, "%s -> %s", ninja_rank_state_name(from), ninja_rank_state_name(to));
    ninja_fault(NINJA_FAULT_STATE, "before %s", ninja_rank_state_name(to));
    member->state = to;
    ninja_fault(NINJA_FAULT_STATE, "after %s", ninja_rank_state_name(to));
    if (member->changed != NULL) {
        member->changed(member->arg, to);
    }
}

static bool is_repeated(const struct member *member, const struct ninja_rank_msg *msg)
{
    return msg->epoch == member->epoch && msg->round == member->round && msg->type == member->step;
}

bool member_take(struct member *member, const struct ninja_rank_msg *msg,
                 struct ninja_rank_msg *answer)
{
    *answer = (struct ninja_rank_msg){0};
    member->heard_us = now_us();
    if (is_repeated(member, msg)) {
        if (!member->owes) {
            *answer = member->report;
        }
        return false;
    }
    if (msg->epoch < member->epoch ||
        !ninja_step_may_come(ninja_rank_step(msg->type), member->state)) {
        *answer = (struct ninja_rank_msg){.type = NINJA_RANK_REPORT,
                                          .epoch = msg->epoch,
                                          .round = msg->round,
                                          .arg = msg->type,
                                          .status = NINJA_RANK_STALE,
                                          .text = (char *)ninja_rank_state_name(member->state)};
        return false;
    }
    if (ninja_rank_step_row(msg->type)->carries == NINJA_CARRIES_LEASE) {
        member->lease_ms = msg->arg != 0 ? msg->arg : DEFAULT_LEASE_MS;
    }
    member->epoch = msg->epoch;
    member->round = msg->round;
    member->step = msg->type;
    member->owes = true;
    member->began_us = now_us();
    return true;
}

const struct ninja_rank_msg *member_report(struct member *member, enum ninja_rank_status status,
                                           struct ninja_rank_msg content)
{
    const char *text = content.text != NULL ? content.text : "";
    forget_report(member);
    content.type = NINJA_RANK_REPORT;
    content.epoch = member->epoch;
    content.round = member->round;
    content.arg = member->step;
    content.status = status;
    content.micros = (uint32_t)(now_us() - member->began_us);
    content.text = strdup(text);
    member->report = content;
    member->owes = false;
    if (status == NINJA_RANK_OK) {
        member_set_state(member, ninja_rank_step_row(member->step)->to);
    } else {
        say(member, 1, "%s: %s: %s", ninja_rank_type_name(member->step),
            ninja_rank_status_name(status), text);
    }
    return &member->report;
}

int64_t member_patience_ms(const struct member *member)
{
    return (int64_t)member->lease_ms * patience[member->state];
}

bool member_is_forgotten(const struct member *member)
{
    int64_t limit_ms = member_patience_ms(member);
    return limit_ms > 0 && now_us() - member->heard_us > limit_ms * 1000;
}

void member_run_on(struct member *member)
{
    member->step = 0;
    member->owes = false;
    forget_report(member);
    member_set_state(member, NINJA_RANK_RUNNING);
}
