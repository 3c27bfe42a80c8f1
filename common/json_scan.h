/*
 * The limits of JSON that others send, the scanner that holds them, and the parser of one line.
 * The scanner looks at each byte of an object before the parser sees any, as jansson recurses, and
 * makes much of little. A peer must not choose how deep and how much.
 *
 * How lines are cut out of a stream is another matter: see common/jsonline.h for a program without
 * an event loop, and host/base/json_lines.h for the host's.
 */
#ifndef NINJA_JSON_SCAN_H
#define NINJA_JSON_SCAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_MAX_LINE (4u * 1024 * 1024) /* without its end; docs/protocol.md */
/* Of the host to an agent, which may have the addresses of all ranks of a job. */
#define JSON_MAX_REQUEST (16u * 1024 * 1024)
#define JSON_MAX_DEPTH   16 /* docs/protocol.md */
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

#define JSON_WRONG_BYTES (JSON_ERROR_TEXT_LENGTH + 64)

/**
 * Parses a line that the scanner let through.
 *
 * @param flags  of jansson: JSON_REJECT_DUPLICATES refuses a repeated key; 0: the last one counts
 * @param wrong  JSON_WRONG_BYTES, for what is wrong with the line; it may have bytes of it
 * @return a new object; NULL with wrong: the line is none
 */
json_t *json_parse_line(const char *text, size_t len, size_t flags, char *wrong);

#endif
