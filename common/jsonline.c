#include "common/jsonline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AS_TEXT(number)     #number
#define NUMBER_TEXT(number) AS_TEXT(number)

struct jsonline {
    jsonline_fn *fn;
    void *ctx;
    char *buf;
    size_t len, room, max_bytes;
    struct json_scan scan;
    bool skipping; /* until the line ends: it was answered with an error */
};

struct jsonline *jsonline_new(size_t max_bytes, jsonline_fn *fn, void *ctx)
{
    struct jsonline *j = calloc(1, sizeof(*j));
    if (j != NULL) {
        j->fn = fn;
        j->ctx = ctx;
        j->max_bytes = max_bytes;
    }
    return j;
}

void jsonline_free(struct jsonline *j)
{
    if (j != NULL) {
        free(j->buf);
        free(j);
    }
}

/* A big line's memory is given back. */
static void forget(struct jsonline *j)
{
    if (j->room > 64 * 1024) {
        free(j->buf);
        j->buf = NULL;
        j->room = 0;
    }
    j->len = 0;
    j->scan = (struct json_scan){0};
}

bool jsonline_is_open(const struct jsonline *j)
{
    return j->len > 0 || j->skipping;
}

void jsonline_reset(struct jsonline *j)
{
    forget(j);
    j->skipping = false;
}

static void refuse(struct jsonline *j, const char *wrong)
{
    forget(j);
    j->skipping = true;
    j->fn(j->ctx, NULL, wrong);
}

static bool append(struct jsonline *j, char c)
{
    if (j->len == j->room) {
        size_t room = j->room == 0 ? 512 : 2 * j->room;
        char *buf = realloc(j->buf, room);
        if (buf == NULL) {
            return false;
        }
        j->buf = buf;
        j->room = room;
    }
    j->buf[j->len++] = c;
    return true;
}

static void complete(struct jsonline *j)
{
    char wrong[JSON_WRONG_BYTES];
    json_t *object = json_parse_line(j->buf, j->len, JSON_REJECT_DUPLICATES, wrong);
    if (object == NULL) {
        refuse(j, wrong);
        return;
    }
    forget(j);
    j->fn(j->ctx, object, NULL);
    json_decref(object);
}

static void scan(struct jsonline *j, char c)
{
    switch (json_scan(&j->scan, c, JSON_MAX_DEPTH)) {
    case JSON_GOES_ON:
        break;
    case JSON_ENDS:
        complete(j);
        break;
    case JSON_TOO_DEEP:
        refuse(j, "nesting deeper than " NUMBER_TEXT(JSON_MAX_DEPTH));
        break;
    case JSON_TOO_MANY:
        refuse(j, "more than " NUMBER_TEXT(JSON_MAX_OBJECTS) " objects in a line");
        break;
    }
}

static void end_of_line(struct jsonline *j)
{
    if (j->len > 0) {
        complete(j);
    }
    jsonline_reset(j);
}

static void take(struct jsonline *j, char c)
{
    bool blank = c == ' ' || c == '\t' || c == '\r';
    if (j->skipping || (j->len == 0 && blank)) {
        return;
    }
    if (j->len == j->max_bytes) {
        char wrong[64];
        bool mib = j->max_bytes >= 1 << 20;
        snprintf(wrong, sizeof(wrong), "line longer than %zu %s", j->max_bytes >> (mib ? 20 : 10),
                 mib ? "MiB" : "KiB");
        refuse(j, wrong);
    } else if (!append(j, c)) {
        refuse(j, "out of memory");
    } else {
        scan(j, c);
    }
}

void jsonline_feed(struct jsonline *j, const void *bytes, size_t len)
{
    const char *p = bytes;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)p[i] == 0xFF) {
            jsonline_reset(j);
        } else if (p[i] == '\n') {
            end_of_line(j);
        } else {
            take(j, p[i]);
        }
    }
}
