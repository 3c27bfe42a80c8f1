/*
 * Figures as people read them.
 */
#ifndef NINJA_UNITS_H
#define NINJA_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes, where a text has MiB in another place: the head of a column, or a message. */
#define UNITS_MIB 1048576.0

/* Each returns `text`. */

/** "34 ms", "1.25 s", "3 min 12 s"; "0.4 ms" where it is less than ten. */
const char *units_ms(char *text, size_t size, double ms);
/** "812 MiB"; powers of 1024. */
const char *units_bytes(char *text, size_t size, double bytes);
/** "1.5 MiB/s" */
const char *units_rate(char *text, size_t size, double bytes_per_s);
/** "9.8G": at most four characters; powers of 1024. What is less than 0 is 0. */
const char *units_bytes_short(char *text, size_t size, int64_t bytes);
/** "1:05", "2h30m": at most six characters; "-" of what is less than 0. */
const char *units_clock(char *text, size_t size, int64_t s);

#endif
