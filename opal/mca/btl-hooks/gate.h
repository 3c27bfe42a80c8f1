/*
 * A gate before MPI's communication, for a process in which several threads may be inside MPI.
 *
 * Whatever reaches a transport is bracketed by gate_enter() and gate_leave(). One thread, the
 * keeper, shuts the gate and waits until all others are out; from then on it is alone with the
 * transports until it lifts the gate. Where no gate was built, one thread at a time is inside MPI,
 * so the caller is alone anyway: then shutting does nothing, and all others are always out.
 */
#ifndef NINJA_GATE_H
#define NINJA_GATE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Builds the gate. It stays until the process ends, as the DSO that this is part of does (-z
 * nodelete).
 *
 * @return false with the reason: the kernel lacks membarrier(2), or out of memory
 */
bool gate_build(char *why, size_t size);
bool gate_is_built(void);

/** Comes in; waits at a shut gate, unless this thread is in already or is the keeper. */
void gate_enter(void);
/** The same without waiting: false if the gate is shut. */
bool gate_try_enter(void);
/** The same past a shut gate, for what cannot wait: the delivery of a message. */
void gate_enter_regardless(void);
void gate_leave(void);

/** Whether this thread is in, so that it cannot become the keeper. */
bool gate_is_inside(void);

/** Makes this thread the keeper. The caller sees to it that there is only one. */
void gate_shut(void);
/** Whether all but the keeper are out. */
bool gate_all_are_out(void);
/** Lets everybody in again. */
void gate_lift(void);

/** Runs what is due in MPI's event loop, and nothing else. */
void gate_run_events(void);

/**
 * Runs a function while no thread is in MPI's event loop, from which transports are called without
 * passing the gate. For the keeper, when all are out.
 *
 * @return false: a thread did not leave the event loop in 10 s, and the function was not run
 */
bool gate_run_alone(void (*function)(void *), void *arg);

#endif
