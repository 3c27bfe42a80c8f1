/*
 * The seam between the steps of a switch and the PML of the job.
 *
 * A row of this table is what a rank does at each step, for one PML and the transports below it.
 * steps.c knows when, a row knows how; nothing else in this folder knows one PML from another.
 * There is a row for each PML whose jobs can be moved, and a job takes the row of the PML that was
 * selected in MPI_Init. docs/protocol.md says what the steps are for.
 *
 * Tables are of pairs (rank in the job, number). They are malloc'ed; NULL and 0 stand for a table
 * whose numbers are all zero. What a row says in a table is read by the same row in other ranks.
 * The coordinator only carries it, and compares: when a number of sent() has changed, it begins
 * another round of drain and settle.
 *
 * A row is called by the thread that serves the agent. From can_drain on, all other threads are
 * outside of what is behind the gate; at release, open and connect none is in MPI's event loop,
 * either.
 */
#ifndef NINJA_TRANSPORT_LAYER_H
#define NINJA_TRANSPORT_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addresses.h"
#include "common/rank_proto.h"

/* The PMLs that have a row here, transport_layer_NAME, by the names of their components. PMLs of
 * our own bring theirs with them (own_pml.h). */
#define TRANSPORT_LAYERS(ROW) ROW(ob1)

/* How to come in through the gate, and out again; try_enter is false at a shut gate. */
struct gate_doors {
    bool (*try_enter)(void);
    void (*leave)(void);
};

enum layer_outcome { LAYER_UNDERWAY, LAYER_DONE, LAYER_FAILED };

struct transport_layer {
    /* --- in MPI_Init and MPI_Finalize --- */

    /** False with the reason: this MPI library cannot be worked with, and nothing is left open. */
    bool (*start)(char *why, size_t size);
    void (*end)(void);
    /**
     * Several threads may be inside MPI: puts what leads to a transport behind the gate. The gate
     * has been built, and the functions of the PML are behind it (calls.c).
     */
    void (*gate)(const struct gate_doors *doors);

    /* --- before anything is done --- */

    /** Whether the lists of transports for release and open are possible, as far as one can see. */
    bool (*can_choose)(const char *release, const char *open, char *why, size_t size);
    /** Whether a drain can work now; why names the communicator that stands in the way. */
    bool (*can_drain)(char *why, size_t size);

    /* --- drain and settle; resume takes them back --- */

    /** How much was sent to each peer so far, modulo 2^16. The peer gets this with drain. NULL, as
     * for the other tables: out of memory. */
    struct ninja_rank_pair *(*sent)(uint32_t *n);
    /** How many messages of each peer are here unmatched and stay so. It gets this with settle. */
    struct ninja_rank_pair *(*held)(uint32_t *n);
    /**
     * Begins to bring here what each peer has sent.
     *
     * @param turn  of the drain: the same in all ranks, and higher in each later one
     */
    void (*drain)(uint64_t turn, const struct ninja_rank_pair *sent, uint32_t n);
    /** Begins to complete all sends but as many to each peer as it holds unmatched. */
    void (*settle)(const struct ninja_rank_pair *held, uint32_t n);

    /* --- the transports --- */

    /** Parks the messages that are left, and lets go of the transports of the list. */
    bool (*release)(const char *list, char *why, size_t size);
    /**
     * Opens those of the list, in place of what an earlier list has opened since release.
     *
     * @param size  out: bytes of the result, at most NINJA_ADDRESSES_MAX_RANK
     * @return the addresses by which others reach this rank, malloc'ed; NULL with the reason
     */
    void *(*open)(const char *list, uint32_t *size, char *why, size_t why_size);
    /**
     * Chooses by what each peer is reached.
     *
     * @param addresses  what open() gave in each rank; taken over, also if this fails
     */
    bool (*connect)(struct ninja_addresses *addresses, char *why, size_t size);
    /**
     * The transports in use: pairs of (index, number of peers reached by it).
     *
     * @param names  out: their names in the same order, comma-separated
     */
    struct ninja_rank_pair *(*in_use)(uint32_t *n, char *names, size_t size);
    /**
     * Begins to send a message that carries nothing to each peer with which this rank has ever
     * exchanged messages, by each transport that was chosen for the peer.
     *
     * @param limit_ms  after which the caller gives up
     */
    bool (*verify)(unsigned limit_ms, char *why, size_t size);

    /* --- meanwhile --- */

    /** Makes progress with what was begun last: drain, settle or verify. */
    enum layer_outcome (*advance)(void);
    /** What advance() waits for, why it failed, or, if it is done, what the user should know. */
    void (*describe)(char *text, size_t size);
    /** Makes the progress that peers may need, between two steps and while there are transports. */
    void (*attend)(void);
    /** This rank goes back to the application: before release, or after verify. */
    void (*resume)(void);
};

/** The row of the PML of that name; NULL: jobs on it cannot be moved. */
const struct transport_layer *transport_layer_of(const char *pml);

#endif
