/*
 * Fault points: places in the rank, the agent and the coordinator at which a test makes that process
 * fail. They are compiled in, cost a test of a flag, and do nothing unless the environment says
 *
 *     NINJA_FAULT=WHO:CLASS:N:KIND       for example coordinator:state:17:crash
 *
 * WHO is "coordinator", "agent", or "rank" with a number; the N-th point of the class that this process
 * passes fails, once. So a test can walk all of them: N = 1, 2, ... until a run does not reach N.
 *
 *     class     points                                  kinds
 *     state     before and after each change of state   crash, stall, stall=MS
 *     step      at the beginning of each step           crash, stall, stall=MS, error
 *     message   at each message sent or received        crash, stall, stall=MS, lost, repeated, late
 */
#ifndef NINJA_FAULT_H
#define NINJA_FAULT_H

enum ninja_fault_class {
    NINJA_FAULT_STATE,
    NINJA_FAULT_STEP,
    NINJA_FAULT_MESSAGE,
};

enum ninja_fault {
    NINJA_FAULT_NONE, /* go on; a stall is over, a crash does not return */
    NINJA_FAULT_ERROR,
    NINJA_FAULT_LOST,
    NINJA_FAULT_REPEATED,
    NINJA_FAULT_LATE, /* after the next one */
};

/**
 * Reads the environment. What it holds for somebody else, or does not make sense, is ignored.
 *
 * @param who     this process's role; copied
 * @param number  of a rank; -1: the role has none
 */
void ninja_fault_init(const char *who, int number);

/**
 * Passes a point.
 *
 * @return what the caller is to make of it
 */
enum ninja_fault ninja_fault(enum ninja_fault_class class, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
