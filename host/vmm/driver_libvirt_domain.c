/* What a host says of a VM. */
#include <stdio.h>
#include <string.h>

#include "common/printable.h"
#include "host/vmm/driver_libvirt.h"

static bool has_alias(json_t *devices, const char *alias)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device)
    {
        const char *name = json_string_value(device);
        if (alias != NULL && name != NULL && strcmp(name, alias) == 0) {
            return true;
        }
    }
    return false;
}

static enum domain_state state_of(const char *state, const char *reason)
{
    bool migrates = strcmp(reason, "migration") == 0;
    if (strcmp(state, "absent") == 0) {
        return DOMAIN_ABSENT;
    } else if (strcmp(state, "shutoff") == 0) {
        return DOMAIN_SHUT_OFF;
    } else if (strcmp(state, "running") == 0 && strncmp(reason, "post-copy", 9) != 0) {
        return DOMAIN_RUNNING;
    } else if (strcmp(state, "paused") == 0 && (migrates || strcmp(reason, "starting up") == 0)) {
        return DOMAIN_MIGRATING;
    } else if (strcmp(state, "paused") == 0 && strcmp(reason, "user") == 0) {
        return DOMAIN_PAUSED;
    }
    return DOMAIN_OTHER;
}

void domain_take(struct domain_seen *seen, json_t *answer, const struct ninja_error *err,
                 const char *alias)
{
    const char *state = json_string_value(json_object_get(answer, "state"));
    const char *reason = json_string_value(json_object_get(answer, "reason"));
    *seen = (struct domain_seen){.state = DOMAIN_UNKNOWN};
    if (err != NULL) {
        seen->err = *err;
    } else if (state == NULL) {
        ninja_error_set(&seen->err, ERR_PROTOCOL, "ninja-libvirt did not say the VM's state");
    } else {
        char words[sizeof(seen->words)];
        snprintf(words, sizeof(words), "%s%s%s%s", state, reason != NULL ? " (" : "",
                 reason != NULL ? reason : "", reason != NULL ? ")" : "");
        ninja_printable_copy(seen->words, sizeof(seen->words), words);
        seen->state = state_of(state, reason != NULL ? reason : "");
        seen->job = json_is_true(json_object_get(answer, "job"));
        seen->has_device = has_alias(json_object_get(answer, "devices"), alias);
    }
}
