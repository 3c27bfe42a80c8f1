/*
 * The small machines of driver_qmp_states.h: their tables and their setters. Each prepare() and
 * each adopt() begins with a receiver of which nothing is known, and with no copy.
 */
#include "host/vmm/driver_qmp_states.h"

#include "host/base/machine.h"
#include "host/vmm/driver_qmp.h"

#define TO(state) (1u << (state))

static const char *const receiver_names[] = {
    [RECEIVER_UNKNOWN] = "unknown", [RECEIVER_STARTED] = "started", [RECEIVER_WAITS] = "waits",
    [RECEIVER_STAYS] = "stays",     [RECEIVER_ENDED] = "ended",
};
static const unsigned receiver_may_follow[RECEIVERS] = {
    [RECEIVER_UNKNOWN] = TO(RECEIVER_STARTED) | TO(RECEIVER_WAITS),
    [RECEIVER_STARTED] = TO(RECEIVER_WAITS) | TO(RECEIVER_UNKNOWN),
    [RECEIVER_WAITS] = TO(RECEIVER_STAYS) | TO(RECEIVER_ENDED) | TO(RECEIVER_UNKNOWN),
    [RECEIVER_STAYS] = TO(RECEIVER_ENDED) | TO(RECEIVER_UNKNOWN),
    [RECEIVER_ENDED] = TO(RECEIVER_UNKNOWN), /* what waits there now is another one */
};
_Static_assert(sizeof(receiver_names) / sizeof(receiver_names[0]) == RECEIVERS,
               "a receiver has no name");
static const struct machine receivers = {"receiver", receiver_names, receiver_may_follow};

static const char *const copy_names[] = {
    [COPY_NONE] = "none",
    [COPY_GOES_ON] = "goes on",
    [COPY_CHANGES_SIDES] = "changes sides",
};
static const unsigned copy_may_follow[COPIES] = {
    [COPY_NONE] = TO(COPY_GOES_ON) | TO(COPY_CHANGES_SIDES), /* the latter is found by adopt() */
    [COPY_GOES_ON] = TO(COPY_NONE) | TO(COPY_CHANGES_SIDES),
    [COPY_CHANGES_SIDES] = TO(COPY_NONE),
};
_Static_assert(sizeof(copy_names) / sizeof(copy_names[0]) == COPIES, "a copy has no name");
static const struct machine copies = {"copy", copy_names, copy_may_follow};

static const char *const adoption_names[] = {
    [ADOPTION_NONE] = "none",
    [ADOPTION_ASKED] = "asked",
    [ADOPTION_ASKED_AGAIN] = "asked again",
};
static const unsigned adoption_may_follow[ADOPTIONS] = {
    [ADOPTION_NONE] = TO(ADOPTION_ASKED),
    [ADOPTION_ASKED] = TO(ADOPTION_ASKED_AGAIN),
    [ADOPTION_ASKED_AGAIN] = TO(ADOPTION_ASKED), /* another adopt() */
};
_Static_assert(sizeof(adoption_names) / sizeof(adoption_names[0]) == ADOPTIONS,
               "an adoption has no name");
static const struct machine adoptions = {"adoption", adoption_names, adoption_may_follow};

void receiver_set(struct qmp_vm *v, enum receiver to)
{
    if (machine_changes(&receivers, vmm_name(&v->vmm), v->receiver, to)) {
        v->receiver = to;
    }
}

void copy_set(struct qmp_vm *v, enum copy to)
{
    if (machine_changes(&copies, vmm_name(&v->vmm), v->copy, to)) {
        v->copy = to;
    }
}

void adoption_set(struct qmp_vm *v, enum adoption to)
{
    if (machine_changes(&adoptions, vmm_name(&v->vmm), v->adoption, to)) {
        v->adoption = to;
    }
}
