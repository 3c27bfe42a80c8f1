/*
 * Small machines of states. Each has an enum, a table of what may follow what, and one setter,
 * which alone changes the state, and asks here before. A change is logged as `old -> new`. A change
 * that the table does not have ends the program: whoever is wrong about where it is does less harm
 * if another one takes on from the journal.
 */
#ifndef NINJA_MACHINE_H
#define NINJA_MACHINE_H

#include <stdbool.h>

struct machine {
    const char *of; /* whose states these are, in the log */
    const char *const *names;
    const unsigned *may_follow; /* by state: the bits 1u << STATE of those that may follow it */
};

/**
 * Whether the state changes; to stay is always allowed.
 *
 * @param vm  the VM whose machine it is; NULL: it is that of all
 */
bool machine_changes(const struct machine *machine, const char *vm, unsigned from, unsigned to);

#endif
