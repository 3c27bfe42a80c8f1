/*
 * libninja: for programs that hold a device which bypasses the VMM, and are to live on when their
 * VM is migrated. ninja(3) and docs/libninja.md describe it.
 *
 * The program joins the ninja-agent of its VM as a rank of a job, polls a descriptor, and calls
 * ninja_dispatch() where it is safe to do so. That calls back for each step of a switch:
 *
 *     stop      start nothing new: neither messages nor other work on the device
 *     drain     receive all that peers have sent
 *     settle    wait for the end of all that this process has sent
 *     release   let go of the device: no descriptor, no mapping, no memory of it is left
 *     open      open what is there now, and say by which address peers reach it
 *     connect   connect to the peers, whose addresses are here now
 *     verify    see that it works
 *     resume    go on. It may come before release, too, and takes the steps before that back
 *
 * Each callback ends its step by ninja_done() or ninja_fail(), before it returns or later. A
 * further callback means that the step before it is over, even if it was not ended.
 *
 * One thread at a time uses a struct ninja. No function waits.
 */
#ifndef NINJA_H
#define NINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ninja;

/* So many messages of this or another rank. */
struct ninja_count {
    uint32_t rank;
    uint32_t messages; /* modulo 2^16 */
};

/* A step that is to be done. It and all that it points to is there until the callback returns. */
struct ninja_order {
    const char *step;  /* "stop", "drain", ... */
    uint64_t number;   /* for ninja_done() and ninja_fail() */
    uint32_t epoch;    /* of the switch: it grows with each one */
    uint32_t limit_ms; /* verify: the time that there is for it; else 0: not known */
    /* stop: what release and open are going to bring, or NULL: not known; release or open: what is
     * to be let go of or to be opened; else NULL. Lists of transports, see ninja(3). */
    const char *release, *open;
    /* open: whether a device that bypasses the VMM may be opened. If not, the VM is about to lose
     * it, or is to live without. */
    bool bypass;
    /* drain: what each peer has sent to this rank. A peer that counted nothing is not among them.
     */
    const struct ninja_count *sent;
    size_t n_sent;
};

/** @param arg  that of ninja_join() */
typedef void ninja_callback(struct ninja *ninja, const struct ninja_order *order, void *arg);

/* NULL: there is nothing to do for that step. release and open must be there. */
struct ninja_callbacks {
    size_t size; /* sizeof(struct ninja_callbacks) */
    ninja_callback *stop, *drain, *settle, *release, *open, *connect, *verify, *resume;
    /** What happens, a line each; level: 0 what a user must see, 1 should know, 10 and 20 details
     */
    void (*say)(int level, const char *text, void *arg);
};

/**
 * Joins the agent of this VM. If none is there, or it is started again, it is looked for from time
 * to time; the program can be migrated when it was found.
 *
 * @param agent  the path of its socket; NULL: the usual one, /run/ninja/agent.sock
 * @param job    the name that all processes of the program have in common, and no other program of
 *               the cluster has: 1 to 255 printable characters without blanks; NULL, only for a
 *               program of one process: one that is made of program, host and process
 * @param rank   which of the processes this is, from 0
 * @param size   how many there are, for as long as the job lives
 * @param callbacks  copied
 * @param arg    for the callbacks
 * @return NULL with errno EINVAL, ENAMETOOLONG, or what the system says (ENOMEM, EMFILE, ...)
 */
struct ninja *ninja_join(const char *agent, const char *job, uint32_t rank, uint32_t size,
                         const struct ninja_callbacks *callbacks, void *arg);

/** Readable when ninja_dispatch() has something to do. It is the same one until ninja_close(). */
int ninja_descriptor(const struct ninja *ninja);

/**
 * Does what there is to do, and calls the callbacks.
 *
 * @return 0; 1: this rank has left, see ninja_leave(); -1 with errno EBUSY: called by a callback,
 * or EACCES: the agent refused this process for good, and `say` was told why
 */
int ninja_dispatch(struct ninja *ninja);

/**
 * The step is done.
 *
 * @param number  of its order
 * @return 0, or -1 with errno ESTALE: that step is over
 */
int ninja_done(struct ninja *ninja, uint64_t number);

/**
 * The step has failed. Up to settle all is taken back by resume, and the switch tried again later.
 * Of stop it means that this process cannot be switched now; it runs on, and resume does not come.
 * A release that failed is over all the same: open comes next. If open, connect or verify fail,
 * open comes again with another list, and release before it.
 *
 * @param why  for the operator, one line; copied
 */
int ninja_fail(struct ninja *ninja, uint64_t number, const char *why);

/**
 * How many messages this process has sent to a peer since it joined. What was said by the end of
 * stop goes to the peer with drain; if drain or settle end with other numbers, all drain again. A
 * program that knows by itself when everything has arrived need not count.
 *
 * @return 0, or -1 with errno EINVAL: there is no such peer; ENOMEM
 */
int ninja_say_sent(struct ninja *ninja, uint32_t peer, uint32_t messages);

/**
 * In open, before it is done: by what peers reach this process; its meaning is the program's own.
 * A program of several processes must say something.
 *
 * @param size  1 to 65536 bytes
 * @return 0, or -1 with errno EINVAL or ENOMEM
 */
int ninja_say_address(struct ninja *ninja, const void *address, size_t size);

/** From connect on until the next open: what a rank has said, and its size; NULL: there is none. */
const void *ninja_address(const struct ninja *ninja, uint32_t rank, size_t *size);

/**
 * In connect, before it is done: that so many peers are reached by that transport, for ninjactl.
 *
 * @param name  up to 63 letters, digits and other printable characters, but no comma or blank
 * @return 0, or -1 with errno EINVAL or ENOMEM
 */
int ninja_say_transport(struct ninja *ninja, const char *name, uint32_t peers);

/** Whether no switch is going on, so that the program may use what it has. */
bool ninja_is_running(const struct ninja *ninja);

/**
 * Tells the agent that this process is about to end its part of the job, which cannot be switched
 * any more from then on. A switch that is going on goes on: dispatch until ninja_dispatch()
 * returns 1.
 */
void ninja_leave(struct ninja *ninja);

/** Ends the connection, and frees all. In a callback it is done when that has returned. */
void ninja_close(struct ninja *ninja);

#ifdef __cplusplus
}
#endif

#endif
