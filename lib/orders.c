/*
 * Theory of operation
 *
 * A step that the member takes becomes an order: a call of the program's callback, with a number by
 * which the program says later that it is done. A new order ends the one before it, so there is
 * never more than one, and a late word about another one is refused.
 *
 * Three things make it simple to write the callbacks. Between two opens there is always a release:
 * where the protocol has none, as another list is tried, the library gives one of its own. A
 * release is given only if something was opened since the last one. And resume comes to a program
 * that was stopped, and to no other.
 *
 * A program that is told to release counts as released from then on, whatever it says: as it may be
 * at it for a while, the agent may be lost meanwhile, and nobody must believe then that nothing was
 * released.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "lib/handle.h"

#define CALLBACK(step) [NINJA_STEP_##step]

static const size_t callbacks[] = {
    CALLBACK(STOP) = offsetof(struct ninja_callbacks, stop),
    CALLBACK(DRAIN) = offsetof(struct ninja_callbacks, drain),
    CALLBACK(SETTLE) = offsetof(struct ninja_callbacks, settle),
    CALLBACK(RELEASE) = offsetof(struct ninja_callbacks, release),
    CALLBACK(OPEN) = offsetof(struct ninja_callbacks, open),
    CALLBACK(CONNECT) = offsetof(struct ninja_callbacks, connect),
    CALLBACK(VERIFY) = offsetof(struct ninja_callbacks, verify),
    CALLBACK(RESUME) = offsetof(struct ninja_callbacks, resume),
};
_Static_assert(sizeof(callbacks) / sizeof(callbacks[0]) == NINJA_STEPS, "a callback for each step");

static ninja_callback *callback_of(const struct ninja *ninja, enum ninja_step step)
{
    ninja_callback *callback;
    memcpy(&callback, (const char *)&ninja->callbacks + callbacks[step], sizeof(callback));
    return callback;
}

/* Calls the program back, which may end the order at once. */
static void give(struct ninja *ninja, enum ninja_step step, struct ninja_order *order)
{
    ninja_callback *callback = callback_of(ninja, step);
    order->step = ninja_step_name(step);
    order->number = ++ninja->number;
    order->epoch = ninja->member.epoch;
    ninja->underway = NINJA_RANK_STOP + step;
    if (callback == NULL) {
        order_end(ninja, NINJA_RANK_OK, NULL);
        return;
    }
    ninja->calling = true;
    callback(ninja, order, ninja->arg);
    ninja->calling = false;
}

/* Ends a step that needs nothing of the program. */
static void done_at_once(struct ninja *ninja)
{
    order_end(ninja, NINJA_RANK_OK, NULL);
}

static void fail_at_once(struct ninja *ninja, const char *why)
{
    order_end(ninja, NINJA_RANK_FAILED, why);
}

/* --- the steps ---------------------------------------------------------------------------- */

static void stop(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    struct ninja_order order = {0};
    char *lists = strdup(msg->text);
    char *open = lists != NULL ? strchr(lists, '\n') : NULL;
    if (open != NULL) {
        *open = '\0';
        order.release = lists;
        order.open = open + 1;
    }
    member_set_state(&ninja->member, NINJA_RANK_QUIESCING);
    give(ninja, NINJA_STEP_STOP, &order);
    free(lists);
}

