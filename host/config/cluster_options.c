/*
 * What of a cluster file can be said on the command line, too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/config/cluster.h"

long long cluster_milliseconds(const char *text)
{
    static const struct {
        const char *name;
        int ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}};
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (end == text || errno != 0 || number < 1 || number > CLUSTER_MAX_TIMEOUT_MS) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0) {
            return (long long)number * units[i].ms;
        }
    }
    return 0;
}

bool cluster_set_timeout(struct cluster *cluster, const char *assignment, struct ninja_error *err)
{
    const char *equals = strchr(assignment, '=');
    size_t len = equals ? (size_t)(equals - assignment) : strlen(assignment);
    char known[300] = "";
    for (int i = 0; i < TIMEOUTS; i++) {
        const char *name = cluster_timeout_name((enum timeout)i);
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", name);
        if (strlen(name) != len || strncmp(name, assignment, len) != 0) {
            continue;
        }
        long long ms = equals ? cluster_milliseconds(equals + 1) : 0;
        if (ms < 1 || ms > CLUSTER_MAX_TIMEOUT_MS) {
            return ninja_error_set(err, ERR_USAGE,
                                   "expected %s=MS with 1 to %d ms, or %s=30s, found \"%s\"", name,
                                   CLUSTER_MAX_TIMEOUT_MS, name, assignment);
        }
        cluster->timeouts[i] = (int)ms;
        return true;
    }
    return ninja_error_set(err, ERR_USAGE, "there is no time-out \"%.*s\"; there are: %s", (int)len,
                           assignment, known);
}
