/*
 * The other end of a JSON-lines socket, in the same event loop as the client under test: it
 * listens at a path, serves one client at a time, and hands each object to its owner.
 */
#ifndef NINJA_FAKE_PEER_H
#define NINJA_FAKE_PEER_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

struct fake_peer;

struct fake_peer_handler {
    void (*on_connect)(void *arg); /* may be NULL */
    void (*on_object)(void *arg, json_t *object);
};

struct fake_peer *fake_peer_listen(struct event_base *base, const char *path,
                                   const struct fake_peer_handler *handler, void *arg);
/* The next client has the other end of fd, a socket that is taken over. */
void fake_peer_serve(struct fake_peer *peer, int fd);
/* object is taken over */
void fake_peer_send(struct fake_peer *peer, json_t *object, bool sentinel);
void fake_peer_send_text(struct fake_peer *peer, const char *text);
/* {"return": result, "id": ...} with the request's id; result is taken over */
void fake_peer_return(struct fake_peer *peer, json_t *request, json_t *result);
void fake_peer_error(struct fake_peer *peer, json_t *request, const char *class, const char *desc);
/* The descriptor that the client sent last, for the caller to close; -1: none since. */
int fake_peer_take_fd(struct fake_peer *peer);
void fake_peer_hang_up(struct fake_peer *peer);
bool fake_peer_has_client(const struct fake_peer *peer);
/* NULL is allowed */
void fake_peer_free(struct fake_peer *peer);

/* A directory for sockets and files, removed by fake_dir_remove(). */
const char *fake_dir(void);
void fake_dir_remove(void);

/* begin, n times part, and end; malloc'ed. For what is too long for somebody. */
char *fake_repeated(const char *begin, const char *part, int n, const char *end);

/*
 * Lines that the fakes wrote of what they were told, in order: "vm1@ib device_del".
 */
void fake_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void fake_log_clear(void);
/* The index of the first line that is text, from `from` on; -1: there is none. */
int fake_log_find(const char *text, int from);
int fake_log_count(const char *text);
void fake_log_print(void);

#endif
