#include "host/base/text_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/memory.h"

char *text_file_read(int fd, const char *name, size_t max, enum ninja_error_class class,
                     struct ninja_error *err)
{
    char *text = xmalloc(max + 1);
    size_t size = 0;
    ssize_t n = 1;
    while (n > 0 && size <= max) {
        do {
            n = read(fd, text + size, max + 1 - size);
        } while (n < 0 && errno == EINTR);
        size += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        ninja_error_set(err, class, "%s: %m", name);
    } else if (size > max) {
        ninja_error_set(err, class, "%s:1: the file is longer than %zu bytes", name, max);
    } else if (memchr(text, '\0', size) != NULL) {
        ninja_error_set(err, class, "%s:1: the file holds a NUL, so it is no text", name);
    } else {
        size_t mark = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
        memmove(text, text + mark, size - mark);
        text[size - mark] = '\0';
        return text;
    }
    free(text);
    return NULL;
}
