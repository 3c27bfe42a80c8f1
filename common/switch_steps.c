#include "common/switch_steps.h"

#include <stddef.h>
#include <string.h>

#define IN(state)   (1u << NINJA_RANK_##state)
#define AFTER(step) (1u << NINJA_STEP_##step)

#define AFTER_QUIESCE (AFTER(STOP) | AFTER(DRAIN) | AFTER(SETTLE))

const struct ninja_switch_step ninja_switch_steps[NINJA_STEPS] = {
    [NINJA_STEP_STOP] =
        {
            .part = NINJA_PART_QUIESCE,
            .from = IN(RUNNING) | IN(QUIESCING) | IN(QUIET),
            .to = NINJA_RANK_QUIESCING,
            .begins_after = AFTER_QUIESCE | AFTER(RESUME),
            .interrupts = true,
            .carries = NINJA_CARRIES_LEASE,
            .reports = NINJA_REPORTS_SENT,
        },
    [NINJA_STEP_DRAIN] =
        {
            .part = NINJA_PART_QUIESCE,
            .from = IN(QUIESCING) | IN(QUIET),
            .to = NINJA_RANK_QUIESCING,
            .after = AFTER_QUIESCE,
            .carries = NINJA_CARRIES_SENT,
            .reports = NINJA_REPORTS_SENT | NINJA_REPORTS_HELD,
        },
    [NINJA_STEP_SETTLE] =
        {
            .part = NINJA_PART_QUIESCE,
            .from = IN(QUIESCING) | IN(QUIET),
            .to = NINJA_RANK_QUIET,
            .after = AFTER(DRAIN),
            .carries = NINJA_CARRIES_HELD,
            .reports = NINJA_REPORTS_SENT,
        },
    [NINJA_STEP_RELEASE] =
        {
            .part = NINJA_PART_RELEASE,
            .from = IN(QUIET) | IN(RELEASED) | IN(OPENED) | IN(CONNECTED) | IN(READY),
            .to = NINJA_RANK_RELEASED,
            .after = AFTER(SETTLE) | AFTER(RELEASE),
            .begins_after =
                AFTER(SETTLE) | AFTER(RELEASE) | AFTER(OPEN) | AFTER(CONNECT) | AFTER(VERIFY),
            .carries = NINJA_CARRIES_LIST,
        },
    [NINJA_STEP_OPEN] =
        {
            .part = NINJA_PART_RESELECT,
            .from = IN(RELEASED) | IN(OPENED) | IN(CONNECTED) | IN(READY),
            .to = NINJA_RANK_OPENED,
            .after = AFTER(RELEASE) | AFTER(OPEN) | AFTER(CONNECT) | AFTER(VERIFY),
            .carries = NINJA_CARRIES_LIST,
            .reports = NINJA_REPORTS_ADDRESSES,
        },
    [NINJA_STEP_CONNECT] =
        {
            .part = NINJA_PART_RESELECT,
            .from = IN(OPENED),
            .to = NINJA_RANK_CONNECTED,
            .after = AFTER(OPEN),
            .carries = NINJA_CARRIES_ADDRESSES,
            .reports = NINJA_REPORTS_TRANSPORTS,
        },
    [NINJA_STEP_VERIFY] =
        {
            .part = NINJA_PART_RESELECT,
            .from = IN(CONNECTED),
            .to = NINJA_RANK_READY,
            .after = AFTER(CONNECT),
            .carries = NINJA_CARRIES_LIMIT,
        },
    [NINJA_STEP_RESUME] =
        {
            .part = NINJA_PART_RESUME,
            .from = IN(RUNNING) | IN(QUIESCING) | IN(QUIET) | IN(READY),
            .to = NINJA_RANK_RUNNING,
            .after = AFTER_QUIESCE | AFTER(OPEN) | AFTER(CONNECT) | AFTER(VERIFY) | AFTER(RESUME),
            .begins_after = AFTER_QUIESCE | AFTER(CONNECT) | AFTER(VERIFY) | AFTER(RESUME),
            .interrupts = true,
        },
};

#define STEP_NAME(step, name) [NINJA_STEP_##step] = name,
static const char *const step_names[] = {NINJA_EACH_STEP(STEP_NAME)};

#define STATE_NAME(state) [NINJA_RANK_##state] = #state,
static const char *const state_names[] = {NINJA_EACH_RANK_STATE(STATE_NAME)};

static unsigned find(const char *const *names, unsigned n, const char *name)
{
    unsigned i = 0;
    while (i < n && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

const char *ninja_step_name(unsigned step)
{
    return step < NINJA_STEPS ? step_names[step] : "?";
}

enum ninja_step ninja_step_from_name(const char *name)
{
    return find(step_names, NINJA_STEPS, name);
}

const char *ninja_step_names(void)
{
#define COMMA_NAME(step, name) ", " name
    static const char all[] = NINJA_EACH_STEP(COMMA_NAME);
    return all + strlen(", ");
}

const char *ninja_rank_state_name(unsigned state)
{
    return state < NINJA_RANK_STATES ? state_names[state] : "?";
}

enum ninja_rank_state ninja_rank_state_from_name(const char *name)
{
    return find(state_names, NINJA_RANK_STATES, name);
}
