/*
 * What the files of libninja share: one program's membership in a job.
 */
#ifndef NINJA_HANDLE_H
#define NINJA_HANDLE_H

#include "common/addresses.h"
#include "common/member.h"
#include "common/rank_link.h"
#include "lib/ninja.h"

struct ninja {
    struct rank_link link;
    struct member member;
    struct ninja_callbacks callbacks;
    void *arg;
    char *agent, *job;
    uint32_t rank, size;

    /* Waiting, see ninja.c. */
    int epoll, timer;
    unsigned watched; /* the connection that epoll has */
    bool calling;     /* a callback: it must not dispatch, and close only later */
    bool closed;
    bool leaving, may_leave;
    unsigned bye_sent; /* by which connection */

    /* The order that is not ended yet, see orders.c. */
    uint64_t number;   /* the last one */
    uint16_t underway; /* its step, NINJA_RANK_STOP and so on; 0: none is */
    bool holds;        /* something that release lets go of */
    bool bypass;       /* the last open might open what bypasses the VMM */
    bool had_bypass;   /* and so might that before the last release */
    bool before_open;  /* it is a release that comes before an open */
    bool open_next;    /* that release is over */
    char *list;        /* of the last release or open */

    /* What goes into reports, and came with steps. */
    int32_t *sent;     /* to each peer, -1: nothing said; NULL: of none */
    void *own_address; /* NULL: none was said */
    size_t own_size;
    char names[NINJA_RANK_MAX_TEXT + 1]; /* of transports, separated by commas */
    struct ninja_rank_pair *transports;
    uint32_t n_transports;
    struct ninja_addresses addresses;
};

/** Begins what the agent asks for. */
void order_begin(struct ninja *ninja, const struct ninja_rank_msg *msg);
/** Goes on with an open when the release before it is over. */
void order_open_next(struct ninja *ninja);
/** The agent was silent too long: runs on, and has the program do so. */
void order_run_on(struct ninja *ninja);
/** Ends the order that is underway. */
void order_end(struct ninja *ninja, enum ninja_rank_status status, const char *why);
void order_clear(struct ninja *ninja);

#endif
