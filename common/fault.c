#include "common/fault.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_STALL_MS 1500
#define MAX_STALL_MS     60000

enum kind {
    CRASH,
    STALL,
    ERROR,
    LOST,
    REPEATED,
    LATE,
    KINDS,
};

static const char *const kind_names[] = {"crash", "stall", "error", "lost", "repeated", "late"};
static const char *const class_names[] = {"state", "step", "message"};

/* Which kinds make sense at a point of a class. */
static const unsigned kinds_of[] = {
    [NINJA_FAULT_STATE] = 1u << CRASH | 1u << STALL,
    [NINJA_FAULT_STEP] = 1u << CRASH | 1u << STALL | 1u << ERROR,
    [NINJA_FAULT_MESSAGE] = 1u << CRASH | 1u << STALL | 1u << LOST | 1u << REPEATED | 1u << LATE,
};

static struct {
    bool armed;
    char who[32];
    enum ninja_fault_class class;
    enum kind kind;
    unsigned long left; /* points until it happens */
    long stall_ms;
} fault;

static int find(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

void ninja_fault_init(const char *who, int number)
{
    const char *text = getenv("NINJA_FAULT");
    char name[32], class[16], kind[16];
    fault.armed = false;
    fault.stall_ms = DEFAULT_STALL_MS;
    if (text == NULL || sscanf(text, "%31[^:]:%15[^:]:%lu:%15[^=]=%ld", name, class, &fault.left,
                               kind, &fault.stall_ms) < 4) {
        return;
    }
    if (number >= 0) {
        snprintf(fault.who, sizeof(fault.who), "%.15s%d", who, number);
    } else {
        snprintf(fault.who, sizeof(fault.who), "%s", who);
    }
    int c = find(class_names, 3, class), k = find(kind_names, KINDS, kind);
    if (strcmp(name, fault.who) != 0 || c < 0 || k < 0 || (kinds_of[c] & 1u << k) == 0 ||
        fault.left == 0 || fault.stall_ms < 0 || fault.stall_ms > MAX_STALL_MS) {
        return;
    }
    fault.class = (enum ninja_fault_class)c;
    fault.kind = (enum kind)k;
    fault.armed = true;
}

static void stall(void)
{
    struct timespec pause = {fault.stall_ms / 1000, fault.stall_ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

enum ninja_fault ninja_fault(enum ninja_fault_class class, const char *fmt, ...)
{
    static const enum ninja_fault results[] = {[ERROR] = NINJA_FAULT_ERROR,
                                               [LOST] = NINJA_FAULT_LOST,
                                               [REPEATED] = NINJA_FAULT_REPEATED,
                                               [LATE] = NINJA_FAULT_LATE};
    char where[128];
    if (!fault.armed || class != fault.class || --fault.left > 0) {
        return NINJA_FAULT_NONE;
    }
    fault.armed = false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof(where), fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: fault point: %s %s: %s\n", fault.who, class_names[class], where,
            kind_names[fault.kind]);
    if (fault.kind == CRASH) {
        raise(SIGKILL);
    }
    if (fault.kind == STALL) {
        stall();
    }
    return results[fault.kind];
}
