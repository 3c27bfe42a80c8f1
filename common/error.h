/*
 * An error with a class that programs test and a message that people read.
 *
 * It is set where the fault is seen; the first one wins, and callers add where, not what.
 */
#ifndef NINJA_ERROR_H
#define NINJA_ERROR_H

#include <stdbool.h>

/* All classes, with their names on the wire, in reports and in logs. */
#define NINJA_ERROR_CLASSES(X)                                                                     \
    X(ERR_ABORTED, "Aborted")                                                                      \
    X(ERR_ABSENT, "Absent")                                                                        \
    X(ERR_ADDRESS, "Address")                                                                      \
    X(ERR_BAD_ARGUMENT, "BadArgument")                                                             \
    X(ERR_BAD_REQUEST, "BadRequest")                                                               \
    X(ERR_BAD_STEP, "BadStep")                                                                     \
    X(ERR_BUSY, "Busy")                                                                            \
    X(ERR_CANCELLED, "Cancelled")                                                                  \
    X(ERR_CHANGED, "Changed")                                                                      \
    X(ERR_CLOSED, "Closed")                                                                        \
    X(ERR_CLUSTER_FILE, "ClusterFile")                                                             \
    X(ERR_COMMAND, "Command")                                                                      \
    X(ERR_COMMAND_NOT_FOUND, "CommandNotFound")                                                    \
    X(ERR_CONFIG, "Config")                                                                        \
    X(ERR_CONFLICT, "Conflict")                                                                    \
    X(ERR_CONNECT, "Connect")                                                                      \
    X(ERR_COPY, "Copy")                                                                            \
    X(ERR_DEVICE, "Device")                                                                        \
    X(ERR_DEVICE_NOT_FOUND, "DeviceNotFound")                                                      \
    X(ERR_ENDED, "Ended")                                                                          \
    X(ERR_EXISTS, "Exists")                                                                        \
    X(ERR_FAILED, "Failed")                                                                        \
    X(ERR_FAULT, "Fault")                                                                          \
    X(ERR_FORBIDDEN, "Forbidden")                                                                  \
    X(ERR_GENERIC, "GenericError")                                                                 \
    X(ERR_HELD, "Held")                                                                            \
    X(ERR_HOOK, "Hook")                                                                            \
    X(ERR_INCOMPLETE, "Incomplete")                                                                \
    X(ERR_INTERRUPTED, "Interrupted")                                                              \
    X(ERR_IN_USE, "InUse")                                                                         \
    X(ERR_IO, "Io")                                                                                \
    X(ERR_JOB_NOT_READY, "JobNotReady")                                                            \
    X(ERR_LOST, "Lost")                                                                            \
    X(ERR_NOTHING_INTERRUPTED, "NothingInterrupted")                                               \
    X(ERR_NOTHING_TO_DO, "NothingToDo")                                                            \
    X(ERR_NOT_FOUND, "NotFound")                                                                   \
    X(ERR_NOT_READY, "NotReady")                                                                   \
    X(ERR_NO_MEMORY, "NoMemory")                                                                   \
    X(ERR_NO_ROOM, "NoRoom")                                                                       \
    X(ERR_NO_SUCH_JOB, "NoSuchJob")                                                                \
    X(ERR_NO_SUCH_SITE, "NoSuchSite")                                                              \
    X(ERR_NO_SUCH_VM, "NoSuchVM")                                                                  \
    X(ERR_OPERATOR, "Operator")                                                                    \
    X(ERR_PROTOCOL, "Protocol")                                                                    \
    X(ERR_PROTOCOL_MISMATCH, "ProtocolMismatch")                                                   \
    X(ERR_REFUSED, "Refused")                                                                      \
    X(ERR_RELEASE, "Release")                                                                      \
    X(ERR_RESELECT, "Reselect")                                                                    \
    X(ERR_RESUME, "Resume")                                                                        \
    X(ERR_ROLLED_BACK, "RolledBack")                                                               \
    X(ERR_SCRIPT, "Script")                                                                        \
    X(ERR_STALE, "Stale")                                                                          \
    X(ERR_STALE_EPOCH, "StaleEpoch")                                                               \
    X(ERR_STATE, "State")                                                                          \
    X(ERR_TIMEOUT, "Timeout")                                                                      \
    X(ERR_TOO_LARGE, "TooLarge")                                                                   \
    X(ERR_UNKNOWN, "Unknown")                                                                      \
    X(ERR_UNPLUG, "Unplug")                                                                        \
    X(ERR_USAGE, "Usage")

#define NINJA_ERROR_CLASS(class, name) class,
enum ninja_error_class { ERR_NONE, NINJA_ERROR_CLASSES(NINJA_ERROR_CLASS) };
#undef NINJA_ERROR_CLASS

struct ninja_error {
    enum ninja_error_class class;
    char message[640]; /* what, where and what to do next, in one sentence or two; one line */
};

#define NINJA_ERROR_INIT                                                                           \
    {                                                                                              \
        ERR_NONE, ""                                                                               \
    }

/**
 * Sets an error unless one is set already.
 *
 * @param err   where to put it; NULL is allowed and ignores the error
 * @param fmt   printf format of the message; %m is the current errno
 * @return always false, so that a function returning bool can end with it
 */
bool ninja_error_set(struct ninja_error *err, enum ninja_error_class class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Puts "<where>: " before the message of an error that is set. Returns false. */
bool ninja_error_where(struct ninja_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** The name of a class; "" for ERR_NONE. */
const char *ninja_error_class_name(enum ninja_error_class class);

/** The class that another party named; ERR_GENERIC for a name that is not known here, or NULL. */
enum ninja_error_class ninja_error_class_of(const char *name);

static inline bool ninja_error_is_set(const struct ninja_error *err)
{
    return err->class != ERR_NONE;
}

#endif
