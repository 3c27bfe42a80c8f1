#include "common/usage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/output.h"

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

void usage_say(const char *program, const char *text)
{
    fputs(text, stdout);
    exit(output_end(program) ? EX_OK : EX_IOERR);
}
