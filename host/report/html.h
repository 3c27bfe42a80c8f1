/*
 * A page as it is written: markup, and text of others in it.
 */
#ifndef NINJA_HTML_H
#define NINJA_HTML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct html {
    FILE *out;
    char *text; /* what was written; see html_end() */
    size_t size;
    size_t max_text; /* bytes of one text; the rest is left out */
    int ids;         /* that were given out */
};

void html_begin(struct html *html, size_t max_text);

/**
 * Writes markup. The format is the program's own and goes out as it is; each text that it takes,
 * %s, is escaped, so that it stays text in an element and in an attribute. Besides it takes only
 * %d, %lld, %.1f and %%.
 */
void html_put(struct html *html, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Ends it. The text is `size` bytes, for the caller to free. */
char *html_end(struct html *html, size_t *size);

#endif
