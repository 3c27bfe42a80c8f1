/*
 * Memory of the host's programs. A program that gets none ends at once, as if it had crashed, with
 * a message and status 70: what a coordinator leaves then is what `ninjactl resume` takes on, and
 * nothing that could be tried without memory would be safer. So what these functions give is never
 * NULL, and nobody asks. It is freed with free().
 *
 * The guest's side is different: there the job has to survive, and each allocation is checked.
 */
#ifndef NINJA_MEMORY_H
#define NINJA_MEMORY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define EXIT_MEMORY 70 /* EX_SOFTWARE */

/** Has jansson and libevent allocate here, too. A program calls it before it uses either. */
void memory_begin(void);

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *memory, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/** A stream to memory. The text ends in a NUL, is there after fclose(), and is to be freed. */
FILE *xopen_stream(char **text, size_t *size);

/** Ends the program if it is NULL: for what others allocate. */
void *xchecked(void *memory);

#endif
