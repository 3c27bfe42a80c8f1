#include "common/json_scan.h"

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
