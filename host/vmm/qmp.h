/*
 * A QMP client: greeting, qmp_capabilities, commands with ids and time-outs, events.
 *
 * Everything is called back from the event loop; the owner may free the client in any callback.
 * Each command's reply is called exactly once, unless the client is freed first.
 */
#ifndef NINJA_QMP_H
#define NINJA_QMP_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"

struct qmp;

struct qmp_handler {
    void (*on_ready)(void *arg); /* greeted, commands are possible */
    void (*on_event)(void *arg, const char *name, json_t *data);
    /* The connection ended, or never became ready. Replies that were awaited came before. */
    void (*on_end)(void *arg, const struct ninja_error *err);
};

/**
 * What a command was answered.
 *
 * @param result  the value of "return", borrowed; NULL with err set
 * @param err     NULL, or class ERR_TIMEOUT, "Closed", or QEMU's own class with its text
 */
typedef void (*qmp_reply)(void *arg, json_t *result, const struct ninja_error *err);

/**
 * Connects to a QMP socket.
 *
 * @param timeout_ms  until on_ready; after that on_end is called
 * @return the client, or NULL with err set: nothing listens there
 */
struct qmp *qmp_connect(struct event_base *base, const char *path, int timeout_ms,
                        const struct qmp_handler *handler, void *arg, struct ninja_error *err);

/**
 * Sends a command.
 *
 * @param arguments  taken over; NULL for none
 * @param reply      NULL if nobody wants to know
 */
void qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int timeout_ms,
                 qmp_reply reply, void *arg);

/**
 * The same for one of the few commands that QEMU can execute out of band, beside its main loop,
 * which may hang in another command or wait for memory (docs/interop/qmp-spec of QEMU).
 */
void qmp_execute_urgent(struct qmp *qmp, const char *command, json_t *arguments, int timeout_ms,
                        qmp_reply reply, void *arg);

/**
 * The same for "getfd": QEMU gets a copy of the descriptor, by the name that its argument says. The
 * socket must be a UNIX socket of QEMU itself.
 *
 * @param fd  stays open
 */
void qmp_execute_with_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
                         int timeout_ms, qmp_reply reply, void *arg);

/** Whether on_ready was called and on_end was not. */
bool qmp_is_ready(const struct qmp *qmp);

/** Drops the connection and forgets replies that are awaited. NULL is allowed. */
void qmp_free(struct qmp *qmp);

#endif
