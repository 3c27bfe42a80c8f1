/*
 * The protocol between an MPI process (a rank) and the agent of its VM.
 *
 * Transport: a SOCK_SEQPACKET UNIX socket, one message a packet, host byte order, as both ends
 * run on one machine. The agent checks the peer's credentials.
 *
 *     rank                         agent
 *     HELLO (job, rank, size)  ->
 *                              <-  WELCOME | REFUSED (text)
 *                              <-  STOP, DRAIN, ... RESUME: the steps of a switch
 *     REPORT (step, status)    ->                    one for each step, when it is done
 *     BYE                      ->
 *                              <-  BYE_OK            after which the rank may leave MPI
 *
 * A step belongs to an epoch (one switch of the transports, ever growing within a job) and a
 * round (the drain may need several). A repeated step is answered with the same report again;
 * a step of an older epoch is answered with status STALE and changes nothing.
 *
 * Every message has the same form: a header, two tables of (peer rank, number) pairs, the
 * addresses of a rank and a text. What they hold is said at the type, and for a step in
 * common/switch_steps.h; CONNECT comes with a descriptor (SCM_RIGHTS), no other message does.
 *
 * A list of transports, as RELEASE and OPEN have it, is comma-separated and has the names of Open
 * MPI's components. To release: these, or "@bypass" for those that bypass the VMM, "@network" for
 * all that leave the node, "@all" for all but self. To open: those to choose from, each with its
 * interfaces if it is to use some only ("tcp:lo+10.0.0.0/8"), or "@best" for those that the job was
 * started with, "@standby" for those of them that do not bypass the VMM, "@previous" for those
 * before RELEASE. A report of RELEASE that FAILED says in its text what is still open, a line each.
 */
#ifndef NINJA_RANK_PROTO_H
#define NINJA_RANK_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/addresses.h"
#include "common/switch_steps.h"

#define NINJA_RANK_SOCKET      "/run/ninja/agent.sock"
#define NINJA_RANK_MAX_MESSAGE (192u * 1024)
#define NINJA_RANK_MAX_TEXT    4096u
#define NINJA_RANK_MAX_PAIRS   20000u
#define NINJA_RANK_MAX_SIZE    100000u               /* ranks of a job */
#define NINJA_RANK_MAX_EPOCH   (UINT32_MAX - 65536u) /* of a rank: there are higher ones */

#define NINJA_STEP_TYPE(step, name) NINJA_RANK_##step,

enum ninja_rank_type {
    /* from the rank */
    NINJA_RANK_HELLO = 1, /* arg: pid in the sender's namespace; epoch: last one that it took part
                             in; status: its state (enum ninja_rank_state); a: one pair (rank, size
                             of the job); text: "JOB\nVERSION" */
    NINJA_RANK_REPORT,    /* arg: the step's type; status: enum ninja_rank_status; a, b, text: see
                             the step; microseconds that the step took in micros */
    NINJA_RANK_BYE,       /* the rank is in MPI_Finalize */

    /* from the agent */
    NINJA_RANK_WELCOME,
    NINJA_RANK_REFUSED, /* text: why; the rank runs on and does not ask again */
    NINJA_RANK_BYE_OK,

    /* from the agent: the steps, NINJA_RANK_STOP to NINJA_RANK_RESUME. What they and their reports
       hold is in common/switch_steps.h. */
    NINJA_EACH_STEP(NINJA_STEP_TYPE) NINJA_RANK_TYPES,
};

/* What became of a step. */
enum ninja_rank_status {
    NINJA_RANK_OK,
    NINJA_RANK_STATUS_REFUSED, /* cannot be done for this job; text says why; the job runs on */
    NINJA_RANK_FAILED,         /* was tried and failed; text says why */
    NINJA_RANK_STALE,          /* an older epoch, or a step that does not follow the last one */
};

struct ninja_rank_pair {
    uint32_t peer;
    uint32_t value;
};

struct ninja_rank_msg {
    uint16_t type;
    uint16_t round;
    uint32_t epoch;
    uint32_t status;
    uint32_t arg;
    uint32_t micros;
    uint32_t n_a, n_b;
    uint32_t n_addresses; /* bytes, at most NINJA_ADDRESSES_MAX_RANK */
    struct ninja_rank_pair *a, *b;
    void *addresses;
    char *text; /* NUL-terminated, never NULL after decoding */
};

/**
 * Encodes a message.
 *
 * @param msg   a NULL text counts as empty
 * @param size  out: bytes of the result
 * @return a malloc'ed buffer that the caller frees, or NULL: out of memory or over a limit
 */
void *ninja_rank_encode(const struct ninja_rank_msg *msg, size_t *size);

/**
 * Decodes one packet and checks all that can be checked without state: magic, type, limits, and
 * that the lengths add up.
 *
 * @param msg  out: tables, addresses and text are in one malloc'ed block; free with
 *             ninja_rank_msg_clear()
 * @return NULL, or what is wrong (a constant string; msg is then cleared)
 */
const char *ninja_rank_decode(const void *packet, size_t size, struct ninja_rank_msg *msg);

void ninja_rank_msg_clear(struct ninja_rank_msg *msg);

/** Sends one message on a SEQPACKET socket. Returns 0, or -1 with errno set. */
int ninja_rank_send(int sock, const struct ninja_rank_msg *msg);

/**
 * Sends an encoded message.
 *
 * @param passed  a descriptor that goes with it, which stays open here; -1: none
 * @param flags   for sendmsg(2), e.g. MSG_DONTWAIT
 */
int ninja_rank_send_packet(int sock, const void *packet, size_t size, int passed, int flags);

/**
 * Receives one message.
 *
 * @param flags   for recvmsg(2), e.g. MSG_DONTWAIT
 * @param passed  out: the descriptor that came with it, or -1. The caller closes it. NULL: none is
 *                expected, and those that come are closed.
 * @return 1: a message; 0: the peer closed; -1 with errno (EAGAIN: nothing there, EBADMSG: not
 *         of this protocol)
 */
int ninja_rank_recv(int sock, int flags, struct ninja_rank_msg *msg, int *passed);

static inline bool ninja_rank_type_is_step(uint32_t type)
{
    return type >= NINJA_RANK_STOP && type < NINJA_RANK_TYPES;
}

/** The step that a message of that type gives, or that a report with that `arg` is of. */
static inline enum ninja_step ninja_rank_step(uint32_t type)
{
    return (enum ninja_step)(type - NINJA_RANK_STOP);
}

/** The row of that step. */
static inline const struct ninja_switch_step *ninja_rank_step_row(uint32_t type)
{
    return &ninja_switch_steps[ninja_rank_step(type)];
}

/** Names for logs and for the agent's JSON: "stop", "drain", ...; "?" if there is none. */
const char *ninja_rank_type_name(uint16_t type);
/** The step with that name, or 0. */
uint16_t ninja_rank_step_from_name(const char *name);
const char *ninja_rank_status_name(uint32_t status);

#endif
