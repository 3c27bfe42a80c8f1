#include "host/base/json_output.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void write_all(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0); /* whoever asked is gone */
        text += n;
        len -= (size_t)n;
    }
}

void output_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL)
        return;
    pthread_mutex_lock(&lock);
    write_all(text, strlen(text));
    write_all("\n", 1);
    pthread_mutex_unlock(&lock);
    free(text);
}

void output_event(const char *event, json_t *data)
{
    if (data != NULL)
        output_line(json_pack("{s:s, s:o}", "event", event, "data", data));
}
