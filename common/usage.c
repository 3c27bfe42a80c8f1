#include "common/usage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

void usage_wrong(const char *program, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%s: ", program);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nTry '%s --help'.\n", program);
    exit(EX_USAGE);
}

void usage_say(const char *text)
{
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? EX_OK : EX_IOERR);
}
