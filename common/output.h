/*
 * Standard output, which may be a full disk or a pipe that nobody reads: looked at once, when a
 * program ends, in place of after each thing that it prints.
 */
#ifndef NINJA_OUTPUT_H
#define NINJA_OUTPUT_H

#include <stdbool.h>

/**
 * Before anything is opened: the numbers of standard input, output and error that are closed are
 * taken, so that nothing which is printed gets into a file of ours. Writing there fails.
 */
void output_begin(void);

/**
 * Writes what is still to be written, and closes standard output. Says what is wrong to standard
 * error; but not that a pipe's reader has left, as he did so knowingly.
 *
 * @return false if not all that was printed has been written
 */
bool output_end(const char *program);

#endif
