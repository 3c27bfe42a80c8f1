/*
 * A program of the administrator's that runs beside the event loop, in a session of its own, for a
 * limited time.
 */
#ifndef NINJA_PROCESS_H
#define NINJA_PROCESS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

struct process;

struct process_options {
    char *const *argv; /* argv[0] is a path */
    char *const *env;
    int input;         /* descriptor; -1: empty */
    int output, error; /* descriptors; the process gets copies */
    int timeout_ms;
};

/**
 * From the event loop, once. The process may be freed in it.
 *
 * @param status     as of waitpid(); -1: not even SIGKILL ended it, and it is left behind
 * @param timed_out  its time was over, or process_stop() was called
 */
typedef void (*process_done)(void *arg, int status, bool timed_out);

/**
 * Starts a process, for a caller that sees to its end itself; without a time-out.
 *
 * @param pid  out
 * @return an errno, or 0
 */
int process_spawn(const struct process_options *options, pid_t *pid);

/**
 * Starts it. When its time is over its group gets SIGTERM, a second later SIGKILL. Its end is that
 * of the process, not of its output: it may have left a daemon behind.
 *
 * @return NULL with err, class ERR_COMMAND
 */
struct process *process_start(struct event_base *base, const struct process_options *options,
                              process_done done, void *arg, struct ninja_error *err);

pid_t process_pid(const struct process *process);

/** Its time is over now; `done` follows. */
void process_stop(struct process *process);

/** Kills it if it still runs; `done` is not called any more. NULL is allowed. */
void process_free(struct process *process);

/** The program that this variable of the environment names, or the one that was installed. */
const char *process_program(const char *variable, const char *installed);

/**
 * The environment of this process, with other values for some names.
 *
 * @return as for posix_spawn(), NULL when out of memory; freed with process_environment_free()
 */
char **process_environment(const char *const (*values)[2], size_t n);
void process_environment_free(char **env);

#endif
