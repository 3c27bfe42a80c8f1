/*
 * What a switch is at, and what each of its parts is at: which state may follow which, and the one
 * setter of each.
 */
#include <stdlib.h>

#include "common/log.h"
#include "host/switch/switch_private.h"

#define TO(state) (1u << SW_##state)

static const struct {
    const char *name;
    unsigned next;
    enum switch_phase tells; /* who began the switch, before the first step of it; 0: nothing */
    bool abortable;          /* `resume` takes back all that was done, and is not given yet */
} states[] = {
    [SW_LOOKING] = {"LOOKING",
                    TO(QUIESCING) | TO(TAKING_BACK) | TO(RELEASING) | TO(JOBLESS) | TO(ENDED), 0,
                    true},
    [SW_QUIESCING] = {"QUIESCING", TO(GIVING_UP) | TO(RELEASING), SWITCH_QUIESCING, true},
    [SW_TAKING_BACK] = {"TAKING_BACK", TO(LOOKING) | TO(GIVING_UP) | TO(PAUSING) | TO(ENDED),
                        SWITCH_QUIESCING, true},
    [SW_GIVING_UP] = {"GIVING_UP", TO(PAUSING) | TO(ENDED), 0, false},
    [SW_PAUSING] = {"PAUSING", TO(LOOKING) | TO(ENDED), 0, true},
    [SW_JOBLESS] = {"JOBLESS", TO(ENDED), 0, true},
    [SW_RELEASING] = {"RELEASING", TO(RELEASING_AGAIN) | TO(HELD) | TO(RESELECTING),
                      SWITCH_RELEASING, false},
    [SW_RELEASING_AGAIN] = {"RELEASING_AGAIN", TO(HELD) | TO(RESELECTING), 0, false},
    [SW_HELD] = {"HELD", TO(RESELECTING), 0, false},
    [SW_RESELECTING] = {"RESELECTING", TO(RESUMING), SWITCH_RESELECTING, false},
    [SW_RESUMING] = {"RESUMING", TO(LOOKING) | TO(ENDED), SWITCH_RESUMING, false},
    [SW_ENDED] = {"ENDED", 0, 0, false},
};
_Static_assert(sizeof(states) / sizeof(states[0]) == SW_STATES, "a row for each state");

bool switch_state_may_follow(enum switch_state from, enum switch_state to)
{
    return (states[from].next & (1u << to)) != 0;
}

void switch_set_state(struct transport_switch *sw, enum switch_state to)
{
    if (!switch_state_may_follow(sw->state, to)) {
        ninja_log_error("a switch cannot go from %s to %s", states[sw->state].name,
                        states[to].name);
        abort();
    }
    ninja_log_debug("switch: %s -> %s", states[sw->state].name, states[to].name);
    sw->state = to;
    sw->has_released |= to == SW_RELEASING;
    if (states[to].tells != 0 && sw->handler->phase != NULL) {
        sw->handler->phase(sw->arg, states[to].tells);
    }
}

bool switch_is_abortable(const struct transport_switch *sw)
{
    return states[sw->state].abortable;
}

/* ---- parts ---- */

#define PART_TO(state) (1u << PART_##state)

static const struct {
    const char *name;
    unsigned next;
} part_states[] = {
    [PART_IDLE] = {"IDLE", PART_TO(GIVEN)},
    [PART_GIVEN] = {"GIVEN",
                    PART_TO(ACCEPTED) | PART_TO(WITHOUT_RANKS) | PART_TO(IDLE) | PART_TO(GONE)},
    [PART_ACCEPTED] = {"ACCEPTED", PART_TO(GIVEN) | PART_TO(WITHOUT_RANKS) | PART_TO(IDLE)},
    [PART_WITHOUT_RANKS] = {"WITHOUT_RANKS", PART_TO(GIVEN) | PART_TO(IDLE)},
    [PART_GONE] = {"GONE", 0},
};
_Static_assert(sizeof(part_states) / sizeof(part_states[0]) == PART_STATES, "a row for each state");

bool switch_part_may_follow(enum part_state from, enum part_state to)
{
    return (part_states[from].next & (1u << to)) != 0;
}

/* Only what is unusual is logged: all would be thousands of lines while the jobs stand still. */
void switch_set_part(struct part *part, enum part_state to)
{
    const struct transport_switch *sw = part->sw;
    const char *from = part_states[part->state].name;
    if (!switch_part_may_follow(part->state, to)) {
        ninja_log_error("a part of a switch cannot go from %s to %s", from, part_states[to].name);
        abort();
    }
    if (to == PART_GONE || to == PART_WITHOUT_RANKS || part->state == PART_WITHOUT_RANKS) {
        ninja_log_vm(NINJA_LOG_DEBUG, agent_vm(sw->agents[part->vm]), "job %s: %s -> %s",
                     sw->jobs->jobs[part->job].name, from, part_states[to].name);
    }
    bool was_awaited = switch_part_is_awaited(part);
    part->state = to;
    part->sw->n_awaited += switch_part_is_awaited(part) - was_awaited;
}

void switch_leave_part(struct part *part)
{
    agent_forget(part->sw->agents[part->vm], part);
    timer_free(&part->again);
    if (switch_part_is_awaited(part)) {
        switch_set_part(part, PART_IDLE);
    }
}
