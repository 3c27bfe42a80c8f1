/*
 * What a process writes, line by line, for the log. It may write whatever and as much as it likes.
 */
#ifndef NINJA_LINE_READER_H
#define NINJA_LINE_READER_H

#include <event2/event.h>
#include <stddef.h>

#define LINE_READER_MAX_LINE  480 /* longer ones are cut */
#define LINE_READER_MAX_LINES 200 /* that are logged */

struct line_reader {
    const char *name; /* before each line; borrowed */
    int fd;
    struct event *readable;
    char line[LINE_READER_MAX_LINE + 1], last[LINE_READER_MAX_LINE + 1];
    size_t len;
    int lines;
};

/**
 * Makes a pipe and reads it from the event loop.
 *
 * @return the end to write to, which the caller closes; -1 with errno
 */
int line_reader_start(struct line_reader *reader, struct event_base *base, const char *name);

/** Takes what is there yet, and ends. A reader that was not started is left alone. */
void line_reader_end(struct line_reader *reader);

/** The last line that was not empty, also after the end. */
const char *line_reader_last(const struct line_reader *reader);

#endif
