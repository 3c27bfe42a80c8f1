/*
 * The forecast of a method follows what QEMU does. Each pass of a pre-copy sends what was written
 * during the pass before, until that is so little that it can be sent within the downtime limit; a
 * VM that writes as fast as its memory is sent never comes there. A post-copy changes sides at
 * once, or after one pass, and then sends what is missing, once.
 *
 * What a VM writes in a time is known for two times. Between and beyond them it is taken to write
 * again and again to a set of pages: so many bytes differ after t seconds as set * (1 - x^t), where
 * 1 - x is the share of the set that is written in a second.
 *
 * A pre-copy is preferred to a post-copy that is hardly better, as a host or network that fails
 * costs nothing in it.
 */
#include "host/migration/policy.h"

#include <math.h>
#include <string.h>

#define MAX_PASSES  30  /* of which the last ones are worth little */
#define HARDLY_LESS 0.9 /* as headway.c has it */
#define MAX_STUCK   TRANSFER_IF_STUCK
#define HARDLY_MORE 0.1
#define SHORT_MS    10
#define FEW_BYTES   (1 << 20)

/* In standing still, as a VM that waits for some of its pages does some work. */
#define BEHIND_COSTS 0.5

static const char *const method_names[] = {
    [METHOD_PRE_COPY] = "pre-copy",
    [METHOD_POST_COPY_LATE] = "post-copy after one pass",
    [METHOD_POST_COPY] = "post-copy",
};

static const char *const priority_names[] = {
    [PRIORITY_LATENCY] = "latency",
    [PRIORITY_THROUGHPUT] = "throughput",
    [PRIORITY_NETWORK] = "network",
};

const char *policy_method_name(enum policy_method method)
{
    return method_names[method];
}

