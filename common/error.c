#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/printable.h"

#define NAME_OF(class, name) [class] = name,

static const char *const names[] = {[ERR_NONE] = "", NINJA_ERROR_CLASSES(NAME_OF)};

const char *ninja_error_class_name(enum ninja_error_class class)
{
    return names[class];
}

enum ninja_error_class ninja_error_class_of(const char *name)
{
    for (size_t i = ERR_NONE + 1; name != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum ninja_error_class)i;
        }
    }
    return ERR_GENERIC;
}

bool ninja_error_set(struct ninja_error *err, enum ninja_error_class class, const char *fmt, ...)
{
    if (err == NULL || ninja_error_is_set(err)) {
        return false;
    }
    err->class = class;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    ninja_printable(err->message); /* it may tell what another party said */
    return false;
}

bool ninja_error_where(struct ninja_error *err, const char *fmt, ...)
{
    if (err == NULL || !ninja_error_is_set(err)) {
        return false;
    }
    char what[sizeof(err->message)];
    memcpy(what, err->message, sizeof(what));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->message)) {
        size_t room = sizeof(err->message) - (size_t)n;
        size_t len = strnlen(what, sizeof(what));
        if (room > 2) {
            memcpy(err->message + n, ": ", 3);
            if (len > room - 3) {
                len = room - 3;
            }
            memcpy(err->message + n + 2, what, len);
            err->message[(size_t)n + 2 + len] = '\0';
        }
    }
    return false;
}
