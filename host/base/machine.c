#include "host/base/machine.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/log.h"

bool machine_changes(const struct machine *machine, const char *vm, unsigned from, unsigned to)
{
    const char *old = machine->names[from], *new = machine->names[to];
    if (from == to) {
        return false;
    }
    if ((machine->may_follow[from] & (1u << to)) == 0) {
        ninja_log_error("%s%s%s cannot go from %s to %s", vm ? vm : "", vm ? ": " : "", machine->of,
                        old, new);
        abort();
    }
    if (vm != NULL) {
        ninja_log_vm(NINJA_LOG_DEBUG, vm, "%s: %s -> %s", machine->of, old, new);
    } else {
        ninja_log_debug("%s: %s -> %s", machine->of, old, new);
    }
    return true;
}
