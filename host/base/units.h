/*
 * Figures as people read them.
 */
#ifndef NINJA_UNITS_H
#define NINJA_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Each returns `text`. */

/** "34 ms", "1.25 s", "3 min 12 s"; "0.4 ms" where it is less than ten. */
const char *units_ms(char *text, size_t size, double ms);
/** "812.0 MiB"; powers of 1024. */
const char *units_bytes(char *text, size_t size, double bytes);

#endif