static void drain(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    struct ninja_order order = {.n_sent = msg->n_a};
    struct ninja_count *sent = calloc((size_t)msg->n_a + 1, sizeof(*sent));
    if (sent == NULL) {
        fail_at_once(ninja, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < msg->n_a; i++) {
        sent[i] = (struct ninja_count){msg->a[i].peer, msg->a[i].value};
    }
    order.sent = sent;
    member_set_state(&ninja->member, NINJA_RANK_QUIESCING);
    give(ninja, NINJA_STEP_DRAIN, &order);
    free(sent);
}

static bool keep_list(struct ninja *ninja, const char *list)
{
    char *copy = strdup(list);
    if (copy == NULL) {
        fail_at_once(ninja, "out of memory");
        return false;
    }
    free(ninja->list);
    ninja->list = copy;
    return true;
}

static void release(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    member_set_state(&ninja->member, NINJA_RANK_RELEASED);
    if (!ninja->holds) {
        done_at_once(ninja);
    } else if (keep_list(ninja, msg->text)) {
        give(ninja, NINJA_STEP_RELEASE, &(struct ninja_order){.release = ninja->list});
    }
}

static void open_list(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    member_set_state(&ninja->member, NINJA_RANK_RELEASED);
    if (!keep_list(ninja, msg->text)) {
        return;
    }
    if (ninja->holds) {
        ninja->before_open = true;
        give(ninja, NINJA_STEP_RELEASE, &(struct ninja_order){.release = "@all"});
    } else {
        order_open_next(ninja);
    }
}

/* Whether the list has what bypasses the VMM, or may have it: names are the operator's choice. */
static bool has_bypass(const struct ninja *ninja, const char *list)
{
    return strcmp(list, "@previous") == 0 ? ninja->had_bypass : strcmp(list, "@standby") != 0;
}

void order_open_next(struct ninja *ninja)
{
    ninja->open_next = false;
    free(ninja->own_address);
    ninja->own_address = NULL;
    ninja_addresses_unmap(&ninja->addresses);
    ninja->holds = true;
    ninja->bypass = has_bypass(ninja, ninja->list);
    give(ninja, NINJA_STEP_OPEN,
         &(struct ninja_order){.open = ninja->list, .bypass = ninja->bypass});
}

static void connect_peers(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    ninja_addresses_unmap(&ninja->addresses);
    const char *wrong = ninja_addresses_map(ninja->link.passed, ninja->size, &ninja->addresses);
    ninja->n_transports = 0;
    ninja->names[0] = '\0';
    if (wrong != NULL) {
        fail_at_once(ninja, wrong);
    } else {
        give(ninja, NINJA_STEP_CONNECT, &(struct ninja_order){0});
    }
}

static void verify(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    give(ninja, NINJA_STEP_VERIFY, &(struct ninja_order){.limit_ms = msg->arg});
}

static void settle(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    give(ninja, NINJA_STEP_SETTLE, &(struct ninja_order){0});
}

static void resume(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    if (ninja->member.state == NINJA_RANK_RUNNING) {
        done_at_once(ninja);
    } else {
        give(ninja, NINJA_STEP_RESUME, &(struct ninja_order){0});
    }
}

static void (*const steps[])(struct ninja *ninja, const struct ninja_rank_msg *msg) = {
    [NINJA_STEP_STOP] = stop,      [NINJA_STEP_DRAIN] = drain,
    [NINJA_STEP_SETTLE] = settle,  [NINJA_STEP_RELEASE] = release,
    [NINJA_STEP_OPEN] = open_list, [NINJA_STEP_CONNECT] = connect_peers,
    [NINJA_STEP_VERIFY] = verify,  [NINJA_STEP_RESUME] = resume,
};
_Static_assert(sizeof(steps) / sizeof(steps[0]) == NINJA_STEPS, "a row for each step");

void order_begin(struct ninja *ninja, const struct ninja_rank_msg *msg)
{
    struct ninja_rank_msg answer;
    if (!member_take(&ninja->member, msg, &answer)) {
        if (answer.type != 0) {
            rank_link_send(&ninja->link, &answer);
        }
        return;
    }
    ninja->underway = 0;
    ninja->before_open = ninja->open_next = false;
    if (ninja_fault(NINJA_FAULT_STEP, "%s", ninja_rank_type_name(msg->type)) != NINJA_FAULT_NONE) {
        fail_at_once(ninja, "made to fail by a fault point");
    } else {
        steps[ninja_rank_step(msg->type)](ninja, msg);
    }
}

void order_run_on(struct ninja *ninja)
{
    ninja->underway = 0;
    member_run_on(&ninja->member);
    give(ninja, NINJA_STEP_RESUME, &(struct ninja_order){0});
}

/* --- reports ------------------------------------------------------------------------------ */

/* The counts, as pairs. False: out of memory; a table that is not there would say that nothing was
 * sent. */
static bool put_sent(const struct ninja *ninja, struct ninja_rank_msg *content)
{
    if (ninja->sent == NULL) {
        return true;
    }
    content->a = calloc(ninja->size, sizeof(*content->a));
    for (uint32_t peer = 0; content->a != NULL && peer < ninja->size; peer++) {
        if (ninja->sent[peer] >= 0) {
            content->a[content->n_a++] =
                (struct ninja_rank_pair){peer, (uint32_t)ninja->sent[peer]};
        }
    }
    return content->a != NULL;
}

/* What the program said of its address; a program of one process need not have one. */
static bool put_address(struct ninja *ninja, struct ninja_rank_msg *content)
{
    if (ninja->own_address == NULL && ninja->size == 1) {
        content->addresses = strdup("-");
        content->n_addresses = 1;
    } else {
        content->addresses = ninja->own_address;
        content->n_addresses = (uint32_t)ninja->own_size;
        ninja->own_address = NULL;
    }
    return content->addresses != NULL;
}

static void put_transports(struct ninja *ninja, struct ninja_rank_msg *content)
{
    content->a = ninja->transports;
    content->n_a = ninja->n_transports;
    content->text = ninja->names;
    ninja->transports = NULL;
    ninja->n_transports = 0;
}

/* Gives the report of a step that is done what it holds; else a reason why that is not possible. */
static const char *put_content(struct ninja *ninja, struct ninja_rank_msg *content)
{
    unsigned reports = ninja_rank_step_row(ninja->member.step)->reports;
    if ((reports & NINJA_REPORTS_SENT) != 0 && !put_sent(ninja, content)) {
        return "out of memory";
    }
    if ((reports & NINJA_REPORTS_ADDRESSES) != 0 && !put_address(ninja, content)) {
        return "the program has said no address of this process (ninja_say_address)";
    }
    if ((reports & NINJA_REPORTS_TRANSPORTS) != 0) {
        put_transports(ninja, content);
    }
    return NULL;
}

static void report(struct ninja *ninja, enum ninja_rank_status status, const char *why)
{
    struct ninja_rank_msg content = {0};
    if (status == NINJA_RANK_OK) {
        why = put_content(ninja, &content);
        status = why != NULL ? NINJA_RANK_FAILED : NINJA_RANK_OK;
    }
    if (status != NINJA_RANK_OK) {
        content = (struct ninja_rank_msg){.text = (char *)why};
    }
    rank_link_send(&ninja->link, member_report(&ninja->member, status, content));
}

void order_end(struct ninja *ninja, enum ninja_rank_status status, const char *why)
{
    struct member *member = &ninja->member;
    if (ninja->underway == NINJA_RANK_RELEASE) {
        ninja->holds = false;
    }
    ninja->underway = 0;
    if (ninja->before_open) {
        ninja->before_open = false;
        ninja->open_next = true;
        return;
    }
    if (!member->owes) { /* it ran on by itself */
        return;
    }
    if (member->step == NINJA_RANK_RESUME) {
        ninja->had_bypass = ninja->bypass;
    }
    if (member->step == NINJA_RANK_STOP && status != NINJA_RANK_OK) {
        member_set_state(member, NINJA_RANK_RUNNING);
        status = NINJA_RANK_STATUS_REFUSED;
    }
    report(ninja, status, why);
}

void order_clear(struct ninja *ninja)
{
    ninja_addresses_unmap(&ninja->addresses);
    member_clear(&ninja->member);
    free(ninja->list);
    free(ninja->sent);
    free(ninja->own_address);
    free(ninja->transports);
}

/* --- what the program says ---------------------------------------------------------------- */

int ninja_say_sent(struct ninja *ninja, uint32_t peer, uint32_t messages)
{
    if (peer >= ninja->size || peer == ninja->rank) {
        errno = EINVAL;
        return -1;
    }
    if (ninja->sent == NULL) {
        ninja->sent = malloc(ninja->size * sizeof(*ninja->sent));
        if (ninja->sent == NULL) {
            return -1;
        }
        memset(ninja->sent, -1, ninja->size * sizeof(*ninja->sent));
    }
    ninja->sent[peer] = (int32_t)(messages & 0xffff);
    return 0;
}

int ninja_say_address(struct ninja *ninja, const void *address, size_t size)
{
    if (size == 0 || size > NINJA_ADDRESSES_MAX_RANK) {
        errno = EINVAL;
        return -1;
    }
    void *copy = malloc(size);
    if (copy == NULL) {
        return -1;
    }
    memcpy(copy, address, size);
    free(ninja->own_address);
    ninja->own_address = copy;
    ninja->own_size = size;
    return 0;
}

const void *ninja_address(const struct ninja *ninja, uint32_t rank, size_t *size)
{
    *size = 0;
    return ninja->addresses.map != NULL && rank < ninja->size
               ? ninja_addresses_of(&ninja->addresses, rank, size)
               : NULL;
}

int ninja_say_transport(struct ninja *ninja, const char *name, uint32_t peers)
{
    size_t len = strlen(name), before = strlen(ninja->names);
    if (len == 0 || len > 63 || strpbrk(name, ", \t\n") != NULL ||
        before + 1 + len >= sizeof(ninja->names)) {
        errno = EINVAL;
        return -1;
    }
    struct ninja_rank_pair *more =
        realloc(ninja->transports, (ninja->n_transports + 1) * sizeof(*more));
    if (more == NULL) {
        return -1;
    }
    more[ninja->n_transports] = (struct ninja_rank_pair){ninja->n_transports, peers};
    ninja->transports = more;
    ninja->n_transports++;
    if (before > 0) {
        strcat(ninja->names, ",");
    }
    strcat(ninja->names, name);
    return 0;
}
