/*
 * A command that goes on in the background, from the moment at which it is sure to begin.
 */
#ifndef NINJA_DETACH_H
#define NINJA_DETACH_H

#include <stdbool.h>

#include "common/error.h"

struct detach {
    int pipe; /* to the process that waits; -1: nobody does */
};

/**
 * Forks. Before anything that a child does not inherit, such as record locks.
 *
 * The parent waits until the child either calls detach_accept(), or ends without that.
 *
 * @param text  out, in the parent: what detach_accept() was given; empty: the child just ended
 * @param code  out, in the parent: 0, or the exit code of the child that ended
 * @return whether this is the child
 */
bool detach_fork(struct detach *detach, char *text, int size, int *code);

/**
 * In the child: leaves the session of the terminal, lets standard output and error go to the end of
 * a file and standard input be empty.
 *
 * @return false with err (class ERR_STATE): the file cannot be written, and nothing was changed
 */
bool detach_to_log(const char *log_path, struct ninja_error *err);

/** In the child: lets the parent return the text. */
void detach_accept(struct detach *detach, const char *text);

#endif