int policy_priority_read(const char *name)
{
    for (int i = 0; i < PRIORITIES; i++) {
        if (strcmp(name, priority_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

const char *policy_priority_name(enum policy_priority priority)
{
    return priority_names[priority];
}

/* ---- what is written ---- */

/* set * (1 - x^t) */
struct writing {
    double set, x;
    double per_second; /* where the set has no end: x is 1 */
};

/* The second time is three times the first one, so (1 - x^3) / (1 - x) = 1 + x + x^2 is known. */
static struct writing writing_of(const struct vmm_writes *writes)
{
    double once = (double)writes->bytes, thrice = (double)writes->bytes_thrice;
    double ratio = once > 0 ? thrice / once : 1;
    double second = (double)VMM_WRITES_MS / 1000;
    double x = ratio <= 1 ? 0 : ratio >= 3 ? 1 : (sqrt(4 * ratio - 3) - 1) / 2;
    return (struct writing){
        .set = x < 1 ? once / (1 - x) : 0, .x = pow(x, 1 / second), .per_second = once / second};
}

/* Bytes of pages that differ after so many seconds; never more than there are. */
static double written(const struct policy_facts *facts, double seconds)
{
    struct writing writing = writing_of(&facts->writes);
    double bytes =
        writing.x < 1 ? writing.set * (1 - pow(writing.x, seconds)) : writing.per_second * seconds;
    double all = (double)facts->to_send;
    return bytes < all ? bytes : all;
}

/* ---- forecasts ---- */

static int64_t ms(double seconds)
{
    return (int64_t)(seconds * 1000 + 0.5);
}

static struct policy_forecast pre_copy(const struct policy_facts *facts)
{
    struct policy_forecast it = {.possible = true};
    double rate = (double)facts->bytes_per_s, rest = (double)facts->to_send, sent = 0;
    double little = rate * facts->downtime_limit_ms / 1000;
    for (int stuck = 0; it.passes < MAX_PASSES && stuck < MAX_STUCK && !it.ends; it.passes++) {
        sent += rest;
        double next = written(facts, rest / rate);
        bool less = next < HARDLY_LESS * rest;
        stuck = it.passes > 0 && !less ? stuck + 1 : 0;
        it.ends = next <= little;
        rest = next;
    }
    it.downtime_ms = ms(rest / rate);
    it.bytes = (int64_t)(sent + rest);
    it.total_ms = ms((sent + rest) / rate);
    return it;
}

static struct policy_forecast post_copy(const struct policy_facts *facts, bool late)
{
    double rate = (double)facts->bytes_per_s, all = (double)facts->to_send;
    double rest = facts->rest_bytes_per_s > 0 ? (double)facts->rest_bytes_per_s : rate;
    double before = late ? all : 0, missing = late ? written(facts, all / rate) : all;
    return (struct policy_forecast){
        .possible = facts->post_copy == VMM_POST_COPY_ANY_TIME ||
                    (!late && facts->post_copy == VMM_POST_COPY_AT_ONCE),
        .ends = true,
        .passes = late,
        .bytes = (int64_t)(before + missing),
        .total_ms = ms(before / rate + missing / rest),
        .behind_ms = ms(missing / rest),
    };
}

static const char *broken_limit(const struct policy_forecast *it,
                                const struct policy_limits *limits)
{
    if (limits->max_downtime_ms > 0 && it->downtime_ms > limits->max_downtime_ms) {
        return "max-downtime";
    }
    return limits->max_total_ms > 0 && it->total_ms > limits->max_total_ms ? "max-total" : NULL;
}

static void make_forecasts(const struct policy_facts *facts, const struct policy_limits *limits,
                           struct policy_choice *choice)
{
    choice->forecasts[METHOD_PRE_COPY] = pre_copy(facts);
    choice->forecasts[METHOD_POST_COPY_LATE] = post_copy(facts, true);
    choice->forecasts[METHOD_POST_COPY] = post_copy(facts, false);
    for (int i = 0; i < METHODS; i++) {
        choice->forecasts[i].breaks = broken_limit(&choice->forecasts[i], limits);
    }
}

/* ---- choosing ---- */

static double cost(const struct policy_forecast *it, enum policy_priority priority)
{
    switch (priority) {
    case PRIORITY_THROUGHPUT:
        return (double)it->total_ms;
    case PRIORITY_NETWORK:
        return (double)it->bytes;
    default:
        return (double)it->downtime_ms + BEHIND_COSTS * (double)it->behind_ms;
    }
}

/* How much more than the least makes no difference. */
static double tolerance(const struct policy_facts *facts, enum policy_priority priority,
                        double least)
{
    switch (priority) {
    case PRIORITY_THROUGHPUT:
        return HARDLY_MORE * least + SHORT_MS;
    case PRIORITY_NETWORK:
        return HARDLY_MORE * least + FEW_BYTES;
    default: /* it may stand for so long */
        return HARDLY_MORE * least + facts->downtime_limit_ms;
    }
}

static bool is_fit(const struct policy_forecast *it)
{
    return it->possible && it->ends && it->breaks == NULL;
}

static int best_of(const struct policy_choice *choice, enum policy_priority priority)
{
    int best = -1;
    for (int i = 0; i < METHODS; i++) {
        const struct policy_forecast *it = &choice->forecasts[i];
        if (is_fit(it) &&
            (best < 0 || cost(it, priority) < cost(&choice->forecasts[best], priority))) {
            best = i;
        }
    }
    return best;
}

/* The methods are in the order of what a fault costs in them. */
static int safest_near(const struct policy_facts *facts, const struct policy_choice *choice,
                       enum policy_priority priority, int best)
{
    double least = cost(&choice->forecasts[best], priority);
    double most = least + tolerance(facts, priority, least);
    int i = 0;
    while (!is_fit(&choice->forecasts[i]) || cost(&choice->forecasts[i], priority) > most) {
        i++;
    }
    return i;
}

static const char *reason(const struct policy_choice *choice, int method)
{
    const struct policy_forecast *first = &choice->forecasts[METHOD_PRE_COPY];
    return method == METHOD_PRE_COPY ? "no other one is clearly better"
           : !first->ends            ? "a pre-copy would not end"
           : first->breaks != NULL   ? "a pre-copy would break a limit"
                                     : "it is clearly better";
}

/* strictly: the very best one, however little it gains. */
static bool choose(const struct policy_facts *facts, struct policy_choice *choice,
                   enum policy_priority priority, bool strictly)
{
    int best = best_of(choice, priority);
    if (best < 0) {
        return false;
    }
    int method = strictly ? best : safest_near(facts, choice, priority, best);
    choice->method = (enum policy_method)method;
    choice->why = strictly ? "the least is sent" : reason(choice, method);
    return true;
}

static bool is_known(const struct policy_facts *facts)
{
    return facts->to_send > 0 && facts->bytes_per_s > 0 && facts->writes.known;
}

/* A pre-copy that changes sides if it makes no headway needs no facts. */
static void choose_cautiously(struct policy_choice *choice)
{
    choice->method = METHOD_PRE_COPY;
    choice->why = "too little is known for a forecast";
}

static bool refuse(const struct policy_facts *facts, const struct policy_choice *choice,
                   struct ninja_error *err)
{
    const struct policy_forecast *it = &choice->forecasts[METHOD_PRE_COPY];
    return ninja_error_set(
        err, ERR_REFUSED,
        "there is no way to send the memory of %s %s: %s%s. ninjactl plan --auto shows what each "
        "way would take",
        facts->name, it->ends ? "within the limits" : "that ends",
        it->ends ? "--" : "it writes as fast as its memory is sent, and post-copy cannot be had",
        it->ends ? (it->breaks != NULL ? it->breaks : "max-bytes") : "");
}

static int64_t bytes_of(const struct policy_choice *choices, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += choices[i].known ? choices[i].forecasts[choices[i].method].bytes : 0;
    }
    return sum;
}

static bool choose_all(const struct policy_facts *facts, size_t n, enum policy_priority priority,
                       bool strictly, struct policy_choice *choices, struct ninja_error *err)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        if (!choices[i].known) {
            choose_cautiously(&choices[i]);
        } else if (!choose(&facts[i], &choices[i], priority, strictly) && ok) {
            ok = refuse(&facts[i], &choices[i], err);
        }
    }
    return ok;
}

bool policy_choose(const struct policy_facts *facts, size_t n, const struct policy_limits *limits,
                   struct policy_choice *choices, struct ninja_error *err)
{
    for (size_t i = 0; i < n; i++) {
        choices[i] = (struct policy_choice){.known = is_known(&facts[i])};
        if (choices[i].known) {
            make_forecasts(&facts[i], limits, &choices[i]);
        }
    }
    if (!choose_all(facts, n, limits->priority, false, choices, err)) {
        return false;
    }
    if (limits->max_bytes == 0 || bytes_of(choices, n) <= limits->max_bytes) {
        return true;
    }
    choose_all(facts, n, PRIORITY_NETWORK, true, choices, err);
    int64_t least = bytes_of(choices, n);
    return least <= limits->max_bytes ||
           ninja_error_set(err, ERR_REFUSED,
                           "--max-bytes: the VMs cannot be sent in less than %lld MiB",
                           (long long)((least >> 20) + 1));
}

void policy_apply(enum policy_method method, const struct policy_facts *facts,
                  const struct policy_limits *limits, struct transfer *transfer)
{
    bool may_change = facts->post_copy == VMM_POST_COPY_ANY_TIME;
    transfer->post_copy_after = method == METHOD_POST_COPY        ? 0
                                : method == METHOD_POST_COPY_LATE ? 1
                                                                  : -1;
    transfer->post_copy_if_stuck = method == METHOD_PRE_COPY && may_change ? TRANSFER_IF_STUCK : -1;
    if (limits->max_downtime_ms > 0 && limits->max_downtime_ms < transfer->downtime_limit_ms) {
        transfer->downtime_limit_ms = (int)limits->max_downtime_ms;
    }
}
