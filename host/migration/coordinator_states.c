/*
 * The small machines of coordinator_states.h: their tables and their setters.
 */
#include "host/base/machine.h"
#include "host/migration/coordinator_private.h"

#define TO(state) (1u << (state))

static const char *const course_names[] = {
    [COURSE_ASKED] = "asked",       [COURSE_ANNOUNCED] = "announced", [COURSE_FORWARD] = "forward",
    [COURSE_BACK] = "back",         [COURSE_REFUSED] = "refused",     [COURSE_LED_ON] = "led on",
    [COURSE_LED_BACK] = "led back", [COURSE_SUSPENDED] = "suspended",
};
static const unsigned course_may_follow[COURSES] = {
    [COURSE_ASKED] = TO(COURSE_ANNOUNCED) | TO(COURSE_BACK), /* aborted at once */
    [COURSE_ANNOUNCED] = TO(COURSE_FORWARD) | TO(COURSE_BACK) | TO(COURSE_REFUSED),
    [COURSE_FORWARD] = TO(COURSE_BACK) | TO(COURSE_LED_ON) | TO(COURSE_SUSPENDED),
    [COURSE_BACK] = TO(COURSE_LED_BACK),
};
_Static_assert(sizeof(course_names) / sizeof(course_names[0]) == COURSES, "a course has no name");
static const struct machine courses = {"course", course_names, course_may_follow};

static const char *const round_names[] = {
    [ROUND_NONE] = "none",
    [ROUND_GOES_ON] = "goes on",
    [ROUND_CANCELLED] = "cancelled",
    [ROUND_SPLIT] = "split",
};
static const unsigned round_may_follow[ROUNDS] = {
    [ROUND_NONE] = TO(ROUND_GOES_ON) | TO(ROUND_CANCELLED),
    [ROUND_GOES_ON] = TO(ROUND_CANCELLED) | TO(ROUND_SPLIT),
    [ROUND_CANCELLED] = TO(ROUND_GOES_ON), /* the next round */
};
_Static_assert(sizeof(round_names) / sizeof(round_names[0]) == ROUNDS, "a round has no name");
static const struct machine rounds = {"copies", round_names, round_may_follow};

static const char *const jobs_names[] = {
    [JOBS_AS_BEFORE] = "as before", [JOBS_ON_STANDBY] = "on standby", [JOBS_HELD] = "held",
    [JOBS_UNKNOWN] = "unknown",     [JOBS_ON_BEST] = "on best",
};
static const unsigned jobs_may_follow[JOBS_STATES] = {
    [JOBS_AS_BEFORE] = TO(JOBS_ON_STANDBY) | TO(JOBS_HELD) | TO(JOBS_ON_BEST),
    [JOBS_ON_STANDBY] = TO(JOBS_ON_BEST),
    [JOBS_HELD] = TO(JOBS_ON_BEST),
    [JOBS_UNKNOWN] = TO(JOBS_ON_BEST),
};
_Static_assert(sizeof(jobs_names) / sizeof(jobs_names[0]) == JOBS_STATES, "jobs have no name");
static const struct machine jobs = {"jobs", jobs_names, jobs_may_follow};

static const char *const way_names[] = {
    [WAY_STAYS] = "stays",
    [WAY_MOVES] = "moves",
    [WAY_COPYING] = "copying",
    [WAY_UNDECIDED] = "undecided",
};
static const unsigned way_may_follow[WAYS] = {
    [WAY_MOVES] = TO(WAY_COPYING) | TO(WAY_UNDECIDED),
    [WAY_COPYING] = TO(WAY_MOVES),
};
_Static_assert(sizeof(way_names) / sizeof(way_names[0]) == WAYS, "a way has no name");
static const struct machine ways = {"way", way_names, way_may_follow};

static const char *const device_names[] = {
    [DEVICE_AS_BEFORE] = "as before",
    [DEVICE_DETACHED] = "detached",
    [DEVICE_PLUGGED] = "plugged",
    [DEVICE_ATTACHED] = "attached",
};
static const unsigned device_may_follow[DEVICE_STATES] = {
    /* ATTACHED: the coordinator that ended had plugged it in */
    [DEVICE_AS_BEFORE] = TO(DEVICE_DETACHED) | TO(DEVICE_PLUGGED) | TO(DEVICE_ATTACHED),
    [DEVICE_DETACHED] = TO(DEVICE_PLUGGED) | TO(DEVICE_ATTACHED), /* it was not unplugged */
    [DEVICE_PLUGGED] = TO(DEVICE_ATTACHED),
};
_Static_assert(sizeof(device_names) / sizeof(device_names[0]) == DEVICE_STATES,
               "a device has no name");
static const struct machine devices = {"device", device_names, device_may_follow};

void course_set(struct migration *m, enum course to)
{
    if (machine_changes(&courses, NULL, m->course, to)) {
        m->course = to;
    }
}

void round_set(struct migration *m, enum round to)
{
    if (machine_changes(&rounds, NULL, m->round, to)) {
        m->round = to;
    }
}

void jobs_set(struct migration *m, enum jobs_state to)
{
    if (machine_changes(&jobs, NULL, m->jobs, to)) {
        m->jobs = to;
    }
}

void way_set(struct migration_vm *vm, enum way to)
{
    if (machine_changes(&ways, vmm_name(vm->vmm), vm->way, to)) {
        vm->way = to;
    }
}

void device_set(struct migration_vm *vm, enum device_state to)
{
    if (machine_changes(&devices, vmm_name(vm->vmm), vm->device, to)) {
        vm->device = to;
    }
}

bool is_going_back(const struct migration *m)
{
    return m->course == COURSE_BACK || m->course == COURSE_LED_BACK;
}

bool is_ending(const struct migration *m)
{
    return course_may_follow[m->course] == 0;
}

bool is_taken_on(const struct migration *m)
{
    return m->origin != ORIGIN_ASKED;
}

bool is_to_move(const struct migration_vm *vm)
{
    return vm->way != WAY_STAYS;
}

bool is_copying(const struct migration_vm *vm)
{
    return vm->way == WAY_COPYING;
}

bool is_undecided(const struct migration_vm *vm)
{
    return vm->way == WAY_UNDECIDED;
}
