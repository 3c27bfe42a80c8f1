/*
 * The sockets, and who may come in.
 */
#ifndef NINJAD_SERVER_H
#define NINJAD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "ninjad/ninjad.h"

struct client_peer;
struct server;

enum refusal {
    REFUSED_STRANGER, /* neither root, nor our own user, nor of the group */
    REFUSED_TOO_MANY,
    REFUSALS,
};

/**
 * Listens on the sockets that systemd passed, and those of the options.
 *
 * @return NULL with err: none of them can be listened on, or there is none
 */
struct server *server_new(struct ninjad *ninjad, struct ninja_error *err);

/** Closes all connections; sockets that systemd passed stay. NULL is allowed. */
void server_free(struct server *server);

int server_clients(const struct server *server);
/** How many were refused for that reason. */
unsigned long server_refused(const struct server *server, enum refusal refusal);
/** Milliseconds (now_ms()) since when there is no client; -1: there is one. */
int64_t server_idle_since(const struct server *server);

/** Whether systemd passed the sockets, and so starts this again when somebody comes. */
bool server_is_activated(const struct server *server);

/** Serves a connected socket, as if it had come in; takes the descriptor over. For tests. */
bool server_add(struct server *server, int fd, const struct client_peer *peer);

#endif
