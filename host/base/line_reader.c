#include "host/base/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/printable.h"

#define MAX_ROUNDS 64 /* so that one that writes without end does not keep us */

static void take_line(struct line_reader *reader)
{
    reader->line[reader->len] = '\0';
    reader->len = 0;
    ninja_printable(reader->line);
    if (reader->line[strspn(reader->line, " ")] == '\0') {
        return;
    }
    strcpy(reader->last, reader->line);
    if (reader->lines < LINE_READER_MAX_LINES) {
        ninja_log_info("%s: %s", reader->name, reader->line);
    } else if (reader->lines == LINE_READER_MAX_LINES) {
        ninja_log_warning("%s: further lines are left out", reader->name);
    }
    reader->lines++;
}

static void take(struct line_reader *reader, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            take_line(reader);
        } else if (reader->len < LINE_READER_MAX_LINE) {
            reader->line[reader->len++] = bytes[i] != '\0' ? bytes[i] : '?';
        }
    }
}

static void drain(struct line_reader *reader)
{
    char bytes[4096];
    ssize_t n;
    int rounds = 0;
    do {
        n = read(reader->fd, bytes, sizeof(bytes));
        if (n > 0) {
            take(reader, bytes, (size_t)n);
        }
    } while ((n > 0 && ++rounds < MAX_ROUNDS) || (n < 0 && errno == EINTR));
    if (n == 0) {
        event_del(reader->readable);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    drain(arg);
}

int line_reader_start(struct line_reader *reader, struct event_base *base, const char *name)
{
    int ends[2];
    *reader = (struct line_reader){.name = name, .fd = -1};
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -1;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* our end only: who writes may not expect it */
    reader->fd = ends[0];
    reader->readable = event_new(base, ends[0], EV_READ | EV_PERSIST, on_readable, reader);
    event_add(reader->readable, NULL);
    return ends[1];
}

void line_reader_end(struct line_reader *reader)
{
    if (reader->readable == NULL) {
        return;
    }
    drain(reader);
    if (reader->len > 0) {
        take_line(reader);
    }
    event_free(reader->readable);
    reader->readable = NULL;
    close(reader->fd);
}

const char *line_reader_last(const struct line_reader *reader)
{
    return reader->last;
}
