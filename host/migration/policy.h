/*
 * Which way the memory of VMs is best sent: pre-copy, or post-copy, early or late. A pure function
 * of what is known of the VMs, their network and what the user allows.
 *
 * The three measures that a user chooses among, and the question itself, are those of Sakamoto, "A
 * study on VM migration in IaaS cloud infrastructure software that considers a fog computing
 * environment", Nanzan University, 2017 (in Japanese).
 */
#ifndef NINJA_POLICY_H
#define NINJA_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "host/config/transfer.h"
#include "host/vmm/driver.h"

/* What is to be little. */
enum policy_priority {
    PRIORITY_LATENCY,    /* the time in which the VM stands still, or waits for its memory */
    PRIORITY_THROUGHPUT, /* the time until all memory is there */
    PRIORITY_NETWORK,    /* the bytes that are sent */
    PRIORITIES,
};

enum policy_method {
    METHOD_PRE_COPY,
    METHOD_POST_COPY_LATE, /* after one pass over the memory */
    METHOD_POST_COPY,      /* from the beginning */
    METHODS,
};

/* 0: no limit. */
struct policy_limits {
    enum policy_priority priority;
    int64_t max_downtime_ms, max_total_ms; /* of each VM */
    int64_t max_bytes;                     /* of all VMs together */
};

/* A VM that is to move. */
struct policy_facts {
    const char *name;
    int64_t to_send;          /* bytes of the first pass; 0: not known */
    int64_t bytes_per_s;      /* that its memory is sent at; 0: not known */
    int64_t rest_bytes_per_s; /* the same when it has changed sides; 0: the same rate */
    int downtime_limit_ms;    /* at which a pre-copy ends */
    struct vmm_writes writes;
    enum vmm_post_copy post_copy; /* what its VMM can do, and the rest of what was said allows */
};

/* What comes of a method. */
struct policy_forecast {
    bool possible; /* the VMM can do it */
    bool ends;     /* a pre-copy that makes no headway does not */
    int passes;
    int64_t downtime_ms; /* beside what devices take */
    int64_t total_ms;    /* until all memory is there */
    int64_t behind_ms;   /* in which it runs without all of its memory */
    int64_t bytes;
    const char *breaks; /* the limit that it breaks, as the option that gave it; NULL: none */
};

struct policy_choice {
    bool known; /* there were facts enough for a forecast; if not, the method is the cautious one */
    enum policy_method method;
    struct policy_forecast forecasts[METHODS];
    const char *why; /* static */
};

/** A method's name, as in the report: "pre-copy". */
const char *policy_method_name(enum policy_method method);

/** -1: there is no priority of that name. */
int policy_priority_read(const char *name);
const char *policy_priority_name(enum policy_priority priority);

/**
 * Chooses for each VM. All of them are copied at once.
 *
 * @param choices  out, one for each of the n facts; filled in also when it fails
 * @return false with err, class ERR_REFUSED: no method keeps the limits
 */
bool policy_choose(const struct policy_facts *facts, size_t n, const struct policy_limits *limits,
                   struct policy_choice *choices, struct ninja_error *err);

/** What to tell the VMM, so that it does this. */
void policy_apply(enum policy_method method, const struct policy_facts *facts,
                  const struct policy_limits *limits, struct transfer *transfer);

#endif
