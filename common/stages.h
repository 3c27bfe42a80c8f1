/*
 * The stages of a VM in a migration, in the order in which it goes through them: the one list of
 * them, for the coordinator, which times them, and for what shows a report. Their names stand in
 * reports; docs/report.md says what they are.
 */
#ifndef NINJA_STAGES_H
#define NINJA_STAGES_H

#define NINJA_EACH_STAGE(X)                                                                        \
    X(PREPARE, "prepare")                                                                          \
    X(DETACH, "detach")                                                                            \
    X(UNPLUG, "unplug")                                                                            \
    X(COPY, "copy")                                                                                \
    X(CONNECT, "connect") /* to the agent, at the destination */                                   \
    X(FINISH, "finish")   /* the source QEMU ends */                                               \
    X(PLUG, "plug")                                                                                \
    X(ATTACH, "attach")                                                                            \
    X(LINK, "link")

#endif
