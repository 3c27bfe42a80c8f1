/*
 * The limits of JSON that others send, and the scanner that holds them: it looks at each byte of an
 * object before the parser sees any, as jansson recurses, and makes much of little. A peer must not
 * choose how deep and how much.
 */
#ifndef NINJA_JSON_SCAN_H
#define NINJA_JSON_SCAN_H

#include <stdbool.h>

#define JSON_MAX_LINE  (4u * 1024 * 1024) /* without its end; docs/protocol.md */
#define JSON_MAX_DEPTH 16                 /* docs/protocol.md */
/* QEMU's answer to query-block has each image of a chain of snapshots inside of the next one. */
#define JSON_MAX_DEPTH_QEMU 32
/* Of one line: an empty object takes 3 bytes of it and 300 of memory. Any honest line has fewer. */
#define JSON_MAX_OBJECTS 65536

/* Begins as {0}; before the first brace it is not inside of anything. */
struct json_scan {
    int depth, objects;
    bool in_string, escaped;
};

enum json_scanned {
    JSON_GOES_ON,
    JSON_ENDS, /* the last brace is closed, or one that was never open */
    JSON_TOO_DEEP,
    JSON_TOO_MANY, /* objects */
};

enum json_scanned json_scan(struct json_scan *scan, char c, int max_depth);

#endif
