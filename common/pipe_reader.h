/*
 * A pipe that is read from the event loop: what a process writes to its output.
 *
 * It may write whatever, and as much as it likes, and it may leave the pipe to a daemon that never
 * closes it: so each look at the pipe has an end, and the owner ends the reader when the process
 * has ended.
 */
#ifndef NINJA_PIPE_READER_H
#define NINJA_PIPE_READER_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>

/**
 * Called after each piece that was read, of at most 4096 bytes. What the callback leaves in the
 * buffer is still there at the next call.
 *
 * @param ended  this is the last call
 */
typedef void pipe_reader_take(void *arg, struct evbuffer *bytes, bool ended);

struct pipe_reader {
    int fd;
    struct event *readable;
    struct evbuffer *bytes; /* NULL: it was not started, or has ended */
    pipe_reader_take *take;
    void *arg;
};

/**
 * Makes a pipe and begins to read it.
 *
 * @return the end to write to, which the caller closes; -1 with errno, and nothing is to be ended
 */
int pipe_reader_start(struct pipe_reader *reader, struct event_base *base, pipe_reader_take *take,
                      void *arg);

/** Takes what is in the pipe, and ends. A reader that is all zero, or has ended, is left alone. */
void pipe_reader_end(struct pipe_reader *reader);

#endif
