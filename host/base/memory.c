#include "host/base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void out_of_memory(void) __attribute__((noreturn));

static void out_of_memory(void)
{
    fprintf(stderr,
            "%s: out of memory; if this interrupted a migration, ninjactl resume takes it on\n",
            program_invocation_short_name);
    _exit(EXIT_MEMORY);
}

void *xchecked(void *memory)
{
    if (memory == NULL) {
        out_of_memory();
    }
    return memory;
}

void *xmalloc(size_t size)
{
    return xchecked(malloc(size > 0 ? size : 1));
}

void *xcalloc(size_t n, size_t size)
{
    return xchecked(n > 0 && size > 0 ? calloc(n, size) : calloc(1, 1));
}

void *xrealloc(void *memory, size_t size)
{
    return xchecked(realloc(memory, size > 0 ? size : 1));
}

char *xstrdup(const char *text)
{
    return xchecked(strdup(text));
}

char *xstrndup(const char *text, size_t len)
{
    return xchecked(strndup(text, len));
}

char *xvasprintf(const char *fmt, va_list ap)
{
    char *text;
    return xchecked(vasprintf(&text, fmt, ap) >= 0 ? text : NULL);
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    return text;
}

/* ---- streams ---- */

/* Where a stream writes to. That of open_memstream() loses a text silently for lack of memory. */
struct stream {
    char **text;
    size_t *size;
};

static ssize_t stream_write(void *cookie, const char *bytes, size_t n)
{
    struct stream *stream = cookie;
    *stream->text = xrealloc(*stream->text, *stream->size + n + 1);
    memcpy(*stream->text + *stream->size, bytes, n);
    *stream->size += n;
    (*stream->text)[*stream->size] = '\0';
    return (ssize_t)n;
}

static int stream_close(void *cookie)
{
    free(cookie);
    return 0;
}

FILE *xopen_stream(char **text, size_t *size)
{
    const cookie_io_functions_t functions = {.write = stream_write, .close = stream_close};
    struct stream *stream = xmalloc(sizeof(*stream));
    *stream = (struct stream){text, size};
    *text = xcalloc(1, 1);
    *size = 0;
    return xchecked(fopencookie(stream, "w", functions));
}
