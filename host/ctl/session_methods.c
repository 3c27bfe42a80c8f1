/*
 * How the memory of each VM is sent, where that is chosen: --auto, and the limits that imply it.
 */
#include <string.h>

#include "host/ctl/ninjactl.h"
#include "host/migration/forecast.h"

bool session_take_limits(struct session *session, const struct args *args, struct ninja_error *err)
{
    int priority = args->priority != NULL ? policy_priority_read(args->priority) : 0;
    session->is_automatic = args->automatic || args->max_downtime_ms > 0 || args->max_total_s > 0 ||
                            args->max_mib > 0 || args->priority != NULL;
    if (priority < 0) {
        return ninja_error_set(err, ERR_USAGE,
                               "--priority: expected latency, throughput or network, found \"%s\"",
                               args->priority);
    }
    if (session->is_automatic && (args->postcopy || args->postcopy_if_stuck)) {
        return ninja_error_set(err, ERR_USAGE,
                               "--auto chooses between pre-copy and post-copy, as limits and "
                               "--priority do; leave out either them or --postcopy...");
    }
    session->limits = (struct policy_limits){
        .priority = (enum policy_priority)priority,
        .max_downtime_ms = args->max_downtime_ms,
        .max_total_ms = (int64_t)args->max_total_s * 1000,
        .max_bytes = (int64_t)args->max_mib << 20,
    };
    return true;
}

static void on_facts(void *arg)
{
    struct session *session = arg;
    event_base_loopbreak(session->base);
}

bool session_choose_methods(struct session *session, const struct args *args, const int *to,
                            struct ninja_error *err)
{
    if (!session->is_automatic) {
        return true;
    }
    session->forecast =
        forecast_start(session->base, session->cluster, session->looks, session->survey, to,
                       &session->limits, args->state_dir, on_facts, session);
    event_base_dispatch(session->base);
    return forecast_choose(session->forecast, err);
}

json_t *session_methods(const struct session *session)
{
    json_t *methods = session->forecast != NULL ? json_object() : NULL;
    for (int i = 0; methods != NULL && i < session->cluster->n_vms; i++) {
        json_t *method = forecast_of_vm(session->forecast, i);
        if (method != NULL) {
            json_object_set(methods, session->cluster->vms[i], method);
        }
    }
    return methods;
}
