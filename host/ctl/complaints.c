#include "host/ctl/complaints.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"

#define VARIABLE "NINJA_ERROR_FD"

/* What each exit code but 0 means to a program. */
static const enum ninja_error_class classes[] = {
    [EXIT_FAILED] = ERR_FAILED,
    [EXIT_REFUSED] = ERR_REFUSED,
    [EXIT_ROLLED_BACK] = ERR_ROLLED_BACK,
    [EXIT_OPERATOR] = ERR_OPERATOR,
    [EXIT_NOT_ENDED] = ERR_TIMEOUT,
    [EXIT_USAGE] = ERR_BAD_ARGUMENT,
    [EXIT_CLUSTER_FILE] = ERR_CLUSTER_FILE,
    [EXIT_OUTPUT] = ERR_IO,
    [EXIT_CONFIG] = ERR_CONFIG,
};

static int descriptor = -1;
static char kept[sizeof(((struct ninja_error *)0)->message)]; /* with "; " between two */

bool complaints_begin(void)
{
    const char *text = getenv(VARIABLE);
    if (text == NULL) {
        return true;
    }
    char *end;
    long number = strtol(text, &end, 10);
    bool ok = *text != '\0' && *end == '\0' && number > STDERR_FILENO && number <= 1 << 20 &&
              fcntl((int)number, F_SETFD, FD_CLOEXEC) == 0;
    if (ok) {
        descriptor = (int)number;
    } else {
        complain_of(VARIABLE ": expected the number of an open descriptor, 3 or more, found "
                             "\"%.60s\"",
                    text);
    }
    unsetenv(VARIABLE);
    return ok;
}

static void keep(const char *text)
{
    size_t used = strlen(kept);
    snprintf(kept + used, sizeof(kept) - used, "%s%s", used > 0 ? "; " : "", text);
}

void complain_of(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr, "ninjactl: %s\n", text);
    keep(text);
    free(text);
}

void complain(const struct ninja_error *err)
{
    complain_of("%s", err->message);
}

int complaints_fd(void)
{
    return descriptor;
}

void complaints_stop(void)
{
    if (descriptor >= 0) {
        close(descriptor);
        descriptor = -1;
    }
}

/* The reader may have left, so a failure is ignored: the exit code says the class as well. */
static void say(enum ninja_error_class class)
{
    json_t *json = json_pack("{s:{s:s, s:o}}", "error", "class", ninja_error_class_name(class),
                             "desc", json_text(kept));
    char *line = json_dumps(json, JSON_COMPACT);
    if (line != NULL) {
        dprintf(descriptor, "%s\n", line);
    }
    free(line);
    json_decref(json);
}

void complaints_end(int code)
{
    bool known = code > 0 && (size_t)code < sizeof(classes) / sizeof(classes[0]);
    if (descriptor >= 0 && code != EXIT_DONE && kept[0] != '\0') {
        say(known && classes[code] != ERR_NONE ? classes[code] : ERR_FAILED);
    }
    complaints_stop();
}
