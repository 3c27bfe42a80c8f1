#include "host/migration/state.h"

#include <stdlib.h>

#include "common/fault.h"
#include "common/log.h"
#include "host/base/timer.h"

static const char *const names[] = {
    [STATE_PLANNED] = "PLANNED",
    [STATE_QUIESCING] = "QUIESCING",
    [STATE_RELEASING] = "RELEASING",
    [STATE_DETACHING] = "DETACHING",
    [STATE_COPYING] = "COPYING",
    [STATE_ATTACHING] = "ATTACHING",
    [STATE_RESUMING] = "RESUMING",
    [STATE_DONE] = "DONE",
    [STATE_FAILED] = "FAILED",
    [STATE_ROLLING_BACK] = "ROLLING_BACK",
    [STATE_NEEDS_OPERATOR] = "NEEDS_OPERATOR",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == STATES, "a state has no name");

#define TO(state) (1u << STATE_##state)

/* The ends that a migration may come to after it has done something. */
#define TO_ITS_END (TO(DONE) | TO(FAILED) | TO(NEEDS_OPERATOR))

static const unsigned may_follow[STATES] = {
    /* RELEASING: of ranks that another coordinator left in the middle of a switch */
    [STATE_PLANNED] =
        TO(QUIESCING) | TO(RELEASING) | TO(DETACHING) | TO(COPYING) | TO(ROLLING_BACK) | TO(FAILED),
    [STATE_QUIESCING] = TO(RELEASING) | TO(RESUMING) | TO(ROLLING_BACK) | TO_ITS_END,
    [STATE_RELEASING] = TO(RESUMING) | TO(DETACHING) | TO(COPYING) | TO(ROLLING_BACK),
    [STATE_DETACHING] = TO(COPYING) | TO(ROLLING_BACK),
    [STATE_COPYING] = TO(ATTACHING) | TO(ROLLING_BACK) | TO(NEEDS_OPERATOR),
    [STATE_ATTACHING] = TO(QUIESCING) | TO(RELEASING) | TO(RESUMING) | TO_ITS_END,
    [STATE_RESUMING] = TO(DETACHING) | TO(COPYING) | TO(QUIESCING) | TO(ROLLING_BACK) | TO_ITS_END,
    [STATE_DONE] = 0,
    [STATE_ROLLING_BACK] = TO_ITS_END, /* DONE: it was too late, all had arrived */
    [STATE_FAILED] = 0,
    [STATE_NEEDS_OPERATOR] = 0,
};

void state_begin(struct state_machine *machine,
                 void (*on_change)(void *arg, enum migration_state from, enum migration_state to),
                 void *arg)
{
    *machine = (struct state_machine){
        .began_ms = now_ms(), .ended_ms = -1, .on_change = on_change, .arg = arg};
    machine->log[machine->n++].state = STATE_PLANNED;
}

bool state_may_follow(enum migration_state from, enum migration_state to)
{
    return (may_follow[from] & (1u << to)) != 0;
}

void state_set(struct state_machine *machine, enum migration_state to)
{
    enum migration_state from = machine->state;
    if (from == to) {
        return;
    }
    if (!state_may_follow(from, to)) {
        ninja_log_error("a migration cannot go from %s to %s", names[from], names[to]);
        abort();
    }
    ninja_fault(NINJA_FAULT_STATE, "before %s", names[to]);
    if (machine->on_change != NULL) {
        machine->on_change(machine->arg, from, to);
    }
    ninja_log_info("%s -> %s", names[from], names[to]);
    machine->state = to;
    ninja_fault(NINJA_FAULT_STATE, "after %s", names[to]);
    int64_t offset = now_ms() - machine->began_ms;
    if (machine->n < STATE_LOG_MAX) {
        machine->log[machine->n].state = to;
        machine->log[machine->n++].entered_ms = offset;
    }
    if (may_follow[to] == 0) {
        machine->ended_ms = offset;
    }
}

bool state_was(const struct state_machine *machine, enum migration_state state)
{
    for (int i = 0; i < machine->n; i++) {
        if (machine->log[i].state == state) {
            return true;
        }
    }
    return false;
}

const char *state_name(enum migration_state state)
{
    return names[state];
}

json_t *state_to_json(const struct state_machine *machine)
{
    json_t *array = json_array();
    int64_t end = machine->ended_ms >= 0 ? machine->ended_ms : now_ms() - machine->began_ms;
    for (int i = 0; i < machine->n; i++) {
        int64_t start = machine->log[i].entered_ms;
        int64_t until = i + 1 < machine->n ? machine->log[i + 1].entered_ms : end;
        json_array_append_new(
            array, json_pack("{s:s, s:I, s:I}", "state", names[machine->log[i].state], "start_ms",
                             (json_int_t)start, "ms", (json_int_t)(until - start)));
    }
    return array;
}
