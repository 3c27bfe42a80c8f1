/* What a host says of a VM. */
#include <stdio.h>
#include <string.h>

#include "common/printable.h"
#include "host/vmm/driver_libvirt.h"

static bool has_alias(void *devices, const char *alias)
{
    size_t i;
    json_t *device;
    json_array_foreach((json_t *)devices, i, device)
    {
        const char *name = json_string_value(device);
        if (name != NULL && strcmp(name, alias) == 0) {
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
    } else if (strcmp(reason, "post-copy") == 0) {
        return DOMAIN_SPLIT;
    } else if (strcmp(reason, "post-copy failed") == 0) {
        return DOMAIN_BROKEN;
    } else if (strcmp(state, "running") == 0) {
        return DOMAIN_RUNNING;
    } else if (strcmp(state, "paused") == 0 && (migrates || strcmp(reason, "starting up") == 0)) {
        return DOMAIN_MIGRATING;
    } else if (strcmp(state, "paused") == 0 && strcmp(reason, "user") == 0) {
        return DOMAIN_PAUSED;
    }
    return DOMAIN_OTHER;
}

static int64_t number(json_t *statistics, const char *name)
{
    return json_integer_value(json_object_get(statistics, name));
}

void libvirt_take_progress(struct vmm_progress *progress, json_t *statistics)
{
    int64_t total = number(statistics, "memory_total");
    if (total <= 0) {
        return; /* it has not begun */
    }
    progress->total = total;
    progress->transferred = number(statistics, "memory_processed");
    progress->remaining = number(statistics, "memory_remaining");
    progress->bytes_per_s = number(statistics, "memory_bps");
    progress->dirty_bytes_per_s =
        number(statistics, "memory_dirty_rate") * number(statistics, "memory_page_size");
}

void domain_take(struct domain_seen *seen, json_t *answer, const struct ninja_error *err,
                 const struct vmm *vmm, int site)
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
        seen->memory_mib = json_integer_value(json_object_get(answer, "memory_kib")) / 1024;
        seen->cpus = (int)json_integer_value(json_object_get(answer, "cpus"));
        seen->job = json_is_true(json_object_get(answer, "job"));
        seen->passes = number(json_object_get(answer, "statistics"), "memory_iteration");
        libvirt_take_progress(&seen->progress, json_object_get(answer, "statistics"));
        seen->device = vmm_find_device(vmm, site, has_alias, json_object_get(answer, "devices"));
    }
}
