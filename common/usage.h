/* What a program says of its own command line, and then ends. */
#ifndef NINJA_USAGE_H
#define NINJA_USAGE_H

/** Says what is wrong and where help is, to stderr; ends with EX_USAGE. */
void usage_wrong(const char *program, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/** Prints what was asked for; ends with 0, or EX_IOERR if it cannot be printed. */
void usage_say(const char *program, const char *text) __attribute__((noreturn));

#endif
