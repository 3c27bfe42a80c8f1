/* What the program says: one JSON object a line, whole, from any thread. */
#ifndef NINJA_JSON_OUTPUT_H
#define NINJA_JSON_OUTPUT_H

#include <jansson.h>

/** Writes a line. Takes the object. Ends the program when nobody reads any more. */
void output_line(json_t *object);

/** Says that something happened. Takes the data, made by json_pack(); NULL: out of memory, nothing
 * is said. */
void output_event(const char *event, json_t *data);

#endif
