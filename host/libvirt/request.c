#include "host/libvirt/request.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "host/base/memory.h"
#include "host/base/json_output.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *waiting; /* have no answer yet */
static int count;               /* that are not freed */

static json_t *error_object(json_t *id, const struct ninja_error *err)
{
    return json_pack("{s:{s:s, s:s}, s:O?}", "error", "class", ninja_error_class_name(err->class),
                     "desc", err->message, "id", id);
}

static void enter(struct request *request)
{
    pthread_mutex_lock(&lock);
    request->next = waiting;
    request->link = &waiting;
    if (waiting != NULL)
        waiting->link = &request->next;
    waiting = request;
    count++;
    pthread_mutex_unlock(&lock);
}

/* Whether it is for the caller to answer it. With the lock held. */
static bool claim(struct request *request)
{
    if (request->answered)
        return false;
    request->answered = true;
    *request->link = request->next;
    if (request->next != NULL)
        request->next->link = request->link;
    return true;
}

struct request *request_new(json_t *id, json_t *arguments, struct ninja_error *err)
{
    json_t *timeout = json_object_get(arguments, "timeout_ms");
    int64_t ms = json_integer_value(timeout);
    struct request *request;
    if (!json_is_integer(timeout) || ms <= 0 || ms > REQUEST_MAX_TIMEOUT_MS) {
        ninja_error_set(err, ERR_BAD_ARGUMENT,
                        "timeout_ms is to be a whole number of milliseconds, of a day at most");
        return NULL;
    }
    if (count >= REQUEST_MAX_OPEN) {
        ninja_error_set(err, ERR_BUSY, "%d requests are being done: wait for their answers", count);
        return NULL;
    }
    request = xcalloc(1, sizeof(*request));
    request->id = id == NULL ? NULL : json_deep_copy(id);
    request->arguments = json_deep_copy(arguments);
    request->deadline = now_us() + ms * 1000;
    enter(request);
    return request;
}

/* Says it, if it is the first answer. Takes the line. */
static void end(struct request *request, json_t *line)
{
    pthread_mutex_lock(&lock);
    bool first = claim(request);
    count--;
    pthread_mutex_unlock(&lock);
    if (first)
        output_line(line);
    else
        json_decref(line);
    json_decref(request->id);
    json_decref(request->arguments);
    free(request);
}

void request_answer(struct request *request, json_t *result)
{
    json_t *line = json_pack("{s:o, s:O?}", "return", result != NULL ? result : json_object(), "id",
                             request->id);
    end(request, line);
}

void request_fail(struct request *request, const struct ninja_error *err)
{
    end(request, error_object(request->id, err));
}

void request_refuse(json_t *id, const struct ninja_error *err)
{
    output_line(error_object(id, err));
}

bool request_is_over(struct request *request)
{
    pthread_mutex_lock(&lock);
    bool over = request->answered;
    pthread_mutex_unlock(&lock);
    return over;
}

int request_expire(void)
{
    int64_t now = now_us(), next = INT64_MAX;
    struct ninja_error err = NINJA_ERROR_INIT;
    ninja_error_set(
        &err, ERR_TIMEOUT,
        "libvirt did not answer in time: it may still do what it was asked for, so look "
        "at the VM before it is tried again");
    pthread_mutex_lock(&lock);
    for (struct request *request = waiting, *after; request != NULL; request = after) {
        after = request->next;
        if (request->deadline <= now) {
            claim(request);
            output_line(error_object(request->id, &err));
        } else if (request->deadline < next) {
            next = request->deadline;
        }
    }
    pthread_mutex_unlock(&lock);
    return next == INT64_MAX ? -1 : (int)((next - now) / 1000 + 1);
}

bool request_text_if(struct request *request, const char *name, size_t max, const char **text,
                     struct ninja_error *err)
{
    json_t *value = json_object_get(request->arguments, name);
    size_t len = json_string_length(value);
    *text = NULL;
    if (value == NULL)
        return true;
    if (!json_is_string(value) || len == 0 || len > max || strlen(json_string_value(value)) != len)
        return ninja_error_set(err, ERR_BAD_ARGUMENT, "%s is to be a text of 1 to %zu bytes", name,
                               max);
    *text = json_string_value(value);
    return true;
}

const char *request_text(struct request *request, const char *name, size_t max,
                         struct ninja_error *err)
{
    const char *text;
    if (request_text_if(request, name, max, &text, err) && text == NULL)
        ninja_error_set(err, ERR_BAD_ARGUMENT, "the request lacks %s", name);
    return text;
}

bool request_number(struct request *request, const char *name, int64_t max, int64_t otherwise,
                    int64_t *number, struct ninja_error *err)
{
    json_t *value = json_object_get(request->arguments, name);
    *number = otherwise;
    if (value == NULL)
        return true;
    *number = json_integer_value(value);
    if (json_is_integer(value) && *number >= 0 && *number <= max)
        return true;
    return ninja_error_set(err, ERR_BAD_ARGUMENT, "%s is to be a whole number from 0 to %lld", name,
                           (long long)max);
}
