/*
 * A request: what it asks for, until when, and its one answer.
 *
 * A thread may hang in libvirt for longer than a request may take. So the answer can come from two
 * sides, from whoever does it and from request_expire(), and the first one counts.
 */
#ifndef NINJA_LIBVIRT_REQUEST_H
#define NINJA_LIBVIRT_REQUEST_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

#define REQUEST_MAX_OPEN       4096
#define REQUEST_MAX_NAME       255
#define REQUEST_MAX_URI        1023
#define REQUEST_MAX_XML        (256 * 1024)
#define REQUEST_MAX_TIMEOUT_MS (24 * 3600 * 1000)

struct host;
struct request;

/** What does it, in some thread; it ends with request_answer() or request_fail(), or hands the
 * request on. */
typedef void request_fn(struct request *request);

struct request {
    json_t *id, *arguments;
    request_fn *work;
    struct host *host; /* that it is about */
    int64_t deadline;  /* monotonic microseconds */
    bool answered;
    struct request *next, **link; /* of those that have no answer yet */
};

/**
 * Takes a request from its line, and its "timeout_ms".
 *
 * @param id  copied; NULL: none
 * @return NULL with err
 */
struct request *request_new(json_t *id, json_t *arguments, struct ninja_error *err);

/** Answers, unless it was answered, and frees the request. Takes the result; NULL: an empty one. */
void request_answer(struct request *request, json_t *result);
void request_fail(struct request *request, const struct ninja_error *err);

/** An answer to what is no request that can be done. */
void request_refuse(json_t *id, const struct ninja_error *err);

/** Whether nobody waits for it any more, so that it need not be begun. */
bool request_is_over(struct request *request);

/** Answers those whose time is over. @return milliseconds until it is to be called again; -1: no
 * need */
int request_expire(void);

/** An argument that must be there: a text of 1 to max bytes. Borrowed; NULL with err. */
const char *request_text(struct request *request, const char *name, size_t max,
                         struct ninja_error *err);

/** As request_text(), for one that may be missing: *text is NULL then. False with err. */
bool request_text_if(struct request *request, const char *name, size_t max, const char **text,
                     struct ninja_error *err);

/** A whole number from 0 to max; `otherwise` if there is none. False with err. */
bool request_number(struct request *request, const char *name, int64_t max, int64_t otherwise,
                    int64_t *number, struct ninja_error *err);

#endif
