/*
 * The steps of a switch, in their order: docs/protocol.md, section 1.
 */
#ifndef NINJA_SWITCH_STEPS_H
#define NINJA_SWITCH_STEPS_H

enum step {
    STOP,
    DRAIN,
    SETTLE,
    RELEASE,
    OPEN,
    CONNECT,
    VERIFY,
    RESUME,
};
#define STEPS (RESUME + 1)

/* As agents are told them, and as they stand in reports. */
extern const char *const switch_step_names[STEPS];

#endif
