#include "guest-agent/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/shortage.h"

json_t *text_json(const char *bytes, size_t len)
{
    json_t *string = memchr(bytes, '\0', len) == NULL ? json_stringn(bytes, len) : NULL;
    if (string != NULL) {
        return string;
    }
    char *clean = malloc(len + 1);
    if (clean == NULL) {
        shortage_note();
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        clean[i] = c == 0 || c >= 0x80 ? '?' : bytes[i];
    }
    string = json_stringn(clean, len);
    free(clean);
    return string;
}

static bool make_path(char *path, const char *fmt, va_list ap)
{
    int n = vsnprintf(path, PATH_MAX, fmt, ap);
    return n >= 0 && n < PATH_MAX;
}

bool text_path(char *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = make_path(path, fmt, ap);
    va_end(ap);
    return ok;
}

bool text_first_line(char *buf, size_t size, const char *fmt, ...)
{
    char path[PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    bool ok = make_path(path, fmt, ap);
    va_end(ap);
    if (!ok) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        shortage_note();
        return false;
    }
    ssize_t got;
    do {
        got = read(fd, buf, size - 1);
    } while (got < 0 && errno == EINTR);
    close(fd);
    if (got < 0) {
        return false;
    }
    buf[got] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return true;
}
