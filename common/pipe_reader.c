#include "common/pipe_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIECE      4096
#define MAX_PIECES 64 /* so that a process that writes without end does not keep us */

static void read_pieces(struct pipe_reader *reader)
{
    int n, pieces = 0;
    do {
        errno = 0;
        n = evbuffer_read(reader->bytes, reader->fd, PIECE);
        if (n > 0) {
            reader->take(reader->arg, reader->bytes, false);
        }
    } while ((n > 0 && ++pieces < MAX_PIECES) || (n < 0 && errno == EINTR));
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        event_del(reader->readable);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    read_pieces(arg);
}

static void close_all(struct pipe_reader *reader)
{
    if (reader->readable != NULL) {
        event_free(reader->readable);
    }
    if (reader->bytes != NULL) {
        evbuffer_free(reader->bytes);
    }
    close(reader->fd);
    *reader = (struct pipe_reader){0};
}

int pipe_reader_start(struct pipe_reader *reader, struct event_base *base, pipe_reader_take *take,
                      void *arg)
{
    int ends[2];
    *reader = (struct pipe_reader){.take = take, .arg = arg};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* our end only: a process may not expect it of its own */
    reader->fd = ends[0];
    reader->bytes = evbuffer_new();
    reader->readable = event_new(base, reader->fd, EV_READ | EV_PERSIST, on_readable, reader);
    if (reader->bytes == NULL || reader->readable == NULL ||
        event_add(reader->readable, NULL) != 0) {
        close_all(reader);
        close(ends[1]);
        errno = ENOMEM;
        return -1;
    }
    return ends[1];
}

void pipe_reader_end(struct pipe_reader *reader)
{
    if (reader->bytes == NULL) {
        return;
    }
    read_pieces(reader);
    reader->take(reader->arg, reader->bytes, true);
    close_all(reader);
}
