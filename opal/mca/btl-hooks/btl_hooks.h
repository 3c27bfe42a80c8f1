/*
 * Release and re-selection of the BTLs of a running MPI process.
 *
 * The caller guarantees that no message is in flight and that nobody else is inside MPI. It carries
 * the addresses that btl_open() gives to all other ranks, for their btl_connect().
 *
 * A list of BTL components is comma-separated. A name may be followed by ":" and interfaces joined
 * by "+", on which alone it is opened then: "tcp:lo+10.1.0.0/16,self". A list may also be one of
 *   @all      all but self
 *   @network  all but self and those that work by shared memory
 *   @bypass   those that use a VMM-bypass device (the MCA parameter crcp_ninja_bypass)
 *   @best     those that the job was started with
 *   @standby  those of @best that are not of @bypass, and tcp
 *   @previous what was in use before the last release, with its interfaces
 */
#ifndef NINJA_BTL_HOOKS_H
#define NINJA_BTL_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addresses.h"
#include "opal/mca/mca.h"

/**
 * Remembers what the job was started with, and follows the addresses that BTLs publish from now on.
 *
 * @param bypass  comma-separated components that use a VMM-bypass device; borrowed
 */
void btl_hooks_open(const char *bypass);
void btl_hooks_close(void);

/** Puts the BTLs' progress functions behind the gate, before other threads can call them. */
void btl_hooks_gate(void);

/**
 * Whether the lists are possible, as far as can be seen before anything is done: the components are
 * installed, and do not leave out processes on this or on other nodes.
 */
bool btl_check(const char *release, const char *open, char *why, size_t size);

/**
 * Lets go of the components of the list: their connections, modules, and the DSO itself. Processes
 * that were reached through none of them keep their connections. A component that is not open is
 * ignored. Until btl_settle() the error of a BTL does not end the job.
 */
bool btl_release(const char *list, char *why, size_t size);

/**
 * Opens those components of the list that are not open, or not on the interfaces that the list
 * says, if they find a device; those with interfaces must find one. Components that are not in the
 * list stay open, but for those that an earlier call after the same btl_release() opened: when that
 * turned out not to connect, the next list begins where it did.
 *
 * @param size  out: bytes of the result
 * @return by which addresses others reach this process, malloc'ed; NULL with a reason
 */
void *btl_open(const char *list, uint32_t *size, char *why, size_t why_size);

/**
 * Chooses for the processes that btl_release() disconnected the best BTL that now reaches each.
 *
 * @param addresses  what btl_open() gave in each rank of the job; taken over
 * @return false: a process is reached by no transport; btl_open() may then be called again, with
 *         another list, by all ranks
 */
bool btl_connect(struct ninja_addresses *addresses, char *why, size_t size);

/**
 * Begins to verify that what btl_connect() chose works: a message that carries nothing goes to each
 * peer with a higher rank than this one's, by each BTL that was chosen to reach it. BTLs connect
 * with the first message only. A BTL that carries nothing to a peer is left out for it if another
 * one does. All ranks must have done btl_connect(), and make progress.
 *
 * @param peers     by rank, whether the two ranks are to reach each other
 * @param n         entries
 * @param limit_ms  after which the caller gives up
 * @return false: out of memory
 */
bool btl_verify(const bool *peers, size_t n, unsigned limit_ms);

/** Sends what is to be sent, and says how far it is. Call it and btl_progress() until it is over.
 */
enum btl_verdict {
    BTL_WAITING,
    BTL_REACHED,   /* a message went to each of the peers */
    BTL_UNREACHED, /* none can be sent to one of them; another list is to be opened */
};
enum btl_verdict btl_verdict(void);

/** By the last verdict, what was left out, went wrong, or is waited for; empty: nothing. */
void btl_verify_describe(char *text, size_t size);

/** Answers peers that verify. Call it with btl_progress() from btl_connect() to btl_settle(). */
void btl_verify_attend(void);

/** The job goes on: what was opened is not taken back any more. */
void btl_settle(void);

/**
 * Makes progress in the transports. Where other threads may run, it does nothing else: a collective
 * or a communicator that one of them has begun would otherwise send its first messages from here.
 */
void btl_progress(void);

/** How many processes are reached by each transport; returns the number of entries filled. */
struct btl_use {
    char name[MCA_BASE_MAX_COMPONENT_NAME_LEN + 1];
    uint32_t peers;
};
size_t btl_in_use(struct btl_use *use, size_t max);

#endif
