/*
 * A connection of a client: lines come in, answers and events go out, and none of it can hold up
 * the others.
 */
#ifndef NINJAD_CLIENT_H
#define NINJAD_CLIENT_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* Bytes: of a line; that may wait for a client before nothing more is read from it, and before it
 * is dropped. */
#define CLIENT_MAX_LINE   (64u * 1024)
#define CLIENT_HIGH_WATER (1024u * 1024)
#define CLIENT_MAX_UNSENT (16u * 1024 * 1024)

/* Seconds that a line may take from its first byte to its end, and a client to read something. */
#define CLIENT_LINE_S 30
#define CLIENT_READ_S 30

struct client;

struct client_peer {
    uid_t uid;
    pid_t pid;
    bool may_act; /* and not only look */
};

struct client_ops {
    /** A request, or with request NULL a line that is none; both borrowed. */
    void (*request)(void *ctx, struct client *client, json_t *request, const char *wrong);
    /** Whether answers are still to come, so that a client that only reads is kept. */
    bool (*is_waiting)(void *ctx, const struct client *client);
    /** It has ended, and is to be freed by the callee. why: NULL, or what it did wrong */
    void (*gone)(void *ctx, struct client *client, const char *why);
};

/**
 * @param fd   non-blocking; closed by client_free(), and not when NULL is returned
 * @param ops  borrowed for the client's life
 * @return NULL when out of memory
 */
struct client *client_new(struct event_base *base, int fd, const struct client_peer *peer,
                          const struct client_ops *ops, void *ctx);
void client_free(struct client *client);

const struct client_peer *client_peer(const struct client *client);

/** Queues a line; the object is borrowed. */
void client_send(struct client *client, const json_t *object);

/** Bytes that wait for the client. */
size_t client_unsent(const struct client *client);

#endif
