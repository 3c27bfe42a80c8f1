/*
 * Texts into and out of JSON. Those that came from a guest or were cut may not be UTF-8, which JSON
 * needs.
 */
#ifndef NINJA_JSON_TEXT_H
#define NINJA_JSON_TEXT_H

#include <jansson.h>

/** A new JSON string; if the text is not UTF-8, with '?' for every byte that is not ASCII. */
json_t *json_text(const char *text);

/** The text of that key, borrowed; empty if there is none. The object may be NULL. */
const char *json_text_in(const json_t *object, const char *key);

#endif
