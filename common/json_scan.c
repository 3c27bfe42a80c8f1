#include "common/json_scan.h"

#include <stdio.h>

static enum json_scanned opens(struct json_scan *scan, char c, int max_depth)
{
    scan->objects += c == '{';
    if (++scan->depth > max_depth) {
        return JSON_TOO_DEEP;
    }
    return scan->objects > JSON_MAX_OBJECTS ? JSON_TOO_MANY : JSON_GOES_ON;
}

static void in_string(struct json_scan *scan, char c)
{
    if (scan->escaped) {
        scan->escaped = false;
    } else if (c == '\\') {
        scan->escaped = true;
    } else if (c == '"') {
        scan->in_string = false;
    }
}

enum json_scanned json_scan(struct json_scan *scan, char c, int max_depth)
{
    if (scan->in_string) {
        in_string(scan, c);
        return JSON_GOES_ON;
    }
    switch (c) {
    case '"':
        scan->in_string = true;
        return JSON_GOES_ON;
    case '{':
    case '[':
        return opens(scan, c, max_depth);
    case '}':
    case ']':
        return --scan->depth <= 0 ? JSON_ENDS : JSON_GOES_ON;
    default:
        return JSON_GOES_ON;
    }
}

json_t *json_parse_line(const char *text, size_t len, size_t flags, char *wrong)
{
    json_error_t error;
    json_t *value = json_loadb(text, len, flags, &error);
    if (json_is_object(value)) {
        return value;
    }
    if (value == NULL) {
        snprintf(wrong, JSON_WRONG_BYTES, "invalid JSON at byte %d: %s", error.position,
                 error.text);
    } else {
        snprintf(wrong, JSON_WRONG_BYTES, "expected a JSON object");
    }
    json_decref(value);
    return NULL;
}
